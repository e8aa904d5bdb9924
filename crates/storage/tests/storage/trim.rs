//! The log without its oldest commits: what stays, what goes, and whose room it was.

use std::collections::BTreeSet;

use deltaic_storage::{
    Change, Changes, Commit, Damage, Difference, FaultyDisk, MemoryStore, OpenError, Reader, RedbStore,
    StorageError, Store, check,
};
use deltaic_types::{Lsn, Row};
use redb::{Builder, ReadableDatabase, TableDefinition};

use crate::stage::{META, stages_in};
use crate::world::{IDENTITY, World, assert_same, first_of, long, scan, settle_all, trim_all};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const HOT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("hot");
const COLD: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("cold");

/// A store of a world's commits, and its model.
fn filled(seed: u64, appends: usize) -> (FaultyDisk, RedbStore, MemoryStore, World) {
    let disk = FaultyDisk::new(0);
    let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
    let (mut world, mut model) = (World::new(seed), MemoryStore::new(IDENTITY));
    for _ in 0..appends {
        let commits = world.commits();
        store.append(&commits).unwrap();
        model.append(&commits).unwrap();
    }
    (disk, store, model, world)
}

#[test]
fn the_last_commits_stay_whatever_the_store() {
    let (_, store, model, mut world) = filled(31, 20);
    let last = world.header_lsn();
    let stores: [Box<dyn Store>; 2] = [Box::new(store), Box::new(model.clone())];
    for mut store in stores {
        assert_eq!(trim_all(&mut *store, u64::MAX, 4), 1);
        assert_eq!(first_of(&*store), 1);
        assert!(store.trim(10, 4).unwrap());
        assert_eq!(first_of(&*store), 5);
        assert_eq!(trim_all(&mut *store, 10, 4), (last as usize - 10 - 4).div_ceil(4));
        assert_eq!(first_of(&*store), last - 9);
        assert_same(&*store, &model);
        let error = store.commits(Lsn(3), 0).unwrap_err();
        let text =
            format!("the log begins with commit {}, those before were trimmed: take the rows", last - 9);
        assert!(error.to_string().starts_with(&text), "{error}");
        // None may go for ever: the last one says what the state must be.
        trim_all(&mut *store, 0, 4);
        assert_eq!(first_of(&*store), last);
        assert_same(&*store, &model);
        assert!(check(&*store).unwrap().is_clean());
    }
    // It goes on as if nothing were missing.
    let (_, mut store, mut model, _) = filled(31, 20);
    trim_all(&mut store, 3, 9);
    for _ in 0..20 {
        let commits = world.commits();
        store.append(&commits).unwrap();
        model.append(&commits).unwrap();
        assert_eq!(first_of(&store), last - 2);
        assert_same(&store, &model);
    }
    assert!(check(&store).unwrap().is_clean());
}

#[test]
fn commits_that_wait_to_be_settled_stay() {
    let (disk, mut store, mut model, mut world) = filled(32, 6);
    let mut commits = Vec::new();
    while commits.len() < 4 {
        let staged = store.stager().stage(world.ahead(0)).unwrap();
        commits.push(world.commit_ahead(&staged));
    }
    store.append(&commits).unwrap();
    model.append(&commits).unwrap();
    let waiting = commits[0].lsn.0;
    assert!(!store.trim(1, 1_000).unwrap());
    assert_eq!(first_of(&store), waiting);
    drop(store);
    let mut store = RedbStore::open_with_backend(disk.clone()).unwrap();
    assert_same(&store, &model);
    assert!(store.sizes().unwrap().values().any(|size| size.unsettled > 0));
    assert!(check(&store).unwrap().is_clean());
    // Each goes when it is settled, with its chunks.
    let mut firsts = BTreeSet::new();
    loop {
        let is_unsettled = store.settle(1).unwrap();
        trim_all(&mut store, 1, 1_000);
        firsts.insert(first_of(&store));
        assert_same(&store, &model);
        if !is_unsettled {
            break;
        }
    }
    assert_eq!(firsts, (waiting..=world.header_lsn()).collect());
    drop(store);
    assert_eq!(stages_in(disk).len(), 1);
}

/// Changes that stand in many chunks.
fn ahead_of_many_chunks(world: &mut World, long_rows: usize) -> Vec<Change> {
    let is_long = |change: &&Change| matches!(change, Change::Put { row, .. } if long(row));
    let mut changes = Vec::new();
    while changes.iter().filter(is_long).count() < long_rows {
        changes.extend(world.ahead(9));
    }
    changes
}

