//! A certificate finds each thing that it is to find: a solution that is right is made wrong in one place.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod markets;

use deltaic_allocation::{
    Accepted, Certificate, CertificateError, EdgeId, Held, Market, NodeId, ParticipantId, Quantity, Solution,
    Tier, Time,
};
use markets::{first, market, provider, recipient};

/// A provider of 100 for two needs, one of which is met; something accepted, something held.
fn solved() -> (Market, Solution, Certificate) {
    let mut market = market([
        provider(1, 100, &[(2, 1), (3, 1), (4, 1)]),
        recipient(2, 10, &[(1, 1)]),
        recipient(3, 90, &[(1, 1)]),
        recipient(4, 80, &[(1, 1)]),
    ]);
    market.accept(Accepted { edge: to(2), quantity: Quantity::units(4) }).unwrap();
    market.hold(Held { edge: to(3), quantity: Quantity::units(7), until: Time(9) }).unwrap();
    let solution = Solution::of(&market, Time(5));
    let certificate = solution.certificate();
    assert_eq!(certificate.check(&market, &solution), Ok(()));
    (market, solution, certificate)
}

fn to(recipient: u64) -> EdgeId {
    EdgeId::new(1, 1, recipient, 1)
}

fn of(solution: &mut Solution, edge: EdgeId, tier: Tier) -> &mut Quantity {
    let mut all = solution.allocations.iter_mut();
    &mut all.find(|given| (given.edge, given.tier) == (edge, tier)).unwrap().quantity
}

/// What the check says of a change of the solution.
fn after(change: impl FnOnce(&mut Solution)) -> CertificateError {
    let (market, mut solution, certificate) = solved();
    change(&mut solution);
    certificate.check(&market, &solution).unwrap_err()
}

#[test]
fn sums_and_reservations_are_checked() {
    let (edge, tier) = (to(3), Tier::Mutual);
    let over = after(|solution| of(solution, to(4), Tier::Mutual).0 += 1);
    assert_eq!(
        over,
        CertificateError::Over { node: NodeId::Capacity(first(1)), quantity: Quantity::units(100) }
    );
    let need = after(|solution| of(solution, to(2), Tier::Mutual).0 += 1);
    assert_eq!(need, CertificateError::Over { node: NodeId::Need(first(2)), quantity: Quantity::units(10) });
    assert_eq!(after(|solution| solution.allocations.reverse()), CertificateError::Order { edge });
    assert_eq!(
        after(|solution| *of(solution, edge, tier) = Quantity::ZERO),
        CertificateError::Order { edge }
    );
    let foreign = after(|solution| {
        let generous = solution.allocations.iter_mut().find(|given| given.tier == Tier::Mutual).unwrap();
        generous.tier = Tier::Generous;
    });
    assert_eq!(foreign, CertificateError::NoEdge { edge: to(2), tier: Tier::Generous });
    let (given, accepted) = (Quantity::units(3), Quantity::units(4));
    let less = after(|solution| *of(solution, to(2), Tier::Accepted) = given);
    assert_eq!(less, CertificateError::Accepted { edge: to(2), given, accepted });
    let none = after(|solution| {
        solution.allocations.remove(0);
    });
    assert_eq!(none, CertificateError::Accepted { edge: to(2), given: Quantity::ZERO, accepted });
    let held = after(|solution| *of(solution, edge, Tier::Held) = Quantity::units(6));
    let (given, expected) = (Quantity::units(6), Quantity::units(7));
    assert_eq!(held, CertificateError::Held { edge, given, expected });
}

#[test]
fn fairness_is_checked() {
    let (edge, tier) = (to(4), Tier::Mutual);
    let node = NodeId::Capacity(first(1));
    // Eleven millionths are more than rounding can be.
    let idle = after(|solution| of(solution, to(4), Tier::Mutual).0 -= 11);
    assert!(matches!(idle, CertificateError::NotFull { node: at, .. } if at == node), "{idle}");
    let shifted = after(|solution| {
        of(solution, to(4), Tier::Mutual).0 -= 11;
        of(solution, to(3), Tier::Mutual).0 += 11;
    });
    assert_eq!(shifted, CertificateError::Lower { edge, tier, node });
}

