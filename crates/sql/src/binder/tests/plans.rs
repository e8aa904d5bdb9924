//! Queries and the plans they become.

use deltaic_types::DataType;

use super::*;

#[test]
fn queries_become_plans() {
    let catalog = catalog();
    let task = "project #0, #2 [scan 1]";
    for (sql, plan) in [
        ("SELECT 1, 'x'", "values (1, 'x')"),
        ("SELECT 1 + 1 WHERE false", "project 2 [filter false [values ()]]"),
        ("VALUES (1, 'a'), (2.5, NULL)", "values (1::numeric, 'a') (2.5::numeric, NULL)"),
        ("SELECT * FROM project", "scan 0"),
        ("SELECT * FROM log", "project #0, #1 [scan 2]"),
        ("SELECT id, title FROM task", task),
        ("SELECT t.id, T.Title FROM public.task AS t", task),
        ("SELECT p.* FROM task t, project p", "project #10, #11, #12 [inner on true [scan 1] [scan 0]]"),
        ("SELECT id FROM task WHERE true", "project #0 [scan 1]"),
        (
            "SELECT id FROM task WHERE title = 'x' AND prio > 5 AND NOT done",
            "project #0 [filter ((#2 = 'x') AND (#4 > 5) AND (NOT #3)) [scan 1]]",
        ),
        (
            "SELECT t.id FROM task t LEFT JOIN project p ON p.id = t.project_id AND p.budget > 0",
            "project #0 [left on ((#10 = #1) and (#12 > 0)) [scan 1] [scan 0]]",
        ),
        (
            "SELECT t.id, p.name FROM task t RIGHT JOIN project p ON p.id = t.project_id",
            "project #0, #11 [project #3, #4, #5, #6, #7, #8, #9, #10, #11, #12, #0, #1, #2 \
             [left on (#0 = #4) [scan 0] [scan 1]]]",
        ),
        (
            "SELECT * FROM (SELECT id, name FROM project) a JOIN (SELECT id, prio FROM task) b USING (id)",
            "project #0, #1, #3 [inner on (#0 = #2) [project #0, #1 [scan 0]] [project #0, #4 [scan 1]]]",
        ),
        (
            "SELECT * FROM (SELECT id, name FROM project) a RIGHT JOIN (SELECT id, prio FROM task) b USING (id)",
            "project #2, #1, #3 [project #2, #3, #0, #1 [left on (#2 = #0) [project #0, #4 [scan 1]] \
             [project #0, #1 [scan 0]]]]",
        ),
        ("SELECT x.b FROM (SELECT id, name FROM project) AS x(a, b)", "project #1 [project #0, #1 [scan 0]]"),
        (
            "WITH a AS (SELECT id FROM task), b AS (SELECT id FROM a WHERE id > 1) SELECT * FROM b JOIN a ON a.id = b.id",
            "inner on (#1 = #0) [filter (#0 > 1) [project #0 [scan 1]]] [project #0 [scan 1]]",
        ),
        ("SELECT DISTINCT prio FROM task", "distinct [project #4 [scan 1]]"),
        ("SELECT id FROM task ORDER BY title", "project #0, #2 [scan 1]"),
        (
            "SELECT id, prio AS p FROM task ORDER BY p DESC, 1 NULLS FIRST, prio + 1 LIMIT 3 OFFSET $1",
            "top (#1 desc, #0 nulls turned, #2) 3 $1 [project #0, #4, integer(#4 + 1) [scan 1]]",
        ),
        ("SELECT id FROM task FETCH FIRST 2 ROWS ONLY", "top () 2 - [project #0 [scan 1]]"),
        ("SELECT id FROM task LIMIT ALL OFFSET 0", "top () - 0 [project #0 [scan 1]]"),
        ("SELECT id FROM task LIMIT NULL", "project #0 [scan 1]"),
        (
            "SELECT * FROM (SELECT id FROM task ORDER BY prio LIMIT 1) x",
            "project #0 [top (#1) 1 - [project #0, #4 [scan 1]]]",
        ),
        ("SELECT count(*) FROM task", "group () count(*)::bigint [scan 1]"),
        (
            "SELECT project_id, count(*), sum(prio), avg(prio), min(title), count(DISTINCT prio) \
             FILTER (WHERE done) FROM task GROUP BY 1 HAVING count(*) > 1",
            "filter (#1 > 1) [group (#1) count(*)::bigint, sum(#4)::bigint, avg(#4)::numeric, \
             min(#2)::text, count(distinct #4)::bigint filter #3 [scan 1]]",
        ),
        (
            "SELECT prio % 2 AS parity, sum(weight) + 1 FROM task GROUP BY parity ORDER BY max(id) DESC",
            "project #0, (#1 + 1.0::double), #2 [group (integer(#4 % 2)) sum(#6)::double precision, \
             max(#0)::bigint [scan 1]]",
        ),
        (
            "SELECT upper(title) || '!' FROM task GROUP BY upper(title)",
            "project (#0 || '!') [group (upper(#2))  [scan 1]]",
        ),
        // A column depends on the primary key it is grouped with.
        ("SELECT id, name FROM project GROUP BY id", "group (#0, #1)  [scan 0]"),
        (
            "SELECT 1 FROM task HAVING count(*) > 0",
            "project 1 [filter (#0 > 0) [group () count(*)::bigint [scan 1]]]",
        ),
        (
            "SELECT id FROM project UNION ALL SELECT id FROM task UNION ALL SELECT 1",
            "union [project #0::bigint [scan 0]] [project #0 [scan 1]] [values (1)]",
        ),
        ("SELECT NULL UNION SELECT 1 ORDER BY 1", "distinct [union [values (NULL)] [values (1)]]"),
        (
            "(SELECT id FROM project LIMIT 1) UNION ALL (SELECT 2) LIMIT 5",
            "top () 5 - [union [top () 1 - [project #0 [scan 0]]] [values (2)]]",
        ),
    ] {
        let query = query(&catalog, sql);
        assert_eq!(show(&query.plan), plan, "{sql}");
        assert!(query.order.iter().all(|key| key.column < query.plan.types().len()), "{sql}");
    }
}