#[test]
fn chunks_go_a_few_at_a_time_and_whole_after_a_crash() {
    let (disk, mut store, mut model, mut world) = filled(33, 1);
    let mut append = |store: &mut RedbStore, commits: &[Commit]| {
        store.append(commits).unwrap();
        model.append(commits).unwrap();
        settle_all(store, 1_000);
    };
    append(&mut store, &world.commits_with_text());
    for _ in 0..2 {
        let staged = store.stager().stage(ahead_of_many_chunks(&mut world, 72)).unwrap();
        append(&mut store, &[world.commit_ahead(&staged)]);
    }
    append(&mut store, &[world.commit()]);
    let last = world.header_lsn();
    // The first of both, and of its chunks none yet: the next is not begun before they are gone.
    assert!(store.trim(1, 1_000).unwrap());
    assert_eq!(first_of(&store), last - 1);
    for _ in 0..2 {
        assert!(store.trim(1, 1_000).unwrap());
        assert_eq!(first_of(&store), last - 1);
    }
    let found = disk.crash(1);
    drop(RedbStore::open_with_backend(found.clone()).unwrap());
    assert_eq!(stages_in(found.clone()), BTreeSet::from([2]));
    let mut found = RedbStore::open_with_backend(found).unwrap();
    for store in [&mut store, &mut found] {
        trim_all(store, 1, 1_000);
        assert_eq!(first_of(store), last);
        assert_same(store, &model);
        assert!(check(store).unwrap().is_clean());
    }
    drop(store);
    assert_eq!(stages_in(disk), BTreeSet::new());
}

/// The same rows written again and again, inline and ahead. The file's bytes after every tenth round.
fn churn(keep: Option<u64>) -> Vec<usize> {
    let (disk, mut store, _, mut world) = filled(34, 1);
    store.append(&world.commits_with_text()).unwrap();
    let puts = ahead_of_many_chunks(&mut world, 4);
    let inline: Vec<Change> = puts.iter().take(12).cloned().collect();
    let mut lengths = Vec::new();
    for round in 0..60 {
        let header = store.header().unwrap();
        let (lsn, time, seq) = (header.lsn.next(), header.time, header.seq + 1_000);
        let changes = if round % 3 == 0 {
            store.stager().stage(puts.clone()).unwrap().into()
        } else {
            Changes::from(inline.iter().map(|change| resolved(change, seq)).collect::<Vec<_>>())
        };
        store.append(&[Commit { lsn, time, seq, changes }]).unwrap();
        settle_all(&mut store, 100);
        if let Some(keep) = keep {
            trim_all(&mut store, keep, 2);
        }
        if round % 10 == 9 {
            lengths.push(disk.bytes().len());
        }
    }
    assert!(check(&store).unwrap().is_clean());
    lengths
}

/// A change whose dots are all one number.
fn resolved(change: &Change, number: u64) -> Change {
    let mut change = change.clone();
    match &mut change {
        Change::Put { row, .. } => {
            row.version.seq = number;
            row.cells.clear();
        }
        Change::Delete { dot, .. } => dot.seq = number,
        Change::Catalog(_) => {}
    }
    change
}

#[test]
fn the_room_of_what_was_trimmed_is_used_again() {
    let whole = churn(None);
    assert!(whole.is_sorted_by(|before, after| before <= after) && whole[5] > 2 * whole[0], "{whole:?}");
    let trimmed = churn(Some(6));
    assert!(trimmed[1..].iter().all(|length| *length == trimmed[1]), "{trimmed:?}");
    assert!(trimmed[5] < whole[5] / 2, "{trimmed:?} {whole:?}");
}

