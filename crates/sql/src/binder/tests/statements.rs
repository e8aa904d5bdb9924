//! Statements that write, and those that define.

use deltaic_query::statement::ConflictAction;
use deltaic_types::{ReferentialAction, TableId};

use super::*;

fn show_source(catalog: &Catalog, sql: &str) -> String {
    match run(catalog, sql).unwrap_or_else(|error| panic!("{sql}: {error}")).statement {
        Statement::Insert(insert) => show(&insert.source),
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn an_insert_gives_every_column_a_value() {
    let catalog = catalog();
    let time = "'2023-11-14 22:13:20+00'::timestamptz";
    for (sql, source) in [
        (
            "INSERT INTO project VALUES (1, 'a'), (2, NULL)",
            "values (1, 'a', NULL) (2, NULL, NULL)".to_owned(),
        ),
        ("INSERT INTO project (name, id) VALUES ('a', 1.5)", "values (2, 'a', NULL)".to_owned()),
        (
            "INSERT INTO project (id, name, budget) VALUES ('7', 'a', 1.005)",
            "values (7, 'a', 1.01::numeric)".to_owned(),
        ),
        (
            "INSERT INTO project (id, name, budget) VALUES ($1, upper($2), $3)",
            "values ($1, upper($2), $3::numeric(10,2))".to_owned(),
        ),
        ("INSERT INTO log DEFAULT VALUES", format!("values ({time}, NULL, NULL)")),
        ("INSERT INTO log (line, at) VALUES ('x', DEFAULT)", format!("values ({time}, 'x', NULL)")),
        (
            "INSERT INTO log (line) SELECT title FROM task WHERE done ORDER BY prio LIMIT 2",
            format!(
                "project {time}, #0, NULL [project #0 [top (#1) 2 - [project #2, #4 [filter #3 [scan 1]]]]]"
            ),
        ),
        (
            "INSERT INTO project (id, name) SELECT id, title FROM task",
            "project #0::integer, #1, NULL [project #0, #2 [scan 1]]".to_owned(),
        ),
    ] {
        assert_eq!(show_source(&catalog, sql), source, "{sql}");
    }
}

#[test]
fn conflicts_name_a_unique_key() {
    let catalog = catalog();
    let conflict = |clause: &str| {
        let sql = format!("INSERT INTO task AS t (id, title) VALUES (1, 'a') ON CONFLICT {clause}");
        match run(&catalog, &sql).unwrap_or_else(|error| panic!("{sql}: {error}")).statement {
            Statement::Insert(insert) => insert.on_conflict.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(conflict("DO NOTHING").target, None);
    assert_eq!(conflict("(id) DO NOTHING").target, Some(vec![0]));
    assert_eq!(conflict("(title, project_id) DO NOTHING").target, Some(vec![1, 2]));
    assert_eq!(conflict("ON CONSTRAINT task_pkey DO NOTHING").target, Some(vec![0]));
    assert_eq!(conflict("ON CONSTRAINT task_project_id_title_key DO NOTHING").target, Some(vec![1, 2]));
    let update =
        conflict("(id) DO UPDATE SET title = excluded.title || t.title, prio = prio + 1 WHERE NOT t.done");
    let ConflictAction::Update { assignments, filter } = update.action else { panic!() };
    let shown: Vec<String> =
        assignments.iter().map(|(place, expr)| format!("{place}: {}", show_expr(expr))).collect();
    assert_eq!(shown, ["2: (#12 || #2)", "4: integer(#4 + 1)"]);
    assert_eq!(show_expr(&filter.unwrap()), "(NOT #3)");
}

#[test]
fn updates_and_deletes_see_the_table() {
    let catalog = catalog();
    let Statement::Update(update) = run(
        &catalog,
        "UPDATE task t SET prio = t.prio + 1.5, (title, done) = ('x', DEFAULT), weight = 1 WHERE t.id = 3 RETURNING *, prio * 2 AS p",
    )
    .unwrap()
    .statement
    else {
        panic!()
    };
    let shown: Vec<String> =
        update.assignments.iter().map(|(place, expr)| format!("{place}: {}", show_expr(expr))).collect();
    assert_eq!(shown, ["4: (#4::numeric + 1.5::numeric)::integer", "2: 'x'", "3: false", "6: 1.0::double"]);
    assert_eq!(show_expr(&update.filter.unwrap()), "(#0 = 3)");
    let returning = update.returning.unwrap();
    assert_eq!(returning.columns.len(), 11);
    assert_eq!(show_expr(&returning.exprs[10]), "integer(#4 * 2)");
    let Statement::Delete(delete) =
        run(&catalog, "DELETE FROM log WHERE line IS NULL RETURNING *").unwrap().statement
    else {
        panic!()
    };
    assert_eq!(show_expr(&delete.filter.unwrap()), "(#1 IS NULL)");
    assert_eq!(delete.returning.unwrap().columns.len(), 2);
}

#[test]
fn tables_have_postgresqls_names() {
    let catalog = catalog();
    let task = catalog.table("task").unwrap();
    assert_eq!(task.id, TableId(1));
    assert_eq!(task.primary_key, [0]);
    assert!(task.columns[0].not_null);
    assert_eq!(task.uniques[0].name, "task_project_id_title_key");
    assert_eq!(task.checks[0].name, "task_prio_check");
    assert_eq!(task.foreign_keys[0].name, "task_project_id_fkey");
    assert_eq!(task.foreign_keys[0].on_delete, ReferentialAction::Cascade);
    assert_eq!(task.foreign_keys[0].parent, TableId(0));
    assert_eq!(task.indexes[0].name, "task_prio_due_idx");
    let log = catalog.table("log").unwrap();
    assert!(log.has_row_id());
    assert_eq!(log.primary_key, [2]);
    let Statement::CreateTable(Some(tree)) = run(
        &catalog,
        "CREATE TABLE IF NOT EXISTS tree (id uuid, parent uuid REFERENCES tree (id), a int, b int[],
             CONSTRAINT pk PRIMARY KEY (id), CHECK (a > 0), CHECK (a < 9), CHECK (a <> cardinality(b)),
             CONSTRAINT mine UNIQUE (a, b))",
    )
    .unwrap()
    .statement
    else {
        panic!()
    };
    assert_eq!(tree.foreign_keys[0].parent, tree.id);
    let names: Vec<&str> = tree.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["tree_a_check", "tree_a_check1", "tree_check"]);
    assert_eq!(tree.uniques[0].name, "mine");
    assert!(tree.columns[0].not_null);
}

#[test]
fn definitions_that_are_there_already() {
    let catalog = catalog();
    for (sql, expected) in [
        ("CREATE TABLE IF NOT EXISTS task (a int)", Statement::CreateTable(None)),
        ("ALTER TABLE task ADD COLUMN IF NOT EXISTS prio int", Statement::AddColumn(None)),
        ("CREATE INDEX IF NOT EXISTS task_prio_due_idx ON task (prio)", Statement::CreateIndex(None)),
        ("DROP TABLE IF EXISTS nothing, task", Statement::DropTable(vec![TableId(1)])),
        ("DROP INDEX IF EXISTS nothing", Statement::DropIndex(Vec::new())),
        (
            "DROP INDEX task_prio_due_idx",
            Statement::DropIndex(vec![(TableId(1), "task_prio_due_idx".into())]),
        ),
        ("BEGIN", Statement::Begin),
        ("START TRANSACTION", Statement::Begin),
        ("COMMIT", Statement::Commit),
        ("END", Statement::Commit),
        ("ROLLBACK", Statement::Rollback),
        ("ABORT", Statement::Rollback),
    ] {
        match run(&catalog, sql) {
            Ok(bound) => assert_eq!(bound.statement, expected, "{sql}"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }
    let Statement::AddColumn(Some(add)) =
        run(&catalog, "ALTER TABLE task ADD COLUMN stars int NOT NULL DEFAULT 1 + 2").unwrap().statement
    else {
        panic!()
    };
    assert_eq!((add.table, add.column.not_null, show_expr(&add.fill)), (TableId(1), true, "3".to_owned()));
    let Statement::CreateIndex(Some(create)) =
        run(&catalog, "CREATE UNIQUE INDEX ON task USING btree (title)").unwrap().statement
    else {
        panic!()
    };
    assert_eq!((create.index.name.as_str(), create.index.unique), ("task_title_idx", true));
    assert!(matches!(run(&catalog, "EXPLAIN SELECT 1").unwrap().statement, Statement::Explain(_)));
}

#[test]
fn the_tables_of_the_engines_own_are_read_and_never_changed() {
    let catalog = catalog();
    for (table, instead) in [
        ("budgets", "CREATE BUDGET makes one"),
        ("conflicts", "deltaic conflicts resolve"),
        ("allocations", "queries read"),
    ] {
        // A live query, which has no time, binds as well.
        let parsed = parse(&format!("SELECT * FROM deltaic.{table} ORDER BY 1")).unwrap();
        bind(&parsed[0], &BindContext { catalog: &catalog, now: None }).unwrap();
        for sql in [
            "INSERT INTO deltaic.# DEFAULT VALUES",
            "UPDATE deltaic.# SET key = ''",
            "DELETE FROM deltaic.#",
            "DROP TABLE deltaic.#",
            "ALTER TABLE deltaic.# ADD COLUMN a int",
            "CREATE INDEX ON deltaic.# (key)",
            "CREATE TABLE a (key text REFERENCES deltaic.#)",
        ] {
            let error = run(&catalog, &sql.replace('#', table)).unwrap_err();
            assert_eq!(error.sqlstate(), "0A000", "{sql}: {error}");
            assert_eq!(error.to_string(), format!("not supported: a change of deltaic.{table}"));
            assert!(error.hint().is_some_and(|hint| hint.contains(instead)), "{sql}");
        }
        let error = run(&catalog, &format!("CREATE TABLE \"deltaic.{table}\" (a int)")).unwrap_err();
        assert_eq!(error.sqlstate(), "42P07");
    }
    let error = run(&catalog, "SELECT * FROM deltaic.nothing").unwrap_err();
    let hint = "Write the table's name alone. Of the engine's own there are deltaic.budgets, deltaic.conflicts and deltaic.allocations.";
    assert_eq!((error.sqlstate(), error.hint().as_deref()), ("0A000", Some(hint)));
}
