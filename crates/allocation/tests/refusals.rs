//! Bad input: an error that says what to do, or an effect that is bounded; never more than a slot has.

mod markets;

use std::collections::BTreeSet;

use deltaic_allocation::{
    Accepted, Allocator, Change, Changed, Commitment, EdgeId, Filter, Guarantee, Held, Market, MarketError,
    ParticipantId, Place, Point, Quantity, Share, Side, Slot, SlotId, Solution, Stamp, Tier, Time, Window,
};
use deltaic_types::limits;
use markets::{Dice, Shape, first, market, name, provider, random_market, recipient, slot};

fn with_slot(change: impl FnOnce(&mut Slot)) -> Commitment {
    let mut said = provider(1, 10, &[]);
    change(&mut said.capacities[0]);
    said
}

#[test]
fn a_commitment_that_is_too_large_or_makes_no_sense_is_refused() {
    let (owner, side, id) = (ParticipantId(1), Side::Capacity, SlotId(1));
    let at = |point, radius| Place::At { country: None, city: None, point, radius };
    let ids = |count: u64| (0..count).map(ParticipantId).collect::<BTreeSet<_>>();
    let guarantee = |capacity, to, units| Guarantee {
        capacity: SlotId(capacity),
        to: ParticipantId(to),
        quantity: Quantity::units(units),
    };
    let guaranteed = |guarantees| Commitment { guarantees, ..provider(1, 10, &[]) };
    let attributes = (0..17).map(|number| name(&number.to_string())).collect();
    let many: Vec<Slot> = (0..10_000).map(|id| slot(id, 1)).collect();
    let over = Quantity(Quantity::MAX.0 + 1);
    let cases = [
        (
            Commitment { capacities: many.clone(), ..Commitment::new(1, 1) },
            MarketError::TooManySlots { owner, side, count: 10_000 },
            "participant 1 has 10000 capacity slots: at most 1000 are allowed",
        ),
        (
            Commitment { needs: many, ..Commitment::new(1, 1) },
            MarketError::TooManySlots { owner, side: Side::Need, count: 10_000 },
            "participant 1 has 10000 need slots: at most 1000 are allowed",
        ),
        (
            Commitment { capacities: vec![slot(1, 1), slot(1, 2)], ..Commitment::new(1, 1) },
            MarketError::DuplicateSlot { owner, side, slot: id },
            "participant 1 has capacity slot 1 twice: give each an id of its own",
        ),
        (
            with_slot(|slot| slot.quantity = over),
            MarketError::QuantityOver { owner, side, slot: id, quantity: over },
            "participant 1's capacity slot 1 says 1152921504606.846977: at most 1152921504606.846976 is allowed",
        ),
        (
            with_slot(|slot| slot.lot = Quantity::ZERO),
            MarketError::NoLot { owner, side, slot: id },
            "participant 1's capacity slot 1 has a lot of nothing: say 1 millionth for no restriction",
        ),
        (
            with_slot(|slot| slot.window = Window { from: Some(Time(2)), until: Some(Time(2)) }),
            MarketError::EmptyWindow { owner, side, slot: id },
            "participant 1's capacity slot 1 has a window that ends before it begins",
        ),
        (
            with_slot(|slot| slot.place = at(Some(Point { latitude: 90_000_001, longitude: 0 }), None)),
            MarketError::NoSuchPoint { owner, side, slot: id },
            "participant 1's capacity slot 1 is not on the Earth: 90 degrees of latitude, 180 of longitude",
        ),
        (
            with_slot(|slot| slot.place = at(None, Some(20_000_001))),
            MarketError::RadiusOver { owner, side, slot: id, metres: 20_000_001 },
            "participant 1's capacity slot 1 has a radius of 20000001 m: at most 20000000 is allowed",
        ),
        (
            with_slot(|slot| slot.filters = vec![Filter::MutualOnly; 17]),
            MarketError::TooManyFilters { owner, side, slot: id, count: 17 },
            "participant 1's capacity slot 1 has 17 filters: at most 16 are allowed",
        ),
        (
            with_slot(|slot| slot.filters = vec![Filter::Denied(ids(1_001))]),
            MarketError::TooManyNamed { owner, side, slot: id, count: 1_001 },
            "a filter of participant 1's capacity slot 1 names 1001: at most 1000 are allowed",
        ),
        (
            with_slot(|slot| slot.filters = vec![Filter::MinimumMutual(Share(Share::ONE.0 * 2))]),
            MarketError::ShareOver { owner, side, slot: id, share: Share(Share::ONE.0 * 2) },
            "a filter of participant 1's capacity slot 1 asks for a share of 2: at most 1 is allowed",
        ),
        (
            Commitment { attributes, ..Commitment::new(1, 1) },
            MarketError::TooManyAttributes { owner, count: 17 },
            "participant 1 has 17 attributes: at most 16 are allowed",
        ),
        (
            Commitment {
                recognition: ids(10_001).into_iter().map(|who| (who, 1)).collect(),
                ..Commitment::new(1, 1)
            },
            MarketError::TooManyRecognised { owner, count: 10_001 },
            "participant 1 recognises 10001: at most 10000 are allowed",
        ),
        (
            provider(1, 10, &[(2, 1), (2, 3)]),
            MarketError::RecognisedTwice { owner, whom: ParticipantId(2) },
            "participant 1 recognises 2 twice: add the weights",
        ),
        (
            guaranteed((0..1_001).map(|to| guarantee(1, to, 0)).collect()),
            MarketError::TooManyGuarantees { owner, count: 1_001 },
            "participant 1 has 1001 guarantees: at most 1000 are allowed",
        ),
        (
            guaranteed(vec![guarantee(1, 2, 1), guarantee(1, 2, 3)]),
            MarketError::GuaranteedTwice { owner, slot: id, to: ParticipantId(2) },
            "participant 1 guarantees 2 something of slot 1 twice: add the quantities",
        ),
        (
            guaranteed(vec![guarantee(2, 2, 1)]),
            MarketError::GuaranteeWithoutSlot { owner, slot: SlotId(2) },
            "participant 1 guarantees something of capacity slot 2, which it has not",
        ),
        (
            guaranteed(vec![guarantee(1, 2, 6), guarantee(1, 3, 5)]),
            MarketError::GuaranteesOver {
                owner,
                slot: id,
                promised: 11_000_000,
                quantity: Quantity::units(10),
            },
            "participant 1 guarantees 11000000 millionths of slot 1, which has 10: guarantee less",
        ),
    ];
    let mut allocator =
        Allocator::new(market([recipient(2, 5, &[(1, 1)]), provider(1, 10, &[(2, 1)])])).unwrap();
    allocator.settle(Time(0));
    let before = allocator.solution();
    for (mut said, error, text) in cases {
        said.stamp.seq = 2;
        let refused = allocator.apply(Change::Commit(said)).unwrap_err();
        assert_eq!(refused, error);
        assert_eq!(refused.to_string(), text);
        allocator.settle(Time(0));
        assert_eq!(allocator.solution(), before, "{text}");
    }
}

