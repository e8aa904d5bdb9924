//! Columns that merge, where one writer comes after the other: their values are those of the types of `deltaic-crdt`, driven by
//! the same writes.

use std::collections::BTreeMap;

use deltaic_causality::{ActorId, HybridTime};
use deltaic_crdt::{Cell, Change, Exact, Table};
use deltaic_types::Value;
use proptest::prelude::*;

use crate::common::Db;

const TABLE: &str = "CREATE TABLE post (
    id int PRIMARY KEY,
    votes counter,
    seen grow_counter DEFAULT 3,
    tags add_wins_set(text),
    banned remove_wins_set(bigint),
    best max(bigint),
    first min(timestamptz),
    open flag,
    title multi_value(text),
    author text)";

fn db() -> Db {
    Db::with(TABLE)
}

#[test]
fn what_nobody_has_written_is_what_the_type_begins_with() {
    let mut db = db();
    assert_eq!(
        db.rows("INSERT INTO post (id) VALUES (1) RETURNING *"),
        ["1|0|3|{}|{}|NULL|NULL|false|{}|NULL"]
    );
    for column in ["votes", "seen", "tags", "banned", "open", "title"] {
        assert_eq!(db.code(&format!("UPDATE post SET {column} = NULL")), "23502", "{column}");
    }
    let columns = db.engine.status().tables[0].columns.clone();
    let declared: Vec<&str> = columns.iter().map(|(_, declared, _)| declared.as_str()).collect();
    let expected = "integer, counter, grow_counter, add_wins_set(text), remove_wins_set(bigint), max(bigint), \
                    min(timestamptz), flag, multi_value(text), text";
    assert_eq!(declared.join(", "), expected);
    let mut db = db.restart();
    db.ok("UPDATE post SET best = 5, tags = '{b,a,b}'");
    db.ok("UPDATE post SET best = 4");
    assert_eq!(db.rows("SELECT best, tags FROM post"), ["5|{a,b}"]);
}

#[test]
fn a_live_query_sees_what_is_kept() {
    let mut db = db();
    db.ok("INSERT INTO post (id, tags) VALUES (1, '{x}'), (2, '{y}')");
    db.subscribe(1, "SELECT id, votes, tags, best FROM post WHERE votes > 0 OR 'x' = ANY (tags)");
    db.ok("UPDATE post SET votes = votes + 1, best = greatest(best, 7) WHERE id = 2");
    assert_eq!(db.news(), ["1: +2|1|{y}|7"]);
    db.ok("UPDATE post SET tags = add(tags, 'x'), best = 3 WHERE id = 2");
    assert_eq!(db.news(), ["1: -2|1|{y}|7 +2|1|{x,y}|7"]);
    db.ok("UPDATE post SET tags = remove(tags, 'x')");
    assert_eq!(db.news(), ["1: -1|0|{x}|NULL -2|1|{x,y}|7 +2|1|{y}|7"]);
    // What changes nothing is no change.
    db.ok("UPDATE post SET tags = add(add(tags, 'y'), 'y'), best = 6 WHERE id = 2");
    assert_eq!(db.news(), [""; 0]);
}

#[test]
fn an_index_finds_what_is_kept() {
    let mut db = db();
    db.ok("CREATE INDEX best_first ON post (best, votes)");
    db.ok("INSERT INTO post (id, best) VALUES (1, 10), (2, 20)");
    db.ok("UPDATE post SET best = 15, votes = votes - 2");
    assert_eq!(db.rows("SELECT id, votes FROM post WHERE best = 15"), ["1|-2"]);
    assert_eq!(db.rows("SELECT id FROM post WHERE best = 20 AND votes = -2"), ["2"]);
}

