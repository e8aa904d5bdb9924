//! The records of the store as bytes: commits, the two parts of a row, and what stands in `meta`.
//!
//! Invariant: a record is a checksum and what it covers. The checksum also covers where the record belongs (its
//! table and key), so that bytes that are whole but under another key are found out. Decoding anything else than
//! what was written gives [`Damage`], never a panic. `docs/file-format.md` says the same byte by byte.

use std::collections::BTreeSet;

use deltaic_causality::{ActorId, Dot, HybridTime};
use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_row, write_u64, write_value};
use deltaic_types::{Catalog, DatabaseId, Lsn, Row, TableId, Value, limits};

use crate::{CellVersion, Change, Commit, Damage, Identity, StorageError, StoredRow, TableSize};

/// The most bytes of a commit as encoded: far more than a statement may write, far less than redb may hold.
pub const COMMIT_BYTES: usize = 1 << 30;

/// What a record is: its first byte behind the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Commit = 1,
    Hot = 2,
    Cold = 3,
    Identity = 4,
    State = 5,
    Catalog = 6,
    Size = 7,
    BudgetNode = 8,
    BudgetKey = 9,
    BudgetAccount = 10,
    BudgetLease = 11,
    StagedCommit = 12,
    Chunk = 13,
    Begun = 14,
    Layers = 15,
    AggregateNode = 16,
    Aggregate = 17,
    Event = 24,
    First = 25,
}

const CATALOG: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;

pub(crate) fn start(kind: Kind) -> Vec<u8> {
    vec![0, 0, 0, 0, kind as u8]
}

/// Closes a record that belongs at `place`: its checksum goes to the front.
pub(crate) fn seal(mut record: Vec<u8>, place: &[u8]) -> Vec<u8> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(place), &record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    record
}

/// Whether a record has the checksum that it must have at `place`; what the checksum covers of it.
pub(crate) fn verify<'a>(record: &'a [u8], place: &[u8]) -> Result<&'a [u8], Damage> {
    let (crc, covered) = record.split_first_chunk::<4>().ok_or(DecodeError::Truncated)?;
    let whole = u32::from_le_bytes(*crc) == crc32c::crc32c_append(crc32c::crc32c(place), covered);
    if whole { Ok(covered) } else { Err(Damage::Checksum) }
}

/// The payload of a record that stands at `place`.
pub(crate) fn open<'a>(record: &'a [u8], kind: Kind, place: &[u8]) -> Result<Reader<'a>, Damage> {
    let covered = verify(record, place)?;
    match covered.split_first() {
        Some((&found, payload)) if found == kind as u8 => Ok(Reader::new(payload)),
        Some((&found, _)) => Err(DecodeError::UnknownTag(found).into()),
        None => Err(DecodeError::Truncated.into()),
    }
}

/// The key of a row among the rows of all tables: rows of one table stand together, in the order of their keys.
pub(crate) fn row_key(table: TableId, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + key.len());
    bytes.extend_from_slice(&table.0.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// A row as its two records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) hot: Vec<u8>,
    /// None where every column is hot.
    pub(crate) cold: Option<Vec<u8>>,
}

/// A hot record, read.
#[derive(Debug)]
pub(crate) struct Hot {
    version: Dot,
    time: HybridTime,
    cells: Vec<CellVersion>,
    checksum: u32,
    values: Vec<Option<Value>>,
}

fn row_checksum(values: &[Value]) -> u32 {
    let mut bytes = Vec::new();
    write_row(&mut bytes, values);
    crc32c::crc32c(&bytes)
}

/// The records of a row whose key is `key` as encoded.
pub(crate) fn split(table: TableId, key: &[u8], row: &StoredRow, hot_columns: &BTreeSet<usize>) -> Split {
    let place = row_key(table, key);
    let mut hot = start(Kind::Hot);
    write_versions(&mut hot, row);
    hot.extend_from_slice(&row_checksum(&row.values).to_le_bytes());
    write_u64(&mut hot, row.values.len() as u64);
    write_pairs(&mut hot, row, |column| hot_columns.contains(&column));
    let cold = (0..row.values.len()).any(|column| !hot_columns.contains(&column)).then(|| {
        let mut cold = start(Kind::Cold);
        write_pairs(&mut cold, row, |column| !hot_columns.contains(&column));
        seal(cold, &place)
    });
    Split { hot: seal(hot, &place), cold }
}

