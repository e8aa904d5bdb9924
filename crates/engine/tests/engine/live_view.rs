//! CREATE LIVE VIEW: named results that stay, and queries over them.

use crate::common::{Db, one};

fn db() -> Db {
    let mut db = Db::with(
        "CREATE TABLE team (id int PRIMARY KEY, name text NOT NULL);
         CREATE TABLE task (id int PRIMARY KEY, team int REFERENCES team, points int)",
    );
    db.ok("INSERT INTO team VALUES (1, 'red'), (2, 'blue')");
    db.ok("INSERT INTO task VALUES (1, 1, 3), (2, 1, 5), (3, 2, 8)");
    db.ok("CREATE LIVE VIEW score (team, total) AS
             SELECT name, sum(points) FROM team JOIN task ON team.id = team GROUP BY name");
    db
}

/// The names under which the engine keeps results, and how many it keeps in all.
fn kept(db: &Db) -> (Vec<String>, usize) {
    let views = db.engine.status().views;
    (views.iter().flat_map(|view| view.names.clone()).collect(), views.len())
}

#[test]
fn a_view_is_computed_once_and_read_like_a_table() {
    let mut db = db();
    assert_eq!(kept(&db), (vec!["score".to_owned()], 1));
    assert_eq!(db.rows("SELECT * FROM score ORDER BY team"), ["blue|8", "red|8"]);
    assert_eq!(
        db.rows(
            "SELECT s.team, t.id FROM score s JOIN team t ON t.name = s.team WHERE s.total > 7 ORDER BY 2"
        ),
        ["red|1", "blue|2"]
    );
    // Whoever watches its rows shares what is kept.
    assert_eq!(one(&db.subscribe(1, "SELECT * FROM score")), "[blue|8, red|8]");
    assert_eq!(kept(&db).1, 1);
    db.ok("UPDATE task SET points = 4 WHERE id = 1");
    assert_eq!(db.news(), ["1: -red|8 +red|9"]);
    db.unsubscribe(1);
    db.pass(1_000_000);
    assert_eq!(kept(&db), (vec!["score".to_owned()], 1));
}

#[test]
fn live_queries_over_views_follow_their_tables() {
    let mut db = db();
    db.ok("CREATE LIVE VIEW leader AS SELECT team FROM score WHERE total = (SELECT max(total) FROM score)");
    assert_eq!(one(&db.subscribe(1, "SELECT count(*) FROM leader")), "[2]");
    assert_eq!(one(&db.subscribe(2, "SELECT total FROM score WHERE team = 'blue'")), "[8]");
    db.ok("INSERT INTO task VALUES (4, 2, 1)");
    assert_eq!(db.news(), ["1: -2 +1", "2: -8 +9"]);
    assert_eq!(db.rows("SELECT * FROM leader"), ["blue"]);
}

#[test]
fn views_are_there_after_a_restart() {
    let mut db = db();
    db.ok("CREATE LIVE VIEW \"Odd \"\"name\" AS SELECT * FROM score");
    let mut db = db.restart();
    let (names, views) = kept(&db);
    assert_eq!((names.len(), views), (2, 1), "both have the same rows");
    assert_eq!(db.rows("SELECT team FROM \"Odd \"\"name\" ORDER BY 1"), ["blue", "red"]);
    db.ok("DROP LIVE VIEW \"Odd \"\"name\"");
    db.ok("DROP LIVE VIEW score");
    db.pass(1);
    assert!(db.engine.is_idle(), "nothing is kept for a view that has gone");
    let mut db = db.restart();
    assert_eq!(db.fails("SELECT * FROM score").sqlstate(), "42P01");
}

#[test]
fn a_view_means_what_it_meant_when_it_was_made() {
    let mut db = Db::with("CREATE TABLE a (x int); CREATE TABLE b (y int)");
    db.ok("INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)");
    db.ok("CREATE LIVE VIEW v AS SELECT *, x + y AS z FROM a, b");
    assert_eq!(one(&db.subscribe(1, "SELECT * FROM v")), "[1|2|3]");
    db.ok("ALTER TABLE a ADD COLUMN y int DEFAULT 7");
    assert_eq!(
        db.rows("SELECT * FROM v"),
        ["1|2|3"],
        "a later column is not seen, nor makes a name ambiguous"
    );
    db.ok("INSERT INTO a VALUES (5, 6)");
    assert_eq!(db.news(), ["1: +5|2|7"]);
    let mut db = db.restart();
    assert_eq!(db.rows("SELECT * FROM v ORDER BY x"), ["1|2|3", "5|2|7"]);
}

#[test]
fn what_a_view_reads_stays() {
    let mut db = db();
    let error = db.fails("DROP TABLE task");
    assert_eq!(
        (error.sqlstate(), error.to_string().as_str()),
        ("2BP01", "cannot drop table \"task\": live view \"score\" reads it; drop that first")
    );
    db.ok("CREATE LIVE VIEW best AS SELECT max(total) FROM score");
    let error = db.fails("DROP LIVE VIEW score");
    assert_eq!(
        error.to_string(),
        "cannot drop live view \"score\": live view \"best\" reads it; drop that first"
    );
    db.ok("DROP LIVE VIEW score, best; DROP TABLE task");
    assert_eq!(kept(&db).0, Vec::<String>::new());
}

#[test]
fn a_subscription_outlives_the_view_it_named() {
    let mut db = db();
    db.subscribe(1, "SELECT team FROM score WHERE total > 8");
    db.ok("DROP LIVE VIEW score");
    db.ok("UPDATE task SET points = 9 WHERE id = 3");
    assert_eq!(db.news(), ["1: +blue"], "its text was read when it was made");
}

#[test]
fn definitions_that_cannot_be_are_refused() {
    let mut db = db();
    for (sql, state, message) in [
        ("CREATE LIVE VIEW score AS SELECT 1", "42P07", "relation \"score\" already exists"),
        ("CREATE LIVE VIEW task AS SELECT 1", "42P07", "relation \"task\" already exists"),
        ("CREATE TABLE score (a int)", "42P07", "relation \"score\" already exists"),
        ("CREATE INDEX score ON task (points)", "42P07", "relation \"score\" already exists"),
        ("CREATE LIVE VIEW w AS SELECT id FROM nowhere", "42P01", "table \"nowhere\" does not exist"),
        ("CREATE LIVE VIEW w AS SELECT * FROM w", "42P01", "table \"w\" does not exist"),
        ("CREATE LIVE VIEW w AS SELECT 1 AS a, 2 AS a", "42701", "column \"a\" specified more than once"),
        (
            "CREATE LIVE VIEW w (a, b) AS SELECT 1",
            "42P16",
            "invalid table definition: the view names 2 columns, its query has 1",
        ),
        ("CREATE LIVE VIEW w AS SELECT 1 / (points - 3) FROM task", "22012", "division by zero"),
        ("CREATE LIVE VIEW w AS DELETE FROM task", "0A000", "not supported: this form of query"),
        ("CREATE VIEW w AS SELECT 1", "0A000", "not supported: the statement CREATE VIEW"),
        ("CREATE OR REPLACE LIVE VIEW w AS SELECT 1", "0A000", "not supported: the statement CREATE OR"),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT 1",
            "0A000",
            "not supported: the statement CREATE MATERIALIZED",
        ),
        ("DROP VIEW score", "0A000", "not supported: the statement DROP VIEW"),
        ("DROP LIVE VIEW nothing", "42704", "live view \"nothing\" does not exist"),
        ("DROP TABLE score", "42809", "\"score\" is a live view; write to the tables that it reads"),
        (
            "INSERT INTO score VALUES ('x', 1)",
            "42809",
            "\"score\" is a live view; write to the tables that it reads",
        ),
        (
            "UPDATE score SET total = 1",
            "42809",
            "\"score\" is a live view; write to the tables that it reads",
        ),
        ("SELECT * FROM scores", "42P01", "table \"scores\" does not exist"),
    ] {
        let error = db.fails(sql);
        assert_eq!(error.sqlstate(), state, "{sql}: {error}");
        assert!(error.to_string().starts_with(message), "{sql}: {error}");
    }
    let error = db.run("CREATE LIVE VIEW w AS SELECT id FROM task WHERE id = $1", &[1.into()]).unwrap_err();
    assert_eq!(error.sqlstate(), "0A000", "{error}");
    db.ok("CREATE LIVE VIEW IF NOT EXISTS score AS SELECT 1");
    db.ok("DROP LIVE VIEW IF EXISTS nothing");
}

