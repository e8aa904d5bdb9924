//! Replicas that are told of commitments late, twice and out of order: the version decides what is stale, an interval tree clock's
//! digest names what a replica lacks, and equal digests are equal allocations, bit by bit, each with its certificate.

mod markets;

use deltaic_allocation::{Allocator, Change, Commitment, ParticipantId, Stamp, Time};
use deltaic_causality::itc::{Answer, Id, Latest};
use markets::{Dice, Shape, commitment};

/// What a participant says: a commitment, or that it leaves.
type Said = Option<Commitment>;

/// A replica: what it has heard, and the market that it keeps of it.
#[derive(Default)]
struct Replica {
    said: Latest<ParticipantId, Stamp, Said>,
    allocator: Allocator,
}

fn change(owner: ParticipantId, stamp: Stamp, said: &Said) -> Change {
    said.clone().map_or(Change::Leave { owner, stamp }, Change::Commit)
}

impl Replica {
    fn hear(&mut self, answer: Answer<ParticipantId, Stamp, Said>) {
        for owner in self.said.hear(answer) {
            let (stamp, said) = self.said.get(&owner).expect("it was just heard");
            let _ = self.allocator.apply(change(owner, *stamp, said));
        }
    }
}

/// So many commitments live at four replicas, each participant at one of them; links lose, repeat and are late; at times they are cut.
#[test]
fn equal_digests_are_equal_allocations_with_a_certificate() {
    let shape = Shape { participants: 24, slots: 2, lots: true, extras: true };
    let (mut told, mut needed) = (0, 0);
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let mut replicas: Vec<Replica> = (0..4).map(|_| Replica::default()).collect();
        let mut stamps = vec![Stamp { incarnation: 1, seq: 0 }; 24];
        let mut under_way: Vec<(usize, Answer<_, _, _>)> = Vec::new();
        for step in 0..120 {
            let is_cut = (40..80).contains(&step);
            let owner = dice.below(24);
            let home = &mut replicas[owner as usize % 4];
            let stamp = &mut stamps[owner as usize];
            if dice.one_in(20) {
                // It has forgotten its number, and begins another life above another part.
                *stamp = Stamp { incarnation: stamp.incarnation + 1, seq: 0 };
            }
            stamp.seq += 1;
            let part = Id::balanced(owner * 32 + u64::from(stamp.incarnation), 1_024);
            let said = (!dice.one_in(8))
                .then(|| Commitment { stamp: *stamp, ..commitment(&mut dice, owner, stamp.seq, shape) });
            home.said.say(ParticipantId(owner), &part, *stamp, said.clone()).expect("it is newer");
            let _ = home.allocator.apply(change(ParticipantId(owner), *stamp, &said));
            let (from, to) = (dice.below(4) as usize, dice.below(4) as usize);
            if from != to && !(is_cut && from % 2 != to % 2) {
                let answer = replicas[to].said.answer(replicas[from].said.digest());
                if !dice.one_in(4) {
                    under_way.push((from, answer.clone()));
                }
                if dice.one_in(4) {
                    under_way.push((from, answer));
                }
            }
            while under_way.len() > 6 || (!under_way.is_empty() && dice.one_in(2)) {
                let (to, answer) = under_way.swap_remove(dice.below(under_way.len() as u64) as usize);
                replicas[to].hear(answer);
            }
        }
        for _ in 0..2 {
            for from in 0..4 {
                for to in 0..4 {
                    let answer = replicas[to].said.answer(replicas[from].said.digest());
                    told += answer.words.len();
                    needed += replicas[to]
                        .said
                        .iter()
                        .filter(|(owner, stamp, _)| {
                            replicas[from].said.get(*owner).is_none_or(|(known, _)| known < *stamp)
                        })
                        .count();
                    replicas[from].hear(answer);
                }
            }
        }
        let digest = replicas[0].said.digest().clone();
        // From the commitments alone, in their order.
        let mut anew = Allocator::default();
        for (owner, stamp, said) in replicas[0].said.iter() {
            let _ = anew.apply(change(*owner, *stamp, said));
        }
        anew.settle(Time(25));
        for replica in &mut replicas {
            assert_eq!(*replica.said.digest(), digest, "seed {seed}");
            replica.allocator.settle(Time(25));
            let solution = replica.allocator.solution();
            assert_eq!(solution, anew.solution(), "seed {seed}");
            assert_eq!(
                solution.certificate().check(replica.allocator.market(), &solution),
                Ok(()),
                "seed {seed}"
            );
        }
    }
    assert_eq!(told, needed, "only what was lacking was told");
    assert!(told > 1_000, "{told}");
}
