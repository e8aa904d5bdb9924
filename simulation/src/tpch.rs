//! TPC-H's 22 queries kept live while the tables change, each compared with PostgreSQL's after every commit.
//!
//! Data are those of the benchmark's own generator; the texts of the queries, with the specification's default
//! parameters, stand in `tpch/`. Invariant: the refreshes together change nothing, so that each query begins with
//! the same tables; a result that is not PostgreSQL's, row by row and digit by digit, is an error.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use deltaic_causality::ActorId;
use deltaic_engine::News;
use deltaic_storage::{Identity, MemoryStore};
use deltaic_types::{DatabaseId, Value, text_format};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use crate::{driver::Driver, postgres::Postgres};

/// The tables: the primary keys are all the indexes that they declare.
pub const SCHEMA: &str = include_str!("../tpch/schema.sql");

/// The queries, the first one first.
pub const QUERIES: [&str; 22] = [
    include_str!("../tpch/q01.sql"),
    include_str!("../tpch/q02.sql"),
    include_str!("../tpch/q03.sql"),
    include_str!("../tpch/q04.sql"),
    include_str!("../tpch/q05.sql"),
    include_str!("../tpch/q06.sql"),
    include_str!("../tpch/q07.sql"),
    include_str!("../tpch/q08.sql"),
    include_str!("../tpch/q09.sql"),
    include_str!("../tpch/q10.sql"),
    include_str!("../tpch/q11.sql"),
    include_str!("../tpch/q12.sql"),
    include_str!("../tpch/q13.sql"),
    include_str!("../tpch/q14.sql"),
    include_str!("../tpch/q15.sql"),
    include_str!("../tpch/q16.sql"),
    include_str!("../tpch/q17.sql"),
    include_str!("../tpch/q18.sql"),
    include_str!("../tpch/q19.sql"),
    include_str!("../tpch/q20.sql"),
    include_str!("../tpch/q21.sql"),
    include_str!("../tpch/q22.sql"),
];

/// The rows of an INSERT: below the limit of a statement's bytes.
const ROWS: usize = 2_000;

/// A row's key that no generated order has.
const NEW_ORDERS: i64 = 100_000_000;

type Fields = Vec<String>;

