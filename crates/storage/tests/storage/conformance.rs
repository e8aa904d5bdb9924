//! Every store means the same.

use deltaic_causality::HybridTime;
use deltaic_storage::{
    Change, Commit, FaultyDisk, Header, MemoryStore, Reader, RedbStore, StorageError, Store, check,
};
use deltaic_types::{Catalog, Lsn, Row, TableId, Value};
use proptest::prelude::*;

use crate::world::{IDENTITY, World, assert_same};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn stores_agree_after_each_append_and_after_reopening(
        steps in proptest::collection::vec((any::<u64>(), 0_u8..8), 1..25),
    ) {
        let disk = FaultyDisk::new(0);
        let mut model = MemoryStore::new(IDENTITY);
        let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
        let mut world = World::new(0);
        assert_same(&store, &model);
        for (seed, reopen) in steps {
            world.reseed(seed);
            let commits = world.commits();
            model.append(&commits).unwrap();
            store.append(&commits).unwrap();
            assert_same(&store, &model);
            world.assert_rows(&store);
            for table in world.catalog.clone().tables() {
                let key = world.key(table);
                prop_assert_eq!(store.row(table.id, &key).unwrap(), model.row(table.id, &key).unwrap());
            }
            if reopen == 0 {
                drop(store);
                store = RedbStore::open_with_backend(disk.clone()).unwrap();
                assert_same(&store, &model);
            }
        }
        let report = check(&store).unwrap();
        prop_assert!(report.is_clean(), "{:?}", report);
        prop_assert_eq!(&report, &check(&model).unwrap());
        prop_assert_eq!(report.commits, model.header().unwrap().lsn.0);
        prop_assert!(store.verify_pages().unwrap());
        assert_same(&store, &model);
    }
}

fn stores() -> [Box<dyn Store>; 2] {
    let disk = RedbStore::create_with_backend(FaultyDisk::new(0), IDENTITY).unwrap();
    [Box::new(MemoryStore::new(IDENTITY)), Box::new(disk)]
}

fn commit(lsn: u64, seq: u64, changes: Vec<Change>) -> Commit {
    Commit { lsn: Lsn(lsn), time: HybridTime(lsn), seq, changes: changes.into() }
}

#[test]
fn a_new_store_is_empty() {
    for mut store in stores() {
        let empty = Header {
            identity: IDENTITY,
            lsn: Lsn(0),
            seq: 0,
            time: HybridTime(0),
            catalog: Catalog::default(),
        };
        assert_eq!(store.header().unwrap(), empty);
        store.append(&[]).unwrap();
        assert_eq!(store.header().unwrap(), empty);
        assert_eq!(store.row(TableId(0), &[Value::Integer(1)]).unwrap(), None);
        assert!(check(&*store).unwrap().is_clean());
    }
}

#[test]
fn commits_that_break_a_rule_panic_and_leave_no_trace() {
    let mut world = World::new(3);
    let good = world.commit();
    let Some(table) = world.catalog.tables().next().cloned() else { unreachable!() };
    let key = world.key(&table);
    let (dot, time) = (deltaic_causality::Dot { actor: IDENTITY.actor, seq: 99 }, HybridTime(9));
    let short = deltaic_storage::StoredRow { version: dot, time, cells: vec![], values: key.clone() };
    let elsewhere = TableId(77);
    let seq = good.seq;
    let bad = [
        commit(1, seq, vec![]),
        commit(3, seq, vec![]),
        commit(2, seq - 1, vec![]),
        commit(2, seq, vec![Change::Delete { table: elsewhere, key: key.clone(), dot, time }]),
        commit(2, seq, vec![Change::Delete { table: table.id, key: Row::empty(), dot, time }]),
        commit(
            2,
            seq,
            vec![Change::Put { table: table.id, key: Row::from(vec![Value::Null; 5]), row: short }],
        ),
    ];
    for mut store in stores() {
        store.append(std::slice::from_ref(&good)).unwrap();
        for bad in &bad {
            let broken = std::panic::AssertUnwindSafe(|| store.append(std::slice::from_ref(bad)));
            assert!(std::panic::catch_unwind(broken).is_err(), "{bad:?}");
            assert_eq!(store.header().unwrap().lsn, Lsn(1));
            assert!(check(&*store).unwrap().is_clean());
        }
        store.append(&[commit(2, seq, vec![])]).unwrap();
    }
}

#[test]
fn a_snapshot_stays_as_it_was_on_another_thread() {
    for mut store in stores() {
        let mut world = World::new(8);
        for _ in 0..10 {
            store.append(&world.commits()).unwrap();
        }
        let snapshot = store.snapshot().unwrap();
        let then = world.clone();
        let (began, begin) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                began.send(()).unwrap();
                for _ in 0..20 {
                    then.assert_rows(&*snapshot);
                }
            });
            begin.recv().unwrap();
            for _ in 0..20 {
                store.append(&world.commits()).unwrap();
            }
            reader.join().unwrap();
        });
        then.assert_rows(&*snapshot);
        world.assert_rows(&*store);
        world.assert_rows(&*store.snapshot().unwrap());
    }
}

#[test]
fn a_snapshot_of_a_file_ends_with_its_store() {
    let disk = FaultyDisk::new(0);
    let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
    let mut world = World::new(8);
    store.append(&world.commits()).unwrap();
    let Some(table) = world.catalog.tables().next().cloned() else { unreachable!() };
    let snapshot = store.snapshot().unwrap();
    drop(store);
    let mut store = RedbStore::open_with_backend(disk).unwrap();
    store.append(&world.commits()).unwrap();
    let key = world.key(&table);
    assert!(matches!(snapshot.row(table.id, &key), Err(StorageError::Closed)));
    assert!(matches!(snapshot.scan(table.id, &[0], &mut |_| ()), Err(StorageError::Closed)));
    drop(snapshot);
    world.assert_rows(&store);
}