#[test]
fn edges_participants_and_reservations_have_an_end() {
    let mut allocator = Allocator::default();
    allocator.set_most_edges(2);
    allocator.apply(Change::Commit(provider(1, 9, &[(2, 1), (3, 1), (4, 1)]))).unwrap();
    for owner in 2..4 {
        allocator.apply(Change::Commit(recipient(owner, 9, &[]))).unwrap();
    }
    let refused = allocator.apply(Change::Commit(recipient(4, 9, &[]))).unwrap_err();
    assert_eq!(refused, MarketError::TooManyEdges { count: 3, most: 2 });
    assert_eq!(
        refused.to_string(),
        "there would be 3 edges or more: at most 2 are allowed; narrow kinds, filters or recognition"
    );
    allocator.settle(Time(0));
    assert_eq!(allocator.solution(), Solution::of(allocator.market(), Time(0)));
    assert!(allocator.market().commitment(ParticipantId(4)).is_none());

    let mut market = Market::default();
    let stamp = Stamp { incarnation: 1, seq: 1 };
    for owner in 0..limits::PARTICIPANTS as u64 {
        market.leave(ParticipantId(owner), stamp).unwrap();
        let edge = EdgeId::new(owner, 1, owner, 1);
        market.hold(Held { edge, quantity: Quantity::UNIT, until: Time(9) }).unwrap();
    }
    let refused = market.leave(ParticipantId(u64::MAX), stamp).unwrap_err();
    assert_eq!(refused, MarketError::TooManyParticipants);
    assert_eq!(refused.to_string(), "the market has 1048576 participants: no other can join");
    let edge = EdgeId::new(u64::MAX, 1, 1, 1);
    let refused = market.hold(Held { edge, quantity: Quantity::UNIT, until: Time(9) }).unwrap_err();
    assert_eq!(refused, MarketError::TooManyReservations);
    assert_eq!(refused.to_string(), "the market has 1048576 reservations: release some");
}

