//! Damaged files: an error or the right answer, never a wrong one and never a panic.

use deltaic_storage::{
    Commit, Damage, FaultyDisk, MemoryStore, OpenError, Reader, RedbStore, StorageError, Store, check,
};
use deltaic_types::Lsn;

use crate::world::{IDENTITY, World, seeds};

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
    match store.commits(Lsn(0), usize::MAX) {
        Ok(commits) => assert_eq!(commits, model.commits(Lsn(0), usize::MAX).unwrap()),
        Err(_) => whole = false,
    }
    whole
}

#[test]
fn flipped_bytes_are_found_or_do_no_harm() {
    let (bytes, model, mut world) = filled(11, 40);
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
        let _ = store.verify_pages();
    }
    println!(
        "of {} damaged files {refused} were refused, {partly} partly readable, {whole} whole",
        cases.end
    );
    assert!(refused > 0 && partly > 0 && whole > 0);
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
