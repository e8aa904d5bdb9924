//! What is known of a call that has no answer: a killed backend, a frozen one, limits of time, a server that is gone.

use std::thread;
use std::time::Duration;

use deltaic_postgres::{PostgresLedger, Settings};
use deltaic_quota::conformance::{batch, entry};
use deltaic_quota::{Account, Batch, Claim, Entry, Key, Ledger, LedgerError, MemoryLedger, NodeId, Units};

use crate::server::{private, shared, signal, waiting};

fn account() -> Account {
    Account::stock(Key::new(b"k").unwrap())
}

fn want(seq: u64, consumed: u64) -> Batch {
    let entry =
        Entry { claim: Claim::Units(Units(5)), consumed: Units(consumed), ..entry(&account(), Units(100)) };
    batch(NodeId(1), 1, seq, vec![entry])
}

/// A ledger in memory to which the same was said.
fn memory(batches: &[Batch]) -> MemoryLedger {
    let mut memory = MemoryLedger::new();
    memory.open(NodeId(1)).unwrap();
    for batch in batches {
        memory.apply(batch).unwrap();
    }
    memory
}

const LOCK: &str = "BEGIN; SELECT FROM keys FOR UPDATE";

#[test]
fn a_backend_killed_before_the_commit_has_written_nothing() {
    let Some(server) = shared() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("killed_before");
    ledger.open(NodeId(1)).unwrap();
    ledger.apply(&want(1, 0)).unwrap();
    client.batch_execute(LOCK).unwrap();
    let lost = thread::scope(|scope| {
        let call = scope.spawn(|| ledger.apply(&want(2, 3)));
        let mut other = server.client();
        // It waits for the key that the client has locked.
        let process = waiting(&mut other, "killed_before", "transactionid");
        other.execute("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
        call.join().unwrap()
    });
    assert_eq!(lost, Err(LedgerError::Away));
    client.batch_execute("ROLLBACK").unwrap();
    assert_eq!(ledger.image(), memory(&[want(1, 0)]).image(), "the next call has a new connection");
    assert_eq!(ledger.apply(&want(2, 3)), memory(&[want(1, 0)]).apply(&want(2, 3)));
    assert_eq!(ledger.image(), memory(&[want(1, 0), want(2, 3)]).image());
}

/// The server commits and then waits for a standby that there is not: there the backend is killed, or its wait cancelled.
#[test]
fn a_backend_killed_after_the_commit_has_written_it_once() {
    let Some(server) = private() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("killed_after");
    ledger.open(NodeId(1)).unwrap();
    ledger.apply(&want(1, 0)).unwrap();
    server.set("synchronous_standby_names", "nobody");
    let mut end = |ledger: &mut PostgresLedger, batch: &Batch, function: &str| {
        thread::scope(|scope| {
            let call = scope.spawn(|| ledger.apply(batch));
            let process = waiting(&mut client, "killed_after", "SyncRep");
            client.execute(&format!("SELECT {function}($1)"), &[&process]).unwrap();
            call.join().unwrap()
        })
    };
    let lost = end(&mut ledger, &want(2, 3), "pg_terminate_backend");
    assert_eq!(lost, Err(LedgerError::Away));
    assert_eq!(ledger.image(), memory(&[want(1, 0), want(2, 3)]).image(), "it was written");
    // A repeat writes nothing but its node's lock, and is answered from the rows.
    server.set("synchronous_standby_names", "");
    assert_eq!(ledger.apply(&want(2, 3)), memory(&[want(1, 0)]).apply(&want(2, 3)));
    assert_eq!(ledger.image(), memory(&[want(1, 0), want(2, 3)]).image(), "and not twice");
    // A statement that is cancelled after its commit is no error: an error means that nothing was written.
    server.set("synchronous_standby_names", "nobody");
    let answered = end(&mut ledger, &want(3, 4), "pg_cancel_backend");
    assert_eq!(answered, memory(&[want(1, 0), want(2, 3)]).apply(&want(3, 4)));
}

#[test]
fn a_frozen_server_is_not_waited_for() {
    let Some(server) = shared() else { return };
    let name = "frozen";
    let settings = Settings::parse(&format!("{} application_name={name}", server.address("owner"))).unwrap();
    let settings = settings.schema(name).unwrap();
    let mut ledger = PostgresLedger::connect(settings.clone()).unwrap();
    ledger.open(NodeId(1)).unwrap();
    ledger.apply(&want(1, 0)).unwrap();
    // A loaded machine may take longer to connect: it tries until it has a connection.
    let hasty = settings.answer_timeout(Duration::from_millis(300));
    let mut hasty = (0..).find_map(|_| PostgresLedger::connect(hasty.clone()).ok()).unwrap();
    while hasty.load(&account()).is_err() {}
    let text = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY backend_start DESC";
    let process: i32 = server.client().query(text, &[&name]).unwrap()[0].get(0);
    signal("STOP", process as u32);
    let lost = hasty.apply(&want(2, 3));
    signal("CONT", process as u32);
    assert_eq!(lost, Err(LedgerError::Away));
    assert!(hasty.trouble().unwrap().contains("no answer within 300ms"));
    // The first sending arrives too, before this one or after it.
    assert_eq!(ledger.apply(&want(2, 3)), memory(&[want(1, 0)]).apply(&want(2, 3)));
    let gone = "SELECT FROM pg_stat_activity WHERE pid = $1";
    while server.client().query_opt(gone, &[&process]).unwrap().is_some() {
        thread::yield_now();
    }
    assert_eq!(ledger.image(), memory(&[want(1, 0), want(2, 3)]).image());
}

#[test]
fn limits_of_time_write_nothing() {
    let Some(server) = shared() else { return };
    let name = "limits";
    let address = format!("{} application_name={name}", server.address("owner"));
    let settings = Settings::parse(&address).unwrap().schema(name).unwrap();
    let (millis, never) = (Duration::from_millis(50), Duration::ZERO);
    let lock = settings.clone().lock_timeout(millis).statement_timeout(never);
    let statement = settings.lock_timeout(never).statement_timeout(millis);
    let mut client = server.client();
    let mut seq = 0;
    for (settings, why) in [
        (lock, "another node held the rows longer than lock_timeout"),
        (statement, "the statement was cancelled, or took longer than statement_timeout"),
    ] {
        // The limit of the statement is as short as making the schema is long.
        let mut ledger = loop {
            match PostgresLedger::connect(settings.clone()) {
                Ok(ledger) => break ledger,
                Err(error) => assert!(error.to_string().contains("statement timeout"), "{error}"),
            }
        };
        if seq == 0 {
            ledger.open(NodeId(1)).unwrap();
            client.batch_execute(&format!("SET search_path = {name}")).unwrap();
            seq += 1;
            assert!(retried(&mut ledger, &want(seq, 0)).is_ok());
        }
        seq += 1;
        client.batch_execute(LOCK).unwrap();
        let image = PostgresLedger::connect(server_settings(&address, name)).unwrap().image();
        assert_eq!(ledger.apply(&want(seq, 0)), Err(LedgerError::Refused { why }));
        client.batch_execute("ROLLBACK").unwrap();
        let mut patient = PostgresLedger::connect(server_settings(&address, name)).unwrap();
        assert_eq!(patient.image(), image, "nothing was written");
        assert!(patient.apply(&want(seq, 0)).is_ok());
    }
}

fn server_settings(address: &str, name: &str) -> Settings {
    Settings::parse(address).unwrap().schema(name).unwrap()
}

/// On a loaded machine a short limit may end any call: the same bytes go again.
fn retried(ledger: &mut PostgresLedger, batch: &Batch) -> Result<deltaic_quota::Reply, LedgerError> {
    loop {
        match ledger.apply(batch) {
            Err(LedgerError::Refused { .. }) => {}
            outcome => return outcome,
        }
    }
}

#[test]
fn a_server_that_is_gone_is_away_until_the_outcome_is_known() {
    let Some(server) = private() else { return };
    let (mut ledger, client) = server.ledger_and_client("gone");
    let mut idle = server.ledger();
    ledger.open(NodeId(1)).unwrap();
    drop((client, server));
    assert_eq!(ledger.apply(&want(1, 0)), Err(LedgerError::Away));
    // There is nobody to connect to. This attempt wrote nothing, but the one before may have.
    assert_eq!(ledger.apply(&want(1, 0)), Err(LedgerError::Away));
    assert!(ledger.trouble().unwrap().contains("cannot be reached"), "{:?}", ledger.trouble());
    // Of another batch nothing was ever sent.
    let nothing = Err(LedgerError::Refused { why: "there is no connection to the ledger" });
    assert_eq!(ledger.apply(&want(2, 0)), nothing);
    assert_eq!(idle.load(&account()), Err(LedgerError::Away));
    assert_eq!(
        idle.load(&account()),
        Err(LedgerError::Refused { why: "there is no connection to the ledger" })
    );
}

fn refused<T>(why: &'static str) -> Result<T, LedgerError> {
    Err(LedgerError::Refused { why })
}

#[test]
fn a_ledger_that_cannot_be_written_says_why() {
    let Some(server) = shared() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("readable");
    ledger.open(NodeId(1)).unwrap();
    let grants = "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA readable TO reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA readable TO reader";
    client.batch_execute(grants).unwrap();
    let read = Settings::parse(&server.address("reader")).unwrap().schema("readable").unwrap();
    let mut reader = PostgresLedger::connect(read).unwrap();
    assert_eq!(reader.load(&account()), Ok(None));
    assert_eq!(reader.apply(&want(1, 0)), refused("the user may not write the ledger's tables"));
    assert!(reader.trouble().unwrap().contains("permission denied"), "{:?}", reader.trouble());
    client.batch_execute("ALTER TABLE accounts ADD CONSTRAINT none CHECK (used < 0)").unwrap();
    assert_eq!(ledger.apply(&want(1, 0)), refused("a constraint of the ledger's tables does not hold"));
    client.batch_execute("ALTER TABLE accounts DROP CONSTRAINT none").unwrap();

    let standby = format!("{} options='-c default_transaction_read_only=on'", server.address("owner"));
    let mut standby = PostgresLedger::connect(server_settings(&standby, "readable")).unwrap();
    assert_eq!(standby.apply(&want(1, 0)), refused("the server is read-only: it is a standby"));

    let fail = "CREATE TABLE failure (code text);
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION USING ERRCODE = (SELECT code FROM readable.failure), MESSAGE = 'it failed';
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON keys FOR EACH ROW EXECUTE FUNCTION fail()";
    client.batch_execute(fail).unwrap();
    for (code, why) in [
        ("53100", "the server's disk is full"),
        ("53200", "the server has no room left"),
        ("40P01", "the transaction was in the way of another one"),
        ("40001", "the transaction was in the way of another one"),
        ("58030", "the server or its disk failed"),
        ("XX000", "the server or its disk failed"),
        ("QU007", "the transaction is not read committed"),
        ("P0001", "the server refused the statement"),
    ] {
        client.batch_execute("DELETE FROM failure").unwrap();
        client.execute("INSERT INTO failure VALUES ($1)", &[&code]).unwrap();
        assert_eq!(ledger.apply(&want(1, 0)), refused(why), "{code}");
        assert!(ledger.trouble().unwrap().contains("it failed"), "{:?}", ledger.trouble());
    }
    client.batch_execute("DROP TRIGGER fail ON keys").unwrap();
    assert!(ledger.apply(&want(1, 0)).is_ok());

    client.batch_execute("DROP SCHEMA readable CASCADE; DROP ROLE reader").unwrap();
    assert_eq!(ledger.apply(&want(1, 0)), refused("the ledger's schema is gone"));
    // A new connection makes none: it would grant all limits anew.
    let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'readable'";
    client.execute(text, &[]).unwrap();
    assert_eq!(ledger.load(&account()), Err(LedgerError::Away));
    assert_eq!(ledger.load(&account()), refused("there is no connection to the ledger"));
    assert!(
        ledger.trouble().unwrap().contains("connect anew to begin an empty one"),
        "{:?}",
        ledger.trouble()
    );
}
