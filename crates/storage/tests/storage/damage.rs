//! Damaged files: an error or the right answer, never a wrong one and never a panic.

use deltaic_storage::{
    Change, Commit, Damage, FaultyDisk, MemoryStore, OpenError, Reader, RedbStore, StorageError, Store, check,
};
use deltaic_types::Lsn;

use crate::stage::{META, STAGED};
use crate::world::{IDENTITY, World, first_of, long, seeds, settle_all, trim_all};

/// A store of which a part was staged, and a part of that not settled.
fn filled_ahead(seed: u64, appends: usize) -> (Vec<u8>, MemoryStore, World) {
    let disk = FaultyDisk::new(0);
    let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
    let (mut world, mut model) = (World::new(seed), MemoryStore::new(IDENTITY));
    for n in 0..appends {
        let mut commits = world.commits();
        let staged = store.stager().stage(world.ahead(usize::from(n % 9 == 0) * 2)).unwrap();
        commits.push(world.commit_ahead(&staged));
        store.append(&commits).unwrap();
        model.append(&commits).unwrap();
        store.settle(2).unwrap();
    }
    assert!(store.sizes().unwrap().values().any(|size| size.unsettled > 0));
    drop(store);
    (disk.bytes(), model, world)
}

fn filled(seed: u64, appends: usize) -> (Vec<u8>, MemoryStore, World) {
    let disk = FaultyDisk::new(0);
    let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
    let (mut world, mut model) = (World::new(seed), MemoryStore::new(IDENTITY));
    for _ in 0..appends {
        let commits: Vec<Commit> = (0..5).map(|_| world.commit()).collect();
        store.append(&commits).unwrap();
        model.append(&commits).unwrap();
    }
    drop(store);
    (disk.bytes(), model, world)
}

/// Reads everything; whatever is Ok is right. Whether all of it was.
fn read_everything(store: &dyn Store, model: &MemoryStore) -> bool {
    let header = model.header().unwrap();
    let mut whole = true;
    assert_eq!(store.header().unwrap(), header);
    for table in header.catalog.tables() {
        let all: Vec<usize> = (0..table.columns.len()).collect();
        for columns in [&all, &table.primary_key] {
            let mut expected = Vec::new();
            model.scan(table.id, columns, &mut |row| expected.push(row)).unwrap();
            let mut found = Vec::new();
            let scanned = store.scan(table.id, columns, &mut |row| found.push(row));
            if scanned.is_ok() {
                assert_eq!(found, expected);
            } else {
                // What was visited before the damage must be right as far as it says anything.
                whole = false;
                assert!(found.iter().all(|row| expected.contains(row)));
            }
        }
        let mut keys = Vec::new();
        model.scan(table.id, &table.primary_key, &mut |key| keys.push(key)).unwrap();
        for key in keys {
            match store.row(table.id, &key) {
                Ok(row) => assert_eq!(row, model.row(table.id, &key).unwrap()),
                Err(_) => whole = false,
            }
        }
    }
    let after = Lsn(first_of(store) - 1);
    match store.commits(after, usize::MAX) {
        Ok(commits) => assert_eq!(commits, model.commits(after, usize::MAX).unwrap()),
        Err(_) => whole = false,
    }
    whole
}

#[test]
fn flipped_bytes_are_found_or_do_no_harm() {
    assert_found_or_harmless(filled(11, 40));
}

#[test]
fn flipped_bytes_of_staged_changes_are_found_or_do_no_harm() {
    assert_found_or_harmless(filled_ahead(13, 40));
}

#[test]
fn flipped_bytes_of_a_trimmed_store_are_found_or_do_no_harm() {
    // The first that has rows of both kinds.
    let trimmed = |seed| {
        let (bytes, model, world) = filled(seed, 40);
        let disk = FaultyDisk::from_bytes(bytes, 0);
        let mut store = RedbStore::open_with_backend(disk.clone()).unwrap();
        trim_all(&mut store, 6, 100);
        let report = check(&store).unwrap();
        assert!(report.is_clean(), "{report:?}");
        drop(store);
        (report.rows > 3 && report.unlogged > 9).then_some((disk, model, world))
    };
    let (disk, model, world) = (11..31).find_map(trimmed).unwrap();
    assert_found_or_harmless((disk.bytes(), model, world));
}