#[test]
fn nothing_is_accepted_twice() {
    let mut market = market([provider(1, 10, &[(2, 1), (3, 1)]), recipient(2, 8, &[]), recipient(3, 9, &[])]);
    let accept = |to, units| Accepted { edge: EdgeId::new(1, 1, to, 1), quantity: Quantity::units(units) };
    let edge = EdgeId::new(1, 1, 2, 1);
    let refused = market.accept(accept(2, 9)).unwrap_err();
    let (side, quantity, left) = (Side::Need, Quantity::units(9), Quantity::units(8));
    assert_eq!(refused, MarketError::OverAccepted { edge, side, quantity, left });
    assert_eq!(market.accept(accept(2, 8)), Ok(Changed::Applied));
    let refused = market.accept(accept(3, 3)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "provider 1's slot 1 to recipient 3's slot 1: accepting 3 is more than the 2 that the capacity slot has left"
    );
    let refused = market.accept(accept(4, 1)).unwrap_err();
    let why = deltaic_allocation::Mismatch::Missing(Side::Need);
    assert_eq!(refused, MarketError::NoEdge { edge: EdgeId::new(1, 1, 4, 1), why });
    assert_eq!(
        refused.to_string(),
        "provider 1's slot 1 to recipient 4's slot 1 cannot be accepted: there is no such need slot"
    );
    let refused = market.release(accept(2, 9)).unwrap_err();
    let accepted = Quantity::units(8);
    assert_eq!(refused, MarketError::OverReleased { edge, quantity, accepted });
    assert_eq!(
        refused.to_string(),
        "provider 1's slot 1 to recipient 2's slot 1: releasing 9 is more than the 8 that was accepted"
    );
    assert_eq!(market.release(accept(2, 8)), Ok(Changed::Applied));
    assert_eq!(market.acceptances().count(), 0);
}

/// A participant leaves with accepted offers, and comes back smaller: what was accepted stands, and nothing else.
#[test]
fn what_was_accepted_outlives_a_participant_and_is_never_more() {
    let said = [provider(1, 10, &[(2, 1), (3, 1)]), recipient(2, 8, &[(1, 1)]), recipient(3, 9, &[(1, 1)])];
    let mut allocator = Allocator::new(market(said)).unwrap();
    let edge = EdgeId::new(1, 1, 2, 1);
    allocator.apply(Change::Accept(Accepted { edge, quantity: Quantity::units(6) })).unwrap();
    let given = |allocator: &mut Allocator| -> Vec<(u64, Tier, u64)> {
        allocator.settle(Time(0));
        let solution = allocator.solution();
        assert_eq!(solution.certificate().check(allocator.market(), &solution), Ok(()));
        let all = solution.allocations.iter();
        all.map(|given| (given.edge.need.owner.0, given.tier, given.quantity.0 / 1_000_000)).collect()
    };
    assert_eq!(given(&mut allocator), [(2, Tier::Accepted, 6), (2, Tier::Mutual, 2), (3, Tier::Mutual, 2)]);
    let stamp = |seq| Stamp { incarnation: 1, seq };
    allocator.apply(Change::Leave { owner: ParticipantId(1), stamp: stamp(2) }).unwrap();
    assert_eq!(given(&mut allocator), [(2, Tier::Accepted, 6)]);
    let drawn = allocator.market().overdrawn();
    assert_eq!(drawn.len(), 1);
    let expected = (first(1), Quantity::ZERO, Quantity::units(6));
    assert_eq!((drawn[0].slot, drawn[0].quantity, drawn[0].accepted), expected);
    // An older commitment that comes late is not a return.
    let late = Change::Commit(provider(1, 10, &[(2, 1), (3, 1)]));
    assert_eq!(allocator.apply(late), Ok(Changed::Stale));
    let back = Commitment { stamp: stamp(3), ..provider(1, 5, &[(2, 1), (3, 1)]) };
    assert_eq!(allocator.apply(Change::Commit(back.clone())), Ok(Changed::Applied));
    assert_eq!(allocator.apply(Change::Commit(back)), Ok(Changed::Duplicate));
    assert_eq!(given(&mut allocator), [(2, Tier::Accepted, 6)]);
    // A new life counts from one again and is newer.
    let stamp = Stamp { incarnation: 2, seq: 1 };
    let larger = Commitment { stamp, ..provider(1, 8, &[(2, 1), (3, 1)]) };
    allocator.apply(Change::Commit(larger)).unwrap();
    assert_eq!(given(&mut allocator), [(2, Tier::Accepted, 6), (2, Tier::Mutual, 1), (3, Tier::Mutual, 1)]);
    // The recipient leaves too: the provider's slot still owes it.
    allocator.apply(Change::Leave { owner: ParticipantId(2), stamp }).unwrap();
    assert_eq!(given(&mut allocator), [(2, Tier::Accepted, 6), (3, Tier::Mutual, 2)]);
}

