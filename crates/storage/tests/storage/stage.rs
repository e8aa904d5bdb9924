//! Commits whose changes were written ahead, among others, against the model.

use std::collections::BTreeSet;

use deltaic_causality::{Dot, HybridTime};
use deltaic_storage::{
    Change, Changes, Commit, FaultyDisk, MemoryStore, PROVISIONAL, RedbStore, Staged, Stager, StorageError,
    Store, check,
};
use deltaic_types::{Catalog, Column, ConflictPolicy, DataType, Lsn, Merges, Row, TableId, Value};
use proptest::prelude::*;
use redb::{Builder, ReadableDatabase, ReadableTable, TableDefinition};

use crate::world::{IDENTITY, World, assert_same, first_of, long, scan, settle_all};

pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(crate) const STAGED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("staged");

/// The stages that a closed store has chunks of, as redb has them; and no mark of one is left.
pub(crate) fn stages_in(disk: FaultyDisk) -> BTreeSet<u64> {
    let database = Builder::new().create_with_backend(disk).unwrap();
    let transaction = database.begin_read().unwrap();
    let meta = transaction.open_table(META).unwrap();
    for entry in meta.iter().unwrap() {
        assert!(!entry.unwrap().0.value().starts_with("stage/"));
    }
    let Ok(staged) = transaction.open_table(STAGED) else { return BTreeSet::new() };
    let stage = |key: &[u8]| u64::from_be_bytes(*key.first_chunk().unwrap());
    staged.iter().unwrap().map(|entry| stage(entry.unwrap().0.value())).collect()
}

