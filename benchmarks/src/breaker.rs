//! A commit that changes a million rows beneath live queries, with the circuit breaker and without.

use deltaic_causality::ActorId;
use deltaic_dataflow::Breaker;
use deltaic_storage::{Identity, MemoryStore};
use deltaic_types::DatabaseId;

use crate::session::Session;

const ROWS: usize = 1_000_000;
const GROUPS: usize = 1_000;

/// What a live query is, and its text.
const QUERIES: [(&str, &str); 3] = [
    ("a filter that keeps a tenth", "SELECT id, v FROM t WHERE v % 10 = 0"),
    ("a count and a sum by group", "SELECT g, count(*), sum(v) FROM t GROUP BY g"),
    (
        "a sum by group over a join",
        "SELECT k.name, sum(t.v) FROM t JOIN k ON k.id = t.g WHERE k.id < 100 GROUP BY k.name",
    ),
];

/// The state with all rows, and one live query.
fn session(query: &str, breaker: Breaker) -> Session<MemoryStore> {
    let identity = Identity { database: DatabaseId(1), actor: ActorId(1) };
    let mut session = Session::open(MemoryStore::new(identity));
    session.engine.set_breaker(breaker);
    session.run("CREATE TABLE k (id integer PRIMARY KEY, name text NOT NULL)", Vec::new());
    session
        .run("CREATE TABLE t (id integer PRIMARY KEY, g integer NOT NULL, v integer NOT NULL)", Vec::new());
    let groups: Vec<String> = (0..GROUPS).map(|id| format!("({id}, 'name {id}')")).collect();
    session.run(&format!("INSERT INTO k VALUES {}", groups.join(", ")), Vec::new());
    for chunk in 0..ROWS / 1_000 {
        let row = |id: usize| format!("({id}, {}, {})", id * 7919 % GROUPS, id % 997);
        let rows: Vec<String> = (0..1_000).map(|place| row(chunk * 1_000 + place)).collect();
        session.run(&format!("INSERT INTO t VALUES {}", rows.join(", ")), Vec::new());
    }
    assert_eq!(session.subscribe(1, query), 1, "a snapshot comes");
    session
}

pub(crate) fn run() {
    println!("| {ROWS} rows change beneath | row by row | computed anew | by the breaker | it chose |");
    println!("|---|---|---|---|---|");
    for (name, query) in QUERIES {
        let mut times = Vec::new();
        let mut chosen = "";
        for breaker in [Breaker::NEVER, Breaker::ALWAYS, Breaker::default()] {
            let mut session = session(query, breaker);
            let (took, messages) = session.follow("UPDATE t SET v = v + 1");
            times.push(format!("{:.2} s", took.as_secs_f64()));
            assert_eq!(messages, 1, "the change comes");
            let recomputed = session.engine.status().advances.recomputed > 0;
            chosen = if recomputed { "computed anew" } else { "row by row" };
        }
        println!("| {name} | {} | {chosen} |", times.join(" | "));
    }
}
