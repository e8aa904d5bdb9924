//! [`Kind`]: the three clocks behind one face, so that each workload is written once.
//!
//! Invariant: who takes part (an id or a name) is apart from what it knows, so that what everybody knows is held once.

use deltaic_causality::itc::{Id, Owner, Stamp};
use deltaic_causality::{ActorId, Dot, VectorClock, VersionVector};

/// A participant of a kind of clock.
pub(crate) trait Kind {
    /// What a participant knows, as it is sent.
    type Stamp: Clone + Default;

    /// Counts an event of its own.
    fn event(&self, known: &mut Self::Stamp);

    /// Learns what a message says that somebody has sent to it.
    fn hear(&self, known: &mut Self::Stamp, message: &Self::Stamp);

    /// What both know, as new.
    fn join(left: &Self::Stamp, right: &Self::Stamp) -> Self::Stamp;

    /// Whether the right knows all that the left knows.
    fn leq(left: &Self::Stamp, right: &Self::Stamp) -> bool;

    /// As it is sent.
    fn write(stamp: &Self::Stamp, bytes: &mut Vec<u8>);

    /// How many bytes are sent.
    fn bytes(stamp: &Self::Stamp) -> u64 {
        let mut bytes = Vec::new();
        Self::write(stamp, &mut bytes);
        bytes.len() as u64
    }
}

impl Kind for Id {
    type Stamp = Stamp;

    fn event(&self, known: &mut Stamp) {
        *known = known.event().event(self).expect("invariant: few events").into();
    }

    fn hear(&self, known: &mut Stamp, message: &Stamp) {
        if !message.leq(known) {
            *known = known.join(message);
        }
    }

    fn join(left: &Stamp, right: &Stamp) -> Stamp {
        left.join(right)
    }

    fn leq(left: &Stamp, right: &Stamp) -> bool {
        left.leq(right)
    }

    fn write(stamp: &Stamp, bytes: &mut Vec<u8>) {
        stamp.write(bytes);
    }
}

/// Who has a version vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Versioned(pub(crate) ActorId);

impl Kind for Versioned {
    type Stamp = VersionVector;

    fn event(&self, known: &mut VersionVector) {
        known.raise(Dot { actor: self.0, seq: known.last(self.0) + 1 });
    }

    fn hear(&self, known: &mut VersionVector, message: &VersionVector) {
        known.join(message);
    }

    fn join(left: &VersionVector, right: &VersionVector) -> VersionVector {
        let mut both = left.clone();
        both.join(right);
        both
    }

    fn leq(left: &VersionVector, right: &VersionVector) -> bool {
        left <= right
    }

    fn write(stamp: &VersionVector, bytes: &mut Vec<u8>) {
        stamp.write(bytes);
    }
}

/// Who has a vector clock: it counts what it receives too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vectored(pub(crate) ActorId);

impl Kind for Vectored {
    type Stamp = VectorClock;

    fn event(&self, known: &mut VectorClock) {
        known.tick(self.0).expect("invariant: few events");
    }

    fn hear(&self, known: &mut VectorClock, message: &VectorClock) {
        known.receive(self.0, message).expect("invariant: few events");
    }

    fn join(left: &VectorClock, right: &VectorClock) -> VectorClock {
        let mut both = left.clone();
        both.learn(right);
        both
    }

    fn leq(left: &VectorClock, right: &VectorClock) -> bool {
        right.contains(left)
    }

    fn write(stamp: &VectorClock, bytes: &mut Vec<u8>) {
        stamp.write(bytes);
    }
}

/// Random numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A place in a list of so many.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

/// How ids came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forks {
    /// Equal parts, as after a new epoch.
    Balanced,
    /// Each newcomer asks anybody.
    Anybody,
    /// Each newcomer asks the first one.
    First,
}

impl Forks {
    /// The ids of so many.
    pub(crate) fn ids(self, count: u64, random: &mut Random) -> Vec<Id> {
        if self == Self::Balanced {
            return (0..count).map(|place| Id::balanced(place, count)).collect();
        }
        let mut owners = vec![Owner::seed()];
        while (owners.len() as u64) < count {
            let donor = if self == Self::First { 0 } else { random.place(owners.len()) };
            let newcomer = owners[donor].fork().expect("invariant: fewer forks than levels");
            owners.push(newcomer);
        }
        owners.into_iter().map(|owner| owner.into_parts().0).collect()
    }
}

/// Names that a registry gives: 1, 2, 3, ….
pub(crate) fn numbered(count: u64) -> Vec<ActorId> {
    (1..=count).map(ActorId).collect()
}

/// Names that everybody makes up for itself, as without a registry.
pub(crate) fn made_up(count: u64, random: &mut Random) -> Vec<ActorId> {
    (0..count).map(|_| ActorId(random.next())).collect()
}
