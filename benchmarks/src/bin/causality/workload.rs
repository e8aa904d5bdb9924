//! [`Workload`]: who hears of whom.
//!
//! Invariant: the same seed makes the same choices for each kind of clock.

use crate::PARTICIPANTS;
use crate::kind::{Kind, Random};

/// How events spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Nobody hears of anybody.
    Isolated,
    /// One in ten makes events, and everybody hears of them before the next.
    OneInTen,
    /// All make events, and everybody hears of them before the next.
    All,
    /// Whoever makes an event tells one other.
    Gossip,
    /// Whoever makes an event tells the first one, which answers.
    Star,
}

pub(crate) const WORKLOADS: [Workload; 5] =
    [Workload::Isolated, Workload::OneInTen, Workload::All, Workload::Gossip, Workload::Star];

/// What is known at the end.
pub(crate) struct Outcome<S> {
    /// By some who take part.
    pub(crate) known: Vec<S>,
    /// By two of whom each knows something that the other does not.
    pub(crate) two: (S, S),
}

impl<S> Outcome<S> {
    /// The bytes of the one in the middle.
    pub(crate) fn bytes<K: Kind<Stamp = S>>(&self) -> u64 {
        let mut sizes: Vec<u64> = self.known.iter().map(K::bytes).collect();
        sizes.sort_unstable();
        sizes[sizes.len() / 2]
    }
}

/// Events a participant makes, on average. They cost the square of those that take part.
fn events(participants: usize) -> usize {
    if participants > 1_000 { 2 } else { 10 }
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::OneInTen => "one in ten publishes",
            Self::All => "all publish",
            Self::Gossip => "gossip",
            Self::Star => "star",
        }
    }

    /// How many take part. Where each keeps a clock of its own, memory grows with the square, and 10,000 are left out.
    pub(crate) fn participants(self) -> impl Iterator<Item = u64> {
        let most = if matches!(self, Self::Gossip | Self::Star) { 1_000 } else { 10_000 };
        PARTICIPANTS.into_iter().filter(move |count| *count <= most)
    }

    /// Runs it.
    pub(crate) fn run<K: Kind>(self, all: &[K], mut random: Random) -> Outcome<K::Stamp> {
        match self {
            Self::Isolated => isolated(all),
            Self::OneInTen => {
                let some: Vec<&K> = all.iter().step_by(10).collect();
                heard_by_all(&some, all, &mut random)
            }
            Self::All => heard_by_all(&all.iter().collect::<Vec<_>>(), all, &mut random),
            Self::Gossip => gossip(all, &mut random),
            Self::Star => star(all, &mut random),
        }
    }
}

fn isolated<K: Kind>(all: &[K]) -> Outcome<K::Stamp> {
    let known: Vec<K::Stamp> = all
        .iter()
        .map(|one| {
            let mut known = K::Stamp::default();
            (0..events(all.len())).for_each(|_| one.event(&mut known));
            known
        })
        .collect();
    let two = (known[0].clone(), known[known.len() / 2].clone());
    Outcome { known, two }
}

/// Messages are delivered in causal order, which counts no receipts in a vector clock either.
fn heard_by_all<K: Kind>(some: &[&K], all: &[K], random: &mut Random) -> Outcome<K::Stamp> {
    let mut known = K::Stamp::default();
    // Each at least once, so that the number of those that publish is what it says.
    for one in some {
        one.event(&mut known);
    }
    for _ in some.len()..some.len() * events(all.len()) {
        some[random.place(some.len())].event(&mut known);
    }
    let (mut left, mut right) = (known.clone(), known.clone());
    some[0].event(&mut left);
    all[all.len() / 2 + 1].event(&mut right);
    Outcome { known: vec![known], two: (left, right) }
}

fn gossip<K: Kind>(all: &[K], random: &mut Random) -> Outcome<K::Stamp> {
    let mut known = vec![K::Stamp::default(); all.len()];
    for _ in 0..all.len() * events(all.len()) {
        let from = random.place(all.len());
        let to = (from + 1 + random.place(all.len() - 1)) % all.len();
        all[from].event(&mut known[from]);
        let message = std::mem::take(&mut known[from]);
        all[to].hear(&mut known[to], &message);
        known[from] = message;
    }
    ended(all, known)
}

fn star<K: Kind>(all: &[K], random: &mut Random) -> Outcome<K::Stamp> {
    let mut known = vec![K::Stamp::default(); all.len()];
    for _ in 0..all.len() * events(all.len()) {
        let from = 1 + random.place(all.len() - 1);
        all[from].event(&mut known[from]);
        let message = std::mem::take(&mut known[from]);
        all[0].hear(&mut known[0], &message);
        known[from] = message;
        let answer = std::mem::take(&mut known[0]);
        all[from].hear(&mut known[from], &answer);
        known[0] = answer;
    }
    ended(all, known)
}

fn ended<K: Kind>(all: &[K], mut known: Vec<K::Stamp>) -> Outcome<K::Stamp> {
    let half = all.len() / 2;
    let (mut left, mut right) = (known[0].clone(), known[half].clone());
    all[0].event(&mut left);
    all[half].event(&mut right);
    let step = known.len().div_ceil(100);
    let mut place = 0;
    known.retain(|_| {
        place += 1;
        (place - 1) % step == 0
    });
    Outcome { known, two: (left, right) }
}
