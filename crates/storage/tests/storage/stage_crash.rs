//! What survives of commits that were written ahead when the disk or the machine fails.

use deltaic_storage::{
    Change, Commit, FaultPlan, FaultyDisk, MemoryStore, RedbStore, Staged, StorageError, Store, check,
};

use crate::stage::stages_in;
use crate::world::{IDENTITY, World, assert_same, first_of, seeds, settle_all, trim_all};

enum Step {
    Append(Vec<Commit>),
    Stage(Vec<Change>),
    /// Appends what was staged last, as this commit.
    AppendStaged(Vec<Change>, Commit),
    Settle(usize),
    /// Trims to so many commits, by so many.
    Trim(u64, usize),
}

/// Steps of one seed, and what the store must hold after each.
struct Script {
    steps: Vec<Step>,
    states: Vec<MemoryStore>,
    /// The last commit with which the log may begin after each.
    begins: Vec<u64>,
}

/// How a run under a plan has ended.
struct Run {
    /// How many steps returned Ok.
    done: usize,
    /// Where the log began then.
    first: u64,
    /// The error of the next.
    error: Option<StorageError>,
}

impl Script {
    fn new(seed: u64, count: usize) -> Self {
        let mut world = World::new(seed);
        let mut model = MemoryStore::new(IDENTITY);
        let (mut steps, mut states, mut begins) = (Vec::new(), vec![model.clone()], vec![1]);
        let mut ahead: Option<(Vec<Change>, Staged, _)> = None;
        while steps.len() < count {
            let step = match (world.below(13).min(9 * steps.len() as u64), ahead.take()) {
                (0..3, kept) => {
                    ahead = kept;
                    let commits = if steps.is_empty() { world.commits_with_text() } else { world.commits() };
                    model.append(&commits).unwrap();
                    Step::Append(commits)
                }
                (10.., kept) => {
                    ahead = kept;
                    Step::Trim(1 + world.below(3), 1 + world.below(4) as usize)
                }
                (_, Some((changes, staged, catalog))) if catalog == world.catalog => {
                    let commit = world.commit_ahead(&staged);
                    model.append(std::slice::from_ref(&commit)).unwrap();
                    Step::AppendStaged(changes, commit)
                }
                (3..7, _) if !steps.is_empty() => {
                    let long = world.below(2) as usize * 2;
                    let changes = world.ahead(long);
                    let staged = model.stager().stage(changes.clone()).unwrap();
                    ahead = Some((changes.clone(), staged, world.catalog.clone()));
                    Step::Stage(changes)
                }
                _ => Step::Settle(1 + world.below(4) as usize),
            };
            let begin = match step {
                Step::Trim(keep, _) => (world.header_lsn() + 1).saturating_sub(keep),
                _ => 1,
            };
            begins.push(begin.max(begins[steps.len()]));
            steps.push(step);
            states.push(model.clone());
        }
        Self { steps, states, begins }
    }

    fn step(step: &Step, store: &mut RedbStore, ahead: &mut Option<Staged>) -> Result<(), StorageError> {
        match step {
            Step::Append(commits) => store.append(commits),
            Step::Stage(changes) => {
                *ahead = Some(store.stager().stage(changes.clone())?);
                Ok(())
            }
            Step::AppendStaged(changes, commit) => {
                let staged = match ahead.take() {
                    Some(staged) => staged,
                    // What was staged before the crash is gone.
                    None => store.stager().stage(changes.clone())?,
                };
                assert_eq!(staged.changes(), changes);
                store.append(&[Commit { changes: staged.into(), ..*commit }])
            }
            Step::Settle(limit) => store.settle(*limit).map(|_| ()),
            Step::Trim(keep, limit) => store.trim(*keep, *limit).map(|_| ()),
        }
    }

    /// The stages of commits up to a step that the log has from `first` on.
    fn stages(&self, steps: usize, first: u64) -> usize {
        let staged = |step: &&Step| matches!(step, Step::AppendStaged(_, commit) if commit.lsn.0 >= first);
        self.steps[..steps].iter().filter(staged).count()
    }

