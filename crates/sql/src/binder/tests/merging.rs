//! What definitions say of merging: clauses, the errors about them, the text that is bound again, and text that is edited.

use deltaic_types::{Column, ConflictPolicy, DataType, EvalError, LiveView, TableSchema, Value};
use proptest::prelude::*;

use super::*;
use crate::bind_custom;

fn table(sql: &str) -> TableSchema {
    match run(&catalog(), sql).unwrap_or_else(|error| panic!("{sql}: {error}")).statement {
        Statement::CreateTable(Some(table)) => table,
        other => panic!("{sql}: {other:?}"),
    }
}

fn policies(table: &TableSchema) -> Vec<String> {
    table.columns.iter().map(|column| column.conflict.declaration(table)).collect()
}

const PLACE: &str = "CREATE TABLE place (
    id uuid PRIMARY KEY,
    GROUP (lng, lat, rank),
    lat double precision NOT NULL CONFLICT PRIORITY (rank) CHECK (lat BETWEEN -90 AND 90),
    lng double precision NOT NULL,
    title text CONFLICT MANUAL UNIQUE,
    note text DEFAULT '' CONFLICT CUSTOM (CASE WHEN ours < theirs THEN ours || ', ' || theirs ELSE theirs || ', ' || ours END),
    rank int NOT NULL,
    \"group\" text CONFLICT LWW, conflict text, priority int,
    GROUP (\"group\", conflict), GROUP (priority, note2),
    note2 text,
    tags add_wins_set(text), body rich_text,
    CHECK (priority > 0 OR rank > 0)
) REMOVE WINS";

#[test]
fn clauses_are_read_beside_what_the_library_reads() {
    let place = table(PLACE);
    let column = |name: &str| place.column(name).unwrap();
    assert_eq!(
        place.groups,
        [
            vec![column("lat"), column("lng"), column("rank")],
            vec![column("group"), column("conflict")],
            vec![column("priority"), column("note2")]
        ]
    );
    assert!(place.remove_wins);
    let by = column("rank");
    // The columns of a group have one policy, said at any of them.
    for name in ["lat", "lng", "rank"] {
        assert_eq!(place.columns[column(name)].conflict, ConflictPolicy::Priority { by }, "{name}");
    }
    assert_eq!(place.columns[column("title")].conflict, ConflictPolicy::Manual);
    let custom = "CONFLICT CUSTOM (CASE WHEN ours < theirs THEN ours || ', ' || theirs ELSE theirs || ', ' || ours END)";
    assert_eq!(place.columns[column("note")].conflict.declaration(&place), custom);
    assert_eq!(place.columns[column("body")].type_name(), "rich_text");
    assert_eq!((place.checks.len(), place.uniques.len()), (2, 1));
    // Without the clauses it is the same table.
    let plain = PLACE
        .replace("GROUP (lng, lat, rank),", "")
        .replace("CONFLICT PRIORITY (rank)", "")
        .replace("CONFLICT MANUAL", "")
        .replace(custom, "")
        .replace("CONFLICT LWW", "")
        .replace("GROUP (\"group\", conflict), GROUP (priority, note2),", "")
        .replace("REMOVE WINS", "");
    let mut bare = place;
    bare.remove_wins = false;
    bare.groups.clear();
    for column in &mut bare.columns {
        column.conflict = ConflictPolicy::LastWriter;
    }
    assert_eq!(table(&plain), bare);
}

