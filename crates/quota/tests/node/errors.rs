//! Permits, reservations and every message that says what to do.

use deltaic_quota::{
    CommitError, Denied, Epoch, Expired, Fault, Input, LedgerError, NodeId, Policy, Reason, Seq, Time, Units,
    WhenAway,
};

use crate::driver::{World, key};

#[test]
fn a_permit_is_committed_split_or_comes_back() {
    let mut world = World::new(Policy::stock(Units(10)));
    let permit = world.consume("k", 6).unwrap();
    let too_small = permit.split(Units(7)).unwrap_err();
    assert!(too_small.to_string().contains("7 cannot be split off a permit of 6"));
    let (two, four) = too_small.permit.split(Units(2)).unwrap();
    assert_eq!((two.units(), four.units()), (Units(2), Units(4)));
    two.refund();
    let short = four.commit(Units(9)).unwrap_err();
    assert!(short.missing == Units(5) && short.to_string().contains("commit less"));
    short.permit.commit(Units(6)).unwrap();
    world.close();
    assert_eq!(world.used("k"), 6);
}

#[test]
fn a_reservation_that_expires_is_spent() {
    let mut world = World::new(Policy::stock(Units(10)));
    world.consume("k", 10).unwrap().refund();
    let handle = world.handle("k");
    let accumulator = handle.accumulator().unwrap();
    accumulator.reserve(Units(2), Time(5)).unwrap().refund(Time(5)).unwrap();
    accumulator.reserve(Units(2), Time(5)).unwrap().commit(Time(5), Units(1)).unwrap();
    let late = accumulator.reserve(Units(2), Time(5)).unwrap().refund(Time(6)).unwrap_err();
    assert_eq!(late, Expired { burnt: Units(2), late_millis: 1 });
    let late = accumulator.reserve(Units(3), Time(5)).unwrap().commit(Time(9), Units(1)).unwrap_err();
    assert!(matches!(late, CommitError::Expired(_)) && late.to_string().contains("reserve for longer"));
    let short = accumulator.reserve(Units(1), Time(5)).unwrap().commit(Time(5), Units(99)).unwrap_err();
    assert!(matches!(short, CommitError::Shortfall(_)));
    assert_eq!(accumulator.burnt(), Units(5));
    drop(short);
    drop(handle);
    world.close();
    assert_eq!((world.used("k"), world.node.metrics().burnt), (7, Units(5)));
}

#[test]
fn when_the_ledger_is_away_each_policy_does_as_it_says() {
    let outcomes = [WhenAway::Deny, WhenAway::SpendLease, WhenAway::Open].map(|when_away| {
        let mut world = World::new(Policy { when_away, ..Policy::stock(Units(10)) });
        world.consume("k", 4).unwrap().refund();
        world.now += 5_000;
        world.ledger.plan(Fault::TimeoutBefore);
        let batch = world
            .step(Input::Credit { policy: world.policy, key: key("other"), units: Units(1) })
            .send
            .pop()
            .unwrap();
        world.step(Input::Replied(batch.seq, Err(LedgerError::Away)));
        let mut handle = world.handle("k");
        let mut admitted = 0;
        while admitted < 30 && handle.try_consume(Time(world.now), Units(1)).is_ok() {
            admitted += 1;
        }
        let reason = handle.try_consume(Time(world.now), Units(1)).err().map(|denied| denied.reason);
        // It comes back: the same bytes, and what had no cover is entered.
        let again = world.step(Input::Tick).send.pop().unwrap();
        assert_eq!(again.encode(), batch.encode());
        let answer = deltaic_quota::Ledger::apply(&mut world.ledger.inner, &again);
        world.step(Input::Replied(batch.seq, answer));
        world.settle();
        world.close();
        (admitted, reason, world.used("k"))
    });
    assert_eq!(outcomes[0], (0, Some(Reason::LedgerAway), 0));
    assert_eq!(outcomes[1].0, outcomes[1].2);
    assert!(outcomes[1].0 <= 10 && outcomes[1].1 == Some(Reason::Lease));
    assert_eq!(
        (outcomes[2].0, outcomes[2].1, outcomes[2].2),
        (30, None, 10),
        "over, as was asked for by name"
    );
}

#[test]
fn every_message_says_what_to_do() {
    for (reason, words) in [
        (Reason::Exhausted, "raise its limit"),
        (Reason::Lease, "ask again"),
        (Reason::WindowOver, "ask again"),
        (Reason::LedgerAway, "ask again later"),
        (Reason::Closed, "ask another"),
        (Reason::HeldElsewhere, "ask that node"),
        (Reason::Horizon, "wait for the next"),
    ] {
        let denied = Denied { available: Units(3), retry_after: None, reason };
        assert!(
            denied.to_string().starts_with("not admitted, 3 available: ")
                && denied.to_string().contains(words)
        );
    }
    let fenced = LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) };
    assert_eq!(
        fenced.to_string(),
        "epoch 1 is over, the node is in epoch 2: stop, this process was replaced"
    );
    for (error, words) in [
        (LedgerError::Away, "send the same batch again"),
        (LedgerError::Refused { why: "disk full" }, "(disk full)"),
        (LedgerError::Unopened { node: NodeId(4) }, "node 4"),
        (LedgerError::Gap { sent: Seq(3), expected: Seq(2) }, "batch 3 came before batch 2"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}
