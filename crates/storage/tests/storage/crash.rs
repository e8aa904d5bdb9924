//! What survives when the disk or the machine fails.

use deltaic_storage::{
    Commit, FaultPlan, FaultyDisk, MemoryStore, OpenError, RedbStore, StorageError, Store, check,
};

use crate::world::{IDENTITY, World, assert_same, seeds};

/// Appends of one seed, and what the store must hold after each.
struct Script {
    appends: Vec<Vec<Commit>>,
    states: Vec<MemoryStore>,
}

impl Script {
    fn new(seed: u64, appends: usize) -> Self {
        let mut world = World::new(seed);
        let appends: Vec<Vec<Commit>> = (0..appends).map(|_| world.commits()).collect();
        let mut states = vec![MemoryStore::new(IDENTITY)];
        for commits in &appends {
            let mut state = states[states.len() - 1].clone();
            state.append(commits).unwrap();
            states.push(state);
        }
        Self { appends, states }
    }

    /// Runs the script under a plan. How many appends returned Ok, and the error of the next.
    fn run(&self, disk: &FaultyDisk, plan: FaultPlan) -> (usize, Option<StorageError>) {
        let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
        disk.set_plan(plan);
        let mut done = 0;
        for commits in &self.appends {
            match store.append(commits) {
                Ok(()) => done += 1,
                Err(error) => {
                    assert!(matches!(store.append(commits), Err(StorageError::Closed)));
                    return (done, Some(error));
                }
            }
        }
        (done, None)
    }

    /// The store holds what was acknowledged, and of the append in flight all or nothing. Goes on with the rest.
    /// Whether all of the append in flight was there.
    fn assert_survived(&self, disk: FaultyDisk, done: usize, may_have_next: bool) -> bool {
        let mut store = RedbStore::open_with_backend(disk).unwrap();
        let found = store.header().unwrap().lsn;
        let next = may_have_next && done < self.appends.len();
        let at = if next && found != self.states[done].header().unwrap().lsn { done + 1 } else { done };
        assert_same(&store, &self.states[at]);
        assert!(check(&store).unwrap().is_clean());
        for commits in &self.appends[at..] {
            store.append(commits).unwrap();
        }
        assert_same(&store, &self.states[self.appends.len()]);
        at > done
    }
}

#[test]
fn acknowledged_commits_survive_a_crash_at_every_operation() {
    let (mut with_next, mut without) = (0, 0);
    for seed in seeds(6) {
        let script = Script::new(seed, 5);
        let count = FaultyDisk::new(seed);
        assert_eq!(script.run(&count, FaultPlan::default()).0, 5);
        let operations = count.operations();
        for n in 1..=operations + 1 {
            let disk = FaultyDisk::new(seed);
            let (done, error) = script.run(&disk, FaultPlan { crash_at: Some(n), ..FaultPlan::default() });
            assert!(matches!(error, None | Some(StorageError::Io { .. } | StorageError::SyncFailed { .. })));
            for crash in 0..3 {
                let found = disk.crash(seed * 1_000 + n * 10 + crash);
                if crash == 0 {
                    // The machine stops again while the store is mended.
                    found.set_plan(FaultPlan { crash_at: Some(1 + n % 7), ..FaultPlan::default() });
                    drop(RedbStore::open_with_backend(found.clone()));
                }
                if script.assert_survived(found.crash(n), done, true) { with_next += 1 } else { without += 1 }
            }
        }
    }
    println!("after a crash the append in flight was there {with_next} times, not there {without} times");
    assert!(with_next > 0 && without > 0);
}

#[test]
fn a_failed_sync_ends_the_store_and_leaves_all_or_nothing_of_the_append() {
    for seed in seeds(12) {
        let script = Script::new(100 + seed, 6);
        for n in 1.. {
            let disk = FaultyDisk::new(seed);
            let (done, error) = script.run(&disk, FaultPlan { fail_sync: Some(n), ..FaultPlan::default() });
            let Some(error) = error else { break };
            assert!(matches!(error, StorageError::SyncFailed { .. }), "{error}");
            assert!(error.to_string().contains("this process must end"));
            for crash in 0..4 {
                script.assert_survived(disk.crash(crash), done, true);
            }
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_keeps_nothing_of_the_append() {
    for seed in seeds(6) {
        let script = Script::new(200 + seed, 6);
        for n in 1.. {
            let disk = FaultyDisk::new(seed);
            let (done, error) = script.run(&disk, FaultPlan { fail_write: Some(n), ..FaultPlan::default() });
            let Some(error) = error else { break };
            assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
            for crash in 0..2 {
                script.assert_survived(disk.crash(crash), done, false);
            }
            // Without a crash, too: room is made, and the store is opened again.
            disk.set_plan(FaultPlan::default());
            script.assert_survived(disk, done, false);
        }
    }
}

#[test]
fn a_disk_that_fills_up_is_usable_again_when_there_is_room() {
    let disk = FaultyDisk::new(0);
    let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
    let capacity = Some(disk.bytes().len() as u64);
    disk.set_plan(FaultPlan { capacity, ..FaultPlan::default() });
    let (mut world, mut model) = (World::new(9), MemoryStore::new(IDENTITY));
    let commits = loop {
        let commits = world.commits();
        match store.append(&commits) {
            Ok(()) => model.append(&commits).unwrap(),
            Err(error) => {
                assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
                break commits;
            }
        }
    };
    drop(store);
    disk.set_plan(FaultPlan::default());
    let mut store = RedbStore::open_with_backend(disk).unwrap();
    assert_same(&store, &model);
    store.append(&commits).unwrap();
    model.append(&commits).unwrap();
    assert_same(&store, &model);
}

#[test]
fn creating_and_opening_report_the_disk_too() {
    for n in 1..20 {
        let disk = FaultyDisk::new(n);
        disk.set_plan(FaultPlan { fail_write: Some(n), ..FaultPlan::default() });
        match RedbStore::create_with_backend(disk.clone(), IDENTITY) {
            Ok(_) => break,
            Err(OpenError::Storage(StorageError::DiskFull { .. })) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let disk = FaultyDisk::new(0);
    drop(RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap());
    disk.set_plan(FaultPlan { crash_at: Some(1), ..FaultPlan::default() });
    let opened = RedbStore::open_with_backend(disk);
    assert!(matches!(opened, Ok(_) | Err(OpenError::Storage(StorageError::Io { .. }))));
}