#[test]
fn on_conflict_merges_with_the_row_that_is_there() {
    let mut db = db();
    db.ok("INSERT INTO post (id, votes, best, tags) VALUES (1, 5, 9, '{a}')");
    db.ok("INSERT INTO post (id, best, tags) VALUES (1, 4, '{c,b,c}') ON CONFLICT (id) DO UPDATE
           SET best = excluded.best, votes = post.votes + 1, tags = post.tags || excluded.tags");
    assert_eq!(db.rows("SELECT votes, best, tags FROM post"), ["6|9|{a,b,c}"]);
}

#[test]
fn what_a_type_refuses_is_said() {
    let mut db = db();
    db.ok("INSERT INTO post (id) VALUES (1)");
    let (code, message) = db.error("UPDATE post SET seen = seen - 1");
    assert_eq!(code, "23514");
    assert_eq!(
        message,
        "column \"seen\" of table \"post\" only grows: 3 cannot become 2; declare it as counter if it may fall"
    );
    assert_eq!(db.code("INSERT INTO post (id, seen) VALUES (2, -1)"), "23514");
    let (code, message) = db.error("UPDATE post SET tags = add(tags, NULL)");
    assert_eq!(code, "23502");
    assert_eq!(message, "null value among those of column \"tags\" of table \"post\": leave it out");
    // At the end of its range a counter is an error, and nothing is lost.
    db.ok("UPDATE post SET votes = 9223372036854775807");
    assert_eq!(db.code("UPDATE post SET votes = votes + 1"), "22003");
    assert_eq!(db.rows("SELECT votes FROM post"), ["9223372036854775807"]);
}

#[test]
fn a_counter_may_be_kept_from_falling_below_nothing_and_no_other_condition_stands() {
    let mut db = Db::with("CREATE TABLE stock (id int PRIMARY KEY, n counter CHECK (n >= 0))");
    db.ok("INSERT INTO stock VALUES (1, 2)");
    db.ok("UPDATE stock SET n = n - 2");
    assert_eq!(db.code("UPDATE stock SET n = n - 1"), "23514");
    for refused in [
        "CREATE TABLE a (n counter CHECK (n >= 1))",
        "CREATE TABLE a (n counter, m int, CHECK (n >= 0 OR m > 0))",
        "CREATE TABLE a (n grow_counter CHECK (n < 5))",
        "CREATE TABLE a (s add_wins_set(text) CHECK (cardinality(s) < 5))",
        "CREATE TABLE a (n counter PRIMARY KEY)",
        "CREATE TABLE a (f flag UNIQUE)",
        "CREATE TABLE a (id int, m max(int), PRIMARY KEY (id, m))",
        "CREATE TABLE a (id int PRIMARY KEY, m max(int) REFERENCES stock)",
        "CREATE UNIQUE INDEX u ON stock (n)",
        "CREATE TABLE a (s add_wins_set(jsonb))",
        "SELECT 1::counter",
    ] {
        assert_eq!(db.code(refused), "0A000", "{refused}");
    }
    // One value of those that were written has what each of them has.
    db.ok("CREATE TABLE b (m max(int) CHECK (m > 0), f flag CHECK (f OR NOT f))");
    for (wrong, code) in [
        ("CREATE TABLE a (s add_wins_set)", "42P16"),
        ("CREATE TABLE a (c counter(5))", "42P16"),
        ("CREATE TABLE a (c counter NULL)", "42P16"),
        ("CREATE TABLE a (c max(txt))", "42704"),
        ("CREATE TABLE a (c countr)", "42704"),
        ("CREATE TABLE a (c max('int[]'))", "42704"),
        ("CREATE TABLE a (c max(int, int))", "42704"),
    ] {
        assert_eq!(db.code(wrong), code, "{wrong}");
    }
}

#[test]
fn a_column_that_merges_can_be_added_later() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    db.ok("ALTER TABLE t ADD COLUMN n counter");
    db.ok("ALTER TABLE t ADD COLUMN s add_wins_set(double precision)");
    db.ok("UPDATE t SET n = n + id, s = add(s, 0.5)");
    assert_eq!(db.rows("SELECT * FROM t ORDER BY id"), ["1|1|{0.5}", "2|2|{0.5}"]);
}

/// A write to one column, as SQL and as a change of its cell.
#[derive(Debug, Clone)]
enum Write {
    Votes(i64),
    SetVotes(i64),
    Seen(u64),
    Tag(u8),
    Untag(u8),
    Ban(u8),
    Unban(u8),
    Best(i64),
    Least(i64),
    Open(bool),
}

