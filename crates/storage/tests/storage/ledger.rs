//! The ledger in a file: against the ledger in memory, and on disks that fail.

use deltaic_quota::{
    Account, Batch, Claim, Entry, Epoch, Key, Ledger, LedgerError, LimitWord, MemoryLedger, NodeId, Seq,
    Then, Time, Units, WindowId, conformance,
};
use deltaic_storage::{FaultPlan, FaultyDisk, OpenError, RedbLedger, RedbStore};

use crate::world::{IDENTITY, seeds};

/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What is asked of a ledger.
#[derive(Debug, Clone)]
enum Call {
    Open(NodeId),
    Apply(Batch),
}

impl Call {
    fn make(&self, ledger: &mut impl Ledger) -> Result<String, LedgerError> {
        match self {
            Self::Open(node) => ledger.open(*node).map(|opened| format!("{opened:?}")),
            Self::Apply(batch) => ledger.apply(batch).map(|reply| format!("{reply:?}")),
        }
    }
}

/// Calls of some nodes: most of them in their turn, some late, some from a dead epoch, some with broken counts.
fn calls(seed: u64, count: usize) -> Vec<Call> {
    let mut random = Random(seed);
    let mut nodes = [(0_u64, 0_u64); 3];
    let mut calls: Vec<Call> = Vec::new();
    while calls.len() < count {
        let place = random.below(3) as usize;
        let node = NodeId(place as u64);
        let (epoch, seq) = &mut nodes[place];
        if *epoch == 0 || random.below(12) == 0 {
            (*epoch, *seq) = (*epoch + 1, 0);
            calls.push(Call::Open(node));
            continue;
        }
        let again = random.below(8) == 0;
        if let (true, Some(call)) = (again, calls.get(random.below(calls.len() as u64) as usize)) {
            if matches!(call, Call::Apply(_)) {
                calls.push(call.clone());
            }
            continue;
        }
        *seq += 1;
        let mut entries: Vec<Entry> = (0..=random.below(3)).map(|_| entry(&mut random, *seq)).collect();
        entries.sort_by(|a, b| a.account.cmp(&b.account));
        entries.dedup_by(|a, b| a.account == b.account);
        let (epoch, seq) = (Epoch(*epoch), Seq(*seq));
        let [now, horizon] = [Time(random.below(99)), Time(random.below(9))];
        calls.push(Call::Apply(Batch { node, epoch, seq, now, horizon, entries }));
    }
    calls
}

fn entry(random: &mut Random, seq: u64) -> Entry {
    let key = [&b""[..], b"a", b"ab", b"\0"][random.below(4) as usize];
    let window = [WindowId(0), WindowId(1), WindowId(seq), WindowId::EVERY][random.below(4) as usize];
    let account = Account { key: Key::new(key).unwrap(), window };
    let limit = Units(random.below(200));
    Entry {
        span: random.below(3),
        limit: if random.below(9) == 0 { LimitWord::Set(limit) } else { LimitWord::Initially(limit) },
        // They rise with the batches' numbers, mostly within what was granted.
        consumed: Units(seq * random.below(2)),
        refunded: Units(random.below(8) / 7),
        returned: Units(random.below(6) / 5 * seq / 2),
        unbacked: Units(random.below(10) / 9 * random.below(30)),
        credited: Units(random.below(5) / 4 * seq),
        claim: if random.below(9) == 0 {
            Claim::High(random.below(99))
        } else {
            Claim::Units(Units(random.below(60)))
        },
        then: if random.below(9) == 0 { Then::Close } else { Then::Keep },
        ..conformance::entry(&account, limit)
    }
}

fn ledger(disk: &FaultyDisk) -> RedbLedger {
    RedbLedger::create_with_backend(disk.clone()).unwrap()
}

#[test]
fn the_ledger_in_a_file_conforms() {
    conformance::check_all(|| ledger(&FaultyDisk::new(1)));
}

#[test]
fn the_ledger_in_a_file_answers_as_the_one_in_memory() {
    let (mut fine, mut refused) = (0, 0);
    for seed in seeds(20) {
        let disk = FaultyDisk::new(seed);
        let (mut file, mut memory) = (ledger(&disk), MemoryLedger::new());
        for (number, call) in calls(seed, 60).into_iter().enumerate() {
            let answer = call.make(&mut file);
            assert_eq!(answer, call.make(&mut memory), "seed {seed}, {call:?}");
            if answer.is_ok() {
                fine += 1;
            } else {
                refused += 1;
            }
            if let Call::Apply(batch) = &call {
                for entry in &batch.entries {
                    assert_eq!(file.load(&entry.account), memory.load(&entry.account), "seed {seed}");
                }
            }
            let before = Time(number as u64);
            assert_eq!(file.silent(before), memory.silent(before), "seed {seed}");
            if number % 10 == 0 {
                assert_eq!(file.image(), memory.image(), "seed {seed}");
            }
        }
        drop(file);
        let mut again = RedbLedger::open_with_backend(disk).unwrap();
        assert_eq!(again.image(), memory.image(), "seed {seed}");
        let report = again.check().unwrap();
        assert!(report.is_clean(), "seed {seed}: {report:?}");
    }
    assert!(fine > 200 && refused > 50, "{fine} answered, {refused} refused");
}

/// Runs calls until one has no answer; how many have one.
fn run(ledger: &mut RedbLedger, calls: &[Call]) -> (usize, Option<LedgerError>) {
    for (done, call) in calls.iter().enumerate() {
        if let Err(error @ (LedgerError::Away | LedgerError::Refused { .. })) = call.make(ledger) {
            return (done, Some(error));
        }
    }
    (calls.len(), None)
}