#[test]
fn words_that_may_be_names_are_names() {
    for sql in [
        "CREATE TABLE conflict (conflict int, remove int, wins int, manual int, must int)",
        "CREATE TABLE a (b int CONSTRAINT conflict CHECK (b > 0), CONSTRAINT conflict2 CHECK (b > 1))",
        "CREATE TABLE remove (custom text, lww text, PRIMARY KEY (custom))",
        "CREATE LIVE VIEW must AS SELECT id FROM task",
        "CREATE LIVE VIEW empty (must, be) AS SELECT id, title AS empty FROM task",
        "ALTER TABLE task ADD COLUMN conflict text",
    ] {
        let bound = run(&catalog(), sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        match bound.statement {
            Statement::CreateTable(Some(table)) => {
                assert!(table.groups.is_empty() && !table.remove_wins, "{sql}");
                assert!(policies(&table).iter().all(|policy| policy == "CONFLICT LWW"), "{sql}");
            }
            Statement::CreateLiveView(Some(create)) => assert!(!create.view.must_be_empty, "{sql}"),
            Statement::AddColumn(Some(add)) => assert_eq!(add.column.name, "conflict"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn a_view_that_must_be_empty_is_the_view_without_it() {
    let view = |sql: &str| -> LiveView {
        match run(&catalog(), sql).unwrap().statement {
            Statement::CreateLiveView(Some(create)) => create.view,
            other => panic!("{sql}: {other:?}"),
        }
    };
    for columns in ["", " (a, b)"] {
        let query = "SELECT prio, count(*) AS must FROM task GROUP BY prio HAVING count(*) > 1";
        let strict = view(&format!("CREATE LIVE VIEW twice{columns} MUST BE EMPTY AS {query}"));
        let plain = view(&format!("CREATE LIVE VIEW twice{columns} AS {query}"));
        assert_eq!(strict, LiveView { must_be_empty: true, ..plain });
        assert_eq!(strict.query, query);
    }
}

#[test]
fn a_column_added_later_has_its_policy() {
    let add = |sql: &str| match run(&catalog(), sql).unwrap().statement {
        Statement::AddColumn(Some(add)) => add.column,
        other => panic!("{sql}: {other:?}"),
    };
    let column = add("ALTER TABLE task ADD COLUMN IF NOT EXISTS note text CONFLICT MANUAL DEFAULT 'x'");
    let conflict = ConflictPolicy::Manual;
    let default = Some("'x'".to_owned());
    assert_eq!(column, Column { conflict, default, ..Column::plain("note", DataType::Text) });
    let column = add("ALTER TABLE task ADD n int CONFLICT CUSTOM (greatest(ours, theirs))");
    assert_eq!(column.conflict, ConflictPolicy::Custom { expression: "greatest(ours, theirs)".to_owned() });
}

#[test]
fn a_statements_text_has_its_clauses() {
    let text = "CREATE TABLE a (id int CONFLICT MANUAL) REMOVE WINS";
    let parsed = parse(&format!("{text} ;\n{text}; SELECT 1")).unwrap();
    let texts: Vec<&str> = parsed.iter().map(|parsed| parsed.text.as_str()).collect();
    assert_eq!(texts, [text, text, "SELECT 1"]);
    assert!(parsed[1].clauses.remove_wins && !parsed[2].clauses.remove_wins);
}

#[test]
fn what_is_wrong_with_a_clause_is_said_where_it_stands() {
    let catalog = catalog();
    let mut wrong = Vec::new();
    // The mark is where the error points to.
    for (sql, code, message) in [
        ("CREATE TABLE a (x int, y int, GROUP (x, ~z))", "42703", "column \"z\" does not exist"),
        ("CREATE TABLE a (x int, y int, GROUP (x, ~x))", "42701", "column \"x\" specified more than once"),
        ("CREATE TABLE a (x int, y int, ~GROUP (x))", "42P16", "a GROUP has two columns or more"),
        ("CREATE TABLE a (x int, y counter, GROUP (x, ~y))", "0A000", "type counter in a GROUP"),
        (
            "CREATE TABLE a (x int PRIMARY KEY, y int, GROUP (~x, y))",
            "42P16",
            "of the primary key in a GROUP",
        ),
        ("CREATE TABLE a (x int, y int, z int, GROUP (x, y), GROUP (z, ~y))", "42P16", "\"y\" in two groups"),
        ("CREATE TABLE a (x int, GROUP (x ~y))", "42601", "expected )"),
        ("CREATE TABLE a (x int, GROUP ~x)", "42601", "expected ("),
        ("CREATE TABLE a (x int, y int, GROUP (x, y) ~text)", "42601", "expected ',' or ')' after GROUP (…)"),
        ("CREATE TABLE a (x int, GROUP (x, y~", "42601", "expected ), found the end of the text"),
        ("CREATE TABLE ~a (GROUP (x, y))", "42P16", "a table needs a column"),
        ("CREATE TABLE a (x counter ~CONFLICT LWW)", "0A000", "CONFLICT at type counter"),
        ("CREATE TABLE a (x rich_text ~CONFLICT MANUAL)", "0A000", "CONFLICT at type rich_text"),
        ("CREATE TABLE a (x int PRIMARY KEY ~CONFLICT MANUAL)", "42P16", "of the primary key"),
        (
            "CREATE TABLE a (x int, PRIMARY KEY (x) ~CONFLICT MANUAL)",
            "42P16",
            "stands behind a column's type",
        ),
        (
            "CREATE TABLE a (x int CONFLICT ~NEVER)",
            "42601",
            "expected LWW, MANUAL, PRIORITY (…) or CUSTOM (…)",
        ),
        ("CREATE TABLE a (x int CONFLICT~", "42601", "expected LWW, MANUAL"),
        ("CREATE TABLE a (x int CONFLICT PRIORITY~)", "42601", "expected ("),
        ("CREATE TABLE a (x int CONFLICT CUSTOM (~))", "42601", "expected an expression"),
        ("CREATE TABLE a (x int CONFLICT CUSTOM (ours ~theirs))", "42601", "expected )"),
        ("CREATE TABLE a (x int CONFLICT LWW ~CONFLICT MANUAL)", "42P16", "has two policies"),
        (
            "CREATE TABLE a (x int CONFLICT LWW, y int ~CONFLICT MANUAL, GROUP (x, y))",
            "42P16",
            "has two policies",
        ),
        ("CREATE TABLE a (x int CONFLICT PRIORITY (~z))", "42703", "column \"z\" does not exist"),
        ("CREATE TABLE a (x int ~CONFLICT PRIORITY (y), y int)", "42P16", "declare GROUP (x, y)"),
        (
            "CREATE TABLE a (x int CONFLICT PRIORITY (~y), y jsonb, GROUP (x, y))",
            "0A000",
            "PRIORITY by type jsonb",
        ),
        (
            "CREATE TABLE a (x int ~CONFLICT CUSTOM (ours), y int, GROUP (x, y))",
            "42P16",
            "values of no write",
        ),
        ("CREATE TABLE a (x int CONFLICT CUSTOM (~x))", "42703", "column \"x\" does not exist"),
        (
            "CREATE TABLE a (x int CONFLICT CUSTOM (~true))",
            "42804",
            "CONFLICT CUSTOM must be of type integer, not boolean",
        ),
        ("CREATE TABLE a (x int CONFLICT CUSTOM (~1.5))", "42804", "must be of type integer, not numeric"),
        ("CREATE TABLE a (x int CONFLICT CUSTOM (~sum(ours)))", "42803", "aggregate functions"),
        ("CREATE TABLE a (x int CONFLICT CUSTOM ((SELECT 1)))", "0A000", "CONFLICT CUSTOM"),
        ("CREATE TABLE a (x int CONFLICT CUSTOM (~$1))", "0A000", "parameters in CONFLICT CUSTOM"),
        ("CREATE TABLE a (x timestamptz CONFLICT CUSTOM (~now()))", "0A000", "the time in CONFLICT CUSTOM"),
        ("CREATE TABLE a (x text CONFLICT CUSTOM (~claim('sub')))", "0A000", "in CONFLICT CUSTOM"),
        ("CREATE TABLE a (x int CONFLICT CUSTOM (rank() OVER ()))", "42P20", "window functions"),
        ("CREATE TABLE a (x int) ~REMOVE LOSES", "42601", "expected"),
        ("CREATE LIVE VIEW v ~MUST BE AS SELECT 1", "42601", "expected"),
        ("ALTER TABLE task ADD COLUMN x int ~CONFLICT PRIORITY (prio)", "42P16", "declare GROUP (x, prio)"),
        ("ALTER TABLE task ADD CONSTRAINT y CHECK (prio > 0) CONFLICT ~x", "42601", "expected LWW"),
        ("SELECT 1 CONFLICT ~MANUAL", "42601", "expected"),
    ] {
        let plain = sql.replace('~', "");
        let error = run(&catalog, &plain).expect_err(sql);
        let at = sql.split_once('~').map(|(before, _)| before.chars().count() + 1);
        let is_there = at.is_none() || error.position() == at;
        if error.sqlstate() != code || !error.to_string().contains(message) || !is_there {
            wrong.push(format!("{sql}: {} {error} at {:?}", error.sqlstate(), error.position()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_custom_policy_is_bound_again_from_its_text() {
    let apply = |text: &str, data_type: &DataType, ours: Value, theirs: Value| {
        let expr = bind_custom(text, data_type).unwrap_or_else(|error| panic!("{text}: {error}"));
        evaluate(&expr, &Row::from_iter([ours, theirs]))
    };
    let text = |text: &str| Value::from(text);
    let joined = "least(ours, theirs) || ' / ' || greatest(ours, theirs)";
    assert_eq!(apply(joined, &DataType::Text, text("b"), text("a")), Ok(text("a / b")));
    assert_eq!(
        apply("ours + theirs", &DataType::Bigint, Value::Integer(2), Value::Integer(5)),
        Ok(Value::Integer(7))
    );
    assert_eq!(apply("NULL", &DataType::Jsonb, Value::Null, Value::Null), Ok(Value::Null));
    assert!(apply("ours / theirs", &DataType::Integer, Value::Integer(1), Value::Integer(0)).is_err());
    // Each text that a definition stores binds to what the definition bound.
    for (data_type, expression) in [
        ("numeric(10,2)", "(ours + theirs) / 2"),
        ("text[]", "ours || theirs"),
        ("timestamptz", "greatest(ours, theirs)"),
        ("jsonb", "ours || jsonb_build_object('theirs', theirs)"),
        ("int", "CASE WHEN ours IN (1, 2) THEN theirs ELSE coalesce(ours, -1) END"),
    ] {
        let stored = table(&format!("CREATE TABLE a (x {data_type} CONFLICT CUSTOM ({expression}))"));
        let ConflictPolicy::Custom { expression } = &stored.columns[0].conflict else { panic!() };
        let expr = bind_custom(expression, &stored.columns[0].data_type).unwrap();
        assert_eq!(expr.data_type, stored.columns[0].data_type, "{expression}");
    }
    assert_eq!(bind_custom("ours; SELECT 1", &DataType::Text).unwrap_err().sqlstate(), "42601");
}

/// What an expression of constants gives.
fn value(sql: &str) -> Result<Value, SqlError> {
    let bound = run(&Catalog::default(), &format!("CREATE TABLE a (x text DEFAULT {sql})"))?;
    let Statement::CreateTable(Some(table)) = bound.statement else { panic!() };
    let context = BindContext { catalog: &Catalog::default(), now: Some(0) };
    let default =
        crate::bind_default(table.columns[0].default.as_deref().unwrap(), &DataType::Text, &context)?;
    evaluate(&default, &Row::empty()).map_err(|error| SqlError::InvalidLiteral { error, position: None })
}

proptest! {
    #[test]
    fn text_is_edited_between_its_characters(
        text in "[aé🦀]{0,6}", more in "[bü]{0,3}", at in -2_i64..9, much in -2_i64..9,
    ) {
        let characters: Vec<char> = text.chars().collect();
        let length = characters.len() as i64;
        let edit = |from: i64, to: i64, more: &str| -> Result<String, (i64, i64)> {
            let outside = [from, to].into_iter().find(|place| !(0..=length).contains(place));
            match outside {
                Some(place) => Err((place, length)),
                None if to < from => Err((to, length)),
                None => {
                    let mut edited = characters.clone();
                    edited.splice(from as usize..to as usize, more.chars());
                    Ok(edited.into_iter().collect())
                }
            }
        };
        for (sql, function, expected) in [
            (format!("insert_text('{text}', {at}, '{more}')"), "insert_text", edit(at, at, &more)),
            (format!("delete_text('{text}', {at}, {much})"), "delete_text", edit(at, at + much, "")),
        ] {
            let found = match value(&sql) {
                Ok(value) => Ok(value),
                Err(SqlError::InvalidLiteral { error, .. }) => Err(error),
                Err(other) => panic!("{sql}: {other}"),
            };
            let expected = match expected {
                Ok(text) => Ok(Value::from(text)),
                Err((place, length)) => Err(EvalError::PlaceOutOfRange { function, place, length }),
            };
            prop_assert_eq!(found, expected, "{}", sql);
        }
    }
}

#[test]
fn a_place_outside_of_a_text_is_said() {
    let error = value("insert_text('abc', 4, 'x')").unwrap_err();
    let message = "insert_text: place 4 is outside of a text of 3 characters: count from 0";
    assert_eq!((error.sqlstate(), error.to_string().as_str()), ("22003", message));
    let far = value("delete_text('abc', 9223372036854775807, 9223372036854775807)").unwrap_err();
    assert_eq!(far.sqlstate(), "22003");
    assert_eq!(value("insert_text(NULL, 4, 'x')"), Ok(Value::Null));
}

#[test]
fn the_examples_of_the_documents_bind_one_after_the_other() {
    let text = include_str!("../../../../../docs/sql.md");
    let begin = text.find("## Columns that merge").unwrap();
    let end = text.find("## Functions and operators").unwrap();
    let mut catalog = Catalog::default();
    let mut count = 0;
    for example in text[begin..end].split("```sql\n").skip(1) {
        let (sql, _) = example.split_once("```").unwrap();
        for parsed in parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}")) {
            let context = BindContext { catalog: &catalog, now: Some(0) };
            let bound = bind(&parsed, &context).unwrap_or_else(|error| panic!("{}: {error}", parsed.text));
            if let Statement::CreateTable(Some(table)) = bound.statement {
                catalog.put(table).unwrap();
            }
            count += 1;
        }
        // So do the statements that are told beside the columns.
        for line in sql.lines() {
            if let Some((_, told)) = line.split_once("-- UPDATE") {
                run(&catalog, &format!("UPDATE{told}")).unwrap_or_else(|error| panic!("{told}: {error}"));
                count += 1;
            }
        }
    }
    assert_eq!(count, 9, "statements and updates beside columns");
}