/// What is written: the tables' rows first, then commits that undo each other.
#[derive(Debug)]
pub struct Workload {
    /// INSERTs of all rows.
    pub load: Vec<String>,
    /// The commits, each with what it is.
    pub refreshes: Vec<(&'static str, String)>,
    /// The queries at this scale.
    pub queries: Vec<String>,
}

fn fields(line: &str) -> Fields {
    line.trim_end_matches('|').split('|').map(str::to_owned).collect()
}

fn insert(table: &str, rows: &[Fields]) -> String {
    let mut sql = format!("INSERT INTO {table} VALUES ");
    for (place, row) in rows.iter().enumerate() {
        sql.push_str(if place == 0 { "('" } else { ", ('" });
        let quoted: Vec<String> = row.iter().map(|field| field.replace('\'', "''")).collect();
        let _ = write!(sql, "{}')", quoted.join("','"));
    }
    sql
}

impl Workload {
    /// The tables at a scale: 1 is six million rows of `lineitem`.
    pub fn of(scale: f64) -> Self {
        let mut load = Vec::new();
        let mut table = |name: &str, rows: &[Fields]| {
            load.extend(rows.chunks(ROWS).map(|rows| insert(name, rows)));
        };
        macro_rules! rows {
            ($generator:ident) => {
                $generator::new(scale, 1, 1).iter().map(|row| fields(&row.to_string())).collect::<Vec<_>>()
            };
        }
        table("region", &rows!(RegionGenerator));
        table("nation", &rows!(NationGenerator));
        table("supplier", &rows!(SupplierGenerator));
        table("part", &rows!(PartGenerator));
        // With few suppliers the generator names some twice for a part.
        let mut keys = BTreeSet::new();
        let mut supplies = rows!(PartSuppGenerator);
        supplies.retain(|row| keys.insert((row[0].clone(), row[1].clone())));
        table("partsupp", &supplies);
        table("customer", &rows!(CustomerGenerator));
        let (orders, lines) = (rows!(OrderGenerator), rows!(LineItemGenerator));
        table("orders", &orders);
        table("lineitem", &lines);
        let queries = QUERIES.iter().map(|sql| sql.replace("0.0001", &share(scale))).collect();
        Self { load, refreshes: refreshes(&orders, &lines), queries }
    }
}

/// The share of query 11: 0.0001 by the scale.
fn share(scale: f64) -> String {
    format!("{:.10}", 0.0001 / scale).trim_end_matches('0').to_owned()
}

/// RF1 and RF2 of the specification on some hundredths of the orders, and values that change; then all of it undone.
fn refreshes(orders: &[Fields], lines: &[Fields]) -> Vec<(&'static str, String)> {
    let step = (orders.len() / 60).max(1);
    let chosen =
        |offset: usize| -> Vec<Fields> { orders.iter().skip(offset).step_by(step).cloned().collect() };
    let of = |orders: &[Fields]| -> Vec<Fields> {
        let keys: BTreeSet<&str> = orders.iter().map(|order| order[0].as_str()).collect();
        lines.iter().filter(|line| keys.contains(line[0].as_str())).cloned().collect()
    };
    let renumber = |rows: &mut Vec<Fields>| {
        for row in rows {
            let key: i64 = row[0].parse().expect("invariant: an order's key is a number");
            row[0] = (key + NEW_ORDERS).to_string();
        }
    };
    let gone = chosen(0);
    let lost = of(&gone);
    let mut new = chosen(step / 2);
    let mut lent = of(&new);
    renumber(&mut new);
    renumber(&mut lent);
    let keys: Vec<&str> = gone.iter().map(|order| order[0].as_str()).collect();
    let keys = keys.join(", ");
    let prices = |sign: char| {
        format!(
            "BEGIN; UPDATE lineitem SET l_extendedprice = l_extendedprice {sign} 100.25, \
             l_quantity = l_quantity {sign} 10 WHERE l_orderkey % 37 = 1; \
             UPDATE lineitem SET l_quantity = l_quantity {sign} 50 WHERE l_orderkey % 997 = 1; \
             UPDATE orders SET o_orderdate = o_orderdate {sign} 40 WHERE o_orderkey % 37 = 2; \
             UPDATE partsupp SET ps_supplycost = ps_supplycost {sign} 5.5, ps_availqty = 10000 - ps_availqty \
             WHERE ps_partkey % 7 = 1; \
             UPDATE part SET p_size = 51 - p_size WHERE p_partkey % 5 = 1; \
             UPDATE part SET p_brand = CASE p_brand WHEN 'Brand#23' THEN 'Brand#12' ELSE 'Brand#23' END \
             WHERE p_brand IN ('Brand#12', 'Brand#23'); \
             UPDATE customer SET c_acctbal = c_acctbal {sign} 900 WHERE c_custkey % 11 = 1; \
             UPDATE supplier SET s_nationkey = (s_nationkey {sign} 3 + 25) % 25 WHERE s_suppkey % 5 = 1; COMMIT"
        )
    };
    vec![
        ("orders come", format!("BEGIN; {}; {}; COMMIT", insert("orders", &new), insert("lineitem", &lent))),
        (
            "orders go",
            format!(
                "BEGIN; DELETE FROM lineitem WHERE l_orderkey IN ({keys}); \
                 DELETE FROM orders WHERE o_orderkey IN ({keys}); COMMIT"
            ),
        ),
        ("values change", prices('+')),
        ("values return", prices('-')),
        (
            "orders return",
            format!("BEGIN; {}; {}; COMMIT", insert("lineitem", &lost), insert("orders", &gone)),
        ),
        (
            "new orders go",
            format!(
                "BEGIN; DELETE FROM orders WHERE o_orderkey > {NEW_ORDERS}; \
                 DELETE FROM lineitem WHERE l_orderkey > {NEW_ORDERS}; COMMIT"
            ),
        ),
    ]
}

/// A row as text, numbers in their shortest form.
type Texts = Vec<Option<String>>;

fn shortest(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction))
            if whole.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit())
                && fraction.bytes().all(|b| b.is_ascii_digit()) =>
        {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        _ => text.to_owned(),
    }
}

fn texts(row: &[Value]) -> Texts {
    row.iter()
        .map(|value| if value.is_null() { None } else { Some(shortest(&text_format::to_text(value))) })
        .collect()
}

/// The queries' answers after the load, then after each refresh.
pub fn answers(postgres: &mut Postgres, workload: &Workload) -> Result<Vec<Vec<Vec<Texts>>>, String> {
    let mut run = |sql: &str| postgres.run(sql).map_err(|error| format!("PostgreSQL: {error}"));
    run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")?;
    run(SCHEMA)?;
    for sql in &workload.load {
        run(sql)?;
    }
    run("ANALYZE")?;
    let mut all = Vec::new();
    for refresh in std::iter::once("SELECT 1").chain(workload.refreshes.iter().map(|(_, sql)| sql.as_str())) {
        run(refresh)?;
        let mut answers = Vec::new();
        for query in &workload.queries {
            let mut rows = run(query)?;
            for value in rows.iter_mut().flatten().flatten() {
                *value = shortest(value);
            }
            rows.sort();
            answers.push(rows);
        }
        all.push(answers);
    }
    Ok(all)
}

/// A live query: what a client knows of it, and what it took.
#[derive(Debug, Default)]
pub struct Live {
    /// From the subscription to the first rows.
    pub hydration: Duration,
    /// From each refresh to its news.
    pub refreshes: Vec<Duration>,
    /// The rows after the load.
    pub rows: usize,
    /// How many refreshes changed the result.
    pub changed: usize,
}

/// The engine with all tables, and a clock for the measurements, on which no result depends.
pub struct Bench<'a> {
    driver: Driver<MemoryStore>,
    workload: &'a Workload,
    clock: &'a dyn Fn() -> Duration,
}

