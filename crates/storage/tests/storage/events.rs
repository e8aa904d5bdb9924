//! The log of events: what was acknowledged is there, whole and in order, after any crash.

use deltaic_quota::{Event, EventKind, Time, Units};
use deltaic_storage::{FaultPlan, FaultyDisk, OpenError, RedbEvents, RedbLedger, StorageError};

use crate::world::seeds;

fn event(number: u64) -> Event {
    let kind = if number.is_multiple_of(3) { EventKind::Refunded } else { EventKind::Consumed };
    let (budget, key) = ("tokens".to_owned(), format!("k{}", number % 5));
    Event { at: Time(number), budget, key, kind, units: Units(number * 7), permit: number }
}

/// Appends batches of growing length until one is not acknowledged; how many events were.
fn run(log: &mut RedbEvents) -> (u64, Option<StorageError>) {
    let mut written = 0;
    for batch in 1..6 {
        let events: Vec<Event> = (written + 1..=written + batch).map(event).collect();
        if let Err(error) = log.append(&events) {
            return (written, Some(error));
        }
        written += batch;
    }
    (written, None)
}

fn read(log: &RedbEvents) -> Vec<(u64, Event)> {
    log.read(0, usize::MAX).unwrap()
}

fn expected(count: u64) -> Vec<(u64, Event)> {
    (1..=count).map(|number| (number, event(number))).collect()
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_operation() {
    let (mut in_flight, mut without) = (0, 0);
    for seed in seeds(3) {
        let count = FaultyDisk::new(seed);
        let mut log = RedbEvents::create_with_backend(count.clone()).unwrap();
        let (all, _) = run(&mut log);
        assert_eq!(read(&log), expected(all));
        drop(log);
        for n in 1..=count.operations() {
            let disk = FaultyDisk::new(seed);
            let mut log = RedbEvents::create_with_backend(disk.clone()).unwrap();
            disk.set_plan(FaultPlan { crash_at: Some(n), ..FaultPlan::default() });
            let (acknowledged, _) = run(&mut log);
            drop(log);
            let mut found = RedbEvents::open_with_backend(disk.crash(seed * 1_000 + n)).unwrap();
            let events = read(&found);
            let there = events.len() as u64;
            assert_eq!(events, expected(there), "seed {seed}, operation {n}");
            assert!(there >= acknowledged, "seed {seed}, operation {n}: {there} of {acknowledged}");
            if there > acknowledged {
                in_flight += 1;
            } else {
                without += 1;
            }
            found.append(&[event(there + 1)]).unwrap();
            assert_eq!(read(&found), expected(there + 1), "numbers go on");
            assert_eq!(found.check().unwrap(), there + 1);
        }
    }
    assert!(in_flight > 0 && without > 0, "{in_flight} in flight were there, {without} were not");
}

#[test]
fn a_full_disk_refuses_a_batch_whole() {
    let disk = FaultyDisk::new(5);
    let mut log = RedbEvents::create_with_backend(disk.clone()).unwrap();
    log.append(&[event(1)]).unwrap();
    disk.set_plan(FaultPlan { fail_write: Some(1), ..FaultPlan::default() });
    assert!(matches!(log.append(&[event(2), event(3)]), Err(StorageError::DiskFull { .. })));
    drop(log);
    assert_eq!(read(&RedbEvents::open_with_backend(disk).unwrap()), expected(1));
}

#[test]
fn a_check_finds_damage_of_any_event() {
    let disk = FaultyDisk::new(2);
    let mut log = RedbEvents::create_with_backend(disk.clone()).unwrap();
    let (count, _) = run(&mut log);
    drop(log);
    let bytes = disk.bytes();
    let name = b"tokens";
    let places: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    let mut found = 0;
    for at in &places {
        let mut damaged = bytes.clone();
        damaged[*at] ^= 1;
        let mut log = RedbEvents::open_with_backend(FaultyDisk::from_bytes(damaged, 2)).unwrap();
        match log.check() {
            // A page that is not in use any more.
            Ok(checked) => assert_eq!((checked, read(&log)), (count, expected(count))),
            Err(error) => {
                assert!(matches!(error, StorageError::Corrupted { part: "events", .. }), "{error}");
                found += 1;
            }
        }
        assert!(log.append(&[event(count + 1)]).is_ok());
    }
    assert!(found >= count, "{found} of {count}");
}

#[test]
fn parts_are_read_by_number_and_other_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = RedbEvents::open_or_create(directory.path()).unwrap();
    run(&mut log);
    let numbers = |after, limit| -> Vec<u64> {
        log.read(after, limit).unwrap().into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!((numbers(0, 2), numbers(13, 5), numbers(15, 5)), (vec![1, 2], vec![14, 15], vec![]));
    assert_eq!(numbers(u64::MAX, 5), [0; 0]);
    drop(log);
    let disk = FaultyDisk::new(7);
    drop(RedbLedger::create_with_backend(disk.clone()).unwrap());
    assert!(matches!(RedbEvents::open_with_backend(disk), Err(OpenError::Foreign)));
}
