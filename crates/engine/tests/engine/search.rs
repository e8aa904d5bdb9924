//! Live queries whose tuples are found by bounds, intervals, lists and prefixes: each kept equal to a fresh run.

use std::collections::BTreeMap;

use crate::common::{Db, Got, text};

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len() as u64) as usize]
    }
}

const NAMES: [&str; 9] = ["NULL", "''", "'a'", "'ab'", "'abc'", "'b'", "'été'", "'é'", "'a%'"];
const NUMBERS: [&str; 6] = ["NULL", "-1", "0", "1", "2", "3"];
const DOUBLES: [&str; 5] = ["NULL", "'NaN'", "-1.5", "1", "'Infinity'"];

/// The forms of queries; `%` stands for a number, `~` for a text, `#` for a double.
const FORMS: [&str; 22] = [
    "SELECT id FROM t WHERE v > %",
    "SELECT id FROM t WHERE v <= %",
    "SELECT id FROM t WHERE % >= w AND v < %",
    "SELECT id FROM t WHERE v BETWEEN % AND %",
    "SELECT id, name FROM t WHERE v >= % AND v < % AND w > % AND k = %",
    "SELECT id FROM t WHERE v IN (%, %, %)",
    "SELECT id FROM t WHERE v IN (%, %, %) AND w > %",
    "SELECT id FROM t WHERE k IN (%, %)",
    "SELECT id FROM t WHERE v = ANY(ARRAY[%, %, NULL]::int[])",
    "SELECT id FROM t WHERE name LIKE 'a%%'",
    "SELECT id FROM t WHERE starts_with(name, ~)",
    "SELECT id FROM t WHERE name LIKE 'ab%%' AND v > %",
    "SELECT id FROM t WHERE name IN (~, ~) OR v = %",
    "SELECT id FROM t WHERE name >= ~ AND name < ~",
    "SELECT id FROM t WHERE d > # AND d <= #",
    "SELECT id FROM t WHERE v::numeric > % + 0.5",
    "SELECT id FROM t WHERE v + w > %",
    "SELECT id FROM t WHERE 6 / v = % AND w < %",
    "SELECT id FROM t WHERE upper(name) = ~ AND v <> %",
    "SELECT t.id, g.name FROM t JOIN g ON g.id = t.k WHERE t.v > % AND g.size BETWEEN % AND %",
    "SELECT k, count(*), max(w) FROM t WHERE v > % GROUP BY k",
    "SELECT count(*) FROM t LEFT JOIN g ON g.id = t.k AND g.size > % WHERE v < %",
];

fn filled(form: &str, dice: &mut Dice) -> String {
    let mut sql = String::new();
    let mut rest = form;
    while let Some(at) = rest.find(['%', '~', '#']) {
        sql += &rest[..at];
        if rest[at..].starts_with("%%") {
            sql.push('%');
            rest = &rest[at + 2..];
            continue;
        }
        sql += match &rest[at..=at] {
            "%" => dice.pick(&NUMBERS),
            "~" => dice.pick(&NAMES),
            _ => dice.pick(&DOUBLES),
        };
        rest = &rest[at + 1..];
    }
    sql + rest
}

fn row(id: u64, dice: &mut Dice) -> String {
    let (k, v, w) = (dice.pick(&NUMBERS), dice.pick(&NUMBERS), dice.pick(&NUMBERS));
    // A division by zero now and then.
    let v = if v == "0" && dice.roll(4) > 0 { "2" } else { v };
    format!("({id}, {k}, {v}, {w}, {}, {})", dice.pick(&DOUBLES), dice.pick(&NAMES))
}

/// A result that changes are added to; None while it is an error.
type Result = Option<BTreeMap<String, i64>>;

fn take(result: &mut Result, got: &Got) {
    match got {
        Got::Snapshot(snapshot) => {
            let mut rows = BTreeMap::new();
            for row in &snapshot.rows {
                *rows.entry(text(row)).or_default() += 1;
            }
            *result = Some(rows);
        }
        Got::Change(change) => {
            let rows = result.get_or_insert_default();
            for (row, weight) in &change.changes {
                *rows.entry(text(row)).or_default() += weight;
            }
            rows.retain(|_, weight| *weight != 0);
        }
        Got::Error(..) => {}
        Got::Current(_) => panic!("nobody resumes"),
    }
}

