//! `claim('name')`: sessions that differ in their claims alone share a template, and each sees its own rows.

use std::collections::BTreeMap;

use deltaic_engine::{Claims, ViewId};
use serde_json::json;

use crate::common::{Db, Got, one, text};

fn db() -> Db {
    let mut db = Db::with("CREATE TABLE doc (id int PRIMARY KEY, owner text, org bigint, size int)");
    db.ok("CREATE INDEX ON doc (owner)");
    db
}

fn claims(pairs: &[(&str, &str)]) -> Claims {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The operators of each view.
fn circuits(db: &Db) -> Vec<String> {
    let views: Vec<ViewId> = db.engine.status().views.iter().map(|view| view.id).collect();
    views.iter().map(|view| format!("{:?}", db.engine.circuit(*view).unwrap())).collect()
}

/// What a condition asks of a row, given a session's claims.
type Wanted = fn(&Row, Option<&str>, Option<i64>) -> bool;
/// A document: id, owner, org, size.
type Row = (i64, Option<&'static str>, Option<i64>, i64);

/// Conditions, and what they ask; the last one is compared with itself over constants.
const FORMS: [(&str, Wanted); 6] = [
    ("owner = claim('sub')", |row, sub, _| sub.is_some() && row.1 == sub),
    ("claim('sub') = owner AND size > 2", |row, sub, _| sub.is_some() && row.1 == sub && row.3 > 2),
    ("org = claim('org')::bigint", |row, _, org| org.is_some() && row.2 == org),
    ("owner = claim('sub') OR org = claim('org')::bigint", |row, sub, org| {
        sub.is_some() && row.1 == sub || org.is_some() && row.2 == org
    }),
    ("owner IS NOT DISTINCT FROM claim('sub')", |row, sub, _| row.1 == sub),
    (
        "id IN (SELECT max(id) FROM doc WHERE org = claim('org')::bigint) AND owner <> claim('sub')",
        |_, _, _| unreachable!("asked with constants alone"),
    ),
];

#[test]
fn each_session_sees_its_own_rows_of_one_circuit() {
    const OWNERS: [Option<&str>; 4] = [Some("ann"), Some("ben"), Some("o'hara"), None];
    let mut db = db();
    let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
    let sessions: Vec<(Option<&str>, Option<i64>)> =
        OWNERS.iter().flat_map(|sub| [None, Some(1), Some(2)].map(|org| (*sub, org))).collect();
    let mut state = 7_u64;
    let mut roll = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    for (number, (form, wanted)) in FORMS.iter().enumerate() {
        let mut live: Vec<BTreeMap<String, i64>> = Vec::new();
        for (place, (sub, org)) in sessions.iter().enumerate() {
            let org = org.map(|org| org.to_string());
            let pairs = [("sub", *sub), ("org", org.as_deref()), ("other", Some("x"))];
            db.claims = pairs
                .iter()
                .filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())))
                .collect();
            let got = db.subscribe(place as u64, &format!("SELECT id FROM doc WHERE {form}"));
            let [Got::Snapshot(snapshot)] = &got[..] else { panic!("{form}: {got:?}") };
            live.push(snapshot.rows.iter().map(|row| (text(row), 1)).collect());
        }
        let circuits = circuits(&db);
        assert!(circuits.windows(2).all(|two| two[0] == two[1]), "{form}: more than one circuit");
        for _ in 0..25 {
            let id = roll(12) as i64;
            db.ok(&format!("DELETE FROM doc WHERE id = {id}"));
            rows.remove(&id);
            if roll(3) > 0 {
                let owner = OWNERS[roll(4) as usize];
                let org = [None, Some(1), Some(2), Some(3)][roll(4) as usize];
                let size = roll(5) as i64;
                let quoted =
                    owner.map_or("NULL".to_owned(), |owner| format!("'{}'", owner.replace('\'', "''")));
                let number = org.map_or("NULL".to_owned(), |org: i64| org.to_string());
                db.ok(&format!("INSERT INTO doc VALUES ({id}, {quoted}, {number}, {size})"));
                rows.insert(id, (id, owner, org, size));
            }
            for (session, got) in db.read() {
                let Got::Change(change) = got else { panic!("{form}: {got:?}") };
                for (row, weight) in &change.changes {
                    *live[session as usize].entry(text(row)).or_default() += weight;
                }
            }
            for (place, (sub, org)) in sessions.iter().enumerate() {
                live[place].retain(|_, weight| *weight != 0);
                let found: Vec<String> = live[place].keys().cloned().collect();
                let mut expected: Vec<String> = if number + 1 < FORMS.len() {
                    rows.values().filter(|row| wanted(row, *sub, *org)).map(|row| row.0.to_string()).collect()
                } else {
                    let sub = sub.map_or("NULL".to_owned(), |sub| format!("'{}'", sub.replace('\'', "''")));
                    let org = org.map_or("NULL".to_owned(), |org| format!("'{org}'"));
                    let form = form.replace("claim('sub')", &sub).replace("claim('org')", &org);
                    db.rows(&format!("SELECT id FROM doc WHERE {form}"))
                };
                expected.sort();
                assert_eq!(found, expected, "{form} of {sub:?} {org:?}");
            }
        }
        for place in 0..sessions.len() {
            db.unsubscribe(place as u64);
        }
        db.pass(1_000);
        assert!(db.engine.status().views.is_empty());
    }
}