/// A hold stays until its time, whatever the clock does before and after, and gives way to what was accepted.
#[test]
fn a_hold_stays_until_its_time() {
    let said = [provider(1, 10, &[(2, 1), (3, 1)]), recipient(2, 10, &[(1, 1)]), recipient(3, 10, &[(1, 1)])];
    let mut allocator = Allocator::new(market(said)).unwrap();
    let edge = EdgeId::new(1, 1, 2, 1);
    allocator.apply(Change::Hold(Held { edge, quantity: Quantity::units(8), until: Time(100) })).unwrap();
    let given = |allocator: &mut Allocator, now| -> Vec<u64> {
        allocator.settle(Time(now));
        let solution = allocator.solution();
        assert_eq!(solution, Solution::of(allocator.market(), Time(now)));
        [2, 3]
            .map(|to| {
                let all = solution.allocations.iter().filter(|given| given.edge.need.owner.0 == to);
                all.map(|given| given.quantity.0 / 1_000_000).sum()
            })
            .to_vec()
    };
    assert_eq!(given(&mut allocator, 50), [9, 1]);
    assert_eq!(allocator.next_moment(), Some(Time(100)));
    assert_eq!(given(&mut allocator, 100), [5, 5]);
    assert_eq!(allocator.next_moment(), None);
    assert_eq!(given(&mut allocator, 0), [9, 1]);
    let accepted = Accepted { edge: EdgeId::new(1, 1, 3, 1), quantity: Quantity::units(7) };
    allocator.apply(Change::Accept(accepted)).unwrap();
    assert_eq!(given(&mut allocator, 0), [3, 7]);
    allocator.apply(Change::Hold(Held { edge, quantity: Quantity::ZERO, until: Time(0) })).unwrap();
    allocator.apply(Change::Release(accepted)).unwrap();
    assert_eq!(given(&mut allocator, 0), [5, 5]);
}

