//! [`FaultyDisk`]: a disk in memory that fails as disks do, by a seed.
//!
//! Invariant: bytes are safe only once a sync has returned Ok after they were written. Of what was written since,
//! a crash keeps any subset, and of each write any of its 512-byte sectors. The same seed and the same calls give
//! the same disk.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;

/// When a [`FaultyDisk`] fails. Numbers count from 1, from the moment the plan is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// The sync of this number fails. Of what was unsynced then, any part is on the disk and the rest never will
    /// be, although reads still show it: a later sync that succeeds does not save it.
    pub fail_sync: Option<u64>,
    /// The write of this number finds the disk full.
    pub fail_write: Option<u64>,
    /// Writes that end beyond this many bytes find the disk full, and it does not grow beyond them.
    pub capacity: Option<u64>,
    /// The machine stops during the operation of this number (a write, a change of length or a sync): it and every
    /// later call fail.
    pub crash_at: Option<u64>,
}

#[derive(Debug, Clone)]
enum Unsynced {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug)]
struct State {
    /// What a crash cannot take.
    safe: Vec<u8>,
    /// What was done since, oldest first.
    unsynced: Vec<Unsynced>,
    /// What reads see.
    seen: Vec<u8>,
    plan: FaultPlan,
    operations: u64,
    writes: u64,
    syncs: u64,
    stopped: bool,
    random: SplitMix,
}

/// A disk in memory. Clones are handles to one disk: a test keeps one while redb owns another.
#[derive(Debug, Clone)]
pub struct FaultyDisk(Arc<Mutex<State>>);

/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014).
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl FaultyDisk {
    /// An empty disk without faults. The seed decides what is kept where a plan leaves it open.
    pub fn new(seed: u64) -> Self {
        Self::from_bytes(Vec::new(), seed)
    }

    /// A disk that holds these bytes safely.
    pub fn from_bytes(bytes: Vec<u8>, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            seen: bytes.clone(),
            safe: bytes,
            unsynced: Vec::new(),
            plan: FaultPlan::default(),
            operations: 0,
            writes: 0,
            syncs: 0,
            stopped: false,
            random: SplitMix(seed),
        })))
    }

    /// Sets when the disk fails from here on, and counts anew.
    pub fn set_plan(&self, plan: FaultPlan) {
        let mut state = self.lock();
        state.plan = plan;
        (state.operations, state.writes, state.syncs) = (0, 0, 0);
    }

    /// Writes, changes of length and syncs since the plan was set.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Writes since the plan was set.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Syncs since the plan was set.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// The bytes as reads see them.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().seen.clone()
    }

    /// The disk as it is found after a crash now: a new one, without faults. This one stays as it is, so that many
    /// crashes can be tried from one moment.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.lock();
        let mut random = SplitMix(seed);
        let bytes = survivors(&state.safe, &state.unsynced, &mut random);
        Self::from_bytes(bytes, random.next())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is on the disk when some of the unsynced operations reached it.
fn survivors(safe: &[u8], unsynced: &[Unsynced], random: &mut SplitMix) -> Vec<u8> {
    let mut bytes = safe.to_vec();
    // All, none, and every share between: the extremes find the most.
    let share = random.below(9);
    for operation in unsynced {
        let fate = random.below(8);
        let kept = fate < share;
        match operation {
            Unsynced::SetLen(length) if kept => bytes.resize(*length, 0),
            Unsynced::SetLen(_) => {}
            Unsynced::Write { offset, bytes: written } => {
                let torn = random.below(4) == 0 && share > 0 && share < 8;
                for (at, sector) in sectors(*offset, written) {
                    let kept = if torn { random.below(2) == 0 } else { kept };
                    // A write behind the end of a file that did not grow is lost with the growth.
                    if kept && at + sector.len() <= bytes.len() {
                        bytes[at..at + sector.len()].copy_from_slice(sector);
                    }
                }
            }
        }
    }
    bytes
}

/// A write, cut where the disk's sectors end.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest.chunks(SECTOR_BYTES).enumerate();
    std::iter::once((offset, head))
        .chain(rest.map(move |(n, part)| (offset + first + n * SECTOR_BYTES, part)))
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on the faulty disk")
}

impl State {
    /// Counts an operation; whether the machine stops during it.
    fn begin(&mut self) -> io::Result<bool> {
        if self.stopped {
            return Err(stopped());
        }
        self.operations += 1;
        self.stopped = self.plan.crash_at == Some(self.operations);
        Ok(self.stopped)
    }