#[test]
fn a_claim_is_found_as_a_parameter_is() {
    let mut db = db();
    db.ok("INSERT INTO doc VALUES (1, 'ann', 7, 1), (2, 'ben', 7, 2)");
    db.claims = claims(&[("sub", "ann")]);
    assert_eq!(one(&db.subscribe(1, "SELECT id FROM doc WHERE owner = claim('sub')")), "[1]");
    assert_eq!(one(&db.subscribe_with(2, "SELECT id FROM doc WHERE owner = $1", &[json!("ben")])), "[2]");
    let circuits = circuits(&db);
    assert_eq!(circuits.len(), 2);
    assert_eq!(circuits[0], circuits[1]);
    // The same tuple, given in whichever way, is one view.
    db.subscribe_with(3, "SELECT id FROM doc WHERE owner = $1", &[json!("ann")]);
    assert_eq!(db.engine.status().views.len(), 2);
    // A claim that is cast is a parameter of that type.
    db.claims = claims(&[("org", " 07 ")]);
    assert_eq!(one(&db.subscribe(4, "SELECT id FROM doc WHERE org = claim('org')::bigint")), "[1, 2]");
    db.subscribe_with(5, "SELECT id FROM doc WHERE org = $1", &[json!(7)]);
    assert_eq!(db.engine.status().views.len(), 3);
}

#[test]
fn a_claim_that_is_no_number_refuses_its_own_session_alone() {
    let mut db = db();
    db.ok("INSERT INTO doc VALUES (1, 'ann', 7, 1)");
    let sql = "SELECT id FROM doc WHERE org = claim('org')::bigint";
    db.claims = claims(&[("org", "7")]);
    assert_eq!(one(&db.subscribe(1, sql)), "[1]");
    assert_eq!(db.rows(sql), ["1"]);
    db.claims = claims(&[("org", "seven")]);
    assert_eq!(one(&db.subscribe(2, sql)), "error 22P02");
    let (code, message) = db.error(sql);
    assert_eq!(code, "22P02");
    assert!(message.starts_with("the session's claim \"org\" is no bigint: "), "{message}");
    db.ok("INSERT INTO doc VALUES (2, 'ann', 7, 1)");
    assert_eq!(db.news(), ["1: +2"]);
}