fn assert_found_or_harmless((bytes, model, mut world): (Vec<u8>, MemoryStore, World)) {
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let (mut refused, mut partly, mut whole) = (0, 0, 0);
    let cases = seeds(400);
    for seed in cases.clone() {
        world.reseed(seed);
        let mut damaged = bytes.clone();
        match seed % 4 {
            0 => damaged[world.below(used as u64) as usize] ^= 1 << world.below(8),
            1 => (0..20).for_each(|_| damaged[world.below(used as u64) as usize] = world.below(256) as u8),
            2 => damaged[world.below(4096 * 4) as usize] ^= 1 << world.below(8),
            _ => {
                let page = |world: &mut World| world.below(used as u64 / 4096) as usize * 4096;
                let (from, to) = (page(&mut world), page(&mut world));
                damaged.copy_within(from..from + 4096, to);
            }
        }
        let Ok(mut store) = RedbStore::open_with_backend(FaultyDisk::from_bytes(damaged, seed)) else {
            refused += 1;
            continue;
        };
        let clean = read_everything(&store, &model);
        // A check finds what reads found; damage in a part that nothing reads may stay unknown.
        let report = check(&store);
        if clean {
            assert!(report.unwrap().is_clean());
            whole += 1;
        } else {
            assert!(report.is_err() || !report.unwrap().is_clean());
            partly += 1;
        }
        let _ = store.append(&world.clone().commits());
        while let Ok(true) = store.settle(100) {}
        while let Ok(true) = store.trim(3, 100) {}
        let _ = store.verify_pages();
    }
    println!(
        "of {} damaged files {refused} were refused, {partly} partly readable, {whole} whole",
        cases.end
    );
    assert!(refused > 0 && partly > 0 && whole > 0);
}

/// A record of `meta` with its checksum.
fn sealed(record: &[u8]) -> Vec<u8> {
    [&crc32c::crc32c(record).to_le_bytes()[..], record].concat()
}

