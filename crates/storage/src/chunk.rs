//! The records of staged changes as bytes: their chunks, the log record of their commit, and what stands in `meta`
//! while they wait.
//!
//! Invariant: as in [`crate::record`]. The place of a chunk is its stage and its number there, so that chunks that are
//! whole but of another stage, or in another order, are found out.

use deltaic_causality::HybridTime;
use deltaic_types::Lsn;
use deltaic_types::codec::write_u64;

use crate::layer::LAYERS;
use crate::record::{Kind, open, read_change, read_commit, seal, start, write_change};
use crate::{Change, Commit, Damage, StorageError};

/// Bytes of changes after which a chunk ends: an append beside it waits for one transaction of about this size.
const CHUNK_BYTES: usize = 1 << 20;

/// The key of a chunk, and of all of a stage its beginning.
pub(crate) fn chunk_key(stage: u64, chunk: u64) -> Vec<u8> {
    [stage.to_be_bytes(), chunk.to_be_bytes()].concat()
}

/// The key of a stage in `meta` from its first chunk until a commit has it.
pub(crate) fn mark_key(stage: u64) -> String {
    format!("{MARK}{stage}")
}

/// The key in `meta` of what is not settled.
pub(crate) const LAYERS_KEY: &str = "layers";

const MARK: &str = "stage/";

/// The stage of a key in `meta`; None where it is another's key.
pub(crate) fn marked(key: &str) -> Option<Result<u64, Damage>> {
    key.strip_prefix(MARK).map(|number| number.parse().map_err(|_| Damage::Misplaced))
}

/// The chunks of changes, one after the other. An error as soon as they are over the limit together.
pub(crate) struct Chunks<'c> {
    stage: u64,
    chunk: u64,
    /// What is not encoded; None once the last chunk was given. No changes are one chunk without any.
    rest: Option<&'c [Change]>,
    written: usize,
    limit: usize,
}

impl<'c> Chunks<'c> {
    pub(crate) fn new(stage: u64, changes: &'c [Change], limit: usize) -> Self {
        Self { stage, chunk: 0, rest: Some(changes), written: 0, limit }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Vec<u8>, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let changes = self.rest.take()?;
        let (mut body, mut count) = (Vec::new(), 0);
        for change in changes {
            write_change(&mut body, change);
            count += 1;
            if body.len() >= CHUNK_BYTES || self.written + body.len() > self.limit {
                break;
            }
        }
        self.written += body.len();
        if self.written > self.limit {
            return Some(Err(StorageError::CommitTooLarge { limit: self.limit }));
        }
        let mut bytes = start(Kind::Chunk);
        write_u64(&mut bytes, count as u64);
        bytes.extend_from_slice(&body);
        let place = chunk_key(self.stage, self.chunk);
        self.chunk += 1;
        self.rest = Some(&changes[count..]).filter(|rest| !rest.is_empty());
        Some(Ok(seal(bytes, &place)))
    }
}

/// Reads the chunk that stands at `place` and appends its changes.
pub(crate) fn read_chunk(record: &[u8], place: &[u8], changes: &mut Vec<Change>) -> Result<(), Damage> {
    let mut reader = open(record, Kind::Chunk, place)?;
    for _ in 0..reader.length(crate::COMMIT_BYTES)? {
        changes.push(read_change(&mut reader)?);
    }
    reader.finish()?;
    Ok(())
}

/// What the log says of a commit whose changes were staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StagedCommit {
    pub(crate) lsn: Lsn,
    pub(crate) time: HybridTime,
    pub(crate) seq: u64,
    pub(crate) stage: u64,
    pub(crate) chunks: u64,
    pub(crate) changes: u64,
    pub(crate) dots: u64,
}

/// A record of the log.
#[derive(Debug)]
pub(crate) enum Logged {
    Inline(Commit),
    Staged(StagedCommit),
}

