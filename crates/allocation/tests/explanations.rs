//! What an explanation names as full is full, and more of it raises the edge.

mod markets;

use deltaic_allocation::{
    Allocator, Change, Commitment, EdgeId, EdgeReason, Mismatch, NodeId, Quantity, Side, SlotKey, Time,
};
use markets::{Dice, Shape, first, market, provider, random_market, recipient};

fn given(allocator: &Allocator, edge: EdgeId) -> u64 {
    allocator.explain_edge(edge).given.iter().map(|(_, quantity)| quantity.0).sum()
}

/// The owner's commitment with one of its slots changed.
fn enlarged(said: &Commitment, node: NodeId) -> Commitment {
    let mut said = said.clone();
    said.stamp.seq += 1;
    let (slots, slot) = match node {
        NodeId::Capacity(slot) => (&mut said.capacities, slot),
        NodeId::Need(slot) => (&mut said.needs, slot),
        node => unreachable!("{node}"),
    };
    for other in slots.iter_mut().filter(|other| other.id == slot.slot) {
        other.quantity.0 += 1_000_000_000_000;
    }
    said
}

#[test]
fn more_of_what_is_named_raises_the_edge() {
    let shapes = [
        Shape { participants: 8, slots: 1, lots: false, extras: false },
        Shape { participants: 6, slots: 2, lots: false, extras: true },
    ];
    let (mut raised, mut elsewhere) = (0, 0);
    for (seed, shape) in (0..80).zip(shapes.into_iter().cycle()) {
        let mut allocator = Allocator::new(random_market(&mut Dice(seed), shape)).unwrap();
        allocator.settle(Time(0));
        for edge in allocator.market().edges() {
            let EdgeReason::Full(bounds) = allocator.explain_edge(edge.id).reason else { unreachable!() };
            // A slot's bound for each is one for all, whom more of it would raise too.
            if !bounds.iter().all(|bound| matches!(bound.node, NodeId::Capacity(_) | NodeId::Need(_))) {
                continue;
            }
            let before = given(&allocator, edge.id);
            let mut other = allocator.clone();
            for bound in &bounds {
                let (NodeId::Capacity(slot) | NodeId::Need(slot)) = bound.node else { unreachable!() };
                let said = other.market().commitment(slot.owner).unwrap().clone();
                other.apply(Change::Commit(enlarged(&said, bound.node))).unwrap();
            }
            other.settle(Time(0));
            // What others have more of this slot may leave them to serve the need in an earlier tier.
            let received = |allocator: &Allocator| allocator.explain_need(edge.id.need).received;
            if given(&other, edge.id) > before {
                raised += 1;
            } else {
                assert!(
                    received(&other) > received(&allocator),
                    "seed {seed}: {}",
                    allocator.explain_edge(edge.id)
                );
                elsewhere += 1;
            }
        }
    }
    assert!(raised > 500 && elsewhere * 20 < raised, "{raised} {elsewhere}");
}

#[test]
fn an_explanation_reads_as_a_sentence() {
    let said = [provider(1, 10, &[(2, 1), (3, 3)]), recipient(2, 90, &[(1, 1)]), recipient(3, 5, &[(1, 1)])];
    let mut allocator = Allocator::new(market(said)).unwrap();
    let (near, met) = (EdgeId::new(1, 1, 2, 1), EdgeId::new(1, 1, 3, 1));
    assert_eq!(allocator.explain_edge(near).reason, EdgeReason::Unsettled);
    allocator.settle(Time(0));
    assert_eq!(
        allocator.explain_edge(near).to_string(),
        "provider 1's slot 1 to recipient 2's slot 1: 5 mutual; provider 1's slot 1 is full at level 20; \
         more of provider 1's slot 1 would raise it"
    );
    assert_eq!(
        allocator.explain_edge(met).to_string(),
        "provider 1's slot 1 to recipient 3's slot 1: 5 mutual; recipient 3's slot 1 is full at level 6.666666; \
         more of recipient 3's slot 1 would raise it"
    );
    let need = allocator.explain_need(first(2));
    assert_eq!((need.wanted, need.received, need.edges.len()), (Quantity::units(90), Quantity::units(5), 1));
    assert!(need.to_string().starts_with("recipient 2's slot 1: 5 of 90\n  provider 1's slot 1 to"));
}

#[test]
fn an_edge_that_is_not_there_says_why() {
    let mut late = recipient(3, 9, &[(1, 1)]);
    late.needs[0].window.from = Some(Time(10));
    let mut other = recipient(4, 9, &[(1, 1)]);
    other.needs[0].kind = markets::name("bread");
    let mut coarse = recipient(5, 9, &[(1, 1)]);
    coarse.needs[0].lot = Quantity::units(20);
    let mut owner = provider(1, 10, &[(3, 1), (4, 1), (5, 1), (7, 1), (8, 1)]);
    owner.capacities[0].window.until = Some(Time(10));
    owner.needs.push(markets::slot(1, 5));
    let mut strict = recipient(7, 9, &[]);
    strict.needs[0].filters.push(deltaic_allocation::Filter::MutualOnly);
    let place = |city: &str| deltaic_allocation::Place::At {
        country: None,
        city: Some(markets::name(city)),
        point: None,
        radius: None,
    };
    owner.capacities[0].place = place("bonn");
    let mut far = recipient(8, 9, &[]);
    far.needs[0].place = place("linz");
    let market = market([owner, late, other, coarse, recipient(6, 9, &[(1, 1)]), strict, far]);
    let why = |who: u64| market.mismatch(EdgeId::new(1, 1, who, 1)).unwrap_err();
    let filter = Mismatch::Filter(Side::Need, deltaic_allocation::Filter::MutualOnly);
    let reasons = [
        (1, Mismatch::Own, "nobody gives to themselves"),
        (2, Mismatch::Missing(Side::Need), "there is no such need slot"),
        (3, Mismatch::Window, "the windows do not overlap"),
        (4, Mismatch::Kind, "the slots differ in kind or unit"),
        (5, Mismatch::Lot, "no whole lot fits into both slots"),
        (6, Mismatch::NotRecognised, "the provider does not recognise the recipient"),
        (7, filter, "the need slot's filter MutualOnly refuses"),
        (8, Mismatch::Place, "the places do not meet"),
    ];
    for (who, expected, text) in reasons {
        assert_eq!(why(who), expected);
        assert_eq!(why(who).to_string(), text);
    }
    let allocator = Allocator::new(market).unwrap();
    let gone = SlotKey { slot: deltaic_allocation::SlotId(9), ..first(1) };
    let edge = EdgeId { capacity: gone, need: first(3) };
    let reason = allocator.explain_edge(edge).reason;
    assert_eq!(reason, EdgeReason::None(Mismatch::Missing(Side::Capacity)));
}
