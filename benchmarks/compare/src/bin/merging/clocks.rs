//! Version vectors: comparison and merge, by the number of actors.

use std::cmp::Ordering;
use std::hint::black_box;

use crdts::{CmRDT, CvRDT, VClock};
use deltaic_causality::{ActorId, Dot, VersionVector};

use crate::case::{Case, contestant, sum};

fn ours(actors: u64, ahead: u64) -> VersionVector {
    (0..actors).map(|actor| Dot { actor: ActorId(actor), seq: 1_000 + actor % 2 * ahead }).collect()
}

fn theirs(actors: u64, ahead: u64) -> VClock<u64> {
    let mut clock = VClock::new();
    (0..actors).for_each(|actor| clock.apply(crdts::Dot::new(actor, 1_000 + actor % 2 * ahead)));
    clock
}

/// One that is behind at every second actor is compared.
pub fn comparisons(actors: u64, quick: bool) -> Case {
    let count = if quick { 64 } else { 16_384 };
    let contestants = vec![
        contestant("Deltaic `VersionVector`", move |watch| {
            let (left, right) = (ours(actors, 0), ours(actors, 5));
            let less = |_: &usize| black_box(&left).partial_cmp(black_box(&right)) == Some(Ordering::Less);
            sum(count, watch.time(|| (0..count).filter(less).count()) as u64)
        }),
        contestant("crdts `VClock`", move |watch| {
            let (left, right) = (theirs(actors, 0), theirs(actors, 5));
            let less = |_: &usize| black_box(&left).partial_cmp(black_box(&right)) == Some(Ordering::Less);
            sum(count, watch.time(|| (0..count).filter(less).count()) as u64)
        }),
    ];
    Case {
        label: format!("version vectors of {actors} actors"),
        unit: "a comparison",
        aim: None,
        contestants,
    }
}

/// One that is behind at every second actor takes the other in.
pub fn merges(actors: u64, quick: bool) -> Case {
    let count = if quick { 64 } else { 1_024 };
    let total =
        |clocks: &[VClock<u64>]| clocks.iter().flat_map(VClock::iter).map(|dot| dot.counter).sum::<u64>();
    let contestants = vec![
        contestant("Deltaic `VersionVector`", move |watch| {
            let other = ours(actors, 5);
            let mut cuts = vec![ours(actors, 0); count];
            watch.time(|| cuts.iter_mut().for_each(|cut| cut.join(black_box(&other))));
            sum(count, cuts.iter().flat_map(VersionVector::iter).map(|(_, seq)| seq).sum())
        }),
        contestant("crdts `VClock`, `merge` alone", move |watch| {
            let others = vec![theirs(actors, 5); count];
            let mut clocks = vec![theirs(actors, 0); count];
            watch.time(|| {
                for (clock, other) in clocks.iter_mut().zip(others) {
                    clock.merge(other);
                }
            });
            sum(count, total(&clocks))
        }),
        contestant("crdts `VClock`, `clone` and `merge`", move |watch| {
            let other = theirs(actors, 5);
            let mut clocks = vec![theirs(actors, 0); count];
            watch.time(|| clocks.iter_mut().for_each(|clock| clock.merge(other.clone())));
            sum(count, total(&clocks))
        }),
    ];
    Case { label: format!("version vectors of {actors} actors"), unit: "a merge", aim: None, contestants }
}