pub(crate) fn write_staged_commit(commit: &StagedCommit) -> Vec<u8> {
    let mut bytes = start(Kind::StagedCommit);
    write_u64(&mut bytes, commit.lsn.0);
    commit.time.write(&mut bytes);
    for number in [commit.seq, commit.stage, commit.chunks, commit.changes, commit.dots] {
        write_u64(&mut bytes, number);
    }
    seal(bytes, &[])
}

/// Reads the log record that stands at `lsn`.
pub(crate) fn read_logged(record: &[u8], lsn: Lsn) -> Result<Logged, Damage> {
    if record.get(4) != Some(&(Kind::StagedCommit as u8)) {
        return read_commit(record, lsn).map(Logged::Inline);
    }
    let mut reader = open(record, Kind::StagedCommit, &[])?;
    if reader.u64()? != lsn.0 {
        return Err(Damage::Misplaced);
    }
    let time = HybridTime::read(&mut reader)?;
    let (seq, stage, chunks) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let (changes, dots) = (reader.u64()?, reader.u64()?);
    reader.finish()?;
    if dots > seq {
        return Err(Damage::Misplaced);
    }
    Ok(Logged::Staged(StagedCommit { lsn, time, seq, stage, chunks, changes, dots }))
}

/// The mark of a stage that was begun.
pub(crate) fn write_mark(stage: u64) -> Vec<u8> {
    seal(start(Kind::Begun), &stage.to_be_bytes())
}

pub(crate) fn read_mark(record: &[u8], stage: u64) -> Result<(), Damage> {
    Ok(open(record, Kind::Begun, &stage.to_be_bytes())?.finish()?)
}

/// The commits with unsettled changes, oldest first, and of each how many rows are in the tables.
pub(crate) fn write_positions(positions: &[(Lsn, usize)]) -> Vec<u8> {
    let mut bytes = start(Kind::Layers);
    write_u64(&mut bytes, positions.len() as u64);
    for (lsn, settled) in positions {
        write_u64(&mut bytes, lsn.0);
        write_u64(&mut bytes, *settled as u64);
    }
    seal(bytes, &[])
}

pub(crate) fn read_positions(record: &[u8]) -> Result<Vec<(Lsn, usize)>, Damage> {
    let mut reader = open(record, Kind::Layers, &[])?;
    let mut positions = Vec::new();
    for _ in 0..reader.length(LAYERS)? {
        positions.push((Lsn(reader.u64()?), reader.u64()? as usize));
    }
    reader.finish()?;
    if positions.is_sorted_by(|one, other| one.0 < other.0) { Ok(positions) } else { Err(Damage::Misplaced) }
}