fn write_versions(bytes: &mut Vec<u8>, row: &StoredRow) {
    row.version.write(bytes);
    row.time.write(bytes);
    write_u64(bytes, row.cells.len() as u64);
    for cell in &row.cells {
        write_u64(bytes, cell.column as u64);
        cell.dot.write(bytes);
        cell.time.write(bytes);
    }
}

fn write_pairs(bytes: &mut Vec<u8>, row: &StoredRow, belongs: impl Fn(usize) -> bool) {
    let columns: Vec<usize> = (0..row.values.len()).filter(|&column| belongs(column)).collect();
    write_u64(bytes, columns.len() as u64);
    for column in columns {
        write_u64(bytes, column as u64);
        write_value(bytes, &row.values[column]);
    }
}

fn read_cells(reader: &mut Reader<'_>) -> Result<Vec<CellVersion>, DecodeError> {
    let count = reader.length(limits::COLUMNS)?;
    let mut cells: Vec<CellVersion> = Vec::with_capacity(count);
    for _ in 0..count {
        let column = reader.u64()? as usize;
        if column >= limits::COLUMNS || cells.last().is_some_and(|last| last.column >= column) {
            return Err(DecodeError::Invalid("cell"));
        }
        cells.push(CellVersion { column, dot: Dot::read(reader)?, time: HybridTime::read(reader)? });
    }
    Ok(cells)
}

/// Reads pairs of place and value into `values`.
fn read_pairs(reader: &mut Reader<'_>, values: &mut [Option<Value>]) -> Result<(), Damage> {
    let count = reader.length(limits::COLUMNS)?;
    for _ in 0..count {
        let column = reader.u64()? as usize;
        let value = reader.value()?;
        match values.get_mut(column) {
            Some(slot @ None) => *slot = Some(value),
            _ => return Err(Damage::Misplaced),
        }
    }
    Ok(())
}

impl Hot {
    /// Reads the hot record at `place`, a [`row_key`].
    pub(crate) fn read(record: &[u8], place: &[u8]) -> Result<Self, Damage> {
        let mut reader = open(record, Kind::Hot, place)?;
        let version = Dot::read(&mut reader)?;
        let time = HybridTime::read(&mut reader)?;
        let cells = read_cells(&mut reader)?;
        let checksum = u32::from_le_bytes(reader.take()?);
        let columns = reader.u64()? as usize;
        if columns > limits::COLUMNS {
            return Err(DecodeError::TooLong { length: columns as u64, limit: limits::COLUMNS }.into());
        }
        let mut values = vec![None; columns];
        read_pairs(&mut reader, &mut values)?;
        reader.finish()?;
        let hot = Self { version, time, cells, checksum, values };
        if hot.is_whole() {
            hot.verify()?;
        }
        Ok(hot)
    }

    /// Whether no column is cold.
    pub(crate) fn is_whole(&self) -> bool {
        self.values.iter().all(Option::is_some)
    }

    /// Whether one of the columns is in the cold part.
    pub(crate) fn lacks(&self, columns: &[usize]) -> bool {
        columns.iter().any(|&column| matches!(self.values.get(column), Some(None)))
    }

    /// Adds the cold record that stands at the same place.
    pub(crate) fn complete(&mut self, record: &[u8], place: &[u8]) -> Result<(), Damage> {
        let mut reader = open(record, Kind::Cold, place)?;
        read_pairs(&mut reader, &mut self.values)?;
        reader.finish()?;
        if !self.is_whole() {
            return Err(Damage::Missing);
        }
        // Both parts may be whole and yet not belong together: one of them from an earlier version.
        self.verify()
    }

    /// The values at `columns`; what is missing there is damage, since the caller has read what it needs.
    pub(crate) fn project(&self, columns: &[usize]) -> Result<Row, Damage> {
        let value = |&column: &usize| self.values.get(column).cloned().flatten().ok_or(Damage::Missing);
        Ok(Row::from(columns.iter().map(value).collect::<Result<Vec<Value>, Damage>>()?))
    }

