//! What an update of a column that merges costs beside one of a plain column: on one server alone, and on one of several.

use std::time::Instant;

use deltaic_causality::ActorId;
use deltaic_engine::{Input, PeerInput};
use deltaic_storage::{Identity, MemoryStore};
use deltaic_types::DatabaseId;
use serde_json::json;

use crate::{percentiles, session::Session};

const ROWS: i64 = 10_000;
const RUNS: usize = 4_000;

const UPDATES: [(&str, &str); 7] = [
    ("plain integer", "UPDATE t SET a = a + 1 WHERE id = $1"),
    ("plain text", "UPDATE t SET b = a::text WHERE id = $1"),
    ("counter", "UPDATE t SET n = n + 1 WHERE id = $1"),
    ("add_wins_set", "UPDATE t SET s = add(remove(s, 'y'), 'y') WHERE id = $1"),
    ("max", "UPDATE t SET m = m + 1 WHERE id = $1"),
    ("flag", "UPDATE t SET f = NOT f WHERE id = $1"),
    ("multi_value", "UPDATE t SET v = ARRAY[id::text, a::text] WHERE id = $1"),
];

fn session() -> Session<MemoryStore> {
    let identity = Identity { database: DatabaseId(1), actor: ActorId(1) };
    let mut session = Session::open(MemoryStore::new(identity));
    let table = "CREATE TABLE t (id bigint PRIMARY KEY, a bigint, b text, n counter, s add_wins_set(text), m max(bigint), f flag, \
                 v multi_value(text))";
    session.run(table, Vec::new());
    for first in (0..ROWS).step_by(1_000) {
        let rows: Vec<String> = (first..first + 1_000)
            .map(|id| format!("({id}, 0, 'title', 0, '{{x}}', 0, false, '{{}}')"))
            .collect();
        session.run(&format!("INSERT INTO t VALUES {}", rows.join(", ")), Vec::new());
    }
    session
}

/// Joins a member that never answers: what is measured is this server.
fn join(session: &mut Session<MemoryStore>) {
    let effects = session.step(Input::Peer(PeerInput::Join(ActorId(2))));
    session.append(effects);
}

pub(super) fn run() {
    println!(
        "\n| update of one row of {ROWS}, in memory | alone, median | p99 | in a mesh, median | p99 | of the plain one |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let (mut alone, mut mesh) = (session(), session());
    join(&mut mesh);
    let mut times = vec![[Vec::new(), Vec::new()]; UPDATES.len()];
    // Interleaved, so that a slow moment is everybody's.
    for run in 0..RUNS {
        for (place, (_, sql)) in UPDATES.iter().enumerate() {
            let id = (run as i64 * 7_919 + place as i64) % ROWS;
            for (side, session) in [&mut alone, &mut mesh].into_iter().enumerate() {
                let start = Instant::now();
                session.run(sql, vec![json!(id)]);
                times[place][side].push(start.elapsed());
            }
        }
    }
    let figures: Vec<[(f64, f64); 2]> = times.into_iter().map(|sides| sides.map(percentiles)).collect();
    for ((name, _), [one, many]) in UPDATES.iter().zip(&figures) {
        let of_plain = [one.0 / figures[0][0].0, many.0 / figures[0][1].0];
        println!(
            "| {name} | {:.1} us | {:.1} us | {:.1} us | {:.1} us | {:.2}, {:.2} |",
            one.0, one.1, many.0, many.1, of_plain[0], of_plain[1]
        );
    }
}
