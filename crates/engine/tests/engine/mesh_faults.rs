//! Engines that write apart and merge, where several of their rules meet.

use deltaic_causality::{ActorId, VersionVector};
use deltaic_engine::{PeerNews, RequestError};
use deltaic_types::limits;

use crate::{
    common::{Db, Got, SECOND},
    mesh::Members,
};

/// A row that stays for one that is not seen itself can be deleted as often as somebody likes.
#[test]
fn a_row_that_is_kept_and_deleted_again_stays() {
    let sql = "CREATE TABLE teams (id integer PRIMARY KEY);
        CREATE TABLE tasks (id integer PRIMARY KEY, code text UNIQUE, team integer REFERENCES teams)";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO teams VALUES (1), (2)");
    members.settle();
    members.dbs[0].ok("INSERT INTO tasks VALUES (1, 'x', 1)");
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("INSERT INTO tasks VALUES (2, 'x', 2)");
    members.settle();
    for _ in 0..2 {
        members.dbs[0].ok("DELETE FROM teams WHERE id = 2");
        members.settle();
        assert_eq!(members.rows("SELECT * FROM teams ORDER BY id"), ["1", "2"]);
    }
    members.dbs[0].ok("DELETE FROM tasks WHERE id = 1");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM tasks"), ["2|x|2"]);
}

/// The conflicts are there before the views that read them.
#[test]
fn a_live_view_over_conflicts_is_what_it_was_after_a_restart() {
    let sql = "CREATE TABLE people (id integer PRIMARY KEY, mail text UNIQUE);
        CREATE LIVE VIEW hidden AS SELECT relation, key FROM deltaic.conflicts WHERE kind = 'unique'";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO people VALUES (1, 'a@x')");
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("INSERT INTO people VALUES (2, 'a@x')");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM hidden"), ["people|[2]"]);
    let db = members.dbs.remove(0).restart();
    members.dbs.insert(0, db);
    let first: Vec<String> =
        members.dbs[0].subscribe(1, "SELECT * FROM hidden").iter().map(Got::text).collect();
    assert_eq!(first, ["[people|[2]]"]);
    members.dbs[0].ok("DELETE FROM people WHERE id = 1");
    assert_eq!(members.dbs[0].news(), ["1: -people|[2]"]);
}

/// The writes of a transaction have one time.
#[test]
fn a_transaction_sets_a_counter_twice_and_begins_a_row_twice() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, n counter)");
    let db = &mut members.dbs[0];
    db.ok("INSERT INTO t VALUES (1, 7); UPDATE t SET n = 5; UPDATE t SET n = 6");
    db.ok("INSERT INTO t VALUES (2, 0); DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 1)");
    db.ok("UPDATE t SET id = 3 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3; UPDATE t SET id = 3 WHERE id = 2");
    assert_eq!(db.code("INSERT INTO t VALUES (9, 0), (9, 1)"), "23505");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM t ORDER BY id"), ["1|6", "3|1"]);
}

/// What a server had written when it began counts, and not what it wrote before it first spoke.
#[test]
fn a_server_over_an_older_copy_is_told_so_even_if_it_has_written_as_much_again() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, n counter)");
    members.dbs[0].ok("INSERT INTO t VALUES (1, 0)");
    members.settle();
    let copy = members.dbs[0].store.clone();
    members.dbs[0].ok("UPDATE t SET n = n + 1");
    members.settle();
    let now = members.dbs[0].now + SECOND;
    members.dbs[0] = Db::over(copy);
    members.dbs[0].now = now;
    members.dbs[0].ok("UPDATE t SET n = n + 100");
    for _ in 0..3 {
        for db in &mut members.dbs {
            db.pass(2);
        }
        members.deliver();
    }
    assert_eq!(members.dbs[0].peer_news, [PeerNews::Restored { by: ActorId(2) }]);
    assert_eq!(members.dbs[1].peer_news, [PeerNews::PeerRestored(ActorId(1))]);
}