#[test]
fn columns_are_named_as_postgresql_names_them() {
    let catalog = catalog();
    for (sql, names) in [
        (
            "SELECT 1.5::float8::text, id::text::varchar, substr(title, 1), substring(title, 1) FROM task",
            "text id substr substring",
        ),
        (
            "SELECT CASE WHEN done THEN 1 ELSE id::int8 END, CASE WHEN done THEN 1 ELSE 2::int8 END FROM task",
            "id case",
        ),
        (
            "SELECT (CASE WHEN done THEN 2 END)::text, true::text, coalesce(id, 1)::int8, (id)::int8 FROM task",
            "text text coalesce id",
        ),
        ("SELECT id, t.title, prio AS Urgency, prio \"Mixed\" FROM task t", "id title urgency Mixed"),
        (
            "SELECT 1, count(*), upper('x'), 1::bigint, id::text FROM project GROUP BY id",
            "?column? count upper int8 id",
        ),
        (
            "SELECT true, CASE WHEN true THEN 1 END, coalesce(1), ARRAY[1], now(), NULL",
            "bool case coalesce array now ?column?",
        ),
        ("SELECT extract(year from now()), date '2024-01-01', 'x'::text[]", "extract date text"),
        ("VALUES (1, 2)", "column1 column2"),
        ("SELECT id AS x FROM task UNION ALL SELECT id AS y FROM project", "x"),
    ] {
        let sql = sql.replace("'x'::text[]", "'{x}'::text[]");
        let query = query(&catalog, &sql);
        let found: Vec<&str> = query.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(found.join(" "), names, "{sql}");
    }
}