    fn change(&mut self, operation: Unsynced) -> io::Result<()> {
        // An operation that the crash interrupts may have reached the disk, or a part of it.
        let stops = self.begin()?;
        match &operation {
            Unsynced::SetLen(length) => {
                if !stops && *length > self.seen.len() && self.over_capacity(*length) {
                    return Err(full());
                }
                self.seen.resize(*length, 0);
            }
            Unsynced::Write { offset, bytes } => {
                self.writes += 1;
                let end = offset + bytes.len();
                if !stops && (self.plan.fail_write == Some(self.writes) || self.over_capacity(end)) {
                    return Err(full());
                }
                let seen = self.seen.get_mut(*offset..end);
                seen.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.copy_from_slice(bytes);
            }
        }
        self.unsynced.push(operation);
        if stops { Err(stopped()) } else { Ok(()) }
    }

    fn over_capacity(&self, end: usize) -> bool {
        self.plan.capacity.is_some_and(|capacity| end as u64 > capacity)
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        let state = self.lock();
        if state.stopped { Err(stopped()) } else { Ok(state.seen.len() as u64) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        let end = (offset as usize).saturating_add(out.len());
        let seen = state.seen.get(offset as usize..end);
        out.copy_from_slice(seen.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.lock().change(Unsynced::SetLen(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.begin()? {
            return Err(stopped());
        }
        state.syncs += 1;
        let fails = state.plan.fail_sync == Some(state.syncs);
        let State { safe, unsynced, random, .. } = &mut *state;
        if fails {
            *safe = survivors(safe, unsynced, random);
            unsynced.clear();
            return Err(io::Error::other("the faulty disk did not confirm"));
        }
        for operation in unsynced.drain(..) {
            match operation {
                Unsynced::SetLen(length) => safe.resize(length, 0),
                Unsynced::Write { offset, bytes } => {
                    // After a failed sync the file may be shorter than what writes were made for.
                    let end = offset + bytes.len();
                    if safe.len() < end {
                        safe.resize(end, 0);
                    }
                    safe[offset..end].copy_from_slice(&bytes);
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.lock().change(Unsynced::Write { offset: offset as usize, bytes: bytes.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> FaultyDisk {
        let disk = FaultyDisk::new(1);
        disk.set_len(4096).unwrap();
        disk.write(0, &[1; 2048]).unwrap();
        disk.sync_data().unwrap();
        disk
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
        let disk = disk();
        disk.write(100, &[2; 1500]).unwrap();
        disk.write(2048, &[3; 512]).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let found = disk.crash(seed).bytes();
            assert_eq!(found, disk.crash(seed).bytes());
            assert!(found[..100].iter().all(|&byte| byte == 1));
            assert!(found[1600..2048].iter().all(|&byte| byte == 1));
            let first = [100, 512, 1024, 1599].map(|at| found[at]);
            assert!(found[512..1024].iter().all(|&byte| byte == found[512]));
            seen.insert((first, found[2048]));
        }
        // Nothing, everything, the second without the first, and the first torn.
        for found in [([1; 4], 0), ([2; 4], 3), ([1; 4], 3)] {
            assert!(seen.contains(&found), "{found:?} in {seen:?}");
        }
        assert!(seen.iter().any(|(first, _)| first.contains(&1) && first.contains(&2)));
    }

    #[test]
    fn plans_fail_where_they_say() {
        let disk = disk();
        disk.set_plan(FaultPlan { fail_write: Some(2), capacity: Some(3000), ..FaultPlan::default() });
        disk.write(0, &[4]).unwrap();
        assert_eq!(disk.write(1, &[5]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.write(2999, &[6, 6]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.set_len(5000).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((disk.bytes()[0], disk.bytes()[1], disk.bytes().len()), (4, 1, 4096));
        assert_eq!((disk.operations(), disk.writes(), disk.syncs()), (4, 3, 0));

        disk.set_plan(FaultPlan { crash_at: Some(2), ..FaultPlan::default() });
        disk.write(0, &[7]).unwrap();
        assert!(disk.sync_data().is_err() && disk.len().is_err() && disk.read(0, &mut [0]).is_err());
        assert!(disk.write(0, &[8]).is_err() && disk.set_len(1).is_err());
        assert!((0..100).any(|seed| disk.crash(seed).bytes()[0] == 1));
        assert!((0..100).any(|seed| disk.crash(seed).bytes()[0] == 7));
    }

    #[test]
    fn what_a_failed_sync_lost_is_not_saved_by_the_next() {
        let lost = (0..50).any(|seed| {
            let disk = FaultyDisk::from_bytes(vec![1; 512], seed);
            disk.set_plan(FaultPlan { fail_sync: Some(1), ..FaultPlan::default() });
            disk.write(0, &[2; 512]).unwrap();
            disk.sync_data().unwrap_err();
            disk.sync_data().unwrap();
            assert_eq!(disk.bytes()[0], 2);
            disk.crash(0).bytes()[0] == 1
        });
        assert!(lost);
    }
}