/// What is kept elsewhere is set, and not added; it needs no recognition, and is never more than both slots have.
#[test]
fn what_is_reserved_is_what_was_set_last() {
    let mut allocator =
        Allocator::new(market([provider(1, 10, &[]), recipient(2, 8, &[]), recipient(3, 8, &[])])).unwrap();
    let reserve = |allocator: &mut Allocator, to, units| {
        let accepted = Accepted { edge: EdgeId::new(1, 1, to, 1), quantity: Quantity::units(units) };
        let changed = allocator.apply(Change::Reserve(accepted));
        allocator.settle(Time(0));
        let solution = allocator.solution();
        assert_eq!(solution, Solution::of(allocator.market(), Time(0)));
        assert_eq!(solution.certificate().check(allocator.market(), &solution), Ok(()));
        changed
    };
    let has = |allocator: &Allocator, to| allocator.market().accepted(EdgeId::new(1, 1, to, 1));
    assert_eq!(reserve(&mut allocator, 2, 6), Ok(Changed::Applied));
    assert_eq!(reserve(&mut allocator, 2, 6), Ok(Changed::Duplicate));
    assert_eq!(reserve(&mut allocator, 2, 7), Ok(Changed::Applied));
    for (to, units, side) in [(3, 4, Side::Capacity), (2, 9, Side::Need)] {
        let refused = reserve(&mut allocator, to, units).unwrap_err();
        assert!(matches!(refused, MarketError::OverAccepted { side: of, .. } if of == side), "{refused}");
    }
    assert_eq!((has(&allocator, 2), has(&allocator, 3)), (Quantity::units(7), Quantity::ZERO));
    assert_eq!(reserve(&mut allocator, 2, 0), Ok(Changed::Applied));
    assert_eq!(reserve(&mut allocator, 3, 8), Ok(Changed::Applied));
    assert_eq!((has(&allocator, 2), has(&allocator, 3)), (Quantity::ZERO, Quantity::units(8)));
}

/// Nobody, nobody who recognises, nothing to give: nothing is allocated, and that is certain too.
#[test]
fn empty_markets_and_tiers_allocate_nothing() {
    let alone = Commitment { needs: vec![slot(1, 5)], ..provider(1, 10, &[(1, 1_000_000_000)]) };
    let nothing = [provider(1, 0, &[(2, 1)]), recipient(2, 0, &[(1, 1)])];
    let unknown = [provider(1, 9, &[(2, 0), (7, 1)]), recipient(2, 9, &[(1, 1)])];
    for market in [Market::default(), market([alone]), market(nothing), market(unknown)] {
        let solution = Solution::of(&market, Time(0));
        assert_eq!(solution.certificate().check(&market, &solution), Ok(()));
        assert_eq!((solution.allocations.len(), market.edges().len()), (0, 0));
    }
}

/// A slot whose window is over gives nothing new.
#[test]
fn a_window_ends() {
    let mut owner = provider(1, 10, &[(2, 1)]);
    owner.capacities[0].window = Window { from: None, until: Some(Time(7)) };
    let mut allocator = Allocator::new(market([owner, recipient(2, 4, &[])])).unwrap();
    assert_eq!(allocator.settle(Time(6)).moves[0].after, Quantity::units(4));
    assert_eq!(allocator.next_moment(), Some(Time(7)));
    assert_eq!(allocator.settle(Time(7)).moves[0].after, Quantity::ZERO);
}

/// To divide a need into slots does not gain.
#[test]
fn dividing_a_need_gains_nothing() {
    let mut dice = markets::Dice(1);
    for _ in 0..300 {
        let providers = 1 + dice.below(3);
        let mut said: Vec<Commitment> = (0..providers)
            .map(|owner| {
                let recognised: Vec<(u64, u64)> = (100..104).map(|to| (to, 1 + dice.below(50))).collect();
                provider(owner, 10 + dice.below(100), &recognised)
            })
            .collect();
        for owner in 100..104 {
            let recognised: Vec<(u64, u64)> = (0..providers).map(|to| (to, 1 + dice.below(50))).collect();
            said.push(recipient(owner, 5 + dice.below(100), &recognised));
        }
        let received = |said: &[Commitment]| -> u64 {
            let all = Solution::of(&market(said.to_vec()), Time(0)).allocations;
            all.iter().filter(|given| given.edge.need.owner.0 == 100).map(|given| given.quantity.0).sum()
        };
        let whole = received(&said);
        let needs = &mut said[providers as usize].needs;
        let all = needs[0].quantity.0;
        let part = dice.below(all);
        needs[0].quantity = Quantity(part);
        needs.push(Slot { id: SlotId(2), quantity: Quantity(all - part), ..needs[0].clone() });
        assert!(received(&said) <= whole + 100);
    }
}