    /// The row; [`Damage::Missing`] without its cold part.
    pub(crate) fn into_row(self) -> Result<StoredRow, Damage> {
        let values: Option<Vec<Value>> = self.values.into_iter().collect();
        let values = Row::from(values.ok_or(Damage::Missing)?);
        Ok(StoredRow { version: self.version, time: self.time, cells: self.cells, values })
    }

    fn verify(&self) -> Result<(), Damage> {
        let values: Vec<Value> = self.values.iter().flatten().cloned().collect();
        if row_checksum(&values) == self.checksum { Ok(()) } else { Err(Damage::Checksum) }
    }
}

/// The log record of a commit whose changes are `changes`. Fails as soon as it is over `limit`.
pub(crate) fn write_commit(
    commit: &Commit,
    changes: &[Change],
    limit: usize,
) -> Result<Vec<u8>, StorageError> {
    let mut bytes = start(Kind::Commit);
    write_u64(&mut bytes, commit.lsn.0);
    commit.time.write(&mut bytes);
    write_u64(&mut bytes, commit.seq);
    write_u64(&mut bytes, changes.len() as u64);
    for change in changes {
        write_change(&mut bytes, change);
        if bytes.len() > limit {
            return Err(StorageError::CommitTooLarge { limit });
        }
    }
    Ok(seal(bytes, &[]))
}

pub(crate) fn write_change(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Catalog(catalog) => {
            bytes.push(CATALOG);
            write_bytes(bytes, &catalog_json(catalog));
        }
        Change::Put { table, key, row } => {
            bytes.push(PUT);
            write_u64(bytes, table.0.into());
            write_row(bytes, key);
            write_versions(bytes, row);
            write_row(bytes, &row.values);
        }
        Change::Delete { table, key, dot, time } => {
            bytes.push(DELETE);
            write_u64(bytes, table.0.into());
            write_row(bytes, key);
            dot.write(bytes);
            time.write(bytes);
        }
    }
}

/// Reads the log record that stands at `lsn`.
pub(crate) fn read_commit(record: &[u8], lsn: Lsn) -> Result<Commit, Damage> {
    let mut reader = open(record, Kind::Commit, &[])?;
    if reader.u64()? != lsn.0 {
        return Err(Damage::Misplaced);
    }
    let time = HybridTime::read(&mut reader)?;
    let seq = reader.u64()?;
    let count = reader.length(COMMIT_BYTES)?;
    let mut changes = Vec::new();
    for _ in 0..count {
        changes.push(read_change(&mut reader)?);
    }
    reader.finish()?;
    Ok(Commit { lsn, time, seq, changes: changes.into() })
}

pub(crate) fn read_change(reader: &mut Reader<'_>) -> Result<Change, Damage> {
    let [tag] = reader.take()?;
    if tag == CATALOG {
        return Ok(Change::Catalog(parse_catalog(reader.bytes(COMMIT_BYTES)?)?));
    }
    if tag != PUT && tag != DELETE {
        return Err(DecodeError::UnknownTag(tag).into());
    }
    let table = TableId(u32::try_from(reader.u64()?).map_err(|_| DecodeError::Invalid("table"))?);
    let key = reader.row()?;
    let dot = Dot::read(reader)?;
    let time = HybridTime::read(reader)?;
    if tag == DELETE {
        return Ok(Change::Delete { table, key, dot, time });
    }
    let cells = read_cells(reader)?;
    let values = reader.row()?;
    Ok(Change::Put { table, key, row: StoredRow { version: dot, time, cells, values } })
}

fn catalog_json(catalog: &Catalog) -> Vec<u8> {
    serde_json::to_vec(catalog).expect("invariant: a catalog has string or number keys only")
}

fn parse_catalog(json: &[u8]) -> Result<Catalog, Damage> {
    serde_json::from_slice(json).map_err(|error| Damage::Catalog { message: error.to_string() })
}

pub(crate) fn write_catalog(catalog: &Catalog) -> Vec<u8> {
    let mut bytes = start(Kind::Catalog);
    bytes.extend_from_slice(&catalog_json(catalog));
    seal(bytes, &[])
}

pub(crate) fn read_catalog(record: &[u8]) -> Result<Catalog, Damage> {
    parse_catalog(open(record, Kind::Catalog, &[])?.rest())
}