#[test]
fn views_of_views_end_where_plans_would_grow_without_end() {
    let mut db = Db::with("CREATE TABLE t (a int)");
    db.ok("CREATE LIVE VIEW v0 AS SELECT a FROM t");
    let mut refused = None;
    for place in 1..20 {
        let sql = format!(
            "CREATE LIVE VIEW v{place} AS SELECT x.a FROM v{0} x UNION ALL SELECT y.a FROM v{0} y",
            place - 1
        );
        if let Err(error) = db.run(&sql, &[]) {
            refused = Some((place, error.sqlstate()));
            break;
        }
    }
    assert_eq!(refused, Some((8, "54001")), "each doubles the one before");
}

/// Asked once it has an answer; kept up to date it would change without an end.
#[test]
fn a_query_that_cannot_be_live_is_no_view() {
    let mut db = Db::with("CREATE TABLE t (id integer PRIMARY KEY, at timestamptz)");
    let moving = "SELECT id, now() + INTERVAL '3 seconds' AS until FROM t";
    assert_eq!(db.rows(moving), [""; 0]);
    assert_eq!(db.code(&format!("CREATE LIVE VIEW v AS {moving}")), "0A000");
    let allocation = "CREATE ALLOCATION a CAPACITY (SELECT id AS owner, id AS slot, id AS quantity, 'k' AS kind FROM t)
        NEED (SELECT id AS owner, id AS slot, id AS quantity, 'k' AS kind FROM t)
        RECOGNITION (SELECT id AS \"from\", id AS \"to\", 1 AS weight FROM t)
        HELD (SELECT id AS provider, id AS capacity, id AS recipient, id AS need, id AS quantity, now() AS until FROM t)";
    assert_eq!(db.code(allocation), "0A000");
    db.ok("CREATE LIVE VIEW v AS SELECT id FROM t WHERE at > now() - INTERVAL '1 hour'");
}
