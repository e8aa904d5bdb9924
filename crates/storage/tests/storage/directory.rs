//! Files and data directories: whose they are and who may open them.

use std::fs;
use std::path::PathBuf;

use deltaic_storage::{
    Commit, FORMAT_VERSION, FaultyDisk, MemoryStore, OpenError, RedbStore, STORE_FILE, StorageError, Store,
    check,
};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::stage::{META, STAGED};
use crate::world::{IDENTITY, World, assert_same, trim_all};

/// A directory of one test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join(STORE_FILE)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_directory_is_made_used_and_found_again() {
    let directory = Directory::new("found-again");
    let data = directory.0.join("a").join("b");
    let mut store = RedbStore::open_or_create(&data, IDENTITY).unwrap();
    store.append(&World::new(1).commits()).unwrap();
    let header = store.header().unwrap();
    drop(store);
    // What a crash in the middle of a creation leaves does no harm.
    fs::write(data.join(format!("{STORE_FILE}.new")), b"half").unwrap();
    let other = deltaic_storage::Identity { actor: deltaic_causality::ActorId(9), ..IDENTITY };
    assert_eq!(RedbStore::open_or_create(&data, other).unwrap().header().unwrap(), header);
    fs::remove_file(data.join(STORE_FILE)).unwrap();
    assert_eq!(RedbStore::open_or_create(&data, other).unwrap().header().unwrap().identity, other);
}

#[test]
fn a_store_has_one_owner_at_a_time() {
    let directory = Directory::new("one-owner");
    let store = RedbStore::create(directory.store(), IDENTITY).unwrap();
    let error = RedbStore::open(directory.store()).unwrap_err();
    assert!(matches!(error, OpenError::InUse));
    assert_eq!(error.to_string(), "another process uses this data directory: stop it or choose another");
    assert!(matches!(RedbStore::open_or_create(&directory.0, IDENTITY), Err(OpenError::InUse)));
    drop(store);
    RedbStore::open(directory.store()).unwrap();
}

#[test]
fn a_store_is_not_made_twice_and_not_opened_where_there_is_none() {
    let directory = Directory::new("not-twice");
    let missing = RedbStore::open(directory.store());
    assert!(matches!(missing, Err(OpenError::NotFound { path }) if path == directory.store()));
    drop(RedbStore::create(directory.store(), IDENTITY).unwrap());
    assert!(matches!(RedbStore::create(directory.store(), IDENTITY), Err(OpenError::AlreadyExists)));
}

