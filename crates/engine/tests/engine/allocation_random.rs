//! Allocations of random rows: what is kept is what a start gives, what the library gives for the same rows, and proves itself.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_allocation::{
    Accepted, Commitment, EdgeId, Guarantee, Held, Market, Name, ParticipantId, Quantity, Side, Slot, SlotId,
    Solution, Time,
};
use deltaic_engine::Input;

use crate::{allocation_faults::run, common::Db};

/// Numbers from a seed.
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    pub(crate) fn of<'a>(&mut self, these: &[&'a str]) -> &'a str {
        these[self.next(these.len() as u64) as usize]
    }
}

const QUANTITIES: [&str; 16] = [
    "0",
    "1",
    "2",
    "7",
    "10",
    "100",
    "33.333333",
    "0.0000004",
    "1152921504606.846976",
    "1152921504606.846977",
    "-1",
    "1e20",
    "NULL",
    "0.1",
    "999999.999999",
    "12",
];
const WHOLE: [&str; 14] = [
    "0",
    "1",
    "2",
    "7",
    "10",
    "100",
    "33",
    "1152921504606846976",
    "1152921504606846977",
    "-1",
    "9223372036854775807",
    "NULL",
    "12",
    "50",
];

/// An id by number, in the type of ids.
fn id(kind: u64, n: u64) -> String {
    match kind {
        0 => format!("{}", [-5_i64, 0, 1, 2, i64::MAX, i64::MIN, 1000][n as usize % 7]),
        1 => format!("'{}'", ["a", "", "b''c", "1", "Ω", "x y", "10"][n as usize % 7]),
        _ => format!("'00000000-0000-0000-0000-0000000000{:02}'", n % 7),
    }
}

