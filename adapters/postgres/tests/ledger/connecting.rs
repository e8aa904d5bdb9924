//! Connecting: the schema that is found or made, and each reason why there is no ledger, with what to do about it.

use std::os::unix::net::UnixListener;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use deltaic_postgres::{ConnectError, PostgresLedger, Settings};
use deltaic_quota::{Ledger, NodeId};

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
    client.batch_execute("UPDATE format SET version = 2").unwrap();
    let error = refused(named("newer"));
    assert_eq!(error, ConnectError::Newer { schema: "newer".to_owned(), found: 2, known: 1 });
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
