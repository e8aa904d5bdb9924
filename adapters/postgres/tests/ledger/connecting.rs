//! Connecting: the schema that is found or made, and each reason why there is no ledger, with what to do about it.

use std::os::unix::net::UnixListener;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use deltaic_postgres::{ConnectError, PostgresLedger, Settings};
use deltaic_quota::conformance::{batch, entry};
use deltaic_quota::{Account, Claim, Entry, Epoch, Key, Ledger, NodeId, Seq, Silent, Time, Units};

use crate::server::{private, shared};

fn refused(settings: Settings) -> ConnectError {
    PostgresLedger::connect(settings).unwrap_err()
}

#[test]
fn two_that_make_the_schema_at_the_same_moment_have_one_ledger() {
    let Some(server) = shared() else { return };
    for _ in 0..4 {
        let (settings, start) = (server.settings(), Barrier::new(3));
        let mut epochs: Vec<u64> = thread::scope(|scope| {
            let calls: Vec<_> = (0..3)
                .map(|_| {
                    let (settings, start) = (settings.clone(), &start);
                    scope.spawn(move || {
                        start.wait();
                        let mut ledger = PostgresLedger::connect(settings).unwrap();
                        ledger.open(NodeId(1)).unwrap().epoch.0
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        epochs.sort_unstable();
        assert_eq!(epochs, [1, 2, 3]);
    }
}

#[test]
fn a_weaker_server_is_refused_by_the_setting_and_taken_if_that_is_said() {
    let Some(server) = private() else { return };
    let settings = server.settings();
    for setting in ["fsync", "full_page_writes"] {
        server.set(setting, "off");
        let error = refused(settings.clone());
        assert_eq!(error, ConnectError::Weak { setting, found: "off".to_owned() });
        assert!(error.to_string().contains(&format!("set {setting} = on in postgresql.conf")), "{error}");
        let mut ledger = PostgresLedger::connect(settings.clone().allow_weaker_durability()).unwrap();
        ledger.open(NodeId(1)).unwrap();
        server.set(setting, "on");
    }
    // A weaker commit is the session's to mend: it asks for its own.
    server.set("synchronous_commit", "off");
    let mut ledger = PostgresLedger::connect(settings).unwrap();
    assert_eq!(ledger.open(NodeId(1)).unwrap().epoch.0, 3);
}

#[test]
fn a_schema_that_is_newer_or_foreign_is_left_alone() {
    let Some(server) = shared() else { return };
    let (_, mut client) = server.ledger_and_client("newer");
    let named = |schema: &str| Settings::parse(&server.address("owner")).unwrap().schema(schema).unwrap();
    client.batch_execute("UPDATE format SET version = 3").unwrap();
    let error = refused(named("newer"));
    assert_eq!(error, ConnectError::Newer { schema: "newer".to_owned(), found: 3, known: 2 });
    assert!(error.to_string().contains("use a newer program"));
    for (schema, table) in [
        ("tables", "accounts (owner text)"),
        ("likewise", "format (kind text)"),
        ("texts", "format (version text)"),
        ("empty_format", "format (version integer)"),
    ] {
        let make = format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.{table}");
        client.batch_execute(&make).unwrap();
        if schema == "texts" {
            client.batch_execute("INSERT INTO texts.format VALUES ('1')").unwrap();
        }
        let error = refused(named(schema));
        assert_eq!(error, ConnectError::Foreign { schema: schema.to_owned() });
        assert!(error.to_string().contains("choose another schema"));
    }
}

#[test]
fn an_empty_schema_that_was_made_for_the_user_is_used() {
    let Some(server) = shared() else { return };
    let mut client = server.client();
    client.batch_execute("CREATE ROLE guest LOGIN").unwrap();
    let settings = Settings::parse(&server.address("guest")).unwrap().schema("theirs").unwrap();
    let error = refused(settings.clone());
    assert!(matches!(&error, ConnectError::Permission { schema, .. } if schema == "theirs"), "{error:?}");
    assert!(error.to_string().contains("grant it CREATE on the database"), "{error}");
    client.batch_execute("CREATE SCHEMA theirs AUTHORIZATION guest").unwrap();
    PostgresLedger::connect(settings).unwrap().open(NodeId(1)).unwrap();
    // Another's ledger is not read.
    client.batch_execute("CREATE ROLE stranger LOGIN").unwrap();
    let settings = Settings::parse(&server.address("stranger")).unwrap().schema("theirs").unwrap();
    assert!(matches!(refused(settings), ConnectError::Permission { .. }));
}

#[test]
fn an_address_that_leads_nowhere_says_what_to_mend() {
    let Some(server) = shared() else { return };
    let nowhere = tempfile::tempdir().unwrap();
    let address = format!("host={} user=owner", nowhere.path().display());
    let error = refused(Settings::parse(&address).unwrap());
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("start it, or mend host and port"), "{error}");
    for (user, end) in [("nobody", ""), ("owner", " dbname=none")] {
        let error = refused(Settings::parse(&format!("{}{end}", server.address(user))).unwrap());
        assert!(matches!(error, ConnectError::Login { .. }), "{error:?}");
        assert!(error.to_string().contains("mend user, password and dbname"), "{error}");
    }
    // Somebody listens and says nothing: not even a connection is waited for without end.
    let _silent = UnixListener::bind(nowhere.path().join(".s.PGSQL.5432")).unwrap();
    let error = refused(Settings::parse(&address).unwrap().answer_timeout(Duration::from_millis(20)));
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("no answer within 20ms"), "{error}");
}

#[test]
fn whatever_else_the_server_says_is_told() {
    let Some(server) = shared() else { return };
    // Making the schema takes longer than a millisecond, which the session allows it.
    let error = refused(server.settings().statement_timeout(Duration::from_millis(1)));
    assert!(matches!(error, ConnectError::Server { .. }), "{error:?}");
    assert!(error.to_string().contains("connect again"), "{error}");
}

/// Makes a ledger as the program of format 1 did.
fn make_first_format(client: &mut postgres::Client, schema: &str) {
    let path = format!("CREATE SCHEMA {schema}; SET search_path = {schema}, pg_temp");
    let format = "INSERT INTO format (version) VALUES (1)";
    for statements in [&path, include_str!("format_1/tables.sql"), include_str!("format_1/rules.sql"), format]
    {
        client.batch_execute(statements).unwrap();
    }
}

#[test]
fn a_ledger_of_the_first_format_is_made_one_of_this_one_and_keeps_what_it_knows() {
    let Some(server) = shared() else { return };
    let mut old = server.client();
    make_first_format(&mut old, "first_format");
    // A node of then has a lease of 30, of which it has spent 4.
    old.batch_execute(
        "SELECT open(1); SELECT open(2);
         SELECT apply(1, 1, 1, 0, '{k}', '{0}', '{0}', '{f}', '{100}', '{0}', '{0}', '{0}', '{0}', '{0}', '{f}', '{30}', '{f}');
         SELECT apply(1, 1, 2, 0, '{k}', '{0}', '{0}', '{f}', '{100}', '{4}', '{0}', '{0}', '{0}', '{0}', '{f}', '{0}', '{f}')",
    )
    .unwrap();
    let settings = Settings::parse(&server.address("owner")).unwrap().schema("first_format").unwrap();
    // Two that come at the same moment: one of them does it.
    let start = Barrier::new(2);
    let mut ledgers: Vec<PostgresLedger> = thread::scope(|scope| {
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let (settings, start) = (settings.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    PostgresLedger::connect(settings).unwrap()
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let version: i32 = old.query_one("SELECT version FROM format", &[]).unwrap().get(0);
    assert_eq!(version, 2);
    let account = Account::stock(Key::new(b"k").unwrap());
    let loaded = ledgers[0].load(&account).unwrap().unwrap();
    assert_eq!((loaded.baseline.used, loaded.baseline.reserved), (Units(4), Units(26)));
    let silent = Silent { node: NodeId(1), epoch: Epoch(1), seq: Seq(2) };
    assert_eq!(ledgers[1].silent(Time(1)).unwrap(), [silent]);
    let want = |n| Entry { claim: Claim::Units(Units(n)), ..entry(&account, Units(100)) };
    let reply = ledgers[0].apply(&batch(NodeId(2), 1, 1, vec![want(90)])).unwrap();
    assert_eq!(reply.rows[0].granted, Units(70));
    let reply = ledgers[1].apply(&batch(NodeId(1), 1, 3, vec![])).unwrap();
    assert_eq!(reply.recalled, [(account, Units(20))]);
    // The program of then finds its function gone, and whoever made a newer one is told apart from a foreign schema.
    let apply = "SELECT apply(1, 1, 4, 0, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')";
    let error = old.batch_execute(apply).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42883");
    old.batch_execute("UPDATE format SET version = 0").unwrap();
    assert_eq!(refused(settings), ConnectError::Foreign { schema: "first_format".to_owned() });
}

#[test]
fn a_ledger_that_is_made_new_and_one_that_was_brought_here_are_the_same() {
    let Some(server) = shared() else { return };
    let mut client = server.client();
    make_first_format(&mut client, "brought_here");
    let named = |schema: &str| Settings::parse(&server.address("owner")).unwrap().schema(schema).unwrap();
    for schema in ["brought_here", "made_new"] {
        PostgresLedger::connect(named(schema)).unwrap();
    }
    client.batch_execute("SET search_path = pg_catalog").unwrap();
    let mut shape = |query: &str| {
        ["brought_here", "made_new"].map(|schema| -> String {
            let text = client.query_one(query, &[&schema]).unwrap().get::<_, Option<String>>(0).unwrap();
            text.replace(schema, "")
        })
    };
    for query in [
        "SELECT string_agg(format('%s.%s %s %s %s', table_name, column_name, domain_name, is_nullable, column_default),
             ', ' ORDER BY table_name, column_name) FROM information_schema.columns WHERE table_schema = $1",
        "SELECT string_agg(indexdef, ', ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = $1",
        "SELECT string_agg(pg_get_functiondef(p.oid), ', ' ORDER BY p.proname) FROM pg_proc p
             JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1",
        "SELECT string_agg(format('%s %s', c.conname, pg_get_constraintdef(c.oid)), ', ' ORDER BY c.conname)
             FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = $1",
    ] {
        let [brought, made] = shape(query);
        assert!(made.len() > 100);
        let differ = brought.lines().zip(made.lines()).find(|(brought, made)| brought != made);
        assert_eq!((differ, brought.len()), (None, made.len()));
    }
}