/// Changes the tables of a closed store.
fn edit(disk: &FaultyDisk, change: impl FnOnce(&redb::WriteTransaction)) -> FaultyDisk {
    let disk = FaultyDisk::from_bytes(disk.bytes(), 0);
    let database = Builder::new().create_with_backend(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
    drop(database);
    disk
}

fn log_is_missing<T>(result: &Result<T, StorageError>) -> bool {
    matches!(result, Err(StorageError::Corrupted { part: "log", damage: Damage::Missing }))
}

#[test]
fn a_hole_in_a_trimmed_log_is_damage() {
    let (disk, mut store, _, world) = filled(35, 20);
    trim_all(&mut store, 10, 100);
    drop(store);
    let (last, first) = (world.header_lsn(), world.header_lsn() - 9);
    for gone in [first, first + 4, last] {
        let damaged = edit(&disk, |transaction| {
            transaction.open_table(LOG).unwrap().remove(gone).unwrap().unwrap();
        });
        let mut store = RedbStore::open_with_backend(damaged).unwrap();
        assert!(log_is_missing(&store.commits(Lsn(first - 1), 100)), "{gone}");
        assert!(log_is_missing(&check(&store)));
        world.assert_rows(&store);
        // Trimming does not hide it, and what was not removed stays.
        if gone < last {
            assert!(log_is_missing(&store.trim(1, 100)));
            assert_eq!(first_of(&store), first);
        }
    }
    // A beginning that nobody says is the first commit, and one that cannot be is not believed.
    let silent = edit(&disk, |transaction| {
        transaction.open_table(META).unwrap().remove("first").unwrap().unwrap();
    });
    let store = RedbStore::open_with_backend(silent).unwrap();
    assert!(log_is_missing(&store.commits(Lsn(0), 100)) && log_is_missing(&check(&store)));
    let beyond = [25, last as u8 + 1];
    let beyond = [&crc32c::crc32c(&beyond).to_le_bytes()[..], &beyond].concat();
    let damaged = edit(&disk, |transaction| {
        transaction.open_table(META).unwrap().insert("first", &beyond[..]).unwrap();
    });
    let error = RedbStore::open_with_backend(damaged).unwrap_err();
    let OpenError::Storage(StorageError::Corrupted { part: "meta", damage }) = error else {
        panic!("{error}")
    };
    assert_eq!(damage, Damage::Misplaced);
}

/// The records of a row in a closed store.
fn records(disk: &FaultyDisk, place: &[u8]) -> [Option<Vec<u8>>; 2] {
    let database = Builder::new().create_with_backend(FaultyDisk::from_bytes(disk.bytes(), 0)).unwrap();
    let transaction = database.begin_read().unwrap();
    [HOT, COLD].map(|table| {
        let table = transaction.open_table(table).unwrap();
        table.get(place).unwrap().map(|record| record.value().to_vec())
    })
}

/// A store whose row at a place has other records.
fn with_records(disk: &FaultyDisk, place: &[u8], records: &[Option<Vec<u8>>; 2]) -> RedbStore {
    let damaged = edit(disk, |transaction| {
        for (table, record) in [HOT, COLD].into_iter().zip(records) {
            let mut table = transaction.open_table(table).unwrap();
            table.remove(place).unwrap();
            if let Some(record) = record {
                table.insert(place, &record[..]).unwrap();
            }
        }
    });
    RedbStore::open_with_backend(damaged).unwrap()
}

#[test]
fn a_row_that_is_not_that_of_a_trimmed_log_is_found() {
    let (disk, mut store, _, mut world) = filled(36, 30);
    // A row that the last commit changes and an earlier one has made, and one that only earlier ones have changed.
    let (then, changed) = loop {
        drop(store);
        let then = FaultyDisk::from_bytes(disk.bytes(), 0);
        store = RedbStore::open_with_backend(disk.clone()).unwrap();
        let commit = world.commit();
        let was_there = |change: &Change| match change {
            Change::Put { table, key, .. } => store.row(*table, key).unwrap().map(|_| (*table, key.clone())),
            Change::Delete { .. } | Change::Catalog(_) => None,
        };
        let changed = commit.changes.as_slice().iter().find_map(was_there);
        let is_plain = commit.changes.as_slice().iter().all(|change| !matches!(change, Change::Catalog(_)));
        store.append(std::slice::from_ref(&commit)).unwrap();
        let stays = changed.filter(|(table, key)| is_plain && store.row(*table, key).unwrap().is_some());
        if let Some(changed) = stays {
            break (then, changed);
        }
    };
    trim_all(&mut store, 1, 100);
    let report = check(&store).unwrap();
    assert!(report.is_clean() && report.rows > 0 && report.unlogged > 0, "{report:?}");
    let (table, key) = changed;
    let last = store.commits(Lsn(world.header_lsn() - 1), 1).unwrap();
    let is_changed = |other: &Row| {
        last[0].changes.as_slice().iter().any(|change| match change {
            Change::Put { table: id, key, .. } | Change::Delete { table: id, key, .. } => {
                *id == table && key == other
            }
            Change::Catalog(_) => false,
        })
    };
    let schema = world.catalog.get(table).unwrap();
    let older = scan(&store, table, &schema.primary_key).into_iter().find(|key| !is_changed(key)).unwrap();
    drop(store);
    let place = |key: &Row| [&table.0.to_be_bytes()[..], &deltaic_types::key::encode(key)].concat();

    // Whole records of an earlier version: nobody but the log knows better.
    let store = with_records(&disk, &place(&key), &records(&then, &place(&key)));
    let found = check(&store).unwrap().differences;
    assert_eq!(found, [Difference::Row { table, key: key.clone() }]);
    let damaged = |key: &Row| {
        let mut records = records(&disk, &place(key));
        *records[0].as_mut().unwrap().last_mut().unwrap() ^= 1;
        check(&with_records(&disk, &place(key), &records)).unwrap().differences
    };
    let gone = |key: &Row| check(&with_records(&disk, &place(key), &[None, None])).unwrap().differences;
    let row = |found: &[Difference], key: &Row| {
        found.iter().any(|difference| match difference {
            Difference::Missing { key: other, .. } | Difference::Damaged { key: Some(other), .. } => {
                other == key
            }
            _ => false,
        })
    };
    assert!(row(&damaged(&key), &key) && row(&gone(&key), &key));
    // Of those that are older a scan says that one is damaged, or one too few.
    let of_table = |found: &[Difference]| matches!(found, [Difference::Damaged { table: id, key: None, .. }, ..] if *id == table);
    assert!(of_table(&damaged(&older)) && of_table(&gone(&older)));
}
