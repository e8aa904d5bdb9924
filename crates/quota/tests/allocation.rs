//! The way of an admission allocates nothing: counted, not believed.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use deltaic_quota::{
    Account, Accumulator, Batch, Budgets, Entry, Epoch, Input, Key, Ledger, MemoryLedger, NodeId, Policy,
    RequestId, Seq, Settings, Then, Time, Units, Window,
};

fn leased(units: u64) -> Accumulator {
    let account = Account::stock(Key::new(b"k").unwrap());
    let accumulator = Accumulator::new(Settings::stock(account, Units(units)));
    let mut ledger = MemoryLedger::new();
    let epoch = ledger.open(NodeId(1)).unwrap().epoch;
    let entry: Entry = accumulator.entry(Units(units), Units::ZERO, Then::Keep);
    let entries = vec![entry.clone()];
    let batch = Batch { node: NodeId(1), epoch, seq: Seq(1), now: Time(0), horizon: Time(0), entries };
    let reply = ledger.apply(&batch).unwrap();
    assert_eq!((reply.seq, epoch), (Seq(1), Epoch(1)));
    assert_eq!(accumulator.receive(&entry, &reply.rows[0], Units::ZERO), Ok(Units(units)));
    accumulator
}

#[test]
fn admission_refusal_refund_commit_and_split_allocate_nothing() {
    let accumulator = leased(1_000);
    let counted = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            accumulator.try_consume(Units(3)).unwrap().refund();
            accumulator.try_consume(Units(3)).unwrap().commit(Units(2)).unwrap();
            let (one, two) = accumulator.try_consume(Units(2)).unwrap().split(Units(1)).unwrap();
            one.refund();
            two.refund();
            assert!(accumulator.try_consume(Units(1_001)).is_err());
            let reserved = accumulator.reserve(Units(2), Time(5));
            if let Ok(reserved) = reserved {
                reserved.refund(Time(5)).unwrap();
            }
            assert!(accumulator.available().local <= Units(1_000));
            accumulator.try_consume(Units::ZERO).unwrap().refund();
            if accumulator.available().local < Units(10) {
                break;
            }
        }
    });
    assert_eq!(counted.count_total, 0);
    assert!(accumulator.available().local < Units(10), "it went to the end");
}

#[test]
fn a_bucket_admits_refuses_and_takes_back_without_allocating() {
    let mut ledger = MemoryLedger::new();
    let mut node = Budgets::new(NodeId(1));
    let window = Window::Bucket { millis: 1_000, burst: Units(10) };
    let policy = node.declare(Policy { window, ..Policy::stock(Units(1_000)) });
    node.step(Time(0), Input::Opened(ledger.open(NodeId(1)).unwrap()));
    let key = Key::new(b"k").unwrap();
    let ask = Input::Consume { request: RequestId(0), policy, key: key.clone(), units: Units(1) };
    let mut sent = node.step(Time(1_000), ask).send;
    while let Some(batch) = sent.pop() {
        sent = node.step(Time(1_000), Input::Replied(batch.seq, ledger.apply(&batch))).send;
    }
    let mut handle = node.handle(Time(1_000), policy, &key);
    let counted = allocation_counter::measure(|| {
        let (mut admitted, mut refused) = (0, 0);
        for now in 1_000..1_200 {
            for n in [1, 2, 3, 9, 11] {
                match handle.try_consume(Time(now), Units(n)) {
                    Ok(permit) if n == 2 => permit.refund(),
                    Ok(permit) => {
                        admitted += 1;
                        permit.commit(Units(1)).unwrap();
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(admitted > 100 && refused > 100);
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn an_idle_key_is_small() {
    let accumulator = leased(10);
    let bytes = std::mem::size_of_val(&accumulator) + accumulator.heap_bytes();
    println!("an accumulator has {bytes} bytes");
    assert!(bytes <= 512, "{bytes}");
}
