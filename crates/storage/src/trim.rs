//! The log without its oldest commits: where it begins, and a step that moves the beginning.
//!
//! Invariant: the log is every commit from the first one that `meta` names up to the last one, before a step and after it,
//! so that a hole in it is damage as before. Chunks of a commit that goes are marked in the same transaction as those of a
//! stage that no commit has, and leave the file as those do: a few at a time, or with the next opening.

use deltaic_types::Lsn;
use deltaic_types::codec::write_u64;
use redb::Database;

use crate::Damage;
use crate::chunk::{Logged, StagedCommit, mark_key, read_logged, write_mark};
use crate::pages::{META, Meta, Stop};
use crate::record::{Kind, open, seal, start, verify};
use crate::redb_store::LOG;
use crate::stage::{STEP_CHUNKS, raise};

/// The key in `meta` of the first commit that is there; absent where that is commit 1.
pub(crate) const FIRST: &str = "first";

pub(crate) fn write_first(first: Lsn) -> Vec<u8> {
    let mut bytes = start(Kind::First);
    write_u64(&mut bytes, first.0);
    seal(bytes, &[])
}

/// Where the log begins whose last commit is `last`.
pub(crate) fn read_first(meta: &Meta, last: Lsn) -> Result<Lsn, Damage> {
    let Some(record) = meta.get(FIRST) else { return Ok(Lsn(1)) };
    let mut reader = open(record, Kind::First, &[])?;
    let first = Lsn(reader.u64()?);
    reader.finish()?;
    // The last commit always stays.
    if (Lsn(2)..=last).contains(&first) { Ok(first) } else { Err(Damage::Misplaced) }
}

/// The first commit that must stay of a log that ends with `last`: the last `keep` do, one at least, which says what the
/// state must be; and all from `waiting` on, which is read again to find what waits above the tables.
pub(crate) fn kept_from(last: Lsn, keep: u64, waiting: Option<Lsn>) -> Lsn {
    let first = Lsn(last.0.saturating_sub(keep.max(1)) + 1);
    waiting.map_or(first, |waiting| first.min(waiting))
}

/// Removes commits from `first` on that stand before `end`, `limit` at most, and fewer where they have many chunks. Where
/// the log begins then, and the stages whose chunks are left for who removes what was given up.
pub(crate) fn remove(
    database: &Database,
    first: Lsn,
    end: Lsn,
    limit: usize,
) -> Result<(Lsn, Vec<u64>), Stop> {
    let transaction = database.begin_write()?;
    let (mut next, mut stages, mut chunks) = (first, Vec::new(), 0);
    {
        let mut meta = transaction.open_table(META)?;
        let mut log = transaction.open_table(LOG)?;
        while next < end && next.0 - first.0 < limit as u64 && chunks < STEP_CHUNKS as u64 {
            let record = log.remove(next.0)?.ok_or_else(|| Stop::damage("log")(Damage::Missing))?;
            if let Some(commit) = staged(record.value(), next).map_err(Stop::damage("log"))? {
                meta.insert(&mark_key(commit.stage)[..], &write_mark(commit.stage)[..])?;
                chunks += commit.chunks;
                stages.push(commit.stage);
            }
            next = next.next();
        }
        // An older program would take the log for damaged from here on.
        raise(&mut meta, 3)?;
        meta.insert(FIRST, &write_first(next)[..])?;
    }
    transaction.commit()?;
    Ok((next, stages))
}

/// What the log says of a commit that was staged; None where it was not. Changes are not decoded: nobody needs them.
fn staged(record: &[u8], lsn: Lsn) -> Result<Option<StagedCommit>, Damage> {
    let covered = verify(record, &[])?;
    if covered.first() != Some(&(Kind::StagedCommit as u8)) {
        return Ok(None);
    }
    match read_logged(record, lsn)? {
        Logged::Staged(commit) => Ok(Some(commit)),
        Logged::Inline(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_comes_back_where_it_can_be_one() {
        let meta = |first| Meta::from([(FIRST.to_owned(), write_first(Lsn(first)))]);
        assert_eq!(read_first(&Meta::new(), Lsn(9)), Ok(Lsn(1)));
        assert_eq!(read_first(&meta(300), Lsn(300)), Ok(Lsn(300)));
        for (first, last) in [(0, 9), (1, 9), (10, 9), (2, 0)] {
            assert_eq!(read_first(&meta(first), Lsn(last)), Err(Damage::Misplaced));
        }
        let other = Meta::from([(FIRST.to_owned(), vec![0; 6])]);
        assert_eq!(read_first(&other, Lsn(9)), Err(Damage::Checksum));
    }

    #[test]
    fn the_last_ones_and_what_waits_stay() {
        assert_eq!(kept_from(Lsn(10), 3, None), Lsn(8));
        assert_eq!(kept_from(Lsn(10), 0, None), Lsn(10));
        assert_eq!(kept_from(Lsn(10), 3, Some(Lsn(5))), Lsn(5));
        assert_eq!(kept_from(Lsn(10), 3, Some(Lsn(9))), Lsn(8));
        assert_eq!(kept_from(Lsn(2), u64::MAX, None), Lsn(1));
        assert_eq!(kept_from(Lsn(0), 3, None), Lsn(1));
    }

    /// The bytes are part of the file format: a change of them is a new version.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        assert_eq!(write_first(Lsn(300))[4..], [25, 0xac, 2]);
    }
}
