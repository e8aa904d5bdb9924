//! EXPLAIN and the labels of circuits: columns by their names.

use deltaic_engine::ViewId;

use crate::common::Db;

fn db() -> Db {
    Db::with(
        "CREATE TABLE team (id int PRIMARY KEY, name text);
         CREATE TABLE task (id int PRIMARY KEY, team int REFERENCES team, prio int, title text);
         CREATE INDEX ON task (prio)",
    )
}

#[test]
fn a_plan_names_what_the_query_names() {
    let mut db = db();
    for (query, lines) in [
        (
            "SELECT title FROM task WHERE prio > 3 AND title LIKE 'a%' ORDER BY title DESC LIMIT 5",
            &["arrange by (title desc)", "  top k 5 by (title desc)", "    filter", "      table task"][..],
        ),
        (
            "SELECT name, count(*), max(prio) FROM task JOIN team ON team = team.id GROUP BY name",
            &[
                "arrange",
                "  aggregate count(*), max(prio) by (name)",
                "    join on",
                "      table task",
                "      table team",
            ],
        ),
        (
            "SELECT DISTINCT t.id, u.id FROM task t LEFT JOIN task u ON u.team = t.id AND u.prio > t.prio",
            &["arrange", "  distinct", "    project", "      left join on id = team' and (prio' > prio)"],
        ),
        (
            "SELECT title FROM task WHERE prio = 3 UNION ALL SELECT name FROM team",
            &[
                "arrange",
                "  union all",
                "    filter and project where (prio = 3) -> title",
                "      table task",
                "    project -> name",
            ],
        ),
    ] {
        let plan = db.rows(&format!("EXPLAIN {query}"));
        for (line, start) in plan.iter().zip(lines) {
            assert!(line.starts_with(start), "{query}: {line:?} begins with {start:?}: {plan:#?}");
        }
        assert!(plan.len() >= lines.len(), "{query}: {plan:#?}");
        // A place is shown only where nothing names it.
        assert!(!plan.join("").contains('#'), "{query}: {plan:#?}");
    }
}

#[test]
fn a_live_circuit_names_its_parameters() {
    let mut db = db();
    db.subscribe(1, "SELECT title FROM task WHERE prio = 7");
    let circuit = db.engine.circuit(ViewId(1)).or_else(|| db.engine.circuit(ViewId(0))).unwrap();
    let labels: Vec<&str> = circuit.iter().map(|node| node.label.as_str()).collect();
    assert!(labels.iter().any(|label| label.contains("$1")), "{labels:?}");
    assert!(labels.iter().all(|label| !label.contains('#')), "{labels:?}");
}
