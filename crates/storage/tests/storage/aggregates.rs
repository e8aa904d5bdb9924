//! Aggregates in the file of the budgets: as in memory, and on disks that fail.

use std::collections::BTreeMap;

use deltaic_quota::{
    AggregateLedger, Changes, Coalescer, Epoch, Key, Ledger, LedgerError, MemoryLedger, NodeId, Seq, Sum,
    Time, Union, conformance,
};
use deltaic_storage::{FaultPlan, FaultyDisk, RedbLedger};

use crate::world::seeds;

fn ledger(disk: &FaultyDisk) -> RedbLedger {
    RedbLedger::create_with_backend(disk.clone()).unwrap()
}

fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).unwrap()
}

#[test]
fn aggregates_in_a_file_conform() {
    conformance::check_aggregates(|| ledger(&FaultyDisk::new(1)));
    for seed in seeds(4) {
        conformance::check_aggregates_in_any_order(&mut ledger(&FaultyDisk::new(seed)), seed, 40);
    }
}

#[test]
fn aggregates_are_the_same_in_a_file_and_in_memory_and_beside_budgets() {
    for seed in seeds(3) {
        let disk = FaultyDisk::new(seed);
        let (mut file, mut memory) = (ledger(&disk), MemoryLedger::new());
        conformance::check_aggregates_in_any_order(&mut file, seed, 30);
        conformance::check_aggregates_in_any_order(&mut memory, seed, 30);
        let image = memory.image_of_aggregates().unwrap();
        assert_eq!(file.image_of_aggregates().unwrap(), image);
        // The budgets of the file are none of theirs.
        let budgets = file.image().unwrap();
        assert_eq!(file.open(NodeId(1)).unwrap().epoch, Epoch(1));
        assert_ne!(file.image().unwrap(), budgets);
        assert_eq!(file.image_of_aggregates().unwrap(), image);
        drop(file);
        let mut again = RedbLedger::open_with_backend(disk).unwrap();
        assert_eq!(again.image_of_aggregates().unwrap(), image);
    }
}

/// A node writes until the disk has failed; then it goes on with what it has not heard of, on what the disk kept. How
/// often the batch under way was there.
fn run(plan: FaultPlan, seed: u64) -> (Result<(), LedgerError>, bool) {
    let (name, disk) = (key("n"), FaultyDisk::new(seed));
    let mut file = ledger(&disk);
    let mut coalescer = Coalescer::new(NodeId(1), file.open_aggregate(&name, NodeId(1)).unwrap(), 2);
    disk.set_plan(plan);
    let mut told = BTreeMap::new();
    let (mut failed, mut was_there) = (Ok(()), false);
    for at in 0..24_u64 {
        let of = key(&format!("{}", at * seed % 5));
        coalescer.add(Time(at), &of, &Sum(i128::from(at)));
        *told.entry(of).or_insert(0) += i128::from(at);
        let Some(batch) = coalescer.flush(Time(at)) else { continue };
        let mut outcome = file.combine(&name, &batch);
        if let Err(error) = outcome {
            assert!(matches!(error, LedgerError::Away | LedgerError::Refused { .. }), "{error:?}");
            assert_eq!(failed, Ok(()), "a disk fails once");
            drop(file);
            file = RedbLedger::open_with_backend(disk.crash(seed * 1_000 + at)).unwrap();
            let before = file.image_of_aggregates().unwrap();
            // The same bytes go again.
            outcome = file.combine(&name, &batch);
            was_there = file.image_of_aggregates().unwrap() == before;
            failed = Err(error);
        }
        assert_eq!(outcome, Ok(()));
        coalescer.acknowledged(batch.seq);
    }
    while let Some(batch) = coalescer.flush_all() {
        if file.combine(&name, &batch).is_err() {
            drop(file);
            file = RedbLedger::open_with_backend(disk.crash(seed)).unwrap();
            file.combine(&name, &batch).unwrap();
        }
        coalescer.acknowledged(batch.seq);
    }
    disk.set_plan(FaultPlan::default());
    for (of, sum) in told {
        assert_eq!(file.aggregate::<Sum>(&name, &of).unwrap(), Sum(sum), "{plan:?}: {of}");
    }
    (failed, was_there)
}

#[test]
fn every_change_is_counted_once_whatever_operation_of_the_disk_fails() {
    let (mut with, mut without, mut away) = (0, 0, 0);
    for seed in seeds(2) {
        for n in 1..150 {
            let plans = [
                FaultPlan { crash_at: Some(n), ..FaultPlan::default() },
                FaultPlan { fail_sync: Some(n), ..FaultPlan::default() },
                FaultPlan { fail_write: Some(n), ..FaultPlan::default() },
            ];
            for plan in plans {
                let (outcome, was_there) = run(plan, seed);
                let Err(error) = outcome else { continue };
                assert!(!was_there || error == LedgerError::Away, "what was refused was not written");
                *(if was_there { &mut with } else { &mut without }) += 1;
                away += u32::from(error == LedgerError::Away);
            }
        }
    }
    println!("{with} batches under way were there, {without} were not, {away} had no answer");
    assert!(with > 0 && without > 20 && away > 0, "{with} were there, {without} were not, {away} away");
}

#[test]
fn damage_of_a_value_is_found_and_nothing_is_added_to_it() {
    let disk = FaultyDisk::new(3);
    let mut file = ledger(&disk);
    let (name, of) = (key("aggregate"), key("a key that is found among the bytes"));
    file.open_aggregate(&name, NodeId(1)).unwrap();
    let rows = vec![(of.clone(), Union([key("an element of it")].into()))];
    let batch = Changes { node: NodeId(1), epoch: Epoch(1), seq: Seq(1), rows };
    file.combine(&name, &batch).unwrap();
    drop(file);
    let bytes = disk.bytes();
    let element = b"an element of it";
    let places: Vec<usize> = (0..bytes.len() - 16).filter(|at| bytes[*at..].starts_with(element)).collect();
    assert!(!places.is_empty());
    let mut refused = 0;
    for at in places {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let Ok(mut file) = RedbLedger::open_with_backend(FaultyDisk::from_bytes(damaged, 3)) else {
            refused += 1;
            continue;
        };
        let damage = LedgerError::Refused { why: "the file is damaged" };
        match file.aggregate::<Union<Key>>(&name, &of) {
            Err(error) => {
                assert_eq!(error, damage);
                assert_eq!(file.combine(&name, &Changes { seq: Seq(2), ..batch.clone() }), Err(damage));
                refused += 1;
            }
            // A page that is not in use any more.
            Ok(found) => assert_eq!(found, batch.rows[0].1),
        }
    }
    assert!(refused > 0);
}
