//! The same calls to the ledger in a database and to the one in memory: equal answers, errors, rows and bytes.

use std::cell::RefCell;

use deltaic_postgres::PostgresLedger;
use deltaic_quota::conformance::entry;
use deltaic_quota::{
    Account, Batch, Claim, Entry, Epoch, Key, Lease, Ledger, LimitWord, MemoryLedger, NodeId, Seq, Then,
    Time, Units, WindowId,
};
use postgres::Client;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::server::shared;

/// What is asked of both ledgers. A batch's number follows from the calls before it.
#[derive(Debug, Clone)]
enum Step {
    Open(u64),
    Next(u64, Vec<Entry>, u64),
    /// A batch of a node in a turn that is not its own.
    Astray(u64, i8, i8, Vec<Entry>),
    /// One of those sent before, as it was.
    Again(usize),
    Load(Account),
    Silent(u64),
}

fn words() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..60, 1 => Just(u64::MAX), 1 => Just(i64::MAX as u64), 1 => Just(1 << 63)]
}

fn accounts() -> impl Strategy<Value = Account> {
    let keys = proptest::sample::select(vec![&b""[..], b"a", b"ab", b"\0", b"\xff'\"\\"]);
    let windows = prop_oneof![4 => 0_u64..6, 1 => Just(u64::MAX - 1), 2 => Just(u64::MAX)];
    (keys, windows)
        .prop_map(|(key, window)| Account { key: Key::new(key).unwrap(), window: WindowId(window) })
}

fn entries() -> impl Strategy<Value = Entry> {
    // Most limits are such that there is something to grant.
    let limit = prop_oneof![
        12 => (40_u64..200).prop_map(|limit| LimitWord::Initially(Units(limit))),
        2 => (0_u64..200).prop_map(|limit| LimitWord::Set(Units(limit))),
        1 => words().prop_map(|limit| LimitWord::Set(Units(limit))),
    ];
    let claim = prop_oneof![
        5 => (0_u64..30).prop_map(|want| Claim::Units(Units(want))),
        1 => words().prop_map(|want| Claim::Units(Units(want))),
        2 => words().prop_map(Claim::High),
    ];
    // What is more than the rest is not fitted to its lease, and broken therefore.
    let little = || prop_oneof![3 => Just(0), 3 => 0_u64..4, 1 => 0_u64..40];
    let consumed = prop_oneof![30 => little(), 1 => words()];
    let span = prop_oneof![4 => 0_u64..4, 1 => words()];
    let credited = prop_oneof![20 => Just(0), 6 => 0_u64..9, 1 => words()];
    let counts = (consumed, little(), little(), little(), credited);
    (accounts(), span, limit, counts, claim, 0_u8..6).prop_map(
        |(account, span, limit, (consumed, refunded, returned, unbacked, credited), claim, then)| Entry {
            span,
            limit,
            consumed: Units(consumed),
            refunded: Units(refunded.min(consumed)),
            returned: Units(returned),
            unbacked: Units(unbacked),
            credited: Units(credited),
            claim,
            then: if then == 0 { Then::Close } else { Then::Keep },
            ..entry(&account, Units::ZERO)
        },
    )
}

/// In any order, but one of each account.
fn lists() -> impl Strategy<Value = Vec<Entry>> {
    proptest::collection::vec(entries(), 0..6).prop_map(|mut entries| {
        let mut seen = Vec::new();
        entries.retain(|entry| {
            let is_new = !seen.contains(&entry.account);
            seen.push(entry.account.clone());
            is_new
        });
        entries
    })
}

fn nodes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), Just(1), Just(u64::MAX)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => nodes().prop_map(Step::Open),
        14 => (nodes(), lists(), words()).prop_map(|(node, list, at)| Step::Next(node, list, at)),
        1 => (nodes(), -1_i8..2, -2_i8..3, lists()).prop_map(|(n, e, s, list)| Step::Astray(n, e, s, list)),
        3 => any::<usize>().prop_map(Step::Again),
        2 => accounts().prop_map(Step::Load),
        1 => words().prop_map(Step::Silent),
    ];
    proptest::collection::vec(step, 1..50)
}

/// Where a node stands, from the answers alone.
#[derive(Default)]
struct Turns(Vec<(u64, u64, u64)>);

impl Turns {
    fn of(&mut self, node: u64) -> &mut (u64, u64, u64) {
        let place = self.0.iter().position(|(known, ..)| *known == node).unwrap_or_else(|| {
            self.0.push((node, 0, 0));
            self.0.len() - 1
        });
        &mut self.0[place]
    }
}