/// A store that has appended what a world says, and the model of it.
struct Pair {
    disk: FaultyDisk,
    store: RedbStore,
    model: MemoryStore,
    world: World,
    /// Staged, with the catalog that was meant.
    ahead: Vec<(Staged, Catalog)>,
    /// The commits that were staged.
    staged: Vec<u64>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let disk = FaultyDisk::new(seed);
        let store = RedbStore::create_with_backend(disk.clone(), IDENTITY).unwrap();
        let (model, world) = (MemoryStore::new(IDENTITY), World::new(seed));
        let mut pair = Self { disk, store, model, world, ahead: Vec::new(), staged: Vec::new() };
        pair.inline();
        pair
    }

    fn append(&mut self, commits: &[Commit]) {
        self.model.append(commits).unwrap();
        self.store.append(commits).unwrap();
    }

    fn inline(&mut self) {
        let commits = self.world.commits();
        self.append(&commits);
    }

    fn stage(&mut self, long: usize) {
        let changes = self.world.ahead(long);
        let staged = self.store.stager().stage(changes.clone()).unwrap();
        assert_eq!(staged.changes(), changes);
        self.ahead.push((staged, self.world.catalog.clone()));
    }

    /// Appends one of those that were staged, where it still fits, with commits before and behind it.
    fn append_staged(&mut self, which: usize) {
        if self.ahead.is_empty() {
            return;
        }
        let (staged, catalog) = self.ahead.swap_remove(which % self.ahead.len());
        if catalog != self.world.catalog {
            return;
        }
        let mut commits = vec![self.world.commit_ahead(&staged)];
        let lsn = commits[0].lsn.0;
        if which.is_multiple_of(3) {
            commits.extend(self.world.commits());
        }
        self.append(&commits);
        self.staged.push(lsn);
        if catalog == self.world.catalog {
            assert!(matches!(self.store.append(&[self.next(&staged)]), Err(StorageError::StageGone)));
        }
    }

    /// A commit that would have changes, next in the log.
    fn next(&self, staged: &Staged) -> Commit {
        let header = self.model.header().unwrap();
        let (lsn, seq) = (header.lsn.next(), header.seq + staged.dots());
        Commit { lsn, seq, time: header.time, changes: staged.clone().into() }
    }

    fn reopen(mut self) -> Self {
        let ahead = std::mem::take(&mut self.ahead);
        drop(self.store);
        self.store = RedbStore::open_with_backend(self.disk.clone()).unwrap();
        for (staged, catalog) in ahead {
            if catalog == self.world.catalog {
                let header = self.store.header().unwrap();
                let error = self.store.append(&[self.next(&staged)]).unwrap_err();
                assert!(matches!(error, StorageError::StageGone));
                assert!(error.to_string().contains("run the transaction again"));
                assert_eq!(self.store.header().unwrap(), header);
            }
        }
        self
    }

    fn assert_same(&self) {
        assert_same(&self.store, &self.model);
        self.world.assert_rows(&self.store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn stores_agree_whatever_is_staged_appended_and_settled_between(
        steps in proptest::collection::vec((any::<u64>(), 0_u8..23), 1..40),
    ) {
        let mut pair = Pair::new(0);
        let mut snapshots = Vec::new();
        for (seed, step) in steps {
            pair.world.reseed(seed);
            match step {
                0..4 => pair.stage(0),
                4 => pair.stage(3),
                5..10 => pair.append_staged(seed as usize),
                10..14 => {
                    let limit = 1 + pair.world.below(5) as usize;
                    pair.store.settle(limit).unwrap();
                }
                14 => snapshots.push((pair.store.snapshot().unwrap(), pair.world.clone())),
                15 => {
                    pair = pair.reopen();
                    for (snapshot, _) in snapshots.drain(..) {
                        assert!(matches!(snapshot.row(TableId(0), &[]), Err(StorageError::Closed)));
                    }
                }
                16 => pair.ahead.clear(),
                17 | 18 => {
                    let (keep, limit) = (1 + pair.world.below(6), 1 + pair.world.below(3) as usize);
                    let (before, last) = (first_of(&pair.store), pair.world.header_lsn());
                    pair.store.trim(keep, limit).unwrap();
                    let first = first_of(&pair.store);
                    prop_assert!((before..=before + limit as u64).contains(&first));
                    prop_assert!(first == before || first + keep <= last + 1);
                }
                _ => pair.inline(),
            }
            pair.assert_same();
            for (snapshot, then) in &snapshots {
                then.assert_rows(&**snapshot);
            }
        }
        let report = check(&pair.store).unwrap();
        prop_assert!(report.is_clean(), "{:?}", report);
        settle_all(&mut pair.store, 3);
        pair.assert_same();
        for (snapshot, then) in &snapshots {
            then.assert_rows(&**snapshot);
        }
        drop(snapshots);
        let (report, whole) = (check(&pair.store).unwrap(), check(&pair.model).unwrap());
        let first = first_of(&pair.store);
        prop_assert_eq!((report.first.0, report.rows + report.unlogged), (first, whole.rows));
        prop_assert_eq!(report.commits, whole.commits - (first - 1));
        if first == 1 {
            prop_assert_eq!(&report, &whole);
        }
        while pair.store.trim(u64::MAX, 1).unwrap() {}
        prop_assert!(pair.store.verify_pages().unwrap());
        pair.assert_same();
        pair = pair.reopen();
        pair.assert_same();
        let Pair { disk, store, staged, .. } = pair;
        drop(store);
        prop_assert_eq!(stages_in(disk).len(), staged.iter().filter(|lsn| **lsn >= first).count());
    }
}

#[test]
fn a_staged_commit_may_change_the_catalog() {
    for seed in 0..30 {
        let mut pair = Pair::new(seed);
        pair.stage(0);
        pair.append_staged(1);
        // What the world would commit, its own catalog among it, as a stage.
        let mut scratch = pair.world.clone();
        let inline = loop {
            let commit = scratch.clone().commit();
            if matches!(commit.changes.as_slice().first(), Some(Change::Catalog(_))) {
                break commit;
            }
            scratch.below(2);
        };
        let before = pair.model.header().unwrap().seq;
        let provisional = |dot: &mut Dot, time: &mut HybridTime| {
            if dot.seq > before {
                (dot.seq, *time) = (PROVISIONAL + dot.seq - before, HybridTime(0));
            }
        };
        let Changes::Inline(mut changes) = inline.changes else { unreachable!() };
        for change in &mut changes {
            match change {
                Change::Catalog(_) => {}
                Change::Put { row, .. } => {
                    provisional(&mut row.version, &mut row.time);
                    row.cells.iter_mut().for_each(|cell| provisional(&mut cell.dot, &mut cell.time));
                }
                Change::Delete { dot, time, .. } => provisional(dot, time),
            }
        }
        let staged = pair.store.stager().stage(changes).unwrap();
        let commit = pair.world.commit_ahead(&staged);
        pair.append(&[commit]);
        pair.assert_same();
        assert!(pair.store.sizes().unwrap().values().all(|size| size.unsettled == 0));
        pair = pair.reopen();
        pair.assert_same();
        assert!(check(&pair.store).unwrap().is_clean());
    }
}

#[test]
fn many_staged_commits_wait_above_each_other() {
    let mut pair = Pair::new(5);
    for n in 0..40 {
        pair.stage(0);
        pair.append_staged(1);
        pair.assert_same();
        if n % 13 == 12 {
            pair = pair.reopen();
        }
    }
    assert!(check(&pair.store).unwrap().is_clean());
    assert!(settle_all(&mut pair.store, 1_000) > 10);
    pair.assert_same();
}

#[test]
fn a_stage_that_is_given_up_leaves_the_file() {
    let mut pair = Pair::new(6);
    let commits = pair.world.commits_with_text();
    pair.append(&commits);
    // More chunks than are removed at a time.
    let mut changes = Vec::new();
    while changes.iter().filter(|change| matches!(change, Change::Put { row, .. } if long(row))).count() < 36
    {
        changes.extend(pair.world.ahead(9));
    }
    let given_up = pair.store.stager().stage(changes).unwrap();
    pair.stage(0);
    let (kept, _) = pair.ahead.pop().unwrap();
    drop(given_up);
    let slices = settle_all(&mut pair.store, 10);
    assert_eq!(slices, 2);
    let commit = pair.world.commit_ahead(&kept);
    pair.append(&[commit]);
    drop(kept);
    settle_all(&mut pair.store, 10);
    let (disk, store) = (pair.disk.clone(), pair.store);
    // A crash: what stands in the file is not removed by an opening.
    let found = disk.crash(1);
    drop(store);
    assert_eq!(stages_in(found), BTreeSet::from([2]));
    assert_same(&RedbStore::open_with_backend(disk).unwrap(), &pair.model);
}

#[test]
fn nothing_may_be_staged() {
    let mut pair = Pair::new(7);
    let staged = pair.store.stager().stage(Vec::new()).unwrap();
    assert_eq!((staged.dots(), staged.changes()), (0, &[][..]));
    let commit = pair.world.commit_ahead(&staged);
    pair.append(&[commit]);
    pair = pair.reopen();
    pair.assert_same();
}

#[test]
fn readers_and_stagers_on_other_threads_go_on_beside_appends() {
    let mut pair = Pair::new(8);
    for _ in 0..10 {
        pair.inline();
    }
    pair.stage(0);
    pair.append_staged(1);
    let (snapshot, then) = (pair.store.snapshot().unwrap(), pair.world.clone());
    let stager: Box<dyn Stager> = pair.store.stager();
    let changes = pair.world.ahead(6);
    let staged = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..20 {
                then.assert_rows(&*snapshot);
            }
        });
        let writer = scope.spawn(move || stager.stage(changes).unwrap());
        for _ in 0..20 {
            let table = pair.world.catalog.tables().next().unwrap().clone();
            let key = pair.world.key(&table);
            let (lsn, seq) = (pair.store.header().unwrap().lsn.next(), pair.store.header().unwrap().seq);
            let dot = Dot { actor: IDENTITY.actor, seq };
            let delete = Change::Delete { table: table.id, key, dot, time: HybridTime(1) };
            let commit = Commit { lsn, seq, time: HybridTime(1), changes: vec![delete].into() };
            pair.append(&[commit]);
            pair.store.settle(1).unwrap();
        }
        reader.join().unwrap();
        writer.join().unwrap()
    });
    then.assert_rows(&*snapshot);
    let commit = pair.next(&staged);
    pair.append(&[commit]);
    assert_same(&pair.store, &pair.model);
    settle_all(&mut pair.store, 2);
    assert_same(&pair.store, &pair.model);
    then.assert_rows(&*snapshot);
}

