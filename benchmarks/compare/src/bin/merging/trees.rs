//! Interval tree clocks: comparison, merge, an event, and the bytes of a stamp, by the number of participants.
//!
//! Invariant: all make the same forks and the same events, and the trees that come of it have the same counts and leaves. Ids
//! are balanced; each participant has counted up to twenty events.

use std::hint::black_box;
use std::str::FromStr;

use deltaic_causality::itc::{Owner, Stamp};
use itc::{LessThanOrEqual as _, Max as _};
use treeclocks::{EventTree, ItcPair};

use crate::case::{Case, Contestant, contestant, sum};

/// A participant's clock in one of the libraries, with its own part of the line.
trait Clock: Clone + 'static {
    /// What is sent of it.
    type Stamp: Clone + 'static;

    const NAME: &'static str;

    fn seed() -> Self;
    fn fork(self) -> (Self, Self);
    fn event(self) -> Self;
    fn peek(&self) -> Self::Stamp;
    /// The clock that knows the stamp besides.
    fn receive(self, stamp: &Self::Stamp) -> Self;

    fn leq(left: &Self::Stamp, right: &Self::Stamp) -> bool;
    /// By value, where the library takes it so; copies are made before.
    fn join(left: Self::Stamp, right: Self::Stamp) -> Self::Stamp;
    /// The largest count, and the leaves.
    fn shape(stamp: &Self::Stamp) -> (u64, u64);
    fn bytes(stamp: &Self::Stamp) -> usize;
}

/// An [`Owner`] cannot be cloned: its parts can.
#[derive(Clone)]
struct Ours(deltaic_causality::itc::Id, Stamp);

impl Ours {
    fn owner(self) -> Owner {
        Owner::new(self.0, self.1).expect("the id is not empty")
    }

    fn of(owner: Owner) -> Self {
        let (id, stamp) = owner.into_parts();
        Self(id, stamp)
    }
}

impl Clock for Ours {
    type Stamp = Stamp;

    const NAME: &'static str = "Deltaic `itc`";

    fn seed() -> Self {
        Self::of(Owner::seed())
    }

    fn fork(self) -> (Self, Self) {
        let mut owner = self.owner();
        let other = owner.fork().expect("the tree is shallow");
        (Self::of(owner), Self::of(other))
    }

    fn event(self) -> Self {
        let mut owner = self.owner();
        owner.event().expect("the counts are small");
        Self::of(owner)
    }

    fn peek(&self) -> Stamp {
        self.1.clone()
    }

    fn receive(self, stamp: &Stamp) -> Self {
        let mut owner = self.owner();
        owner.receive(stamp);
        Self::of(owner)
    }

    fn leq(left: &Stamp, right: &Stamp) -> bool {
        left.leq(right)
    }

    fn join(left: Stamp, right: Stamp) -> Stamp {
        left.join(&right)
    }

    fn shape(stamp: &Stamp) -> (u64, u64) {
        (stamp.event().max(), stamp.event().leaves() as u64)
    }

    fn bytes(stamp: &Stamp) -> usize {
        let mut bytes = Vec::new();
        stamp.write(&mut bytes);
        bytes.len()
    }
}

impl Clock for itc::Stamp {
    type Stamp = itc::Stamp;

    const NAME: &'static str = "itc `Stamp`";

    fn seed() -> Self {
        itc::Stamp::seed()
    }

    fn fork(self) -> (Self, Self) {
        itc::IntervalTreeClock::fork(&self)
    }

    fn event(self) -> Self {
        itc::IntervalTreeClock::event(&self)
    }

    fn peek(&self) -> Self {
        itc::IntervalTreeClock::peek(self).0
    }

    fn receive(self, stamp: &Self) -> Self {
        itc::IntervalTreeClock::join(&self, stamp)
    }

    fn leq(left: &Self, right: &Self) -> bool {
        left.leq(right)
    }

    fn join(left: Self, right: Self) -> Self {
        itc::IntervalTreeClock::join(&left, &right)
    }

    fn shape(stamp: &Self) -> (u64, u64) {
        fn leaves(tree: &itc::EventTree) -> u64 {
            match tree {
                itc::EventTree::Leaf { .. } => 1,
                itc::EventTree::Node { left, right, .. } => leaves(left) + leaves(right),
            }
        }
        // An anonymous stamp is written as (0,EVENTS), and shows its tree in no other way.
        let text = stamp.to_string();
        let events =
            text.strip_prefix("(0,").and_then(|rest| rest.strip_suffix(')')).expect("it is anonymous");
        let tree = itc::EventTree::from_str(events).expect("the library wrote it");
        (u64::from(tree.max()), leaves(&tree))
    }

    fn bytes(stamp: &Self) -> usize {
        stamp.to_string().len()
    }
}

impl Clock for ItcPair {
    type Stamp = EventTree;

    const NAME: &'static str = "treeclocks `ItcPair`";

    fn seed() -> Self {
        ItcPair::new()
    }

    fn fork(mut self) -> (Self, Self) {
        let other = ItcPair::fork(&mut self);
        (self, other)
    }

    fn event(mut self) -> Self {
        ItcPair::event(&mut self);
        self
    }

    fn peek(&self) -> EventTree {
        self.timestamp.clone()
    }

