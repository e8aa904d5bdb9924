//! What every allocation keeps: sums, the certificate, the order of tiers, independence of order, and that keeping a
//! solution gives what solving anew gives.

mod markets;

use std::collections::{BTreeMap, BTreeSet};

use deltaic_allocation::{
    Allocator, Change, Changed, EdgeId, Filter, Market, NodeId, ParticipantId, Quantity, Share, Side,
    Solution, Stamp, Tier, Time,
};
use markets::{Dice, Shape, commitment, random_change, random_market};

const SHAPES: [Shape; 4] = [
    Shape { participants: 12, slots: 1, lots: false, extras: false },
    Shape { participants: 8, slots: 3, lots: false, extras: false },
    Shape { participants: 8, slots: 3, lots: false, extras: true },
    Shape { participants: 8, slots: 3, lots: true, extras: true },
];

/// A seed's market after some changes, so that it has acceptances and holds.
fn lived(seed: u64, shape: Shape) -> Market {
    let mut dice = Dice(seed);
    let mut market = random_market(&mut dice, shape);
    for seq in 2..20 {
        let change = random_change(&mut dice, seq, shape, &market);
        let _ = market.apply(change);
    }
    market
}

fn sums(solution: &Solution) -> BTreeMap<NodeId, u64> {
    let mut sums = BTreeMap::new();
    for given in &solution.allocations {
        let EdgeId { capacity, need } = given.edge;
        for node in [
            NodeId::Capacity(capacity),
            NodeId::Need(need),
            NodeId::Gives(capacity, need.owner),
            NodeId::Takes(need, capacity.owner),
        ] {
            *sums.entry(node).or_default() += given.quantity.0;
        }
    }
    sums
}

/// Both sides are conserved, added up here and not by the certificate; what was accepted of a slot that shrank is the
/// one thing above it.
#[test]
fn nothing_gives_or_takes_more_than_it_has() {
    for shape in SHAPES {
        for seed in 0..300 {
            let market = lived(seed, shape);
            let now = Time(seed % 100);
            let solution = Solution::of(&market, now);
            for (node, sum) in sums(&solution) {
                let (side, slot, each) = match node {
                    NodeId::Capacity(slot) => (Side::Capacity, slot, false),
                    NodeId::Need(slot) => (Side::Need, slot, false),
                    NodeId::Gives(slot, _) => (Side::Capacity, slot, true),
                    NodeId::Takes(slot, _) => (Side::Need, slot, true),
                    NodeId::Guarantee(..) => unreachable!(),
                };
                let accepted = market.accepted_of(side, slot).0;
                let most = if each {
                    let slot = market.slot(side, slot);
                    slot.and_then(|slot| slot.most_each).map_or(u64::MAX, |most| most.0)
                } else {
                    market.quantity_at(side, slot, now).0
                };
                assert!(sum <= most.max(accepted), "seed {seed}, {shape:?}: {node} {sum} > {most}");
            }
        }
    }
}

#[test]
fn every_solution_has_a_certificate() {
    let mut allocated = BTreeSet::new();
    for shape in SHAPES {
        for seed in 0..300 {
            let market = lived(seed, shape);
            let solution = Solution::of(&market, Time(seed % 100));
            let checked = solution.certificate().check(&market, &solution);
            assert_eq!(checked, Ok(()), "seed {seed}, {shape:?}");
            allocated.extend(solution.allocations.iter().map(|given| given.tier));
        }
    }
    assert_eq!(allocated.len(), 5, "every tier is seen: {allocated:?}");
}