/// Steps of a seed: ids of each type, whole and other quantities, the columns of slots, agreements, time, restarts and appends that fail.
/// Every third seed keeps to what [`oracle`] reads, and most to rows that can be.
fn random(seed: u64, steps: u64) {
    let mut seed_ = Seed(seed);
    let s = &mut seed_;
    let is_plain = seed.is_multiple_of(3);
    let (who, cap, need) = if is_plain { (0, 0, 0) } else { (s.next(3), s.next(3), s.next(3)) };
    let types = ["bigint", "text", "uuid"];
    let (tw, tc, tn) = (types[who as usize], types[cap as usize], types[need as usize]);
    let is_whole = is_plain || s.next(2) == 0;
    let quantity_type = if is_whole { "bigint" } else { "numeric" };
    let quantities: &[&str] = if is_whole { &WHOLE } else { &QUANTITIES };
    let weight = if is_plain { "bigint" } else { s.of(&["bigint", "numeric", "double precision"]) };
    let weights: &[&str] = match weight {
        "bigint" => &["0", "1", "2", "3", "1000", "9223372036854775807", "-1", "NULL"],
        "numeric" => &["0", "1", "2.5", "0.0000001", "1e30", "-1", "NULL", "1000"],
        _ => &["0", "1", "2.5", "1e-9", "1e300", "-1", "NULL", "'NaN'", "'Infinity'"],
    };
    let tame = is_plain || s.next(8) > 0;
    let (quantities, weights): (&[&str], &[&str]) = if tame {
        (
            if is_whole {
                &["1", "5", "10", "33", "50", "100", "1152921504606846976"]
            } else {
                &["1", "5.5", "10", "33.333333", "50", "0.1", "1152921504606.846976"]
            },
            &["1", "2", "3", "50"],
        )
    } else {
        (quantities, weights)
    };
    let odd = if tame { 4 } else { 1 };
    let coalesce = s.of(&["0 ms", "50 ms", "300 ms", "5 seconds"]);
    let shadow = s.of(&["", "", "SHADOW damped_v2"]);
    let slot_columns = |t: &str| {
        format!("owner {tw}, slot {t}, quantity {quantity_type}, kind text, unit text, starts timestamptz, ends timestamptz, remote boolean, country text, city text,
        latitude double precision, longitude double precision, radius integer, lot {quantity_type}, most_each {quantity_type}, mutual_only boolean,
        least_mutual double precision, allowed {tw}[], denied {tw}[], required text[], forbidden text[], id integer PRIMARY KEY")
    };
    let listed = "owner, slot, quantity, kind, unit, starts, ends, remote, country, city, latitude, longitude, radius, lot, most_each, mutual_only, least_mutual, allowed, denied, required, forbidden";
    let mut db = Db::with(&format!(
        "CREATE TABLE has ({}); CREATE TABLE wants ({});
        CREATE TABLE trust (a {tw}, b {tw}, w {weight}, id integer PRIMARY KEY);
        CREATE TABLE says (owner {tw}, attribute text, id integer PRIMARY KEY);
        CREATE TABLE floors (owner {tw}, slot {tc}, whom {tw}, quantity {quantity_type}, id integer PRIMARY KEY);
        CREATE TABLE deals (provider {tw}, capacity {tc}, recipient {tw}, need {tn}, quantity {quantity_type}, until timestamptz, id integer PRIMARY KEY);
        CREATE ALLOCATION m
            CAPACITY (SELECT {listed} FROM has) NEED (SELECT {listed} FROM wants)
            RECOGNITION (SELECT w AS weight, a AS \"from\", b AS \"to\" FROM trust)
            FLOORS (SELECT slot, owner, whom AS \"to\", quantity FROM floors)
            ATTRIBUTES (SELECT attribute, owner FROM says)
            ACCEPTED (SELECT provider, capacity, recipient, need, quantity FROM deals WHERE until IS NULL)
            HELD (SELECT until, provider, capacity, recipient, need, quantity FROM deals WHERE until IS NOT NULL)
            {shadow} COALESCE '{coalesce}'",
        slot_columns(tc), slot_columns(tn),
    ));
    let n = 2 + s.next(4);
    let mut log = Vec::new();
    if tame {
        for a in 0..n {
            for b in 0..n {
                let sql = format!(
                    "INSERT INTO trust VALUES ({}, {}, {}, {})",
                    id(who, a),
                    id(who, b),
                    1 + s.next(3),
                    100 + a * 10 + b
                );
                db.ok(&sql);
                log.push(sql);
            }
            for (table, slot, place) in [("has", id(cap, a % 3), 20), ("wants", id(need, a % 3), 30)] {
                let sql = format!(
                    "INSERT INTO {table} (id, owner, slot, quantity, kind) VALUES ({}, {}, {slot}, {}, 'x')",
                    place + a,
                    id(who, a),
                    s.of(quantities)
                );
                db.ok(&sql);
                log.push(sql);
            }
        }
    }
    for step in 0..steps {
        let row = s.next(if tame { 14 } else { 8 });
        let (one, other) = (id(who, s.next(n)), id(who, s.next(n)));
        let (one, other) = (
            if s.next(30) == 0 { "NULL".to_owned() } else { one },
            if s.next(30) == 0 { "NULL".to_owned() } else { other },
        );
        let moment = |s: &mut Seed| match s.next(6) {
            0 => format!("now() + INTERVAL '{} seconds'", s.next(40)),
            1 => format!("now() - INTERVAL '{} seconds'", s.next(40)),
            2 if s.next(8) == 0 => "'1960-01-01 00:00:00Z'".to_owned(),
            _ => "NULL".to_owned(),
        };
        let sql = match s.next(12) {
            0..=4 => {
                let is_need = s.next(2) == 0;
                let (table, slot) =
                    if is_need { ("wants", id(need, s.next(3))) } else { ("has", id(cap, s.next(3))) };
                let mut set = vec![
                    ("owner", one),
                    ("slot", slot),
                    ("quantity", s.of(quantities).to_owned()),
                    (
                        "kind",
                        if tame { "'x'" } else { s.of(&["'x'", "'x'", "'x'", "'y'", "''", "NULL"]) }
                            .to_owned(),
                    ),
                ];
                if s.next(6 * odd) == 0 {
                    set.push(("unit", s.of(&["'kg'", "NULL", "'unit'"]).to_owned()));
                }
                if s.next(5 * odd) == 0 {
                    set.push(("starts", moment(s)));
                }
                if s.next(5 * odd) == 0 {
                    set.push(("ends", moment(s)));
                }
                if s.next(8 * odd) == 0 {
                    set.push(("remote", s.of(&["true", "false"]).to_owned()));
                }
                if s.next(8 * odd) == 0 {
                    set.push(("country", s.of(&["'de'", "'fr'", "''"]).to_owned()));
                }
                if s.next(8 * odd) == 0 {
                    set.push(("city", s.of(&["'Berlin'", "'Paris'"]).to_owned()));
                }
                if s.next(8 * odd) == 0 {
                    set.push((
                        "latitude",
                        s.of(if tame { &["52.5"] } else { &["52.5", "91", "-90", "'NaN'", "NULL"] })
                            .to_owned(),
                    ));
                }
                if s.next(8 * odd) == 0 {
                    set.push((
                        "longitude",
                        s.of(if tame { &["13.4"] } else { &["13.4", "180", "-180.1", "1e308", "NULL"] })
                            .to_owned(),
                    ));
                }
                if s.next(8 * odd) == 0 {
                    set.push((
                        "radius",
                        s.of(&["0", "-1", "1000", "20000000", "20000001", "2147483647"]).to_owned(),
                    ));
                }
                if s.next(5 * odd) == 0 {
                    set.push((
                        "lot",
                        s.of(if tame {
                            &["1", "3", "4", "7"]
                        } else {
                            &["0", "1", "3", "4", "7", "NULL", "1000000"]
                        })
                        .to_owned(),
                    ));
                }
                if s.next(5 * odd) == 0 {
                    set.push(("most_each", s.of(quantities).to_owned()));
                }
                if s.next(9 * odd) == 0 {
                    set.push(("mutual_only", s.of(&["true", "false"]).to_owned()));
                }
                if s.next(9 * odd) == 0 {
                    set.push((
                        "least_mutual",
                        s.of(&["0", "0.5", "1", "1.1", "-0.1", "'NaN'", "0.333333333333"]).to_owned(),
                    ));
                }
                for (column, items) in
                    [("allowed", true), ("denied", true), ("required", false), ("forbidden", false)]
                {
                    if s.next(12) == 0 {
                        let items: Vec<String> = (0..s.next(3))
                            .map(|_| {
                                if items {
                                    id(who, s.next(n))
                                } else {
                                    s.of(&["'p'", "'q'", "NULL", "''"]).to_owned()
                                }
                            })
                            .collect();
                        let of = if column == "allowed" || column == "denied" { tw } else { "text" };
                        set.push((
                            column,
                            if s.next(5) == 0 {
                                "NULL".to_owned()
                            } else {
                                format!("CAST(ARRAY[{}] AS {of}[])", items.join(", "))
                            },
                        ));
                    }
                }
                if is_plain {
                    set.retain(|(column, _)| {
                        ["owner", "slot", "quantity", "kind", "lot", "most_each"].contains(column)
                    });
                }
                let (columns, values): (Vec<&str>, Vec<String>) = set.into_iter().unzip();
                format!(
                    "DELETE FROM {table} WHERE id = {row}; INSERT INTO {table} (id, {}) VALUES ({row}, {})",
                    columns.join(", "),
                    values.join(", ")
                )
            }
            5 | 6 => format!(
                "DELETE FROM trust WHERE id = {row}; INSERT INTO trust VALUES ({one}, {other}, {}, {row})",
                s.of(weights)
            ),
            7 if !tame || s.next(3) == 0 => format!(
                "DELETE FROM floors WHERE id = {row}; INSERT INTO floors VALUES ({one}, {}, {other}, {}, {row})",
                id(cap, s.next(3)),
                s.of(quantities)
            ),
            7 | 8 => format!(
                "DELETE FROM says WHERE id = {row}; INSERT INTO says VALUES ({one}, {}, {row})",
                s.of(&["'p'", "'q'", "''", "NULL"])
            ),
            9 => {
                let until = if s.next(2) == 0 { "NULL".to_owned() } else { moment(s) };
                format!(
                    "DELETE FROM deals WHERE id = {row}; INSERT INTO deals VALUES ({one}, {}, {other}, {}, {}, {until}, {row})",
                    id(cap, s.next(3)),
                    id(need, s.next(3)),
                    s.of(quantities)
                )
            }
            10 => match s.next(7) {
                0 => format!("DELETE FROM deals WHERE id % 3 = {}", row % 3),
                1 => format!(
                    "UPDATE has SET owner = {one} WHERE owner = {other}; UPDATE trust SET a = {one} WHERE a = {other}"
                ),
                2 => {
                    "UPDATE has SET kind = 'z' WHERE kind = 'x'; UPDATE wants SET kind = 'z' WHERE kind = 'x'"
                        .to_owned()
                }
                3 => {
                    "UPDATE has SET kind = 'x' WHERE kind = 'z'; UPDATE wants SET kind = 'x' WHERE kind = 'z'"
                        .to_owned()
                }
                4 => format!("DELETE FROM wants WHERE owner = {one}"),
                5 => format!("DELETE FROM floors WHERE id > {row}"),
                _ => format!(
                    "INSERT INTO deals SELECT provider, capacity, recipient, need, quantity, {}, {row} FROM m ORDER BY provider, capacity, recipient, need, tier LIMIT 1 ON CONFLICT DO NOTHING",
                    s.of(&["NULL", "now() + INTERVAL '7 seconds'"])
                ),
            },
            11 if s.next(4) == 0 => {
                log.push("restart".to_owned());
                db = db.restart();
                db.pass(0);
                continue;
            }
            11 if s.next(3) == 0 => {
                log.push("an append fails".to_owned());
                db.refuse_append = true;
                continue;
            }
            _ => {
                let seconds = s.next(12) as i64;
                log.push(format!("pass {seconds}"));
                run(&mut db, seconds);
                continue;
            }
        };
        log.push(sql.clone());
        if let Err(error) = db.run(&sql, &[]) {
            assert!(!format!("{error}").contains("syntax"), "{error}: {sql}");
        }
        db.refuse_append = false;
        drop(db.engine.allocation_status());
        if step % 7 == 6 {
            check(&mut db, seed, &log);
            if is_plain {
                let (found, expected) = (db.rows("SELECT provider, capacity, recipient, need, tier, quantity FROM m ORDER BY 1, 2, 3, 4, 5"), oracle(&mut db));
                assert_eq!(found, expected, "oracle: seed {seed}: {}", log.join(";\n"));
            }
        }
    }
}

/// What the library gives for the rows of the tables, read here by other code than the engine's.
fn oracle(db: &mut Db) -> Vec<String> {
    let mut read = |sql: &str| -> Vec<Vec<Option<i64>>> {
        db.rows(sql).iter().map(|row| row.split('|').map(|n| n.parse().ok()).collect()).collect()
    };
    let number = |n: i64| (i128::from(n) + (1 << 63)) as u64;
    let name = |n: u64| (i128::from(n) - (1 << 63)) as i64;
    let (x, unit) = (Name::new("x").unwrap(), Name::new("unit").unwrap());
    let z = Name::new("z").unwrap();
    let mut said: BTreeMap<i64, Commitment> = BTreeMap::new();
    for (table, side) in [("has", 0), ("wants", 1)] {
        for row in read(&format!(
            "SELECT owner, slot, quantity, lot, most_each, CASE kind WHEN 'x' THEN 0 ELSE 1 END FROM {table} WHERE owner IS NOT NULL"
        )) {
            let owner = row[0].unwrap();
            let mut slot = Slot::new(
                number(row[1].unwrap()),
                Quantity(row[2].unwrap() as u64),
                if row[5] == Some(0) { &x } else { &z },
                &unit,
            );
            if let Some(lot) = row[3] {
                slot.lot = Quantity(lot as u64);
            }
            slot.most_each = row[4].map(|n| Quantity(n as u64));
            let said = said.entry(owner).or_insert_with(|| Commitment::new(number(owner), 1));
            if side == 0 { said.capacities.push(slot) } else { said.needs.push(slot) }
        }
    }
    for row in read("SELECT a, b, sum(w) FROM trust WHERE a IS NOT NULL AND b IS NOT NULL GROUP BY a, b") {
        let owner = row[0].unwrap();
        said.entry(owner)
            .or_insert_with(|| Commitment::new(number(owner), 1))
            .recognition
            .push((ParticipantId(number(row[1].unwrap())), row[2].unwrap() as u64));
    }
    for row in
        read("SELECT owner, slot, whom, quantity FROM floors WHERE owner IS NOT NULL AND whom IS NOT NULL")
    {
        let owner = row[0].unwrap();
        said.entry(owner).or_insert_with(|| Commitment::new(number(owner), 1)).guarantees.push(Guarantee {
            capacity: SlotId(number(row[1].unwrap())),
            to: ParticipantId(number(row[2].unwrap())),
            quantity: Quantity(row[3].unwrap() as u64),
        });
    }
    let mut market = Market::default();
    for said in said.into_values().rev() {
        drop(market.commit(said));
    }
    let edge = |row: &[Option<i64>]| {
        Some(EdgeId::new(number(row[0]?), number(row[1]?), number(row[2]?), number(row[3]?)))
    };
    let mut wanted: BTreeMap<EdgeId, u64> = BTreeMap::new();
    for row in read("SELECT provider, capacity, recipient, need, quantity FROM deals WHERE until IS NULL") {
        if let Some(edge) = edge(&row) {
            *wanted.entry(edge).or_default() += row[4].unwrap() as u64;
        }
    }
    for (edge, wanted) in wanted {
        let left = |side, slot| {
            market.slot(side, slot).map_or(0, |found| found.quantity.0) - market.accepted_of(side, slot).0
        };
        let fits = wanted.min(left(Side::Capacity, edge.capacity)).min(left(Side::Need, edge.need));
        drop(market.reserve(Accepted { edge, quantity: Quantity(fits) }));
    }
    let mut seen = BTreeSet::new();
    for row in read(
        "SELECT provider, capacity, recipient, need, quantity FROM deals WHERE until IS NOT NULL ORDER BY until DESC, quantity DESC",
    ) {
        let Some(edge) = edge(&row).filter(|edge| seen.insert(*edge)) else { continue };
        drop(market.hold(Held { edge, quantity: Quantity(row[4].unwrap() as u64), until: Time(1) }));
    }
    // Those that are over by now.
    for row in read(
        "SELECT provider, capacity, recipient, need FROM deals WHERE until IS NOT NULL GROUP BY provider, capacity, recipient, need HAVING max(until) <= now()",
    ) {
        let Some(edge) = edge(&row) else { continue };
        drop(market.hold(Held { edge, quantity: Quantity(0), until: Time(1) }));
    }
    let solution = Solution::of(&market, Time(0));
    let mut rows: Vec<_> = solution
        .allocations
        .iter()
        .map(|given| {
            let EdgeId { capacity, need } = given.edge;
            let key = [capacity.owner.0, capacity.slot.0, need.owner.0, need.slot.0].map(name);
            (key, given.tier.to_string(), given.quantity.0)
        })
        .collect();
    rows.sort();
    rows.iter()
        .map(|(key, tier, quantity)| format!("{}|{tier}|{quantity}", key.map(|n| n.to_string()).join("|")))
        .collect()
}

/// What is given proves itself, is no more than there is, and is what a new engine gives for the same store.
fn check(db: &mut Db, seed: u64, log: &[String]) {
    run(db, 12);
    let all = "SELECT * FROM m ORDER BY provider, capacity, recipient, need, tier";
    let raw = "SELECT * FROM deltaic.allocations ORDER BY policy, provider, capacity, recipient, need, tier";
    let (rows, raws, status) = (db.rows(all), db.rows(raw), db.engine.allocation_status());
    let why = || format!("seed {seed}: {}\n{status:?}", log.join(";\n"));
    assert!(status[0].is_certified, "not certified {}", why());
    for (side, group, table, quantity) in [
        ("capacity", "provider, capacity", "has", "provider = owner AND capacity = slot"),
        ("need", "recipient, need", "wants", "recipient = owner AND need = slot"),
    ] {
        let over = db.rows(&format!("SELECT * FROM (SELECT {group}, sum(quantity) AS given FROM m GROUP BY {group}) g WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {quantity} AND given <= quantity)"));
        assert!(over.is_empty(), "{side} {over:?} {}", why());
    }
    let mut again = Db::over(db.store.clone());
    again.now = db.now;
    again.step(Input::Wake);
    run(&mut again, 12);
    // A window may have ended meanwhile.
    run(db, 12);
    let end = db.now.max(again.now);
    let (mine, other) = (end - db.now, end - again.now);
    db.now += mine;
    again.now += other;
    let (rows2, raws2, status2) = (again.rows(all), again.rows(raw), again.engine.allocation_status());
    if rows == db.rows(all) {
        assert_eq!(rows, rows2, "{}", why());
        assert_eq!(raws, raws2, "{}", why());
        assert_eq!(db.engine.allocation_status(), status2, "{}", why());
    }
}

#[test]
fn what_is_kept_is_what_a_start_gives_whatever_the_rows_are() {
    (0..40).for_each(|seed| random(seed, 60));
}