impl std::fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}

impl<'a> Bench<'a> {
    /// Loads the tables.
    pub fn load(workload: &'a Workload, clock: &'a dyn Fn() -> Duration) -> Result<Self, String> {
        let store = MemoryStore::new(Identity { database: DatabaseId(22), actor: ActorId(1) });
        let driver = Driver::open(store, 1_700_000_000_000_000).map_err(|error| error.to_string())?;
        let mut bench = Self { driver, workload, clock };
        for sql in std::iter::once(SCHEMA).chain(workload.load.iter().map(String::as_str)) {
            bench.run(sql)?;
        }
        Ok(bench)
    }

    fn run(&mut self, sql: &str) -> Result<Duration, String> {
        let start = (self.clock)();
        self.driver.run(sql).map_err(|error| format!("{}: {error}", &sql[..sql.len().min(60)]))?;
        Ok((self.clock)().saturating_sub(start))
    }

    /// Keeps these queries live, all at once, through the refreshes. `answers` are PostgreSQL's, where it is there.
    pub fn keep(&mut self, numbers: &[usize], answers: Option<&[Vec<Vec<Texts>>]>) -> Result<Live, String> {
        let mut live = Live::default();
        let mut results: Vec<Vec<Texts>> = vec![Vec::new(); QUERIES.len()];
        for &number in numbers {
            let start = (self.clock)();
            self.driver.subscribe(number as u64, &self.workload.queries[number], &[], None);
            live.hydration += (self.clock)().saturating_sub(start);
            self.take(&mut results)?;
            live.rows += results[number].len();
        }
        let compare = |results: &[Vec<Texts>], stage: usize, name: &str| {
            for &number in numbers {
                let Some(answers) = answers else { continue };
                let (found, expected) = (&results[number], &answers[stage][number]);
                if found != expected {
                    return Err(format!(
                        "query {} after {name}: found\n{found:?}\nPostgreSQL has\n{expected:?}",
                        number + 1
                    ));
                }
            }
            Ok(())
        };
        compare(&results, 0, "the load")?;
        for (stage, (name, sql)) in self.workload.refreshes.iter().enumerate() {
            let took = self.run(sql)?;
            live.refreshes.push(took);
            live.changed += usize::from(self.take(&mut results)?);
            compare(&results, stage + 1, name)?;
        }
        for &number in numbers {
            self.driver.unsubscribe(number as u64);
        }
        self.driver.pass_time();
        if self.driver.engine.is_idle() { Ok(live) } else { Err("a circuit is left behind".to_owned()) }
    }

    /// Takes the news; whether there was any.
    fn take(&mut self, results: &mut [Vec<Texts>]) -> Result<bool, String> {
        let messages = std::mem::take(&mut self.driver.messages);
        let any = !messages.is_empty();
        for message in messages {
            let result = &mut results[message.subscription.0 as usize];
            match message.news {
                News::Snapshot(snapshot) => {
                    *result = snapshot.rows.iter().map(|row| texts(&row[..snapshot.columns.len()])).collect();
                }
                News::Change(change) => {
                    for (row, weight) in &change.changes {
                        let row = texts(&row[..change.columns.len()]);
                        for _ in 0..weight.unsigned_abs() {
                            if *weight > 0 {
                                result.push(row.clone());
                            } else {
                                let place = result.iter().position(|other| *other == row);
                                result.swap_remove(
                                    place.ok_or_else(|| format!("{row:?} leaves and is not there"))?,
                                );
                            }
                        }
                    }
                }
                News::Current(_) => {}
                News::Error { error, .. } => return Err(format!("refused: {error}")),
            }
            result.sort();
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal_postgres(scale: f64) -> Vec<Live> {
        let Some(mut postgres) = Postgres::start() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is the oracle here and does not start");
            return Vec::new();
        };
        let workload = Workload::of(scale);
        let answers = answers(&mut postgres, &workload).unwrap_or_else(|error| panic!("{error}"));
        let clock = || Duration::ZERO;
        let mut bench = Bench::load(&workload, &clock).unwrap_or_else(|error| panic!("{error}"));
        let mut lives = Vec::new();
        let mut wrong = Vec::new();
        for number in 0..QUERIES.len() {
            match bench.keep(&[number], Some(&answers)) {
                Ok(live) => lives.push(live),
                Err(error) => wrong.push(format!("query {}: {error}", number + 1)),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let all: Vec<usize> = (0..QUERIES.len()).collect();
        bench.keep(&all, Some(&answers)).unwrap_or_else(|error| panic!("all at once: {error}"));
        lives
    }

    #[test]
    fn all_queries_live_are_those_of_postgresql() {
        let lives = equal_postgres(0.01);
        let [with_rows, changing] = [|live: &&Live| live.rows > 0, |live: &&Live| live.changed > 0]
            .map(|which| lives.iter().filter(which).count());
        assert!(
            lives.is_empty() || (with_rows >= 20 && changing >= 18),
            "{with_rows} have rows, {changing} change"
        );
    }
}