impl Write {
    fn sql(&self) -> String {
        match self {
            Self::Votes(n) => format!("votes = votes + {n}"),
            Self::SetVotes(n) => format!("votes = {n}"),
            Self::Seen(n) => format!("seen = seen + {n}"),
            Self::Tag(n) => format!("tags = add(tags, 't{n}')"),
            Self::Untag(n) => format!("tags = remove(tags, 't{n}')"),
            Self::Ban(n) => format!("banned = add(banned, {n})"),
            Self::Unban(n) => format!("banned = remove(banned, {n})"),
            Self::Best(n) => format!("best = {n}"),
            Self::Least(n) => format!("least = {n}"),
            Self::Open(on) => format!("open = {on}"),
        }
    }

    fn change(&self) -> (u32, Change) {
        let tag = |n: &u8| Exact(Value::from(format!("t{n}").as_str()));
        let number = |n: i64| Exact(Value::Integer(n));
        match self {
            Self::Votes(n) => (0, Change::Increment(*n)),
            Self::SetVotes(n) => (0, Change::Set(*n)),
            Self::Seen(n) => (1, Change::Grow(*n)),
            Self::Tag(n) => (2, Change::Add(tag(n))),
            Self::Untag(n) => (2, Change::Remove(tag(n))),
            Self::Ban(n) => (3, Change::AddUnlessRemoved(number(i64::from(*n)))),
            Self::Unban(n) => (3, Change::RemoveFirst(number(i64::from(*n)))),
            Self::Best(n) => (4, Change::Raise(number(*n))),
            Self::Least(n) => (5, Change::Lower(number(*n))),
            Self::Open(on) => (6, Change::Switch(*on)),
        }
    }
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        (-9_i64..9).prop_map(Write::Votes),
        (-9_i64..9).prop_map(Write::SetVotes),
        (0_u64..9).prop_map(Write::Seen),
        (0_u8..4).prop_map(Write::Tag),
        (0_u8..4).prop_map(Write::Untag),
        (0_u8..4).prop_map(Write::Ban),
        (0_u8..4).prop_map(Write::Unban),
        (-9_i64..9).prop_map(Write::Best),
        (-9_i64..9).prop_map(Write::Least),
        any::<bool>().prop_map(Write::Open),
    ]
}

fn set<'a>(elements: impl Iterator<Item = &'a Exact>) -> String {
    let elements: Vec<String> =
        elements.map(|Exact(value)| deltaic_types::text_format::to_text(value)).collect();
    format!("{{{}}}", elements.join(","))
}

/// What a cell reads as, in SQL's text; none before the first write.
fn read(cell: &Cell) -> Option<String> {
    let value = |exact: &Exact| deltaic_types::text_format::to_text(&exact.0);
    match cell {
        Cell::Counter(counter) => Some(counter.value().to_string()),
        Cell::GrowCounter(counter) => Some(counter.value().to_string()),
        Cell::AddWinsSet(elements) => Some(set(elements.iter())),
        Cell::RemoveWinsSet(elements) => Some(set(elements.iter())),
        Cell::Flag(flag) => Some(flag.is_enabled().to_string()),
        Cell::Max(max) => max.get().map(value),
        Cell::Min(min) => min.get().map(value),
        Cell::Register(_) | Cell::Log(_) | Cell::Bounded(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn one_writer_after_the_other_reads_what_the_type_of_the_cell_reads(
        writes in proptest::collection::vec(write(), 0..40),
    ) {
        let mut db = Db::with(
            "CREATE TABLE t (id int PRIMARY KEY, votes counter, seen grow_counter, tags add_wins_set(text),
             banned remove_wins_set(bigint), best max(bigint), least min(bigint), open flag);
             INSERT INTO t (id) VALUES (1)",
        );
        let initially = ["0", "0", "{}", "{}", "NULL", "NULL", "false"];
        let mut table = Table::<u64>::new(ActorId(1));
        table.insert(&1, HybridTime(1), BTreeMap::new()).unwrap();
        for (time, write) in (2..).zip(writes) {
            db.ok(&format!("UPDATE t SET {}", write.sql()));
            table.update_row(&1, HybridTime(time), None, [write.change()]).unwrap();
            let row = table.get(&1).unwrap();
            let expected: Vec<String> = (0_u32..)
                .zip(initially)
                .map(|(column, first)| row.cell(column).and_then(read).unwrap_or_else(|| first.to_owned()))
                .collect();
            let found = db.rows("SELECT votes, seen, tags, banned, best, least, open FROM t");
            prop_assert_eq!(found, [expected.join("|")]);
        }
    }
}