pub(crate) fn write_identity(identity: Identity) -> Vec<u8> {
    let mut bytes = start(Kind::Identity);
    write_u64(&mut bytes, identity.database.0);
    write_u64(&mut bytes, identity.actor.0);
    seal(bytes, &[])
}

pub(crate) fn read_identity(record: &[u8]) -> Result<Identity, Damage> {
    let mut reader = open(record, Kind::Identity, &[])?;
    let identity = Identity { database: DatabaseId(reader.u64()?), actor: ActorId(reader.u64()?) };
    reader.finish()?;
    Ok(identity)
}

/// The place in the log, the numbers given and the time, after the last commit.
pub(crate) fn write_state(lsn: Lsn, seq: u64, time: HybridTime) -> Vec<u8> {
    let mut bytes = start(Kind::State);
    write_u64(&mut bytes, lsn.0);
    write_u64(&mut bytes, seq);
    time.write(&mut bytes);
    seal(bytes, &[])
}

pub(crate) fn read_state(record: &[u8]) -> Result<(Lsn, u64, HybridTime), Damage> {
    let mut reader = open(record, Kind::State, &[])?;
    let state = (Lsn(reader.u64()?), reader.u64()?, HybridTime::read(&mut reader)?);
    reader.finish()?;
    Ok(state)
}

pub(crate) fn write_size(table: TableId, size: TableSize) -> Vec<u8> {
    let mut bytes = start(Kind::Size);
    write_u64(&mut bytes, size.rows);
    write_u64(&mut bytes, size.hot_bytes);
    write_u64(&mut bytes, size.cold_bytes);
    seal(bytes, &table.0.to_be_bytes())
}

