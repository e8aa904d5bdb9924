//! Comparing stamps allocates nothing and joining allocates its result: counted, not believed.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use deltaic_causality::itc::{Owner, Stamp};

/// A thousand owners that made events, and two stamps of which each has seen what the other has not.
fn concurrent() -> (Stamp, Stamp) {
    let mut owners = vec![Owner::seed()];
    while owners.len() < 1_000 {
        let donor = owners.len() / 2;
        let next = owners[donor].fork().unwrap();
        owners.push(next);
    }
    for (i, owner) in owners.iter_mut().enumerate() {
        for _ in 0..i % 7 {
            owner.event().unwrap();
        }
    }
    let (mut a, mut b) = (owners.swap_remove(500), owners.swap_remove(10));
    for (i, owner) in owners.iter().enumerate() {
        if i % 2 == 0 { a.receive(owner.peek()) } else { b.receive(owner.peek()) }
    }
    (a.peek().clone(), b.peek().clone())
}

#[test]
fn comparison_allocates_nothing_and_join_its_result() {
    let (a, b) = concurrent();
    let all = a.join(&b);
    assert!(a.event().leaves() > 500);
    let compared = allocation_counter::measure(|| {
        assert!(a.leq(&all) && b.leq(&all) && !a.leq(&b));
        assert!(a < all && a.partial_cmp(&b).is_none());
    });
    assert_eq!(compared.count_total, 0);
    let joined = allocation_counter::measure(|| assert!(a.join(&b) == all));
    assert_eq!(joined.count_total, 1);

    // About a byte for each of the replicas that made events.
    let mut bytes = Vec::new();
    all.write(&mut bytes);
    assert!((600..1_200).contains(&bytes.len()), "{} bytes", bytes.len());

    let mut owner = Owner::seed();
    owner.receive(&all);
    let known = allocation_counter::measure(|| owner.receive(&a));
    assert_eq!(known.count_total, 0, "what is known already is learned without a copy");
}
