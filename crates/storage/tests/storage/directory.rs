//! Files and data directories: whose they are and who may open them.

use std::fs;
use std::path::PathBuf;

use deltaic_storage::{FORMAT_VERSION, OpenError, RedbStore, STORE_FILE, StorageError, Store};
use redb::{Database, TableDefinition};

use crate::world::{IDENTITY, World};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

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
    assert!(matches!(error, OpenError::Newer { found: 2, supported: 1 }));
    assert_eq!(
        error.to_string(),
        "the store has format 2, this program reads up to 1: use the newer program"
    );
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