#[test]
fn parameters_take_their_types_from_their_places() {
    let catalog = catalog();
    for (sql, types) in [
        ("SELECT id FROM task WHERE id = $1 AND title LIKE $2 AND due > $3", "bigint, text, timestamptz"),
        ("SELECT $1", "text"),
        ("SELECT $1::int + $2", "integer, integer"),
        ("SELECT id FROM task WHERE $1 = id OR $1 = 7", "bigint"),
        ("SELECT id FROM task WHERE id IN ($1, $2) LIMIT $3", "bigint, bigint, bigint"),
        ("SELECT id FROM task WHERE prio BETWEEN $2 AND $1", "integer, integer"),
        ("SELECT id FROM task WHERE id = ANY($1)", "bigint[]"),
        ("SELECT id FROM task WHERE due + $1 > now()", "interval"),
        ("SELECT upper($1), coalesce($2, 1), CASE WHEN $3 THEN 1 END", "text, integer, boolean"),
        ("SELECT doc ->> $1, tags[$2] FROM task", "text, integer"),
        ("SELECT id FROM project WHERE budget > $1", "numeric"),
        ("INSERT INTO task (id, tags, doc) VALUES ($1, $2, $3)", "bigint, text[], jsonb"),
        ("INSERT INTO project SELECT $1, $2, $3", "integer, text, numeric"),
        ("UPDATE task SET due = $2, done = $3 WHERE id = $1", "bigint, timestamptz, boolean"),
        ("SELECT $2 FROM task WHERE prio = $2 AND $1 = 'x'", "text, integer"),
    ] {
        let bound = run(&catalog, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let found: Vec<String> = bound.parameters.iter().flatten().map(DataType::to_string).collect();
        assert_eq!(found.join(", "), types, "{sql}");
    }
    let bound = run(&catalog, "SELECT $1::int, $2::int").unwrap();
    assert_eq!(bound.check_gaps(), Ok(()));
    let bound = run(&catalog, "SELECT $2::int").unwrap();
    assert_eq!(bound.parameters, [None, Some(DataType::Integer)]);
    assert_eq!(bound.check_gaps().unwrap_err().sqlstate(), "42P18");
}

#[test]
fn operands_are_brought_to_one_type() {
    let catalog = catalog();
    for (expression, shown) in [
        ("prio + 1", "integer(#4 + 1)"),
        ("prio + id", "(#4::bigint + #0)"),
        ("prio + 1.5", "(#4::numeric + 1.5::numeric)"),
        ("prio * weight", "(#4::double precision * #6)"),
        ("weight * 1.5", "(#6 * 1.5::double)"),
        ("-prio", "integer(- #4)"),
        ("prio ^ 2", "(#4::double precision ^ 2.0::double)"),
        ("prio = 1.5", "(#4 = 1.5::numeric)"),
        ("prio = id", "(#4 = #0)"),
        ("weight > prio", "(#6 > #4::double precision)"),
        ("weight = 0.1", "(#6 = 0.1::double)"),
        ("title || prio", "(#2 || #4::text)"),
        ("tags || 'x'::text", "array_append(#7, 'x')"),
        ("due > '2024-01-01'", "(#5 > '2024-01-01 00:00:00+00'::timestamptz)"),
        ("due > day", "(#5 > #9::timestamptz)"),
        ("due - interval '1 day'", "(#5 - '1 day'::interval)"),
        ("due - '1 hour'::interval - due", "((#5 - '01:00:00'::interval) - #5)"),
        ("day + 1", "(#9 + 1)"),
        ("day - day", "integer(#9 - #9)"),
        ("coalesce(prio, 1.5)", "coalesce(#4::numeric, 1.5::numeric)"),
        ("CASE WHEN done THEN prio ELSE id END", "CASE WHEN #3 THEN #4::bigint ELSE #0 END"),
        ("prio IN (1, '2', NULL)", "(#4 IN (1, 2, NULL))"),
        ("prio BETWEEN 1 AND 2", "((#4 >= 1) AND (#4 <= 2))"),
        ("title IS NOT NULL", "(NOT (#2 IS NULL))"),
        ("done IS TRUE", "(#3 IS NOT DISTINCT FROM true)"),
        ("prio IS DISTINCT FROM 3", "(NOT (#4 IS NOT DISTINCT FROM 3))"),
        ("title NOT LIKE 'a%'", "(NOT like(#2, 'a%'))"),
        ("id = ANY('{1,2}')", "(#0 IN (1, 2))"),
        ("'x' = ANY(tags)", "('x' = ANY #7)"),
        ("doc -> 'a' ->> 0", "((#8 -> 'a') ->> 0)"),
        ("doc @> '{\"a\":1}'", "jsoncontains(#8, '{\"a\": 1}'::jsonb)"),
        ("tags[1]", "arraysubscript(#7, 1)"),
        ("abs(id), round(weight), round(1.5)", "abs(#0), round(#6), 2::numeric"),
        ("sqrt(prio)", "sqrt(#4::double precision)"),
        ("nullif(prio, 0)", "CASE WHEN (#4 = 0) THEN NULL ELSE #4 END"),
        ("1 + 2 * 3", "7"),
        ("1 / 0", "integer(1 / 0)"),
        ("$1 = 3 AND $1 > 2", "(($1 = 3) AND ($1 > 2))"),
        ("(done AND done) AND (done AND true)", "(#3 AND #3 AND #3 AND true)"),
        ("position('a' in title)", "strpos(#2, 'a')"),
        ("substring(title from 2 for 3)", "substr(#2, 2, 3)"),
        ("extract(year from day)", "extract('year', #9)"),
    ] {
        let query = query(&catalog, &format!("SELECT {expression} FROM task"));
        let Plan::Project { exprs, .. } = &query.plan else { panic!("{expression}") };
        assert_eq!(show_exprs(exprs), shown, "{expression}");
    }
}

#[test]
fn what_reads_itself_is_recursive_and_what_only_could_is_not() {
    let catalog = catalog();
    for (sql, shown) in [
        (
            "WITH RECURSIVE r(n) AS (SELECT id FROM project UNION SELECT prio FROM r JOIN task ON task.id = n) \
             SELECT n FROM r",
            "recursive",
        ),
        (
            "WITH RECURSIVE r AS (SELECT id FROM project UNION ALL SELECT id FROM r) SELECT * FROM r",
            "recursive all",
        ),
        ("WITH RECURSIVE r AS (SELECT 1 AS r UNION SELECT 2 AS r) SELECT * FROM r", "distinct"),
        (
            "WITH RECURSIVE later AS (SELECT id FROM r), r AS (SELECT 7 AS id) SELECT * FROM later",
            "values (7)",
        ),
    ] {
        let plan = show(&query(&catalog, sql).plan);
        let plan = plan.strip_prefix("project #0 [").unwrap_or(&plan);
        assert!(plan.starts_with(shown), "{sql}: {plan}");
        assert_eq!(plan.contains("recurring"), shown.starts_with("recursive"), "{sql}: {plan}");
    }
}

#[test]
fn the_time_of_a_live_query_stays_open() {
    let catalog = catalog();
    let parsed = parse("SELECT id FROM task WHERE due < now() AND due > current_date").unwrap();
    let bound = bind(&parsed[0], &BindContext { catalog: &catalog, now: None }).unwrap();
    let Statement::Query(live) = bound.statement else { panic!("a query") };
    assert!(show(&live.plan).contains("< now()"), "{}", show(&live.plan));
    let query = query(&catalog, "SELECT now(), current_date, current_timestamp");
    let time = "'2023-11-14 22:13:20+00'::timestamptz";
    assert_eq!(show(&query.plan), format!("values ({time}, '2023-11-14'::date, {time})"));
}

#[test]
fn stored_expressions_bind_again() {
    let catalog = catalog();
    let task = catalog.table("task").unwrap();
    let check = bind_check(&task.checks[0].expression, task).unwrap();
    assert_eq!(show_expr(&check), "(#4 >= 0)");
    let context = BindContext { catalog: &catalog, now: Some(5_000_000) };
    let log = catalog.table("log").unwrap();
    let default = bind_default(log.columns[0].default.as_deref().unwrap(), &DataType::Timestamptz, &context);
    assert_eq!(evaluate(&default.unwrap(), &Row::empty()), Ok(deltaic_types::Value::Timestamp(5_000_000)));
    assert_eq!(bind_check("prio >= 0; SELECT 1", task).unwrap_err().sqlstate(), "42601");
    assert_eq!(bind_check("prio, id", task).unwrap_err().sqlstate(), "42601");
}