/// Changes what stands under one key of a closed store.
fn edit(
    bytes: &[u8],
    table: &str,
    key: &[u8],
    change: impl FnOnce(Option<Vec<u8>>) -> Option<Vec<u8>>,
) -> FaultyDisk {
    let disk = FaultyDisk::from_bytes(bytes.to_vec(), 0);
    let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    if table == "meta" {
        let mut meta = transaction.open_table(META).unwrap();
        let key = std::str::from_utf8(key).unwrap();
        let old = meta.remove(key).unwrap().map(|old| old.value().to_vec());
        if let Some(new) = change(old) {
            meta.insert(key, &new[..]).unwrap();
        }
    } else {
        let mut staged = transaction.open_table(STAGED).unwrap();
        let old = staged.remove(key).unwrap().map(|old| old.value().to_vec());
        if let Some(new) = change(old) {
            staged.insert(key, &new[..]).unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(database);
    disk
}

#[test]
fn damaged_chunks_and_marks_are_named() {
    let disk = FaultyDisk::new(0);
    let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
    let (mut world, mut model) = (World::new(17), MemoryStore::new(IDENTITY));
    let mut commits = world.commits_with_text();
    for _ in 0..2 {
        let changes = loop {
            let changes = world.ahead(2);
            let long = |change: &&Change| matches!(change, Change::Put { row, .. } if long(row));
            if changes.iter().filter(long).count() == 2 {
                break changes;
            }
        };
        let staged = store.stager().stage(changes).unwrap();
        commits.push(world.commit_ahead(&staged));
    }
    let last = u8::try_from(world.header_lsn()).unwrap();
    store.append(&commits).unwrap();
    model.append(&commits).unwrap();
    let unsettled = disk.crash(0).bytes();
    settle_all(&mut store, 3);
    drop(store);
    let settled = disk.bytes();

    let chunk = |stage: u64, chunk: u64| [stage.to_be_bytes(), chunk.to_be_bytes()].concat();
    let flipped = |old: Option<Vec<u8>>| {
        old.map(|mut old| {
            *old.last_mut().unwrap() ^= 1;
            old
        })
    };
    let part_of = |disk: FaultyDisk| match RedbStore::open_with_backend(disk) {
        Err(OpenError::Storage(StorageError::Corrupted { part, damage })) => (part, damage),
        other => panic!("{other:?}"),
    };
    // While they wait the changes are read at once, so that the store does not open.
    for n in [0, 1] {
        let damaged = edit(&unsettled, "staged", &chunk(1, n), flipped);
        assert_eq!(part_of(damaged), ("staged", Damage::Checksum));
        let missing = edit(&unsettled, "staged", &chunk(2, n), |_| None);
        assert_eq!(part_of(missing), ("staged", Damage::Missing));
    }
    let other = edit(&unsettled, "staged", &chunk(2, 0), |old| old).bytes();
    let mut record = None;
    edit(&other, "staged", &chunk(1, 0), |old| {
        record = old;
        None
    });
    let swapped = edit(&other, "staged", &chunk(2, 0), |_| record);
    assert_eq!(part_of(swapped), ("staged", Damage::Checksum));
    for (key, record) in [
        ("layers", None),
        ("layers", Some(sealed(&[15, 1, last, 0]))),
        ("layers", Some(sealed(&[15, 2, last - 1, 0, last + 1, 0]))),
        ("layers", Some(vec![0, 0, 0, 0, 15, 0])),
        ("stage/x", Some(Vec::new())),
        ("stage/3", Some(vec![0, 0, 0, 0, 14])),
    ] {
        let damaged = edit(&unsettled, "meta", key.as_bytes(), |_| record.clone());
        let whole = record.as_ref().is_some_and(|record| record[..] == sealed(&[15, 1, last, 0]));
        if whole {
            // It says that the one before is settled: no reader can know better, but a check does.
            let store = RedbStore::open_with_backend(damaged).unwrap();
            assert!(!check(&store).unwrap().is_clean());
        } else {
            assert_eq!(part_of(damaged).0, "meta", "{key} {record:?}");
        }
    }
    let too_far = edit(&unsettled, "meta", b"layers", |_| Some(sealed(&[15, 2, last - 1, 99, last, 0])));
    assert_eq!(part_of(too_far), ("staged", Damage::Misplaced));

    // Afterwards only the log needs them.
    let damaged = edit(&settled, "staged", &chunk(1, 1), flipped);
    let store = RedbStore::open_with_backend(damaged).unwrap();
    world.assert_rows(&store);
    for error in [store.commits(Lsn(0), 99).unwrap_err(), check(&store).unwrap_err()] {
        assert!(matches!(error, StorageError::Corrupted { part: "staged", damage: Damage::Checksum }));
    }
}

#[test]
fn a_cut_file_is_refused() {
    let (bytes, _, _) = filled(12, 3);
    for length in [1, 9, 100, 320, 4096, bytes.len() / 2] {
        let disk = FaultyDisk::from_bytes(bytes[..length].to_vec(), 0);
        let error = RedbStore::open_with_backend(disk).unwrap_err();
        assert!(
            matches!(error, OpenError::Foreign | OpenError::Storage(StorageError::Corrupted { .. })),
            "{length}: {error}"
        );
    }
}

#[test]
fn damage_names_its_part_and_says_what_to_do() {
    let error = StorageError::Corrupted { part: "cold", damage: Damage::Checksum };
    assert_eq!(
        error.to_string(),
        "the stored cold is damaged (checksum differs): put back a copy from before the damage; `deltaic check` lists what is damaged"
    );
}