#[test]
fn claims_stand_where_values_do() {
    let mut db = db();
    db.claims = claims(&[("sub", "ann"), ("org", "7"), ("a b", "")]);
    db.ok("INSERT INTO doc VALUES (1, claim('sub'), claim('org')::bigint, 1), (2, 'ben', 8, 2)");
    assert_eq!(db.rows("SELECT owner FROM doc WHERE org = claim('org')::bigint"), ["ann"]);
    assert_eq!(
        db.rows("SELECT claim('sub'), claim('none') IS NULL, claim('a b') = '', claim('Sub')"),
        ["ann|true|true|NULL"]
    );
    // Behind `$n`, whatever their order in the text and in whichever statement.
    let outcome =
        db.run("SELECT claim('sub') || $2 || claim('org') || $1 || claim('sub')", &[json!("-"), json!("+")]);
    assert_eq!(text(&outcome.unwrap().rows[0]), "ann+7-ann");
    let outcome = db.run(
        "UPDATE doc SET size = $1 WHERE owner = claim('sub'); SELECT size, claim('org') FROM doc WHERE owner = claim('sub') AND id < $2",
        &[json!(9), json!(5)],
    );
    assert_eq!(text(&outcome.unwrap().rows[0]), "9|7");
    assert_eq!(db.rows("WITH unread AS (SELECT $1::int) SELECT claim('sub')"), ["ann"]);
    assert_eq!(db.rows("DELETE FROM doc WHERE owner = claim('sub') RETURNING claim('org')"), ["7"]);
    let outcome = db.run(
        "SELECT claim('org')::bigint + $1, claim('org'), (claim('org'))::numeric(4, 2), claim('org')::bigint, claim('sub')::text",
        &[json!(1)],
    );
    assert_eq!(text(&outcome.unwrap().rows[0]), "8|7|7|7|ann");
    db.claims = claims(&[("groups", "{ann,\"o'hara\"}")]);
    assert_eq!(db.rows("SELECT 'o''hara' = ANY (claim('groups')::text[])"), ["true"]);
    db.claims = Claims::new();
    assert_eq!(db.rows("SELECT claim('sub'), count(*) FROM doc WHERE owner = claim('sub')"), ["NULL|0"]);
    assert_eq!(db.rows("SELECT id FROM doc ORDER BY id LIMIT claim('n')::bigint"), ["2"]);
}

#[test]
fn what_has_no_session_reads_no_claim() {
    let mut db = db();
    for sql in [
        "CREATE LIVE VIEW mine AS SELECT id FROM doc WHERE owner = claim('sub')",
        "CREATE TABLE t (id int PRIMARY KEY, owner text DEFAULT claim('sub'))",
        "CREATE TABLE t (id int PRIMARY KEY, owner text CHECK (owner = claim('sub')))",
    ] {
        let (code, message) = db.error(sql);
        assert_eq!(code, "0A000", "{sql}");
        assert!(message.contains("claim()") && message.contains("no session"), "{message}");
    }
    // A view is read with a claim by who has one.
    db.ok("CREATE LIVE VIEW all_docs AS SELECT id, owner FROM doc");
    db.ok("INSERT INTO doc VALUES (1, 'ann', 7, 1), (2, 'ben', 8, 2)");
    db.claims = claims(&[("sub", "ben")]);
    assert_eq!(one(&db.subscribe(1, "SELECT id FROM all_docs WHERE owner = claim('sub')")), "[2]");
}

#[test]
fn a_claim_has_a_constant_name() {
    let mut db = db();
    for sql in ["SELECT claim(owner) FROM doc", "SELECT claim(NULL)", "SELECT claim(1)"] {
        let (code, message) = db.error(sql);
        assert_eq!(code, "0A000", "{sql}");
        assert!(message.contains("a name that is not constant"), "{message}");
    }
    assert_eq!(db.code("SELECT claim()"), "42883");
    assert_eq!(db.code("SELECT claim('a', 'b')"), "42883");
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("claim('{n}')")).collect();
        format!("SELECT {}", names.join(", "))
    };
    let limit = deltaic_types::limits::CLAIMS;
    db.ok(&names(limit));
    assert_eq!(db.code(&names(limit + 1)), "54001");
}

#[test]
fn a_cookie_of_other_claims_gets_a_snapshot() {
    let mut db = db();
    db.ok("INSERT INTO doc VALUES (1, 'ann', 7, 1), (2, 'ben', 8, 2)");
    let sql = "SELECT id FROM doc WHERE owner = claim('sub')";
    db.claims = claims(&[("sub", "ann")]);
    let cookie = db.subscribe(1, sql)[0].cookie();
    assert_eq!(one(&db.subscribe_as(2, 1, sql, &[], Some(cookie))), "current");
    db.claims = claims(&[("sub", "ben")]);
    assert_eq!(one(&db.subscribe_as(3, 1, sql, &[], Some(cookie))), "[2]");
}
