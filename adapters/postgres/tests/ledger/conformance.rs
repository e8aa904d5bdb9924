//! What every ledger owes, and that the rows say it: read by SQL, and defended by the tables' own constraints.

use deltaic_quota::conformance::{batch, check_all, entry};
use deltaic_quota::{
    Account, Claim, Entry, Epoch, Key, Ledger, LedgerError, LimitWord, NodeId, Seq, Then, Time, Units,
    WindowId,
};
use postgres::Client;
use postgres::error::SqlState;

use crate::server::shared;

fn stock(name: &str) -> Account {
    Account::stock(Key::new(name.as_bytes()).unwrap())
}

fn want(account: &Account, limit: u64, want: u64) -> Entry {
    Entry { claim: Claim::Units(Units(want)), ..entry(account, Units(limit)) }
}

fn text(client: &mut Client, sql: &str) -> String {
    client.query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn the_ledger_in_a_database_conforms() {
    let Some(server) = shared() else { return };
    check_all(|| server.ledger());
}

#[test]
fn the_rows_are_what_was_said() {
    let Some(server) = shared() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("said");
    let every = Account { window: WindowId::EVERY, ..stock("a") };
    ledger.open(NodeId(u64::MAX)).unwrap();
    let high = Entry { claim: Claim::High(u64::MAX), ..entry(&stock("bucket"), Units(7)) };
    let mut first = batch(
        NodeId(u64::MAX),
        1,
        1,
        vec![want(&stock("a"), 100, 30), want(&every, 100, 5), high, want(&stock("b"), 9, 9)],
    );
    first.horizon = Time::NEVER;
    ledger.apply(&first).unwrap();
    let settle =
        Entry { consumed: Units(20), refunded: Units(5), returned: Units(3), ..want(&stock("a"), 1, 0) };
    let close = Entry { then: Then::Close, consumed: Units(4), ..want(&stock("b"), 9, 0) };
    ledger.apply(&batch(NodeId(u64::MAX), 1, 2, vec![settle, close])).unwrap();

    let accounts = "SELECT string_agg(format('%s@%s %s %s %s %s %s %s', encode(key, 'escape'), \"window\", \"limit\", used,
        reserved, high, holder_node, holder_epoch), ', ' ORDER BY key, \"window\") FROM accounts";
    assert_eq!(
        text(&mut client, accounts),
        "a@0 100 15 12 0  , a@18446744073709551615 100 0 5 0  , b@0 9 9 0 0  , \
         bucket@0 7 0 0 18446744073709551615 18446744073709551615 1"
    );
    let leases = "SELECT string_agg(format('%s@%s %s/%s: %s %s %s %s, %s', encode(key, 'escape'), \"window\", epoch, seq,
        granted, consumed, refunded, returned, covered), '; ' ORDER BY key, \"window\") FROM leases";
    assert_eq!(
        text(&mut client, leases),
        "a@0 1/2: 30 20 5 3, 12; a@18446744073709551615 1/1: 5 0 0 0, 5; bucket@0 1/1: 0 0 0 0, 0"
    );
    let nodes = "SELECT format('%s %s %s %s', node, epoch, seq, horizon) FROM nodes";
    assert_eq!(text(&mut client, nodes), "18446744073709551615 1 2 0");
    let keys =
        "SELECT string_agg(format('%s %s', encode(key, 'escape'), target), ', ' ORDER BY key) FROM keys";
    assert_eq!(text(&mut client, keys), "a 100, b 9, bucket 7");
}