/// What counts that fit their leases would be: mostly the lease's own, raised a little.
fn fitted(memory: &mut MemoryLedger, node: u64, entries: &mut [Entry]) {
    for entry in entries {
        let leases = memory.load(&entry.account).unwrap().unwrap_or_default().leases;
        let lease = leases.into_iter().find(|(owner, _)| owner.0 == node);
        let lease = lease.map_or(Lease::default(), |(_, lease)| lease);
        let room = lease.outstanding().0;
        if entry.consumed.0 > 60 {
            continue;
        }
        let more = entry.consumed.0.min(room);
        entry.refunded = Units(lease.refunded.0 + entry.refunded.0.min(lease.net().0));
        entry.returned = Units(lease.returned.0 + entry.returned.0.min(room - more));
        entry.consumed = Units(lease.consumed.0 + more);
        entry.credited = Units(lease.credited.0.saturating_add(entry.credited.0));
    }
}

/// Both ledgers, and how often what was answered.
struct Both {
    database: PostgresLedger,
    client: Client,
    fine: u32,
    refused: u32,
    granted: u32,
    recalled: u32,
}

impl Both {
    fn run(&mut self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        self.client.batch_execute("TRUNCATE nodes, keys, accounts, leases").unwrap();
        let (mut memory, mut turns, mut sent) = (MemoryLedger::new(), Turns::default(), Vec::new());
        let all = [0, 1, u64::MAX].map(Step::Open);
        for step in all.into_iter().chain(steps) {
            let batch = match step {
                Step::Open(node) => {
                    prop_assert_eq!(self.database.open(NodeId(node)), memory.open(NodeId(node)));
                    let turn = turns.of(node);
                    *turn = (node, turn.1 + 1, 0);
                    prop_assert_eq!(self.database.image(), memory.image());
                    continue;
                }
                Step::Load(account) => {
                    prop_assert_eq!(self.database.load(&account), memory.load(&account));
                    continue;
                }
                Step::Silent(before) => {
                    let before = Time(before);
                    prop_assert_eq!(self.database.silent(before), memory.silent(before));
                    continue;
                }
                Step::Again(_) if sent.is_empty() => continue,
                Step::Again(place) => {
                    let batch: &Batch = &sent[place % sent.len()];
                    batch.clone()
                }
                Step::Next(node, mut entries, horizon) => {
                    let (_, epoch, seq) = *turns.of(node);
                    fitted(&mut memory, node, &mut entries);
                    let (node, epoch, seq) = (NodeId(node), Epoch(epoch), Seq(seq + 1));
                    Batch { node, epoch, seq, now: Time(horizon / 2), horizon: Time(horizon), entries }
                }
                Step::Astray(node, epochs, seqs, entries) => {
                    let (_, epoch, seq) = *turns.of(node);
                    let epoch = Epoch(epoch.saturating_add_signed(epochs.into()));
                    let seq = Seq(seq.saturating_add_signed(seqs.into()));
                    Batch { node: NodeId(node), epoch, seq, now: Time(0), horizon: Time(0), entries }
                }
            };
            let (answer, expected) = (self.database.apply(&batch), memory.apply(&batch));
            prop_assert_eq!(&answer, &expected, "{:?}", batch);
            match expected {
                Ok(reply) => {
                    self.fine += 1;
                    self.recalled += u32::from(!reply.recalled.is_empty());
                    self.granted += u32::from(reply.rows.iter().any(|row| !row.granted.is_zero()));
                    let turn = turns.of(batch.node.0);
                    turn.2 = turn.2.max(batch.seq.0);
                }
                Err(_) => self.refused += 1,
            }
            prop_assert_eq!(self.database.image(), memory.image(), "{:?}", batch);
            sent.push(batch);
        }
        Ok(())
    }
}

#[test]
fn answers_rows_and_bytes_are_those_of_the_ledger_in_memory() {
    let Some(server) = shared() else { return };
    let (database, client) = server.ledger_and_client("model");
    let both = RefCell::new(Both { database, client, fine: 0, refused: 0, granted: 0, recalled: 0 });
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&steps(), |steps| both.borrow_mut().run(steps)).unwrap();
    let Both { fine, refused, granted, recalled, .. } = both.into_inner();
    println!("{fine} applied, {granted} of them with grants, {recalled} with recalls, {refused} refused");
    assert!(
        fine > 200 && refused > 20 && granted > 100 && recalled > 0,
        "{fine} applied, {refused} refused, {granted} granted, {recalled} recalled"
    );
}