pub(crate) fn read_size(record: &[u8], table: TableId) -> Result<TableSize, Damage> {
    let mut reader = open(record, Kind::Size, &table.0.to_be_bytes())?;
    let (rows, hot_bytes, cold_bytes) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let size = TableSize { rows, hot_bytes, cold_bytes, unsettled: 0 };
    reader.finish()?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOT: Dot = Dot { actor: ActorId(1), seq: 2 };
    const TIME: HybridTime = HybridTime(3);
    const TABLE: TableId = TableId(7);

    fn row() -> StoredRow {
        let cells = vec![CellVersion { column: 1, dot: Dot { seq: 1, ..DOT }, time: HybridTime(1) }];
        let values = Row::from_iter([Value::Integer(1), Value::from("cold"), Value::Null]);
        StoredRow { version: DOT, time: TIME, cells, values }
    }

    fn commit() -> Commit {
        let key = Row::from_iter([Value::Integer(1)]);
        let put = Change::Put { table: TABLE, key: key.clone(), row: row() };
        let delete = Change::Delete { table: TABLE, key, dot: DOT, time: TIME };
        let changes = vec![Change::Catalog(Catalog::default()), put, delete];
        Commit { lsn: Lsn(4), time: TIME, seq: 2, changes: changes.into() }
    }

    /// The records of [`row`] under the key `k`, and where they belong.
    fn records() -> (Vec<u8>, Split) {
        (row_key(TABLE, b"k"), split(TABLE, b"k", &row(), &BTreeSet::from([0, 2])))
    }

    #[test]
    fn a_row_comes_back_from_its_parts() {
        let (place, split) = records();
        let mut hot = Hot::read(&split.hot, &place).unwrap();
        assert!(!hot.is_whole() && hot.lacks(&[0, 1]) && !hot.lacks(&[0, 2]));
        assert_eq!(hot.project(&[2, 0]).unwrap(), Row::from_iter([Value::Null, Value::Integer(1)]));
        assert_eq!(hot.project(&[1]), Err(Damage::Missing));
        hot.complete(&split.cold.unwrap(), &place).unwrap();
        assert_eq!(hot.into_row().unwrap(), row());
    }

    #[test]
    fn parts_under_another_key_or_of_another_version_are_found() {
        let (place, split) = records();
        let elsewhere = row_key(TABLE, b"l");
        assert_eq!(Hot::read(&split.hot, &elsewhere).unwrap_err(), Damage::Checksum);
        let mut hot = Hot::read(&split.hot, &place).unwrap();
        let cold = split.cold.unwrap();
        assert_eq!(hot.complete(&cold, &elsewhere).unwrap_err(), Damage::Checksum);
        let kind = Damage::Decode(DecodeError::UnknownTag(Kind::Hot as u8));
        assert_eq!(hot.complete(&split.hot, &place).unwrap_err(), kind);
        assert_eq!(Hot::read(&split.hot, &place).unwrap().into_row().unwrap_err(), Damage::Missing);
        hot.complete(&cold, &place).unwrap();
        assert_eq!(hot.complete(&cold, &place).unwrap_err(), Damage::Misplaced);

        let later = StoredRow { values: Row::from_iter([1, 2, 3].map(Value::Integer)), ..row() };
        let later = super::split(TABLE, b"k", &later, &BTreeSet::from([0, 2]));
        let mut mixed = Hot::read(&later.hot, &place).unwrap();
        assert_eq!(mixed.complete(&cold, &place).unwrap_err(), Damage::Checksum);
    }

    #[test]
    fn a_commit_comes_back_from_its_own_place_and_within_its_limit() {
        let write = |limit| write_commit(&commit(), commit().changes.as_slice(), limit);
        let bytes = write(COMMIT_BYTES).unwrap();
        assert_eq!(read_commit(&bytes, Lsn(4)).unwrap(), commit());
        assert_eq!(read_commit(&bytes, Lsn(5)).unwrap_err(), Damage::Misplaced);
        assert!(write(bytes.len()).is_ok());
        let error = write(20).unwrap_err();
        assert_eq!(error.to_string(), "a commit of more than 20 bytes: split the transaction");
    }

    #[test]
    fn meta_records_come_back() {
        let identity = Identity { database: DatabaseId(u64::MAX), actor: ActorId(9) };
        assert_eq!(read_identity(&write_identity(identity)), Ok(identity));
        assert_eq!(read_state(&write_state(Lsn(8), 9, TIME)), Ok((Lsn(8), 9, TIME)));
        assert_eq!(read_catalog(&write_catalog(&Catalog::default())), Ok(Catalog::default()));
        let size = TableSize { rows: 1, hot_bytes: 300, cold_bytes: 5, unsettled: 0 };
        assert_eq!(read_size(&write_size(TABLE, size), TABLE), Ok(size));
        assert_eq!(read_size(&write_size(TABLE, size), TableId(8)), Err(Damage::Checksum));
        let no_json = seal([start(Kind::Catalog), b"{".to_vec()].concat(), &[]);
        assert!(matches!(read_catalog(&no_json), Err(Damage::Catalog { .. })));
    }

    /// The bytes are part of the file format: a change of them is a new version.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let (place, split) = records();
        assert_eq!(place, [0, 0, 0, 7, b'k']);
        // Dot, time, one cell of column 1 with its dot and time; behind the checksum three columns, two of them here.
        assert_eq!(split.hot[4..13], [2, 1, 2, 3, 1, 1, 1, 1, 1]);
        assert_eq!(split.hot[17..], [3, 2, 0, 3, 2, 2, 0]);
        assert_eq!(split.cold.unwrap()[4..], [3, 1, 1, 6, 4, b'c', b'o', b'l', b'd']);
        let state = write_state(Lsn(300), 1, TIME);
        assert_eq!(state[4..], [5, 0xac, 2, 1, 3]);
        assert_eq!(u32::from_le_bytes([state[0], state[1], state[2], state[3]]), crc32c::crc32c(&state[4..]));
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(
            payload in proptest::collection::vec(prop_oneof![0_u8..14, any::<u8>()], 0..60),
        ) {
            let record = |kind| seal([start(kind), payload.clone()].concat(), &[]);
            let _ = read_commit(&record(Kind::Commit), Lsn(1));
            let _ = read_state(&record(Kind::State));
            let _ = read_identity(&record(Kind::Identity));
            let _ = read_catalog(&record(Kind::Catalog));
            if let Ok(mut hot) = Hot::read(&record(Kind::Hot), &[]) {
                let _ = hot.complete(&record(Kind::Cold), &[]);
                let _ = hot.into_row();
            }
            prop_assert!(read_state(&payload).is_err());
        }
    }
}