fn images(calls: &[Call]) -> Vec<Vec<u8>> {
    let mut memory = MemoryLedger::new();
    let mut images = vec![memory.image().unwrap()];
    for call in calls {
        let _ = call.make(&mut memory);
        images.push(memory.image().unwrap());
    }
    images
}

#[test]
fn what_was_answered_survives_a_crash_at_every_operation() {
    let (mut with_next, mut without) = (0, 0);
    for seed in seeds(3) {
        let calls = calls(seed, 8);
        let images = images(&calls);
        let count = FaultyDisk::new(seed);
        assert_eq!(run(&mut ledger(&count), &calls).0, calls.len());
        for n in 1..=count.operations() + 1 {
            let disk = FaultyDisk::new(seed);
            let mut file = ledger(&disk);
            disk.set_plan(FaultPlan { crash_at: Some(n), ..FaultPlan::default() });
            let (done, _) = run(&mut file, &calls);
            drop(file);
            let mut found = RedbLedger::open_with_backend(disk.crash(seed * 1_000 + n)).unwrap();
            let image = found.image().unwrap();
            assert!(found.check().unwrap().is_clean(), "seed {seed}, operation {n}");
            let next = images.get(done + 1).is_some_and(|next| *next == image);
            assert!(image == images[done] || next, "seed {seed}, operation {n}: {done} were answered");
            if image == images[done] {
                without += 1;
            } else {
                with_next += 1;
            }
            // The same bytes go again, and all goes on. An epoch that was begun is begun.
            let again = done + usize::from(image != images[done] && matches!(calls[done], Call::Open(_)));
            run(&mut found, &calls[again..]);
            assert_eq!(found.image().unwrap(), *images.last().unwrap(), "seed {seed}, operation {n}");
        }
    }
    assert!(with_next > 0 && without > 0, "{with_next} in flight were there, {without} were not");
}

#[test]
fn a_disk_that_fails_says_whether_the_outcome_is_known() {
    let calls = calls(7, 8);
    let images = images(&calls);
    let plans = [
        (FaultPlan { fail_sync: Some(3), ..FaultPlan::default() }, LedgerError::Away),
        (
            FaultPlan { fail_write: Some(9), ..FaultPlan::default() },
            LedgerError::Refused { why: "the disk is full" },
        ),
    ];
    for (plan, expected) in plans {
        let disk = FaultyDisk::new(7);
        let mut file = ledger(&disk);
        disk.set_plan(plan);
        let (done, error) = run(&mut file, &calls);
        assert_eq!(error, Some(expected), "{plan:?}");
        let closed = LedgerError::Refused { why: "an earlier error closed the file" };
        assert_eq!(calls[done].make(&mut file), Err(closed));
        drop(file);
        let mut again = RedbLedger::open_with_backend(disk.crash(1)).unwrap();
        let image = again.image().unwrap();
        assert!(images[done..].iter().take(2).any(|expected| *expected == image), "{plan:?}");
    }
}

#[test]
fn damage_is_refused_and_nothing_is_granted_on_it() {
    let disk = FaultyDisk::new(3);
    let mut file = ledger(&disk);
    let account = Account::stock(Key::new(b"a key that is found among the bytes").unwrap());
    file.open(NodeId(1)).unwrap();
    let want = Entry { claim: Claim::Units(Units(30)), ..conformance::entry(&account, Units(100)) };
    file.apply(&conformance::batch(NodeId(1), 1, 1, vec![want])).unwrap();
    drop(file);
    let bytes = disk.bytes();
    let name = account.key.as_bytes();
    let places: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    assert!(places.len() >= 3, "the key stands in several tables");
    let mut refused = 0;
    for at in places {
        // The numbers behind the key and its window are what the rows say.
        for place in at + name.len() + 8..at + name.len() + 40 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x15;
            let Ok(mut file) = RedbLedger::open_with_backend(FaultyDisk::from_bytes(damaged, 3)) else {
                refused += 1;
                continue;
            };
            match file.load(&account) {
                Ok(found) => {
                    // A byte that nothing reads, or a page that is not in use any more.
                    let stored = found.map(|loaded| (loaded.baseline.limit, loaded.baseline.reserved));
                    assert_eq!(stored, Some((Units(100), Units(30))), "byte {place}");
                }
                Err(error) => {
                    assert_eq!(error, LedgerError::Refused { why: "the file is damaged" });
                    assert!(file.check().map_or(true, |report| !report.is_clean()), "byte {place}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_store_is_no_ledger_and_a_ledger_no_store() {
    let store = FaultyDisk::new(1);
    drop(RedbStore::create_with_backend(store.clone(), IDENTITY).unwrap());
    assert!(matches!(RedbLedger::open_with_backend(store.clone()), Err(OpenError::Foreign)));
    assert!(matches!(RedbLedger::create_with_backend(store), Err(OpenError::AlreadyExists)));
    let file = FaultyDisk::new(1);
    drop(ledger(&file));
    assert!(RedbStore::open_with_backend(file).is_err());
    let empty = FaultyDisk::new(1);
    assert!(matches!(RedbLedger::open_with_backend(empty), Err(OpenError::Foreign)));
}

#[test]
fn a_directory_has_a_store_and_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open_or_create(directory.path(), IDENTITY).unwrap();
    let mut file = RedbLedger::open_or_create(directory.path()).unwrap();
    assert_eq!(file.open(NodeId(1)).unwrap().epoch, Epoch(1));
    assert!(matches!(RedbLedger::open_or_create(directory.path()), Err(OpenError::InUse)));
    drop((file, store));
    let mut again = RedbLedger::open_or_create(directory.path()).unwrap();
    assert_eq!(again.open(NodeId(1)).unwrap().epoch, Epoch(2), "an epoch is begun once");
}