/// What a server does by itself keeps no row that somebody deletes.
#[test]
fn rights_that_are_given_bring_no_row_back() {
    let mut members =
        Members::of(3, "CREATE TABLE shows (id integer PRIMARY KEY, seats counter CHECK (seats >= 0))");
    members.dbs[0].ok("INSERT INTO shows VALUES (1, 10), (2, 10)");
    members.settle();
    assert_eq!(members.dbs[1].code("UPDATE shows SET seats = seats - 3 WHERE id = 1"), "40001");
    members.dbs[2].ok("DELETE FROM shows WHERE id = 1");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM shows"), ["2|10"]);
    assert_eq!(members.dbs[1].code("UPDATE shows SET seats = seats - 3"), "40001");
    members.settle();
    members.dbs[1].ok("UPDATE shows SET seats = seats - 3");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM shows"), ["2|7"]);
    for turn in 0..3 {
        let db = members.dbs.remove(turn).restart();
        members.dbs.insert(turn, db);
    }
    assert_eq!(members.rows("SELECT * FROM shows"), ["2|7"]);
}

#[test]
fn a_new_column_brings_no_row_back() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, a text)");
    members.dbs[0].ok("INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    members.settle();
    members.dbs[0].ok("ALTER TABLE t ADD COLUMN b text DEFAULT 'b'; UPDATE t SET b = 'c' WHERE id = 2");
    members.dbs[0].ok("DELETE FROM t WHERE id = 1");
    members.dbs[1].ok("ALTER TABLE t ADD COLUMN b text DEFAULT 'b'");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM t"), ["2|y|c"]);
}

/// What decides which rows are seen, and what holds of them, is the same on all or is told.
#[test]
fn constraints_that_differ_are_told_by_name() {
    let parent = "CREATE TABLE p (id integer PRIMARY KEY)";
    let cases = [
        (
            "p integer REFERENCES p",
            "p integer REFERENCES p ON DELETE CASCADE",
            "foreign key (p) to p (id) here",
        ),
        (
            "p integer REFERENCES p ON DELETE SET NULL",
            "p integer REFERENCES p",
            "(id) ON DELETE SET NULL here",
        ),
        (
            "p integer NOT NULL",
            "p integer",
            "column \"p\": constraint NOT NULL without a constant default here and none there",
        ),
        ("p integer CHECK (p > 0)", "p integer", "check p > 0 here and none there"),
    ];
    for (ours, theirs, why) in cases {
        let mut dbs = Vec::new();
        for (actor, column) in [(ActorId(1), ours), (ActorId(2), theirs)] {
            let mut db = Db::of(actor);
            db.ok(&format!("{parent}; CREATE TABLE c (id integer PRIMARY KEY, {column})"));
            dbs.push((actor, db));
        }
        let mut members = Members::over(dbs);
        let [PeerNews::OtherSchema { mismatch, .. }] = &members.dbs[0].peer_news[..] else {
            panic!("{ours}: {:?}", members.dbs[0].peer_news)
        };
        assert!(mismatch.to_string().contains(why), "{mismatch}");
        members.dbs[1].ok(&format!("DROP TABLE c; CREATE TABLE c (id integer PRIMARY KEY, {ours})"));
        members.dbs[0].ok("INSERT INTO p VALUES (1)");
        members.settle();
        assert_eq!(members.rows("SELECT * FROM p"), ["1"]);
    }
}

/// Each of its rows would be a conflict, which would be a row of it.
#[test]
fn a_view_that_must_be_empty_reads_no_conflicts() {
    let mut db = Db::with("CREATE LIVE VIEW all_of AS SELECT relation, key FROM deltaic.conflicts");
    for from in ["deltaic.conflicts", "all_of"] {
        let refused = db.fails(&format!("CREATE LIVE VIEW v MUST BE EMPTY AS SELECT relation FROM {from}"));
        assert!(
            matches!(refused, RequestError::Sql(_)) && refused.to_string().contains("MUST BE EMPTY"),
            "{refused}"
        );
    }
    db.ok("CREATE LIVE VIEW v AS SELECT relation FROM all_of");
}