/// Before the generous tier begins, no mutual edge has room for a lot at both its ends.
#[test]
fn tiers_are_served_in_order() {
    let mut generous = 0;
    for shape in SHAPES {
        for seed in 0..300 {
            let market = lived(seed, shape);
            let now = Time(seed % 100);
            let mut solution = Solution::of(&market, now);
            let before = solution.allocations.len();
            solution.allocations.retain(|given| given.tier != Tier::Generous);
            generous += before - solution.allocations.len();
            let sums = sums(&solution);
            for edge in market.edges().into_iter().filter(|edge| edge.tier == Tier::Mutual) {
                let EdgeId { capacity, need } = edge.id;
                let free = |node: NodeId, most: Option<Quantity>| {
                    let used = sums.get(&node).copied().unwrap_or(0);
                    most.is_none_or(|most| most.0.saturating_sub(used) >= edge.lot)
                };
                let each = |side, slot| market.slot(side, slot).unwrap().most_each;
                let open = free(NodeId::Need(need), Some(market.quantity_at(Side::Need, need, now)))
                    && free(
                        NodeId::Capacity(capacity),
                        Some(market.quantity_at(Side::Capacity, capacity, now)),
                    )
                    && free(NodeId::Gives(capacity, need.owner), each(Side::Capacity, capacity))
                    && free(NodeId::Takes(need, capacity.owner), each(Side::Need, need));
                assert!(!open, "seed {seed}, {shape:?}: {} is open", edge.id);
            }
        }
    }
    assert!(generous > 100, "{generous}");
}

#[test]
fn order_and_repetition_of_commitments_leave_no_trace() {
    for seed in 0..200 {
        let shape = SHAPES[seed as usize % SHAPES.len()];
        let mut dice = Dice(seed);
        let mut changes: Vec<Change> = Vec::new();
        for seq in 1..4 {
            for owner in 0..shape.participants {
                changes.push(if dice.one_in(6) {
                    Change::Leave { owner: ParticipantId(owner), stamp: Stamp { incarnation: 1, seq } }
                } else {
                    Change::Commit(commitment(&mut dice, owner, seq, shape))
                });
            }
        }
        // A writer that breaks its word: the same stamp with something else.
        changes.push(Change::Commit(commitment(&mut dice, 0, 3, shape)));
        let solved = |changes: &[Change]| {
            let mut allocator = Allocator::default();
            for change in changes {
                allocator.apply(change.clone()).unwrap();
            }
            allocator.settle(Time(10));
            allocator.solution()
        };
        let expected = solved(&changes);
        for _ in 0..3 {
            let again: Vec<Change> =
                (0..10).map(|_| changes[dice.below(changes.len() as u64) as usize].clone()).collect();
            let mut shuffled = changes.clone();
            shuffled.extend(again);
            dice.shuffle(&mut shuffled);
            assert_eq!(solved(&shuffled), expected, "seed {seed}");
        }
    }
}

/// Over random changes, times that go back among them.
#[test]
fn what_is_kept_is_what_solving_anew_gives() {
    for shape in SHAPES {
        for seed in 0..60 {
            let mut dice = Dice(seed);
            let mut allocator = Allocator::new(random_market(&mut dice, shape)).unwrap();
            let mut now = Time(0);
            for seq in 2..40 {
                let change = random_change(&mut dice, seq, shape, allocator.market());
                let _ = allocator.apply(change);
                if dice.one_in(2) {
                    now = Time(if dice.one_in(5) { dice.below(120) } else { now.0 + dice.below(8) });
                    let before = allocator.solution();
                    let diff = allocator.settle(now);
                    let solution = allocator.solution();
                    assert_eq!(
                        solution,
                        Solution::of(allocator.market(), now),
                        "seed {seed} {seq} {shape:?}"
                    );
                    assert_eq!(applied(&before, &diff.moves), quantities(&solution));
                }
            }
            let kept = allocator.edge_count();
            assert_eq!(kept, allocator.market().edges().len());
        }
    }
}

fn quantities(solution: &Solution) -> BTreeMap<(EdgeId, Tier), Quantity> {
    solution.allocations.iter().map(|given| ((given.edge, given.tier), given.quantity)).collect()
}

fn applied(before: &Solution, moves: &[deltaic_allocation::Move]) -> BTreeMap<(EdgeId, Tier), Quantity> {
    let mut quantities = quantities(before);
    for step in moves {
        let was = quantities.remove(&(step.edge, step.tier)).unwrap_or_default();
        assert_eq!(was, step.before);
        if !step.after.is_zero() {
            quantities.insert((step.edge, step.tier), step.after);
        }
    }
    quantities
}