    /// Runs the script under a plan.
    fn run(&self, disk: &FaultyDisk, plan: FaultPlan) -> Run {
        let mut store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
        disk.set_plan(plan);
        let (mut ahead, mut first) = (None, 1);
        for (done, step) in self.steps.iter().enumerate() {
            if matches!(step, Step::Trim(..)) {
                first = first_of(&store);
            }
            if let Err(error) = Self::step(step, &mut store, &mut ahead) {
                let header = store.header().unwrap();
                let (lsn, time, seq) = (header.lsn.next(), header.time, header.seq);
                let next = [Commit { lsn, time, seq, changes: Vec::new().into() }];
                if matches!(step, Step::Stage(_)) {
                    // Who appends must know as well why the store is closed.
                    let again = store.append(&next).unwrap_err();
                    assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&error), "{again}");
                }
                assert!(matches!(store.append(&next), Err(StorageError::Closed)));
                assert!(matches!(store.stager().stage(Vec::new()), Err(StorageError::Closed)));
                assert!(matches!(store.settle(1), Ok(false) | Err(StorageError::Closed)));
                return Run { done, first, error: Some(error) };
            }
        }
        Run { done: self.steps.len(), first: first_of(&store), error: None }
    }

    /// The store holds what was acknowledged, of the append in flight all or nothing, and no stage that no commit has.
    /// Goes on with the rest. Whether all of the append in flight was there, and whether changes were not settled.
    fn assert_survived(&self, disk: &FaultyDisk, run: &Run, may_have_next: bool) -> (bool, bool) {
        let done = run.done;
        let store = RedbStore::open_with_backend(disk.clone()).unwrap();
        let found = store.header().unwrap().lsn;
        let next = may_have_next && found != self.states[done].header().unwrap().lsn;
        let at = if next { done + 1 } else { done };
        assert_same(&store, &self.states[at]);
        let report = check(&store).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let unsettled = store.sizes().unwrap().values().any(|size| size.unsettled > 0);
        // The log has lost nothing that no step has removed, and what was removed stays so.
        let first = first_of(&store);
        let in_flight = if may_have_next { done + 1 } else { done };
        assert!(run.first <= first && first <= self.begins[in_flight.min(self.steps.len())]);
        drop(store);
        assert_eq!(stages_in(disk.clone()).len(), self.stages(at, first));
        let mut store = RedbStore::open_with_backend(disk.clone()).unwrap();
        let mut ahead = None;
        for (step, state) in self.steps.iter().zip(&self.states[1..]).skip(at) {
            Self::step(step, &mut store, &mut ahead).unwrap();
            assert_eq!(store.header().unwrap(), state.header().unwrap());
        }
        drop(ahead);
        settle_all(&mut store, 3);
        trim_all(&mut store, 2, 100);
        assert_same(&store, &self.states[self.steps.len()]);
        assert!(check(&store).unwrap().is_clean());
        let last = store.header().unwrap().lsn.0;
        assert_eq!(first_of(&store), (last - 1).max(1));
        drop(store);
        assert_eq!(stages_in(disk.clone()).len(), self.stages(self.steps.len(), last - 1));
        (next, unsettled)
    }
}

#[test]
fn acknowledged_commits_survive_a_crash_at_every_operation() {
    let (mut with_next, mut without, mut with_layers, mut in_trim) = (0, 0, 0, 0);
    for seed in seeds(2) {
        let script = Script::new(seed, 12);
        let count = FaultyDisk::new(seed);
        assert_eq!(script.run(&count, FaultPlan::default()).done, 12);
        for n in 1..=count.operations() + 1 {
            let disk = FaultyDisk::new(seed);
            let run = script.run(&disk, FaultPlan { crash_at: Some(n), ..FaultPlan::default() });
            in_trim += u32::from(matches!(script.steps.get(run.done), Some(Step::Trim(..))));
            assert!(matches!(
                run.error,
                None | Some(StorageError::Io { .. } | StorageError::SyncFailed { .. })
            ));
            for crash in 0..2 {
                let found = disk.crash(seed * 1_000 + n * 10 + crash);
                if crash == 0 {
                    // The machine stops again while the store is mended and what nobody has is removed.
                    let crash_at = Some(1 + n % 23);
                    found.set_plan(FaultPlan { crash_at, ..FaultPlan::default() });
                    drop(RedbStore::open_with_backend(found.clone()));
                }
                let (next, unsettled) = script.assert_survived(&found.crash(n), &run, true);
                if next {
                    with_next += 1;
                } else {
                    without += 1;
                }
                with_layers += u32::from(unsettled);
            }
        }
    }
    println!(
        "after a crash the append in flight was there {with_next} times, not there {without} times; \
         {with_layers} times changes were not settled, {in_trim} times the log was being trimmed"
    );
    assert!(with_next > 0 && without > 0 && with_layers > 0 && in_trim > 0);
}

#[test]
fn a_failed_sync_leaves_all_or_nothing_of_the_append() {
    for seed in seeds(3) {
        let script = Script::new(100 + seed, 14);
        for n in 1.. {
            let disk = FaultyDisk::new(seed);
            let run = script.run(&disk, FaultPlan { fail_sync: Some(n), ..FaultPlan::default() });
            let Some(error) = &run.error else { break };
            assert!(matches!(error, StorageError::SyncFailed { .. }), "{error}");
            for crash in 0..3 {
                script.assert_survived(&disk.crash(crash), &run, true);
            }
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_keeps_nothing_of_what_was_in_flight() {
    for seed in seeds(2) {
        let script = Script::new(200 + seed, 14);
        for n in 1.. {
            let disk = FaultyDisk::new(seed);
            let run = script.run(&disk, FaultPlan { fail_write: Some(n), ..FaultPlan::default() });
            let Some(error) = &run.error else { break };
            assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
            script.assert_survived(&disk.crash(n), &run, false);
            // Without a crash, too: room is made, and the store is opened again.
            disk.set_plan(FaultPlan::default());
            script.assert_survived(&disk, &run, false);
        }
    }
}
