//! Statements that are wrong, and what is said about them.

use super::*;

#[test]
fn errors_have_codes_positions_and_hints() {
    let catalog = catalog();
    let mut wrong = Vec::new();
    for (sql, code, position, hint) in [
        ("SELECT * FROM tsk", "42P01", Some(15), "Perhaps you meant \"task\"."),
        ("SELECT * FROM weather", "42P01", Some(15), ""),
        ("SELECT x.id FROM task t", "42P01", Some(8), ""),
        ("SELECT tt.id FROM task", "42P01", Some(8), ""),
        ("SELECT titel FROM task", "42703", Some(8), "Perhaps you meant \"title\"."),
        ("SELECT t.pri FROM task t", "42703", Some(8), "Perhaps you meant \"prio\"."),
        ("SELECT 'ü', titel FROM task", "42703", Some(13), "Perhaps you meant \"title\"."),
        ("UPDATE task SET titl = 'x'", "42703", Some(17), "Perhaps you meant \"title\"."),
        ("SELECT id FROM task, project", "42702", Some(8), "Write the table's name before it."),
        ("SELECT 1 FROM task, task", "42712", Some(21), "Give one of them an alias."),
        ("SELECT uper('x')", "42883", Some(8), "Perhaps you meant upper()."),
        (
            "SELECT lpad(1)",
            "42883",
            Some(8),
            "There is lpad(text, integer), lpad(text, integer, text). Cast the arguments.",
        ),
        ("SELECT round(1.5::float8, 2)", "42883", Some(8), "*"),
        ("SELECT sum(title) FROM task", "42883", Some(8), "*"),
        ("SELECT title = 1 FROM task", "42883", Some(8), "*"),
        ("SELECT title + 1 FROM task", "42883", Some(8), "*"),
        ("SELECT done > 1 FROM task", "42883", Some(8), "*"),
        ("SELECT prio LIKE 'x' FROM task", "42883", Some(8), "*"),
        ("SELECT 1::integr", "42704", Some(8), "Perhaps you meant integer."),
        ("SELECT 1::point", "42704", None, ""),
        ("DROP INDEX nothing", "42704", Some(12), ""),
        ("INSERT INTO task VALUES (1) ON CONFLICT ON CONSTRAINT nothing DO NOTHING", "42704", None, ""),
        ("SELECT 1 FROM task WHERE prio", "42804", Some(26), "Cast it to boolean."),
        ("SELECT 1 FROM task WHERE prio AND done", "42804", Some(26), "Cast it to boolean."),
        ("INSERT INTO task (id) VALUES (true)", "42804", Some(31), "Cast it to bigint."),
        ("UPDATE task SET done = 1", "42804", Some(24), "Cast it to boolean."),
        ("SELECT CASE WHEN done THEN 1 ELSE title END FROM task", "42804", None, ""),
        ("SELECT 1 UNION ALL SELECT true", "42804", None, ""),
        ("SELECT ARRAY[]", "42804", None, "*"),
        ("SELECT true::date", "42846", Some(8), ""),
        ("SELECT title, count(*) FROM task", "42803", Some(8), ""),
        ("SELECT t.title FROM task t GROUP BY prio", "42803", Some(8), ""),
        ("SELECT prio FROM task GROUP BY prio ORDER BY title", "42803", None, ""),
        ("SELECT 1 FROM task WHERE count(*) > 1", "42803", Some(26), ""),
        ("SELECT sum(count(*)) FROM task", "42803", Some(12), ""),
        ("SELECT count(*) AS n FROM task GROUP BY n", "42803", Some(41), ""),
        ("SELECT ~1 + 1", "0A000", Some(13), "Put brackets around what belongs together."),
        ("SELECT 2 * @ -3 + 2", "0A000", Some(19), "Put brackets around what belongs together."),
        ("SELECT 'a' ~ 'b' || 'c'", "0A000", Some(14), "Put brackets around what belongs together."),
        (
            "SELECT INTERVAL '1.5' DAY",
            "0A000",
            None,
            "Write the unit in the text, as in INTERVAL '1.5 hours'.",
        ),
        ("SELECT INTERVAL '14 months' YEAR", "0A000", None, "*"),
        ("SELECT INTERVAL(3) '1.23456 s'", "0A000", None, ""),
        ("SELECT ARRAY[ARRAY[1], ARRAY[2]]", "0A000", None, "Use jsonb."),
        ("SELECT '{}'::int[][]", "0A000", None, "Use jsonb."),
        ("SELECT $1 IS NULL", "42P18", Some(8), "Say its type with a cast: $1::text."),
        ("SELECT $0", "42P02", Some(8), ""),
        ("SELECT $16385", "42P02", Some(8), ""),
        ("SELECT 'abc'::int", "22P02", Some(8), ""),
        ("SELECT 1 FROM task WHERE id = 'x'", "22P02", Some(31), ""),
        ("SELECT 1 FROM task WHERE due > '2024-02-30'", "22008", Some(32), ""),
        ("SELECT '99999999999'::int", "22003", Some(8), ""),
        ("CREATE TABLE task (a int)", "42P07", Some(14), ""),
        ("CREATE INDEX task_prio_due_idx ON task (prio)", "42P07", Some(14), ""),
        ("CREATE TABLE n (a int, a text)", "42701", Some(24), ""),
        ("INSERT INTO task (id, id) VALUES (1, 2)", "42701", Some(23), ""),
        ("UPDATE task SET prio = 1, prio = 2", "42601", Some(27), ""),
        ("ALTER TABLE task ADD COLUMN prio int", "42701", Some(29), ""),
        (
            "CREATE TABLE n (a int CONSTRAINT c CHECK (a > 0), CONSTRAINT c UNIQUE (a), CONSTRAINT c CHECK (a > 1))",
            "42710",
            Some(34),
            "",
        ),
        ("CREATE TABLE n (a int REFERENCES log)", "42830", Some(34), ""),
        ("CREATE TABLE n (a int REFERENCES task (prio))", "42830", Some(34), ""),
        ("CREATE TABLE n (a int, b int, FOREIGN KEY (a, b) REFERENCES project)", "42830", None, ""),
        ("CREATE TABLE n (a text REFERENCES project)", "42804", Some(35), "Cast it to integer."),
        ("CREATE TABLE n (a int PRIMARY KEY, b int PRIMARY KEY)", "42P16", Some(14), ""),
        ("CREATE TABLE n (a int NULL NOT NULL)", "42P16", Some(17), ""),
        ("CREATE TABLE n (a numeric(0))", "42P16", Some(17), ""),
        ("SELECT DISTINCT prio FROM task ORDER BY title", "42P10", Some(41), ""),
        ("SELECT prio FROM task ORDER BY 2", "42P10", Some(32), ""),
        ("INSERT INTO task (id) VALUES (1) ON CONFLICT (prio) DO NOTHING", "42P10", Some(47), ""),
        ("SELECT 1 FROM (SELECT 1) AS x(a, b)", "42P10", None, ""),
        ("WITH RECURSIVE r AS (SELECT 1 FROM r) SELECT * FROM r", "42P19", Some(36), "*"),
        (
            "WITH RECURSIVE r AS (SELECT 1 UNION SELECT count(*)::int FROM r) SELECT * FROM r",
            "42P19",
            Some(63),
            "Aggregate in the query that reads the recursive table.",
        ),
        ("SELECT 1 LIMIT -1", "2201W", Some(17), ""),
        ("SELECT 1 OFFSET -1", "2201X", Some(18), ""),
        ("SELECT 1 LIMIT 'x'", "22P02", Some(16), ""),
        ("SELECT 1 UNION ALL SELECT 1, 2", "42601", None, ""),
        ("INSERT INTO project VALUES (1, 'a', 2, 3)", "42601", Some(40), ""),
        ("INSERT INTO project (id, name) VALUES (1)", "42601", Some(40), ""),
        ("SELECT *", "42601", None, ""),
    ] {
        let Err(error) = run(&catalog, sql) else {
            wrong.push(format!("{sql}: no error"));
            continue;
        };
        let found = error.hint().unwrap_or_default();
        let same = error.sqlstate() == code
            && (position.is_none() || error.position() == position)
            && (found == hint || (hint == "*" && !found.is_empty()));
        if !same {
            let (code, position) = (error.sqlstate(), error.position());
            wrong.push(format!("{sql}: {code} at {position:?}: {error}. {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let wide: Vec<String> = (0..1_000).map(|number| format!("c{number} int")).collect();
    let error = run(&catalog, &format!("CREATE TABLE wide ({})", wide.join(", "))).unwrap_err();
    assert_eq!(error.sqlstate(), "54011");
    let error = run(&catalog, &format!("CREATE TABLE {} (a int)", "n".repeat(64))).unwrap_err();
    assert_eq!(error.sqlstate(), "42622");
}

#[test]
fn what_is_not_offered_says_so() {
    let catalog = catalog();
    for sql in [
        "SELECT id FROM task WHERE (id, prio) < ANY (SELECT 1, 2)",
        "SELECT (SELECT max(task.prio)) FROM task",
        "SELECT * FROM task t LEFT JOIN project p ON EXISTS (SELECT 1 FROM task u WHERE u.id = t.id AND u.prio = p.id)",
        "SELECT * FROM task t FULL JOIN project p ON t.id IN (SELECT 1)",
        "SELECT id FROM task LIMIT (SELECT 1)",
        "INSERT INTO task (id) VALUES (1) RETURNING (SELECT 1)",
        "INSERT INTO task (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET prio = (SELECT 1)",
        "CREATE TABLE n (a int DEFAULT (SELECT 1))",
        "CREATE TABLE n (a int CHECK (a IN (SELECT 1)))",
        "SELECT sum(DISTINCT prio) OVER () FROM task",
        "SELECT * FROM generate_series(1, 2)",
        "SELECT id FROM task FOR UPDATE",
        "SELECT gen_random_uuid()",
        "SELECT prio FROM task GROUP BY ROLLUP (prio)",
        "SELECT 1::real",
        "SELECT 'x'::varchar(3)",
        "SELECT '2024-01-01'::timestamp",
        "SELECT '{}'::json",
        "SELECT * FROM other.task",
        "SELECT due AT TIME ZONE 'UTC' FROM task",
        "UPDATE task SET prio = 1 FROM project",
        "DELETE FROM task USING project",
        "CREATE TABLE n AS SELECT 1",
        "CREATE TEMPORARY TABLE n (a int)",
        "CREATE TABLE n (a jsonb PRIMARY KEY)",
        "CREATE TABLE n (a interval UNIQUE)",
        "CREATE TABLE n (a int REFERENCES project ON DELETE SET DEFAULT)",
        "CREATE TABLE n (a serial)",
        "CREATE TABLE n (a int GENERATED ALWAYS AS (1) STORED)",
        "CREATE TABLE n (a int DEFAULT $1)",
        "CREATE INDEX ON task (lower(title))",
        "CREATE INDEX ON task (prio) WHERE done",
        "CREATE INDEX ON task USING gin (tags)",
        "CREATE INDEX ON task (doc)",
        "ALTER TABLE task DROP COLUMN prio",
        "ALTER TABLE task ADD COLUMN a int UNIQUE",
        "DROP TABLE task CASCADE",
        "CREATE VIEW v AS SELECT 1",
        "TRUNCATE task",
        "GRANT ALL ON task TO x",
        "SET x = 1",
        "EXPLAIN (BUFFERS) SELECT 1",
        "EXPLAIN (FORMAT XML) SELECT 1",
        "EXPLAIN DELETE FROM task",
    ] {
        let error = run(&catalog, sql).expect_err(sql);
        assert_eq!(error.sqlstate(), "0A000", "{sql}: {error}");
        assert!(error.to_string().starts_with("not supported: "), "{sql}: {error}");
    }
}