/// Two servers that each keep as many as may be have more together, until the next one is recorded.
#[test]
fn of_recorded_conflicts_the_oldest_go() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, n text, m text)");
    for thousand in 0..6 {
        let rows: Vec<String> =
            (0..1_000).map(|row| format!("({}, 'a', 'a')", thousand * 1_000 + row)).collect();
        members.dbs[0].ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
    members.settle();
    for db in &mut members.dbs {
        db.basis = Some(VersionVector::default());
        db.ok("UPDATE t SET n = 'b' WHERE m = 'a'");
        db.basis = None;
    }
    members.settle();
    let count = "SELECT count(*) FROM deltaic.conflicts WHERE kind = 'read-write' OR state = 'resolved'";
    assert_eq!(members.rows(count), ["12000"]);
    members.dbs[0].ok("UPDATE t SET n = 'c' WHERE id = 1");
    members.settle();
    assert_eq!(members.rows(count), ["10000"]);
    assert_eq!(
        members.rows("SELECT count(*) FROM deltaic.conflicts WHERE state = 'resolved' AND key = '[1]'"),
        ["2"]
    );
    members.dbs[1].ok("UPDATE t SET n = 'd' WHERE id BETWEEN 2 AND 3000");
    members.settle();
    assert_eq!(members.rows(count), ["10000"]);
}

/// What its author had not seen stays in a set that is assigned, of either kind.
#[test]
fn a_late_assignment_of_a_set_takes_away_what_its_author_had_seen() {
    let mut db =
        Db::with("CREATE TABLE t (id integer PRIMARY KEY, r remove_wins_set(text), a add_wins_set(text))");
    db.ok("INSERT INTO t VALUES (1, '{p,q}', '{p,q}')");
    db.basis = Some(VersionVector::default());
    let seen = db.ok("SELECT * FROM t").cut.unwrap();
    db.basis = None;
    db.ok("UPDATE t SET r = add(r, 'new'), a = add(a, 'new')");
    db.basis = Some(seen);
    db.ok("UPDATE t SET r = '{p,z}', a = '{p,z}'");
    assert_eq!(db.rows("SELECT r, a FROM t"), ["{new,p,z}|{new,p,z}"]);
}

/// Where nobody else has its rows, nothing is left of a table that was dropped.
#[test]
fn a_table_that_is_made_again_is_empty_where_nobody_else_has_its_rows() {
    let t = "CREATE TABLE t (id integer PRIMARY KEY, a text)";
    let mut db =
        Db::with(&format!("{t}; CREATE TABLE other (id integer PRIMARY KEY); INSERT INTO other VALUES (7)"));
    db.ok("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    db.basis = Some(VersionVector::default());
    db.ok("UPDATE t SET a = 'late'");
    db.basis = None;
    db.ok(&format!("DROP TABLE t; {t}; INSERT INTO t VALUES (2, 'new')"));
    assert_eq!(db.rows("SELECT * FROM t"), ["2|new"]);
    db.ok("DROP TABLE t");
    let rows = db.engine.replica_size().unwrap();
    let mut db = db.restart();
    assert_eq!(db.engine.replica_size().unwrap(), rows);
    assert_eq!(rows.rows, 1);
    db.ok(t);
    assert_eq!(db.rows("SELECT * FROM t"), [""; 0]);
    assert_eq!(db.rows("SELECT * FROM other"), ["7"]);
}

/// To begin a row anew under the key of one that is not seen would replace what its author wrote.
#[test]
fn the_key_of_a_hidden_row_is_taken() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, mail text UNIQUE, n text)");
    members.dbs[0].ok("INSERT INTO t VALUES (1, 'x', 'one')");
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("INSERT INTO t VALUES (2, 'x', 'precious')");
    members.settle();
    let (code, message) = members.dbs[0].error("INSERT INTO t VALUES (2, 'z', 'other')");
    assert!(code == "23505" && message.contains("there and not seen"), "{code} {message}");
    members.dbs[0].ok("DELETE FROM t WHERE id = 1");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM t"), ["2|x|precious"]);
}

/// Rows of a server that has no such column would show NULL in it.
#[test]
fn a_column_that_others_lack_has_a_value_to_begin_with() {
    for (column, fits) in [
        ("b text NOT NULL", false),
        ("b timestamptz NOT NULL DEFAULT now()", false),
        ("b text NOT NULL DEFAULT 'none'", true),
        ("b counter", true),
        ("b text", true),
    ] {
        let db = |actor, sql: &str| {
            let mut db = Db::of(ActorId(actor));
            db.ok(sql);
            (ActorId(actor), db)
        };
        let plain = "CREATE TABLE t (id integer PRIMARY KEY)";
        let wider = format!("CREATE TABLE t (id integer PRIMARY KEY, {column})");
        let pair = vec![db(1, plain), db(2, &wider)];
        let told = Members::joined(pair, 20);
        let is_refused = |news: &PeerNews| match news {
            PeerNews::OtherSchema { mismatch, .. } => mismatch.to_string().contains("NOT NULL without"),
            _ => false,
        };
        assert_eq!(told.iter().any(is_refused), !fits, "{column}: {told:?}");
    }
}