#[test]
fn the_certificate_itself_is_checked() {
    let (market, solution, certificate) = solved();
    let check = |entries: Vec<_>| Certificate { entries }.check(&market, &solution).unwrap_err();
    let missing = certificate.entries[1..].to_vec();
    assert_eq!(check(missing), CertificateError::Uncovered { edge: to(2), tier: Tier::Mutual });
    let mut more = certificate.entries.clone();
    more.push((to(9), Tier::Mutual, NodeId::Need(first(9))));
    assert_eq!(check(more), CertificateError::Uncovered { edge: to(9), tier: Tier::Mutual });
    let mut foreign = certificate.entries.clone();
    foreign[0].2 = NodeId::Need(first(3));
    let node = NodeId::Need(first(3));
    assert_eq!(check(foreign), CertificateError::NoEnd { edge: to(2), tier: Tier::Mutual, node });
    let mut open = certificate.entries;
    open[1].2 = node;
    assert_eq!(check(open), CertificateError::NotFull { edge: to(3), tier: Tier::Mutual, node });
}

#[test]
fn lots_are_checked() {
    let mut owner = provider(1, 10, &[(2, 1), (3, 1), (4, 1)]);
    owner.capacities[0].lot = Quantity::UNIT;
    let market = market([
        owner,
        recipient(2, 10, &[(1, 1)]),
        recipient(3, 10, &[(1, 1)]),
        recipient(4, 10, &[(1, 1)]),
    ]);
    let mut solution = Solution::of(&market, Time(0));
    let certificate = solution.certificate();
    assert_eq!(certificate.check(&market, &solution), Ok(()));
    let units: Vec<u64> = solution.allocations.iter().map(|given| given.quantity.0 / 1_000_000).collect();
    assert_eq!(units, [4, 3, 3]);
    solution.allocations[0].quantity.0 -= 1;
    let (edge, quantity, lot) = (to(2), Quantity(3_999_999), Quantity::UNIT);
    assert_eq!(certificate.check(&market, &solution), Err(CertificateError::Lot { edge, quantity, lot }));
    solution.allocations[0].quantity = Quantity::units(3);
    assert!(matches!(certificate.check(&market, &solution), Err(CertificateError::NotFull { .. })));
}

/// Guarantees come before what is mutual, caps hold, and a participant's slots count together.
#[test]
fn guarantees_and_caps_do_what_they_say() {
    let mut owner = provider(1, 100, &[(2, 1), (3, 1), (4, 8)]);
    let guarantee = deltaic_allocation::Guarantee {
        capacity: deltaic_allocation::SlotId(1),
        to: ParticipantId(2),
        quantity: Quantity::units(40),
    };
    owner.guarantees.push(guarantee);
    owner.capacities[0].most_each = Some(Quantity::units(45));
    let mut divided = recipient(4, 50, &[(1, 1)]);
    divided.needs.push(markets::slot(2, 50));
    let market = market([owner, recipient(2, 90, &[]), recipient(3, 90, &[]), divided]);
    let solution = Solution::of(&market, Time(0));
    assert_eq!(solution.certificate().check(&market, &solution), Ok(()));
    let given: Vec<(u64, Tier, u64)> = solution
        .allocations
        .iter()
        .map(|given| (given.edge.need.owner.0, given.tier, given.quantity.0 / 100_000))
        .collect();
    // 40 are guaranteed, 45 is all that 4 may have in its two slots, the others share 15.
    let (mutual, generous) = (Tier::Mutual, Tier::Generous);
    let expected = [
        (2, Tier::Guaranteed, 400),
        (2, generous, 50),
        (3, generous, 100),
        (4, mutual, 225),
        (4, mutual, 225),
    ];
    assert_eq!(given, expected);
}
