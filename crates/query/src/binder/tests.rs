//! The binder as a whole: plans, errors, coercions.

use deltaic_types::Catalog;

use super::*;
use crate::parser::parse;

/// A catalog made by its own DDL.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for sql in [
        "CREATE TABLE project (id int PRIMARY KEY, name text NOT NULL, budget numeric(10,2))",
        "CREATE TABLE task (id bigint PRIMARY KEY, project_id int REFERENCES project ON DELETE CASCADE,
             title text, done boolean NOT NULL DEFAULT false, prio int CHECK (prio >= 0), due timestamptz,
             weight double precision, tags text[], doc jsonb, day date)",
        "CREATE TABLE log (at timestamptz DEFAULT now(), line text)",
    ] {
        let Statement::CreateTable(Some(table)) = run(&catalog, sql).unwrap().statement else { panic!() };
        catalog.put(table).unwrap();
    }
    catalog
}

fn run(catalog: &Catalog, sql: &str) -> Result<Bound, SqlError> {
    let parsed = parse(sql)?;
    bind(&parsed[0], &BindContext { catalog, now: Some(1_700_000_000_000_000) })
}

#[test]
fn smoke() {
    let catalog = catalog();
    for sql in [
        "SELECT * FROM task",
        "SELECT p.name, count(*) FROM task t JOIN project p ON p.id = t.project_id WHERE NOT done AND prio > 5 GROUP BY p.name ORDER BY 2 DESC LIMIT 10",
        "INSERT INTO task (id, title) VALUES (1, 'x'), ($1, $2) RETURNING id",
        "UPDATE task SET prio = prio + 1 WHERE id = $1",
        "DELETE FROM task WHERE id = 3",
        "INSERT INTO log DEFAULT VALUES",
        "SELECT line || 1, sum(1.5) FROM log GROUP BY line",
    ] {
        match run(&catalog, sql) {
            Ok(bound) => println!("{sql}\n  {bound:?}"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}