#[test]
fn foreign_files_are_refused_and_not_touched() {
    let directory = Directory::new("foreign");
    let path = directory.store();
    for content in [&b""[..], b"CSV", b"SQLite format 3\0 and more than that"] {
        fs::write(&path, content).unwrap();
        assert!(matches!(RedbStore::open_or_create(&directory.0, IDENTITY), Err(OpenError::Foreign)));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();

    // Another program's redb file: without our table, with one of other types, without our first record.
    drop(Database::create(&path).unwrap());
    assert!(matches!(RedbStore::open(&path), Err(OpenError::Foreign)));
    let other: TableDefinition<'_, u64, u64> = TableDefinition::new("meta");
    for ours in [false, true] {
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        if ours {
            transaction.delete_table(other).unwrap();
            transaction.open_table(META).unwrap().insert("format", &b"something"[..]).unwrap();
        } else {
            transaction.open_table(other).unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        assert!(matches!(RedbStore::open(&path), Err(OpenError::Foreign)));
    }
}

#[test]
fn a_newer_format_is_refused() {
    let directory = Directory::new("newer");
    drop(RedbStore::create(directory.store(), IDENTITY).unwrap());
    let database = Database::open(directory.store()).unwrap();
    let transaction = database.begin_write().unwrap();
    let newer = [&b"deltaic\0"[..], &(FORMAT_VERSION + 1).to_le_bytes()].concat();
    transaction.open_table(META).unwrap().insert("format", &newer[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open(directory.store()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 4, supported: 3 }));
    assert_eq!(
        error.to_string(),
        "the store has format 4, this program reads up to 3: use the newer program"
    );
}

/// A store of the first format is one without the table of staged changes and the record of what is not settled.
#[test]
fn a_store_of_the_first_format_is_read_and_raised_when_something_is_staged() {
    let directory = Directory::new("first-format");
    let (mut world, mut model) = (World::new(4), MemoryStore::new(IDENTITY));
    let mut store = RedbStore::create(directory.store(), IDENTITY).unwrap();
    let mut append = |store: &mut RedbStore, commits: &[Commit]| {
        store.append(commits).unwrap();
        model.append(commits).unwrap();
        assert_same(store, &model);
    };
    append(&mut store, &world.commits());
    drop(store);
    let first = [&b"deltaic\0"[..], &1_u32.to_le_bytes()].concat();
    let database = Database::open(directory.store()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", &first[..]).unwrap();
    transaction.open_table(META).unwrap().remove("layers").unwrap();
    assert!(!transaction.delete_table(STAGED).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let format = || {
        let database = Database::open(directory.store()).unwrap();
        let meta = database.begin_read().unwrap().open_table(META).unwrap();
        meta.get("format").unwrap().unwrap().value().to_vec()
    };
    let mut store = RedbStore::open(directory.store()).unwrap();
    append(&mut store, &world.commits());
    assert!(!store.settle(1).unwrap());
    drop(store);
    assert_eq!(format(), first);
    let mut store = RedbStore::open(directory.store()).unwrap();
    let staged = store.stager().stage(world.ahead(0)).unwrap();
    let commit = world.commit_ahead(&staged);
    append(&mut store, &[commit]);
    drop(store);
    assert_eq!(format(), [&b"deltaic\0"[..], &2_u32.to_le_bytes()].concat());
    let mut store = RedbStore::open(directory.store()).unwrap();
    append(&mut store, &world.commits());
}

/// A store of the second format is one whose log was never trimmed. An older program refuses it from when it is.
#[test]
fn a_store_of_the_second_format_is_read_and_raised_when_it_is_trimmed() {
    let directory = Directory::new("second-format");
    for version in [1_u32, 2] {
        let _ = fs::remove_file(directory.store());
        let (mut world, mut model) = (World::new(4), MemoryStore::new(IDENTITY));
        let mut store = RedbStore::create(directory.store(), IDENTITY).unwrap();
        for _ in 0..9 {
            let commits = world.commits();
            store.append(&commits).unwrap();
            model.append(&commits).unwrap();
        }
        drop(store);
        let format = |version: u32| [&b"deltaic\0"[..], &version.to_le_bytes()].concat();
        let database = Database::open(directory.store()).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            assert_eq!(meta.insert("format", &format(version)[..]).unwrap().unwrap().value(), format(3));
            assert!(meta.remove("first").unwrap().is_none());
            if version == 1 {
                meta.remove("layers").unwrap().unwrap();
            }
        }
        transaction.commit().unwrap();
        drop(database);

        let found = || {
            let database = Database::open(directory.store()).unwrap();
            let meta = database.begin_read().unwrap().open_table(META).unwrap();
            meta.get("format").unwrap().unwrap().value().to_vec()
        };
        let mut store = RedbStore::open(directory.store()).unwrap();
        assert_same(&store, &model);
        assert!(!store.trim(1_000, 9).unwrap());
        drop(store);
        assert_eq!(found(), format(version));
        let mut store = RedbStore::open(directory.store()).unwrap();
        trim_all(&mut store, 3, 2);
        drop(store);
        assert_eq!(found(), format(3));
        let store = RedbStore::open(directory.store()).unwrap();
        assert_same(&store, &model);
        let report = check(&store).unwrap();
        assert!(report.is_clean() && report.first.0 == world.header_lsn() - 2, "{report:?}");
    }
}

#[test]
fn a_check_of_a_detached_file_understands_what_waits() {
    let directory = Directory::new("detached");
    let (mut world, mut model) = (World::new(4), MemoryStore::new(IDENTITY));
    let disk = FaultyDisk::new(0);
    let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
    let mut commits = world.commits();
    for _ in 0..3 {
        let staged = store.stager().stage(world.ahead(1)).unwrap();
        commits.push(world.commit_ahead(&staged));
    }
    store.append(&commits).unwrap();
    model.append(&commits).unwrap();
    store.settle(2).unwrap();
    let _begun = store.stager().stage(world.ahead(2)).unwrap();
    // As a process leaves it that ends here.
    let bytes = disk.crash(0).bytes();
    fs::write(directory.store(), &bytes).unwrap();
    let mut detached = RedbStore::open_detached(directory.store()).unwrap();
    let report = check(&detached).unwrap();
    assert!(report.is_clean() && report.commits == commits.len() as u64, "{report:?}");
    assert!(detached.sizes().unwrap().values().any(|size| size.unsettled > 0));
    assert_same(&detached, &model);
    while detached.settle(1).unwrap() {}
    assert_same(&detached, &model);
    drop(detached);
    assert_eq!(fs::read(directory.store()).unwrap(), bytes);
}

#[test]
fn damaged_and_missing_records_are_named() {
    let directory = Directory::new("records");
    for (key, content) in [("identity", None), ("state", Some(&b"\0\0\0\0\x05abc"[..]))] {
        let _ = fs::remove_file(directory.store());
        drop(RedbStore::create(directory.store(), IDENTITY).unwrap());
        let database = Database::open(directory.store()).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            match content {
                None => drop(meta.remove(key).unwrap()),
                Some(content) => drop(meta.insert(key, content).unwrap()),
            }
        }
        transaction.commit().unwrap();
        drop(database);
        let error = RedbStore::open(directory.store()).unwrap_err();
        assert!(matches!(error, OpenError::Storage(StorageError::Corrupted { part: "meta", .. })), "{error}");
    }
}

#[test]
fn a_directory_in_the_way_is_a_clear_error() {
    let directory = Directory::new("in-the-way");
    fs::create_dir(directory.store()).unwrap();
    assert!(RedbStore::open_or_create(&directory.0, IDENTITY).is_err());
    fs::write(directory.0.join("file"), b"").unwrap();
    assert!(RedbStore::open_or_create(directory.0.join("file"), IDENTITY).is_err());
}