/// Replicas whose clocks differ disagree about nothing but components in which a window or a hold ends between their
/// times; each gives no more than there is, and once both have passed that time they have the same bits.
#[test]
fn clocks_that_differ_differ_in_what_ends_between_them_and_are_one_again_after_it() {
    let shape = Shape { participants: 12, slots: 3, lots: true, extras: true };
    let mut differed = 0;
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let market = random_market(&mut dice, shape);
        let (slow, fast) = (dice.below(80), 1 + dice.below(40));
        let mut replicas = [slow, slow + fast].map(|now| {
            let mut replica = Allocator::new(market.clone()).unwrap();
            replica.settle(Time(now));
            let solution = replica.solution();
            assert_eq!(solution.certificate().check(&market, &solution), Ok(()));
            replica
        });
        let next = replicas[0].next_moment();
        let same = replicas[0].solution().allocations == replicas[1].solution().allocations;
        differed += u64::from(!same);
        assert!(same || next.is_some_and(|ends| ends <= Time(slow + fast)), "seed {seed}: nothing ended");
        for replica in &mut replicas {
            replica.settle(Time(slow + fast));
        }
        assert_eq!(replicas[0].solution(), replicas[1].solution(), "seed {seed}");
    }
    assert!(differed > 20, "{differed}");
}

/// A thousand slots, as many as one may have, gain nothing over one that is as large; a ten-thousandth is refused above.
#[test]
fn a_thousand_slots_of_one_participant_gain_nothing() {
    let honest = || [provider(1, 100, &[(2, 1), (3, 1)]), recipient(3, 1_000, &[(1, 1)])];
    let received = |many: Commitment| -> Vec<u64> {
        let market = market(honest().into_iter().chain([many]));
        let solution = Solution::of(&market, Time(0));
        assert_eq!(solution.certificate().check(&market, &solution), Ok(()));
        let of = |who| {
            solution.allocations.iter().filter(move |given| given.edge.need.owner == ParticipantId(who))
        };
        [2, 3].map(|who| of(who).map(|given| given.quantity.0).sum()).to_vec()
    };
    let needs = (1..=limits::SLOTS as u64).map(|id| slot(id, 1)).collect();
    let divided = received(Commitment { needs, ..recipient(2, 0, &[(1, 1)]) });
    let whole = received(recipient(2, 1_000, &[(1, 1)]));
    // A millionth for each edge, and what a weight of a thousandth part is rounded.
    assert!(
        divided[0] <= whole[0] + 1_000 && divided[0] + divided[1] == 100_000_000,
        "{divided:?} {whole:?}"
    );
}

/// Who writes the largest weights for everyone, itself and the absent too, and asks for all there is, has what it has with
/// modest ones; and whatever arrives twice or late changes no bit.
#[test]
fn a_hostile_participant_has_what_a_modest_one_has() {
    let hostile = |weight: u64, seq: u64| {
        let mut said = recipient(3, 0, &[(1, weight), (2, weight), (3, weight), (99, weight)]);
        said.needs[0].quantity = Quantity::MAX;
        Commitment { stamp: Stamp { incarnation: 1, seq }, ..said }
    };
    let others = [
        provider(1, 100, &[(3, 1), (4, 1)]),
        provider(2, 50, &[(3, 1), (4, 3)]),
        recipient(4, 60, &[(1, 1), (2, 1)]),
    ];
    let with = |weight| Solution::of(&market(others.iter().cloned().chain([hostile(weight, 1)])), Time(0));
    assert_eq!(with(1).allocations, with(u64::MAX).allocations);
    assert_eq!(with(1).allocations, with(1_000_000_000).allocations);
    let mut replica = Allocator::new(market(others)).unwrap();
    replica.apply(Change::Commit(hostile(1_000_000_000, 7))).unwrap();
    replica.settle(Time(0));
    let before = replica.solution();
    for seq in [7, 6, 1, 7] {
        let changed = replica.apply(Change::Commit(hostile(1_000_000_000, seq))).unwrap();
        assert_eq!(changed, if seq == 7 { Changed::Duplicate } else { Changed::Stale });
        assert_eq!(replica.settle(Time(0)).moves, []);
    }
    assert_eq!(replica.solution(), before);
    let all: u64 = before.allocations.iter().map(|given| given.quantity.0).sum();
    assert_eq!(all, 150_000_000);
}
