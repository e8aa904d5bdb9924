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
            &[
                "arrange by ($1, title desc)",
                "  top k 5 of each ($1) by (title desc)",
                "    join on (prio > $1) and like(title, 'a%')",
                "      parameters",
                "      table task",
            ][..],
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

#[test]
fn a_circuit_says_what_it_searches() {
    let mut db = db();
    let forms = [
        ("prio > 3", "(prio > $1), searching $1 < prio, searching prio > $1"),
        ("team BETWEEN 2 AND 3", "(team >= $1) and (team <= $2), searching $1 <= team and $2 >= team"),
        ("team IN (2, 3)", "(team = any($1))"),
        ("title LIKE 'a%'", "starts_with(title, $1), searching $1 for prefixes of title"),
    ];
    for (number, (condition, shown)) in (1..).zip(forms) {
        // The first few have circuits of their own.
        let sql = format!("SELECT id FROM task WHERE {condition}");
        for other in 0..5 {
            db.subscribe(
                number * 10 + other,
                &sql.replace('3', &format!("{other}3")).replace("'a", &format!("'{other}a")),
            );
        }
        let view = db.engine.status().views.last().unwrap().id;
        let circuit = db.engine.circuit(view).unwrap();
        let join = circuit.iter().find(|node| node.label.starts_with("join on")).unwrap();
        assert!(join.label.contains(shown), "{condition}: {}", join.label);
    }
}

#[test]
fn analyze_counts_what_each_operator_gives_and_keeps() {
    let mut db = db();
    db.ok("INSERT INTO team VALUES (1, 'a'), (2, 'b')");
    db.ok("INSERT INTO task VALUES (1, 1, 3, 'x'), (2, 1, 4, 'y'), (3, 2, 5, 'z'), (4, NULL, 9, 'w')");
    let query = "SELECT name, count(*) FROM task JOIN team ON team = team.id WHERE prio > $1 GROUP BY name";
    let lines = db.run(&format!("EXPLAIN ANALYZE {query}"), &[serde_json::json!(3)]).unwrap();
    let lines: Vec<String> = lines.rows.iter().map(|row| crate::common::text(row)).collect();
    assert!(lines[0].starts_with("arrange by ($1)  (gives 2, keeps 2 in "), "{lines:#?}");
    assert!(lines[1].starts_with("  aggregate count(*) by ($1, name)  (gives 2, keeps 2 in "), "{lines:#?}");
    assert!(lines[2].starts_with("    join on ") && lines[2].ends_with("  (gives 2)"), "{lines:#?}");
    assert_eq!(lines[3], "      parameters  (gives 1)");
    assert_eq!(lines[4], "      table task  (gives 4)");
    assert!(lines.last().unwrap().starts_with("index probes: "), "{lines:#?}");
    // The same as JSON; without ANALYZE nothing is counted.
    let json = |db: &mut Db, options: &str| -> serde_json::Value {
        let outcome = db.run(&format!("EXPLAIN ({options}) {query}"), &[serde_json::json!(3)]).unwrap();
        serde_json::from_str(&crate::common::text(&outcome.rows[0])).unwrap()
    };
    let counted = json(&mut db, "ANALYZE, FORMAT JSON");
    let aggregate = counted.as_array().unwrap().iter().find(|node| node["operator"] == "aggregate").unwrap();
    assert_eq!((aggregate["rows"].as_i64(), aggregate["state_rows"].as_i64()), (Some(2), Some(2)));
    let plain = json(&mut db, "FORMAT JSON");
    assert!(plain.as_array().unwrap().iter().all(|node| node.get("rows").is_none()), "{plain}");
}