/// Rules whose breach is a defect of the caller: nothing of such a commit is there.
#[test]
fn staged_commits_that_break_a_rule_panic_and_leave_no_trace() {
    let mut pair = Pair::new(3);
    let Some(table) = pair.world.catalog.tables().next().cloned() else { unreachable!() };
    let key = pair.world.key(&table);
    let header = pair.model.header().unwrap();
    let delete = |table: TableId, key: &Row, seq: u64| Change::Delete {
        table,
        key: key.clone(),
        dot: Dot { actor: IDENTITY.actor, seq },
        time: HybridTime(1),
    };
    let stager = pair.store.stager();
    let stage = |change: Change| stager.stage(vec![change]).unwrap();
    let good = delete(table.id, &key, PROVISIONAL + 2);
    let commit =
        |seq: u64, changes: Changes| Commit { lsn: Lsn(header.lsn.0 + 1), time: header.time, seq, changes };
    let bad = [
        commit(header.seq + 1, stage(good.clone()).into()),
        commit(header.seq + 2, vec![good.clone()].into()),
        commit(header.seq + 2, vec![delete(table.id, &key, PROVISIONAL)].into()),
        commit(header.seq + 2, stage(delete(table.id, &key, PROVISIONAL)).into()),
        commit(PROVISIONAL, stage(good.clone()).into()),
        commit(header.seq + 2, stage(delete(TableId(77), &key, PROVISIONAL + 1)).into()),
        commit(
            header.seq + 2,
            stage(delete(table.id, &Row::from(vec![Value::Null; 5]), PROVISIONAL + 1)).into(),
        ),
    ];
    for bad in &bad {
        for store in [&mut pair.store as &mut dyn Store, &mut pair.model] {
            let broken = std::panic::AssertUnwindSafe(|| store.append(std::slice::from_ref(bad)));
            assert!(std::panic::catch_unwind(broken).is_err(), "{bad:?}");
            assert_eq!(store.header().unwrap(), header);
        }
    }
    drop(bad);
    // Nor one that fitted a table as it was.
    let mut old = World::new(3);
    old.commits();
    let puts = stager.stage(old.ahead(0)).unwrap();
    assert!(puts.changes().iter().any(|change| matches!(change, Change::Put { .. })));
    let mut catalog = header.catalog.clone();
    for mut table in header.catalog.tables().cloned() {
        let name = "another".to_owned();
        table.columns.push(Column {
            name,
            data_type: DataType::Text,
            not_null: false,
            default: None,
            merges: Merges::LastWriter,
            conflict: ConflictPolicy::LastWriter,
        });
        catalog.put(table).unwrap();
    }
    let change = commit(header.seq, vec![Change::Catalog(catalog)].into());
    let late = Commit { lsn: Lsn(header.lsn.0 + 2), ..commit(header.seq + puts.dots(), puts.into()) };
    let broken = std::panic::AssertUnwindSafe(|| pair.store.append(&[change, late]));
    assert!(std::panic::catch_unwind(broken).is_err());
    // Nor has one two commits.
    let twice = stage(good.clone());
    let again = Commit { lsn: Lsn(header.lsn.0 + 2), ..commit(header.seq + 4, twice.clone().into()) };
    let error = pair.store.append(&[commit(header.seq + 2, twice.into()), again]).unwrap_err();
    assert!(matches!(error, StorageError::StageGone));
    let good = commit(header.seq + 2, stage(good).into());
    assert_eq!((good.changes.len(), good.changes.is_empty()), (1, false));
    pair.append(std::slice::from_ref(&good));
    assert_same(&pair.store, &pair.model);
    let found = pair.store.commits(header.lsn, 1).unwrap();
    assert_eq!(found, [good.resolved()]);
    assert_ne!(found, [good]);
    assert_eq!(scan(&pair.store, table.id, &[0]), scan(&pair.model, table.id, &[0]));
}