/// Whoever repeats an old basis adds one value after the other.
#[test]
fn a_column_holds_so_many_values_beside_each_other_at_most() {
    let mut db = Db::with("CREATE TABLE t (id integer PRIMARY KEY, a multi_value(text), b text)");
    db.ok("INSERT INTO t VALUES (1, '{}', '')");
    db.basis = Some(VersionVector::default());
    let seen = db.ok("SELECT * FROM t").cut.unwrap();
    for n in 0..200 {
        db.basis = Some(seen.clone());
        db.ok(&format!("UPDATE t SET a = '{{{n}}}', b = '{n}'"));
        let beside: usize = db.rows("SELECT array_length(a, 1) FROM t")[0].parse().unwrap();
        assert!((1..=limits::VALUES_BESIDE).contains(&beside), "{n}: {beside}");
    }
    db.basis = None;
    assert_eq!(db.rows("SELECT b FROM t"), ["199"]);
    let open: usize =
        db.rows("SELECT count(*) FROM deltaic.conflicts WHERE state <> 'resolved'")[0].parse().unwrap();
    assert!(open <= limits::VALUES_BESIDE, "{open}");
}

/// What nobody will ever merge is not acknowledged.
#[test]
fn a_copy_that_was_found_out_writes_nothing_more() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY)");
    members.dbs[0].ok("INSERT INTO t VALUES (1)");
    members.settle();
    let copy = members.dbs[0].store.clone();
    members.dbs[0].ok("INSERT INTO t VALUES (2)");
    members.settle();
    let now = members.dbs[0].now + SECOND;
    members.dbs[0] = Db::over(copy);
    members.dbs[0].now = now;
    members.pass(40);
    assert_eq!(members.dbs[0].peer_news, [PeerNews::Restored { by: ActorId(2) }]);
    assert_eq!(members.dbs[0].code("INSERT INTO t VALUES (3)"), "55000");
    assert_eq!(members.dbs[0].rows("SELECT * FROM t"), ["1"]);
    members.dbs[1].ok("INSERT INTO t VALUES (4)");
}

/// Which of several rules hides a row does not hang on the order in which they were made.
#[test]
fn rules_are_asked_in_one_order_everywhere() {
    let t = "CREATE TABLE t (id integer PRIMARY KEY, a text, b text)";
    let (ta, tb) = ("CREATE UNIQUE INDEX ta ON t (a)", "CREATE UNIQUE INDEX tb ON t (b)");
    let db = |actor, rules: [&str; 2]| {
        let mut db = Db::of(ActorId(actor));
        db.ok(&format!("{t}; {}; {}", rules[0], rules[1]));
        (ActorId(actor), db)
    };
    let mut members = Members::over(vec![db(1, [ta, tb]), db(2, [tb, ta])]);
    members.dbs[0].ok("INSERT INTO t VALUES (1, 'x', 'y')");
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("INSERT INTO t VALUES (2, 'x', 'y')");
    members.settle();
    assert_eq!(members.rows("SELECT columns FROM deltaic.conflicts"), ["ta"]);
}

/// An upsert that decides by a column which has changed since is told of.
#[test]
fn a_late_upsert_is_recorded_with_what_it_had_read() {
    let mut db = Db::with("CREATE TABLE t (id integer PRIMARY KEY, state text, n integer)");
    db.ok("INSERT INTO t VALUES (1, 'open', 1)");
    db.basis = Some(VersionVector::default());
    let seen = db.ok("SELECT * FROM t").cut.unwrap();
    db.basis = None;
    db.ok("UPDATE t SET state = 'closed'");
    db.basis = Some(seen);
    db.ok("INSERT INTO t VALUES (1, '', 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE t.state = 'closed'");
    assert_eq!(
        db.rows("SELECT kind, columns FROM deltaic.conflicts WHERE kind = 'read-write'"),
        ["read-write|state"]
    );
}