#[test]
fn the_tables_refuse_what_breaks_the_rule() {
    let Some(server) = shared() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("constraints");
    ledger.open(NodeId(1)).unwrap();
    ledger.apply(&batch(NodeId(1), 1, 1, vec![want(&stock("k"), 10, 4)])).unwrap();
    let image = ledger.image().unwrap();
    for (statement, constraint) in [
        ("UPDATE accounts SET used = 7", "within_limit"),
        ("UPDATE accounts SET reserved = 11", "within_limit"),
        ("UPDATE accounts SET \"limit\" = 3", "within_limit"),
        ("UPDATE accounts SET used = used - 1", "units_check"),
        ("UPDATE accounts SET \"limit\" = 9223372036854775808", "units_check"),
        ("UPDATE accounts SET high = 18446744073709551616", "word_check"),
        ("UPDATE accounts SET holder_node = 1", "whole_holder"),
        ("UPDATE leases SET consumed = 5", "within_grant"),
        ("UPDATE leases SET refunded = 1, granted = 4", "refunded_was_consumed"),
        ("UPDATE keys SET key = convert_to(repeat('k', 1025), 'UTF8')", "keys_key_check"),
        ("DELETE FROM accounts", "leases_key_window_fkey"),
        ("INSERT INTO format VALUES (1)", "format_pkey"),
    ] {
        let error = client.batch_execute(statement).unwrap_err();
        let found = error.as_db_error().and_then(|said| said.constraint()).map(str::to_owned);
        assert_eq!(found.as_deref(), Some(constraint), "{statement}: {error:?}");
    }
    assert_eq!(ledger.image().unwrap(), image);

    // What no constraint of one table sees is found by the next batch that comes by.
    client.batch_execute("UPDATE accounts SET reserved = 5").unwrap();
    let contradiction = LedgerError::Refused { why: "the ledger's tables contradict each other" };
    let next = batch(NodeId(1), 1, 2, vec![want(&stock("k"), 10, 1)]);
    assert_eq!(ledger.apply(&next), Err(contradiction));
    client.batch_execute("UPDATE accounts SET reserved = 4").unwrap();
    assert_eq!(ledger.apply(&next).unwrap().rows[0].granted, Units(5));
}

#[test]
fn refusals_carry_what_the_caller_does_not_know() {
    let Some(server) = shared() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("refusals");
    let (one, two) = (stock("one"), stock("two"));
    let node = NodeId(u64::MAX);
    let first = batch(node, 1, 1, vec![want(&one, 10, 5), want(&two, 10, 5)]);
    assert_eq!(ledger.apply(&first), Err(LedgerError::Unopened { node }));
    for _ in 0..2 {
        ledger.open(node).unwrap();
    }
    assert_eq!(ledger.apply(&first), Err(LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) }));
    let gap = batch(node, 2, u64::MAX, vec![]);
    assert_eq!(ledger.apply(&gap), Err(LedgerError::Gap { sent: Seq(u64::MAX), expected: Seq(1) }));
    assert!(ledger.trouble().unwrap().contains("QU003") || ledger.trouble().unwrap().contains("came before"));
    ledger.apply(&batch(node, 2, 1, vec![want(&one, 10, 5), want(&two, 10, 5)])).unwrap();
    assert_eq!(ledger.trouble(), None);
    let spent =
        |account: &Account, consumed: u64| Entry { consumed: Units(consumed), ..want(account, 10, 0) };
    ledger.apply(&batch(node, 2, 2, vec![spent(&one, 2)])).unwrap();
    let limit = Units(u64::MAX);
    let high = Entry { limit: LimitWord::Initially(limit), ..spent(&two, 1) };
    for (entries, error) in [
        (vec![spent(&two, 5), spent(&one, 6)], LedgerError::Overdrawn { account: one.clone() }),
        // The first that is broken is told, in the order of the entries.
        (vec![spent(&two, 6), spent(&one, 1)], LedgerError::Overdrawn { account: two.clone() }),
        (vec![spent(&two, 5), spent(&one, 1)], LedgerError::Backwards { account: one.clone() }),
        (vec![spent(&one, 2), high], LedgerError::LimitTooHigh { account: two.clone(), limit }),
    ] {
        assert_eq!(ledger.apply(&batch(node, 2, 3, entries)), Err(error));
    }
    // A refused batch leaves nothing, not even the keys that it was the first to name.
    let unknown = batch(node, 2, 3, vec![want(&stock("new"), 1, 1), spent(&one, 9)]);
    assert!(ledger.apply(&unknown).is_err());
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM keys"), "2");
}

#[test]
fn a_call_is_durable_and_sees_what_was_committed_whatever_its_session_is() {
    let Some(server) = shared() else { return };
    let (_ledger, mut client) = server.ledger_and_client("pooled");
    let mut session = client.transaction().unwrap();
    session.batch_execute("SET LOCAL synchronous_commit = off; SELECT open(1)").unwrap();
    let setting: String = session.query_one("SHOW synchronous_commit", &[]).unwrap().get(0);
    assert_eq!(setting, "on");
    session.rollback().unwrap();
    for (isolation, refusal) in
        [("REPEATABLE READ", Some("QU007")), ("SERIALIZABLE", Some("QU007")), ("READ UNCOMMITTED", None)]
    {
        let mut session = client.transaction().unwrap();
        session.batch_execute(&format!("SET TRANSACTION ISOLATION LEVEL {isolation}")).unwrap();
        let outcome = session.batch_execute("SELECT open(1)").map_err(|error| error.code().unwrap().clone());
        assert_eq!(outcome.err().as_ref().map(SqlState::code), refusal);
    }
}
