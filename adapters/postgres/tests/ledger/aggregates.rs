//! Aggregates in the database: as in memory, by many nodes at once, and with answers that are lost.

use std::sync::Barrier;
use std::thread;

use deltaic_postgres::PostgresLedger;
use deltaic_quota::{
    AggregateLedger, Changes, Coalescer, Epoch, Key, LedgerError, MemoryLedger, NodeId, Seq, Sum, Time,
    conformance,
};

use crate::server::{private, shared, waiting};

fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).unwrap()
}

#[test]
fn aggregates_in_a_database_conform_and_are_those_in_memory() {
    let Some(server) = shared() else { return };
    conformance::check_aggregates(|| server.ledger());
    for seed in 0..3 {
        let (mut database, mut memory) = (server.ledger(), MemoryLedger::new());
        conformance::check_aggregates_in_any_order(&mut database, seed, 30);
        conformance::check_aggregates_in_any_order(&mut memory, seed, 30);
        assert_eq!(database.image_of_aggregates(), memory.image_of_aggregates());
    }
}

#[test]
fn nodes_that_add_to_the_same_keys_lose_nothing_and_never_wait_in_a_circle() {
    let Some(server) = shared() else { return };
    let (settings, name, nodes, batches) = (server.settings(), key("clicks"), 4_u64, 25_u64);
    let start = Barrier::new(nodes as usize);
    thread::scope(|scope| {
        for id in 0..nodes {
            let (settings, name, start) = (settings.clone(), &name, &start);
            scope.spawn(move || {
                let mut ledger = PostgresLedger::connect(settings).unwrap();
                let epoch = ledger.open_aggregate(name, NodeId(id)).unwrap();
                let mut coalescer = Coalescer::new(NodeId(id), epoch, 0);
                start.wait();
                for turn in 0..batches {
                    // Keys that are new to all, and the same ones that all have, in any order.
                    for n in [turn, turn / 2, 99, turn * 7 % 13] {
                        coalescer.add(Time(turn), &key(&format!("{n}")), &Sum(1));
                    }
                    let mut batch = coalescer.flush_all().unwrap();
                    if id % 2 == 1 {
                        batch.rows.reverse();
                    }
                    ledger.combine(name, &batch).unwrap();
                    coalescer.acknowledged(batch.seq);
                }
            });
        }
    });
    let mut ledger = PostgresLedger::connect(settings).unwrap();
    let all = (0..100).map(|n| ledger.aggregate::<Sum>(&name, &key(&format!("{n}"))).unwrap().0);
    assert_eq!(all.sum::<i128>(), i128::from(nodes * batches * 4));
}

/// The backend is killed before the commit, in a row that somebody has locked; and after it, while it waits for a standby
/// that there is not.
#[test]
fn an_answer_that_is_lost_before_or_after_the_commit_counts_once() {
    let Some(server) = private() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("lost");
    let (name, of) = (key("n"), key("k"));
    ledger.open_aggregate(&name, NodeId(1)).unwrap();
    let add =
        |seq| Changes { node: NodeId(1), epoch: Epoch(1), seq: Seq(seq), rows: vec![(of.clone(), Sum(5))] };
    assert_eq!(ledger.combine(&name, &add(1)), Ok(()));
    let killed = |ledger: &mut PostgresLedger, seq: u64, event: &str| {
        thread::scope(|scope| {
            let call = scope.spawn(|| ledger.combine(&name, &add(seq)));
            let mut other = server.client();
            let process = waiting(&mut other, "lost", event);
            other.execute("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
            call.join().unwrap()
        })
    };
    client.batch_execute("BEGIN; SELECT FROM aggregates FOR UPDATE").unwrap();
    assert_eq!(killed(&mut ledger, 2, "transactionid"), Err(LedgerError::Away));
    client.batch_execute("ROLLBACK").unwrap();
    assert_eq!(ledger.aggregate(&name, &of), Ok(Sum(5)));
    server.set("synchronous_standby_names", "nobody");
    assert_eq!(killed(&mut ledger, 2, "SyncRep"), Err(LedgerError::Away));
    assert_eq!(ledger.aggregate(&name, &of), Ok(Sum(10)), "it was written");
    server.set("synchronous_standby_names", "");
    assert_eq!(ledger.combine(&name, &add(2)), Ok(()));
    assert_eq!(ledger.aggregate(&name, &of), Ok(Sum(10)), "once");
    // While nobody knows what became of a batch, a refusal of the next attempt does not say it either.
    client.batch_execute("BEGIN; SELECT FROM aggregates FOR UPDATE").unwrap();
    assert_eq!(killed(&mut ledger, 3, "transactionid"), Err(LedgerError::Away));
    client.batch_execute("ALTER TABLE aggregates RENAME TO gone").unwrap();
    client.batch_execute("COMMIT").unwrap();
    assert_eq!(ledger.combine(&name, &add(3)), Err(LedgerError::Away));
    client.batch_execute("ALTER TABLE gone RENAME TO aggregates").unwrap();
    assert_eq!(ledger.combine(&name, &add(3)), Ok(()));
    assert_eq!(ledger.aggregate(&name, &of), Ok(Sum(15)));
}