#[test]
fn every_kind_of_search_keeps_what_a_fresh_run_finds() {
    for (indexes, seed) in
        [("", 1), ("CREATE INDEX ON t (v); CREATE INDEX ON t (k, w); CREATE INDEX ON t (name)", 2)]
    {
        let mut db = Db::with(&format!(
            "CREATE TABLE g (id int PRIMARY KEY, size int, name text);
             CREATE TABLE t (id int PRIMARY KEY, k int, v int, w int, d double precision, name text);
             INSERT INTO g VALUES (0, 1, 'x'), (1, 2, 'y'), (2, NULL, 'z'), (3, 0, NULL); {indexes}"
        ));
        let mut dice = Dice(seed);
        let mut live: BTreeMap<u64, (String, Result, bool)> = BTreeMap::new();
        let mut next = 0;
        let mut failed = 0;
        for step in 0..160 {
            if step % 2 == 0 {
                for _ in 0..3 {
                    next += 1;
                    let form = FORMS[dice.roll(FORMS.len() as u64) as usize];
                    let sql = filled(form, &mut dice);
                    let got = db.subscribe(next, &sql);
                    let mut result = None;
                    take(&mut result, &got[0]);
                    live.insert(next, (sql, result, matches!(got[0], Got::Error(..))));
                }
                if live.len() > 60 {
                    for _ in 0..2 {
                        let gone = *live.keys().nth(dice.roll(live.len() as u64) as usize).unwrap();
                        live.remove(&gone);
                        db.unsubscribe(gone);
                    }
                    db.pass(dice.roll(2) as i64 * 40);
                }
            } else {
                let id = dice.roll(12);
                let written = match dice.roll(4) {
                    0 => format!("DELETE FROM t WHERE id = {id}"),
                    1 => format!(
                        "UPDATE t SET v = {}, name = {} WHERE id < {id}",
                        dice.pick(&NUMBERS),
                        dice.pick(&NAMES)
                    ),
                    _ => format!(
                        "INSERT INTO t VALUES {} ON CONFLICT (id) DO UPDATE SET k = excluded.k, v = excluded.v, \
                         w = excluded.w, d = excluded.d, name = excluded.name",
                        row(id, &mut dice)
                    ),
                };
                db.ok(&written);
                for (number, got) in db.read() {
                    let entry = live.get_mut(&number).unwrap();
                    take(&mut entry.1, &got);
                    entry.2 = matches!(got, Got::Error(..));
                }
            }
            for (sql, result, is_error) in live.values() {
                match db.run(sql, &[]) {
                    Ok(outcome) => {
                        let mut fresh = BTreeMap::new();
                        for row in &outcome.rows {
                            *fresh.entry(text(row)).or_default() += 1;
                        }
                        assert!(!is_error, "step {step}: {sql}");
                        assert_eq!(result.as_ref(), Some(&fresh), "step {step}: {sql}");
                    }
                    Err(error) => {
                        failed += 1;
                        assert!(is_error, "step {step}: {sql}: {error}");
                    }
                }
            }
        }
        assert!(failed > 10, "{failed}");
        for number in live.into_keys() {
            db.unsubscribe(number);
        }
        db.pass(40);
        assert!(db.engine.is_idle());
    }
}

#[test]
fn queries_that_differ_in_constants_share_a_circuit() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, k int, v int, name text)");
    for (a, b, shared) in [
        ("v > 1", "v > 2", true),
        ("v > 1", "v >= 1", false),
        ("v BETWEEN 1 AND 2", "v BETWEEN 2 AND 5", true),
        ("v IN (1, 2)", "v IN (3, NULL, 4, 5)", true),
        ("v IN (1)", "v = 2", true),
        ("name LIKE 'a%'", "name LIKE 'b\\_c%'", true),
        ("name LIKE 'a%'", "starts_with(name, 'x')", true),
        ("name LIKE 'a'", "name = 'x'", true),
        ("name LIKE 'a%b'", "name LIKE 'b%b'", false),
        ("v * 2 + k > 5", "v * 2 + k > 6", true),
        ("v * 2 + k > 5", "v * 3 + k > 5", false),
        ("v <> 1", "v <> 2", false),
        ("lower(name) = 'a'", "lower(name) = 'b'", true),
    ] {
        let roots: Vec<_> = [a, b]
            .iter()
            .zip(1..)
            .map(|(condition, number)| {
                // A query with a parameter shares from the first on.
                db.subscribe_with(
                    number,
                    &format!("SELECT id FROM t WHERE {condition} AND id > $1"),
                    &[number.into()],
                );
                let view = db.engine.status().views.last().unwrap().id;
                db.engine.circuit(view).unwrap().last().unwrap().node.id
            })
            .collect();
        assert_eq!(roots[0] == roots[1], shared, "{a}; {b}");
        db.unsubscribe(1);
        db.unsubscribe(2);
        db.pass(40);
    }
    // The same list in another order is the same query.
    db.subscribe(1, "SELECT id FROM t WHERE id = 5 OR id = 6 AND v IN (1, 2)");
    db.subscribe_with(2, "SELECT id FROM t WHERE v IN (1, 2, 2) AND id > $1", &[0.into()]);
    db.subscribe_with(3, "SELECT id FROM t WHERE v IN (2, NULL, 1) AND id > $1", &[0.into()]);
    assert_eq!(db.engine.status().views.len(), 2);
}

#[test]
fn a_lateral_tables_condition_may_read_parameters() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int, d int)");
    db.ok("INSERT INTO t VALUES (1, 4, 'x', NULL, 4), (2, 5, 'y', NULL, 4), (3, 4, 'z', 0, 5)");
    // The columns that the join reads stand behind others in memory, where no column of its result stands.
    db.ok("SELECT b, c FROM t");
    let sql = "SELECT x.id, l.e FROM t x \
               JOIN LATERAL (SELECT y.id AS e FROM t y WHERE y.a = x.d ORDER BY 1 LIMIT 1) l ON 2 BETWEEN $1 AND $2";
    assert_eq!(crate::common::one(&db.subscribe_with(1, sql, &[2.into(), 3.into()])), "[1|1, 2|1, 3|2]");
    assert_eq!(crate::common::one(&db.subscribe_with(2, sql, &[0.into(), 1.into()])), "[]");
    db.ok("UPDATE t SET a = 4 WHERE id = 2");
    assert_eq!(db.news(), ["1: -3|2"]);
}
