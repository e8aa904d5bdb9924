//! All flights in redb, with ten live queries over them.

use std::{path::Path, time::Instant};

use deltaic_causality::ActorId;
use deltaic_storage::{Identity, RedbStore, Store};
use deltaic_types::DatabaseId;

use crate::{measure, report, session::Session};

pub(crate) const TABLES: [&str; 5] = ["airlines", "airports", "planes", "weather", "flights"];

/// Ten questions that people would keep on a screen.
pub(crate) const QUERIES: [&str; 10] = [
    "SELECT carrier, count(*), avg(dep_delay) FROM flights GROUP BY carrier",
    "SELECT a.name, count(*), max(f.arr_delay) FROM flights f JOIN airlines a ON a.carrier = f.carrier GROUP BY a.name",
    "SELECT dest, count(*) AS n FROM flights GROUP BY dest ORDER BY n DESC, dest LIMIT 10",
    "SELECT id, carrier, flight, dep_delay FROM flights WHERE dest = 'SFO' AND dep_delay > 60",
    "SELECT origin, month, count(*), sum(distance) FROM flights GROUP BY origin, month",
    "SELECT id, dep_delay FROM flights ORDER BY dep_delay DESC, id LIMIT 20",
    "SELECT DISTINCT origin, dest FROM flights WHERE carrier = 'UA'",
    "SELECT p.manufacturer, count(*) FROM flights f LEFT JOIN planes p ON p.tailnum = f.tailnum GROUP BY p.manufacturer",
    "SELECT count(*), count(dep_time) FROM flights",
    "SELECT w.origin, max(w.wind_speed), min(w.visib) FROM weather w GROUP BY w.origin HAVING max(w.wind_speed) > 20",
];

/// The resident memory of this process in bytes, where the system tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub(crate) fn run(directory: &Path) {
    let data = std::env::temp_dir().join(format!("deltaic-benchmark-{}", std::process::id()));
    std::fs::create_dir_all(&data).expect("a temporary directory");
    let identity = Identity { database: DatabaseId(1), actor: ActorId(1) };
    let store = RedbStore::open_or_create(&data, identity).expect("a new store");
    let mut session = Session::open(store);
    session.run(include_str!("../../examples/flights/schema.sql"), Vec::new());
    let start = Instant::now();
    let mut rows = 0;
    for table in TABLES {
        rows += load(&mut session, directory, table);
    }
    println!("load {rows} rows: {:.1} s", start.elapsed().as_secs_f64());
    drop(session);
    let start = Instant::now();
    let store = RedbStore::open_or_create(&data, identity).expect("the store opens again");
    let mut session = Session::open(store);
    println!("open again: {:.2} s, resident {} MB", start.elapsed().as_secs_f64(), resident() / 1_000_000);
    for (number, query) in QUERIES.iter().enumerate() {
        let start = Instant::now();
        session.subscribe(number as u64, query);
        println!("hydrate {:.0} ms: {query}", start.elapsed().as_secs_f64() * 1000.0);
    }
    println!("resident with ten live queries: {} MB", resident() / 1_000_000);
    let times = measure(500, |run| {
        let (id, delay) = (1 + (run * 7919) % (rows / 2), run % 90);
        let parameters = vec![serde_json::Value::from(id), serde_json::Value::from(delay)];
        session.run("UPDATE flights SET dep_delay = $2 WHERE id = $1", parameters);
    });
    report("UPDATE of one flight with ten live queries, durable", times);
    let sizes = session.store.sizes().expect("the store tells its sizes");
    let (hot, cold) =
        sizes.values().fold((0, 0), |sum, size| (sum.0 + size.hot_bytes, sum.1 + size.cold_bytes));
    drop(session);
    let file = std::fs::metadata(data.join(deltaic_storage::STORE_FILE)).map_or(0, |file| file.len());
    println!("disk: file {} MB, hot {} MB, cold {} MB", file / 1_000_000, hot / 1_000_000, cold / 1_000_000);
    let _ = std::fs::remove_dir_all(&data);
}

/// Loads a table's file; gives the number of its rows.
pub(crate) fn load<S: Store>(session: &mut Session<S>, directory: &Path, table: &str) -> usize {
    let file = directory.join(format!("{table}.csv"));
    let mut csv = csv::Reader::from_path(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut columns: Vec<String> =
        csv.headers().expect("a header line").iter().map(|name| format!("\"{name}\"")).collect();
    let needs_id = table == "flights" && columns[0] != "\"id\"";
    if needs_id {
        columns.insert(0, "id".to_owned());
    }
    let mut count = 0;
    let mut values: Vec<serde_json::Value> = Vec::new();
    let mut flush = |values: &mut Vec<serde_json::Value>| {
        let rows = values.len() / columns.len();
        if rows > 0 {
            let tuples: Vec<String> = (0..rows)
                .map(|row| {
                    let places: Vec<String> = (1..=columns.len())
                        .map(|place| format!("${}", row * columns.len() + place))
                        .collect();
                    format!("({})", places.join(", "))
                })
                .collect();
            let sql = format!("INSERT INTO {table} ({}) VALUES {}", columns.join(", "), tuples.join(", "));
            session.run(&sql, std::mem::take(values));
        }
    };
    for record in csv.records() {
        let record = record.expect("a record");
        count += 1;
        if needs_id {
            values.push(count.into());
        }
        values.extend(record.iter().map(|field| {
            if field.is_empty() || field == "NA" { serde_json::Value::Null } else { field.into() }
        }));
        if count % 500 == 0 {
            flush(&mut values);
        }
    }
    flush(&mut values);
    count
}