#[test]
fn only_the_components_that_a_change_touches_are_solved() {
    // A hundred islands of a provider and three recipients.
    let mut market = Market::default();
    let island = |at: u64| at * 10;
    for at in 0..100 {
        let base = island(at);
        let others: Vec<(u64, u64)> = (1..4).map(|place| (base + place, place)).collect();
        market.commit(markets::provider(base, 50, &others)).unwrap();
        for place in 1..4 {
            market.commit(markets::recipient(base + place, 20, &[(base, 1)])).unwrap();
        }
    }
    let mut allocator = Allocator::new(market).unwrap();
    assert_eq!(allocator.settle(Time(0)).edges_solved, 300);
    let mut changed = markets::recipient(island(7) + 2, 5, &[(island(7), 1)]);
    changed.stamp.seq = 2;
    assert_eq!(allocator.apply(Change::Commit(changed.clone())), Ok(Changed::Applied));
    let simulated = allocator.simulate([], Time(0)).unwrap();
    let diff = allocator.settle(Time(0));
    assert_eq!(diff.edges_solved, 3);
    assert!(!diff.moves.is_empty() && simulated.moves.is_empty());
    assert_eq!(allocator.settle(Time(0)).edges_solved, 0);
    // One that leaves and comes back as it was.
    let before = allocator.solution();
    let (owner, mut stamp) = (changed.owner, changed.stamp);
    stamp.seq = 3;
    allocator.apply(Change::Leave { owner, stamp }).unwrap();
    let left = allocator.settle(Time(0));
    assert_eq!(left.edges_solved, 2);
    stamp.seq = 4;
    let back = Change::Commit(deltaic_allocation::Commitment { stamp, ..changed });
    let simulated = allocator.simulate([back.clone()], Time(0)).unwrap();
    allocator.apply(back).unwrap();
    assert_eq!(allocator.settle(Time(0)), simulated);
    assert_eq!(allocator.solution(), before);
}

/// The index and the lists of recognition find the edges that looking at all pairs finds.
#[test]
fn edges_are_those_of_all_pairs() {
    for shape in SHAPES {
        for seed in 0..60 {
            let mut dice = Dice(seed);
            let market = random_market(&mut dice, shape);
            let mut expected = BTreeSet::new();
            for provider in market.members() {
                for recipient in market.members() {
                    let (from, to) = (provider.owner, recipient.owner);
                    let recognised = market.share(from, to);
                    let mutual = recognised.min(market.share(to, from));
                    for capacity in &provider.capacities {
                        for need in &recipient.needs {
                            let passes = |filters: &[Filter], other: &deltaic_allocation::Commitment| {
                                filters.iter().all(|filter| match filter {
                                    Filter::MutualOnly => mutual > Share::ZERO,
                                    Filter::MinimumMutual(least) => mutual >= *least,
                                    Filter::Allowed(these) => these.contains(&other.owner),
                                    Filter::Denied(these) => !these.contains(&other.owner),
                                    Filter::Required(word) => other.attributes.contains(word),
                                    Filter::Forbidden(word) => !other.attributes.contains(word),
                                })
                            };
                            let (large, small) = (capacity.lot.max(need.lot).0, capacity.lot.min(need.lot).0);
                            let lot = (1..=small).map(|n| n * large).find(|lot| lot % small == 0).unwrap();
                            let fits = from != to
                                && recognised > Share::ZERO
                                && capacity.kind == need.kind
                                && capacity.window.overlaps(need.window)
                                && capacity.place.meets(&need.place)
                                && passes(&capacity.filters, recipient)
                                && passes(&need.filters, provider)
                                && lot <= capacity.quantity.min(need.quantity).0;
                            let id = EdgeId::new(from.0, capacity.id.0, to.0, need.id.0);
                            assert_eq!(market.mismatch(id).is_ok(), fits, "seed {seed}: {id}");
                            let tier = if mutual > Share::ZERO { Tier::Mutual } else { Tier::Generous };
                            if fits {
                                expected.insert((id, tier));
                            }
                        }
                    }
                }
            }
            let found: Vec<_> = market.edges().iter().map(|edge| (edge.id, edge.tier)).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