#[cfg(test)]
mod tests {
    use deltaic_causality::{ActorId, Dot};
    use deltaic_types::{Row, TableId, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::{PROVISIONAL, StoredRow};

    const COMMIT: StagedCommit =
        StagedCommit { lsn: Lsn(4), time: HybridTime(3), seq: 300, stage: 2, chunks: 1, changes: 5, dots: 6 };

    fn put(n: i64, text: usize) -> Change {
        let version = Dot { actor: ActorId(1), seq: PROVISIONAL + n as u64 };
        let key = Row::from_iter([Value::Integer(n)]);
        let values = Row::from_iter([Value::Integer(n), Value::from("x".repeat(text))]);
        let row = StoredRow { version, time: HybridTime(0), cells: vec![], values };
        Change::Put { table: TableId(7), key, row }
    }

    fn chunks(changes: &[Change]) -> Vec<Vec<u8>> {
        Chunks::new(2, changes, crate::COMMIT_BYTES).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn changes_come_back_from_chunks_at_their_own_places() {
        let changes: Vec<Change> = (1..8).map(|n| put(n, 400_000)).collect();
        let written = chunks(&changes);
        assert_eq!(written.len(), 3);
        let mut read = Vec::new();
        for (chunk, record) in written.iter().enumerate() {
            read_chunk(record, &chunk_key(2, chunk as u64), &mut read).unwrap();
        }
        assert_eq!(read, changes);
        for elsewhere in [chunk_key(2, 1), chunk_key(3, 0)] {
            assert_eq!(read_chunk(&written[0], &elsewhere, &mut read), Err(Damage::Checksum));
        }
        assert_eq!(chunks(&[]).len(), 1);
    }

    #[test]
    fn chunks_have_the_limit_of_a_commit() {
        let changes = [put(1, 400_000), put(2, 700_000), put(3, 9)];
        let whole: usize = chunks(&changes).iter().map(Vec::len).sum();
        assert!(Chunks::new(2, &changes, whole).all(|chunk| chunk.is_ok()));
        let error = Chunks::new(2, &changes, 1_000_000).find_map(Result::err).unwrap();
        assert_eq!(error.to_string(), "a commit of more than 1000000 bytes: split the transaction");
    }

    #[test]
    fn records_come_back_from_their_own_places() {
        let record = write_staged_commit(&COMMIT);
        assert!(matches!(read_logged(&record, Lsn(4)), Ok(Logged::Staged(commit)) if commit == COMMIT));
        assert_eq!(read_logged(&record, Lsn(5)).unwrap_err(), Damage::Misplaced);
        let short = write_staged_commit(&StagedCommit { dots: 301, ..COMMIT });
        assert_eq!(read_logged(&short, Lsn(4)).unwrap_err(), Damage::Misplaced);
        assert_eq!(read_mark(&write_mark(3), 3), Ok(()));
        assert_eq!(read_mark(&write_mark(3), 4), Err(Damage::Checksum));
        let positions = [(Lsn(8), 9), (Lsn(300), 0)];
        assert_eq!(read_positions(&write_positions(&positions)), Ok(positions.to_vec()));
        let unordered = write_positions(&[(Lsn(8), 9), (Lsn(8), 0)]);
        assert_eq!(read_positions(&unordered), Err(Damage::Misplaced));
        assert!(read_positions(&write_positions(&[(Lsn(8), 9); 17])).is_err());
        assert_eq!((marked(&mark_key(7)), marked("state")), (Some(Ok(7)), None));
        assert_eq!(marked("stage/x"), Some(Err(Damage::Misplaced)));
    }

    /// The bytes are part of the file format: a change of them is a new version.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        assert_eq!(write_staged_commit(&COMMIT)[4..], [12, 4, 3, 0xac, 2, 2, 1, 5, 6]);
        let delete = Change::Delete {
            table: TableId(7),
            key: Row::from_iter([Value::Integer(1)]),
            dot: Dot { actor: ActorId(1), seq: PROVISIONAL + 1 },
            time: HybridTime(3),
        };
        let chunk = &chunks(&[delete])[0];
        assert_eq!(chunk[4..13], [13, 1, 3, 7, 1, 3, 2, 1, 0x81]);
        assert_eq!(chunk[13..], [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 3]);
        assert_eq!(write_mark(1)[4..], [14]);
        assert_eq!(write_positions(&[(Lsn(8), 9)])[4..], [15, 1, 8, 9]);
        assert_eq!(chunk_key(1, 2), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(
            payload in proptest::collection::vec(prop_oneof![0_u8..14, any::<u8>()], 0..60),
        ) {
            let record = |kind| seal([start(kind), payload.clone()].concat(), &[]);
            let _ = read_logged(&record(Kind::StagedCommit), Lsn(1));
            let _ = read_chunk(&record(Kind::Chunk), &[], &mut Vec::new());
            prop_assert!(read_chunk(&payload, &[], &mut Vec::new()).is_err());
            prop_assert!(read_logged(&payload, Lsn(1)).is_err());
            let _ = read_positions(&record(Kind::Layers));
            prop_assert!(read_positions(&payload).is_err());
        }
    }
}