    fn receive(mut self, stamp: &EventTree) -> Self {
        self.sync(stamp);
        self
    }

    fn leq(left: &EventTree, right: &EventTree) -> bool {
        left <= right
    }

    fn join(left: EventTree, right: EventTree) -> EventTree {
        left.join(right)
    }

    fn shape(stamp: &EventTree) -> (u64, u64) {
        fn leaves(tree: &EventTree) -> u64 {
            match tree {
                EventTree::Leaf(_) => 1,
                EventTree::SubTree(_, left, right) => leaves(left) + leaves(right),
            }
        }
        (stamp.max(), leaves(stamp))
    }

    fn bytes(stamp: &EventTree) -> usize {
        postcard::to_allocvec(stamp).map_or(0, |bytes| bytes.len())
    }
}

/// Clocks that know all of each other's events.
struct Group<C: Clock> {
    clocks: Vec<C>,
    all: C::Stamp,
}

fn joined<C: Clock>(clocks: impl Iterator<Item = C>) -> C::Stamp {
    clocks.map(|clock| clock.peek()).reduce(C::join).expect("there is a participant")
}

impl<C: Clock> Group<C> {
    fn of(participants: usize) -> Self {
        let mut clocks = std::collections::VecDeque::from([C::seed()]);
        while clocks.len() < participants {
            let (left, right) = clocks.pop_front().expect("there is one").fork();
            clocks.extend([left, right]);
        }
        let counted: Vec<C> = clocks
            .into_iter()
            .zip(0..)
            .map(|(clock, place)| (0..=place * 7 % 20).fold(clock, |clock, _| clock.event()))
            .collect();
        let all = joined(counted.iter().cloned());
        Self { clocks: counted.into_iter().map(|clock| clock.receive(&all)).collect(), all }
    }

    /// What is known when every second one, from this one on, has counted once more.
    fn ahead(&self, first: usize) -> C::Stamp {
        joined(self.clocks.iter().skip(first).step_by(2).map(|clock| clock.clone().event()))
    }
}

fn digest<C: Clock>(stamp: &C::Stamp) -> u64 {
    let (max, leaves) = C::shape(stamp);
    max * 1_000_000 + leaves
}

fn compares<C: Clock>(participants: usize, count: usize) -> Contestant {
    let group = Group::<C>::of(participants);
    let ahead = group.ahead(0);
    contestant(C::NAME, move |watch| {
        let less = |_: &usize| C::leq(black_box(&group.all), black_box(&ahead));
        sum(count, watch.time(|| (0..count).filter(less).count()) as u64)
    })
}

fn merges<C: Clock>(participants: usize, count: usize) -> Contestant {
    let group = Group::<C>::of(participants);
    let (left, right) = (group.ahead(0), group.ahead(1));
    contestant(C::NAME, move |watch| {
        let pairs = vec![(left.clone(), right.clone()); count];
        let stamps: Vec<C::Stamp> =
            watch.time(|| pairs.into_iter().map(|(left, right)| C::join(left, right)).collect());
        sum(count, stamps.iter().map(digest::<C>).sum())
    })
}

fn counts<C: Clock>(participants: usize, count: usize) -> Contestant {
    let group = Group::<C>::of(participants);
    contestant(C::NAME, move |watch| {
        let clocks: Vec<C> = group.clocks.iter().cycle().take(count).cloned().collect();
        let clocks: Vec<C> = watch.time(|| clocks.into_iter().map(C::event).collect());
        sum(count, clocks.iter().map(|clock| digest::<C>(&clock.peek())).sum())
    })
}

/// So many participants that have all published and hear of each other.
pub fn cases(participants: usize, quick: bool) -> Vec<Case> {
    let count = if quick { 8 } else { (200_000 / participants).max(64) };
    let label = format!("interval tree clocks of {participants}");
    let aim = (participants == 1_000).then_some(10_000.0);
    let case = |unit, aim, contestants| Case { label: label.clone(), unit, aim, contestants };
    vec![
        case(
            "a comparison",
            aim,
            vec![
                compares::<Ours>(participants, count),
                compares::<itc::Stamp>(participants, count),
                compares::<ItcPair>(participants, count),
            ],
        ),
        case(
            "a merge",
            aim,
            vec![
                merges::<Ours>(participants, count),
                merges::<itc::Stamp>(participants, count),
                merges::<ItcPair>(participants, count),
            ],
        ),
        case(
            "an event",
            None,
            vec![
                counts::<Ours>(participants, count),
                counts::<itc::Stamp>(participants, count),
                counts::<ItcPair>(participants, count),
            ],
        ),
    ]
}

/// Bytes of the stamp that knows all.
pub fn table() -> String {
    let mut text =
        "| a stamp, all have published | Deltaic | itc (text) | treeclocks (postcard) |\n| --- | --- | --- | --- |\n".to_owned();
    for participants in [10, 100, 1_000] {
        text += &format!(
            "| {participants} participants | {} | {} | {} |\n",
            Ours::bytes(&Group::<Ours>::of(participants).all),
            itc::Stamp::bytes(&Group::<itc::Stamp>::of(participants).all),
            ItcPair::bytes(&Group::<ItcPair>::of(participants).all),
        );
    }
    text
}
