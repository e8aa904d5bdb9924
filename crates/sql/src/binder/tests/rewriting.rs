//! The rules that rewrite plans, each by a query and what becomes of it.

use deltaic_query::optimise::optimise;

use super::*;

/// Compares the optimised plans of queries over the tables with what they should be.
fn check(cases: &[(&str, &str)]) {
    let catalog = catalog();
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let found = show(&optimise(query(&catalog, sql).plan));
        if found != *expected {
            wrong.push(format!("{sql}\n    {found}\n    {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn conditions_move_down_to_the_rows_they_judge() {
    check(&[
        (
            "SELECT id FROM (SELECT id, prio FROM task WHERE title = 'x') t WHERE prio > 1",
            "project #0 [project #0 [project #0 [filter ((#1 = 'x') AND (#2 > 1)) [project #0, #2, #4 [scan 1]]]]]",
        ),
        (
            "SELECT id FROM (SELECT id, prio / 0 AS p, project_id FROM task) t WHERE project_id = 1",
            "project #0 [project #0 [filter (#1 = 1) [project #0, #2 [project #0, integer(#4 / 0), #1 [scan 1]]]]]",
        ),
        (
            "SELECT t.id FROM task t JOIN project p ON p.id = t.project_id WHERE p.name = 'x' AND t.prio > 1",
            "project #0 [project #0 [inner on (#2 = #1) [project #0, #1 [filter (#2 > 1) [project #0, #1, #4 [scan 1]]]] [project #0 [filter (#1 = 'x') [project #0, #1 [scan 0]]]]]]",
        ),
        (
            "SELECT t.id FROM task t LEFT JOIN project p ON p.id = t.project_id AND p.name = 'x' WHERE t.prio > 1",
            "project #0 [project #0 [left on (#2 = #1) [project #0, #1 [filter (#2 > 1) [project #0, #1, #4 [scan 1]]]] [project #0 [filter (#1 = 'x') [project #0, #1 [scan 0]]]]]]",
        ),
    ]);
}

#[test]
fn an_outer_join_whose_missing_side_is_refused_is_an_inner_join() {
    check(&[
        (
            "SELECT t.id FROM task t LEFT JOIN project p ON p.id = t.project_id WHERE p.name = 'x'",
            "project #0 [project #0 [inner on (#2 = #1) [project #0, #1 [scan 1]] [project #0 [filter (#1 = 'x') [project #0, #1 [scan 0]]]]]]",
        ),
        (
            "SELECT t.id FROM task t LEFT JOIN project p ON p.id = t.project_id WHERE p.name IS NULL",
            "project #0 [project #0 [filter (#1 IS NULL) [project #0, #3 [left on (#2 = #1) [project #0, #1 [scan 1]] [project #0, #1 [scan 0]]]]]]",
        ),
    ]);
}

#[test]
fn conditions_move_through_groups_sums_and_windows_where_they_judge_the_whole_of_them() {
    check(&[
        (
            "SELECT prio, n FROM (SELECT prio, count(*) AS n FROM task GROUP BY prio) g WHERE prio > 1 AND n > 2",
            "filter (#1 > 2) [group (#0) count(*)::bigint [filter (#0 > 1) [project #4 [scan 1]]]]",
        ),
        (
            "SELECT a FROM (SELECT id AS a FROM task UNION ALL SELECT id FROM project) u WHERE a = 1",
            "union [project #0 [filter (#0 = 1) [project #0 [scan 1]]]] [project #0::bigint [filter (#0::bigint = 1) [project #0 [scan 0]]]]",
        ),
        (
            "SELECT a FROM (SELECT prio AS a FROM task EXCEPT SELECT id FROM project) u WHERE a = 1",
            "except [project #0 [filter (#0 = 1) [project #4 [scan 1]]]] [project #0 [filter (#0 = 1) [project #0 [scan 0]]]]",
        ),
        (
            "SELECT * FROM (SELECT DISTINCT ON (prio) prio, id FROM task ORDER BY prio, id) d WHERE prio = 1 AND id > 5",
            "filter (#1 > 5) [top of each [0] (#0, #1) 1 - [project #1, #0 [filter (#1 = 1) [project #0, #4 [scan 1]]]]]",
        ),
        (
            "SELECT * FROM (SELECT id, prio, row_number() OVER (PARTITION BY prio ORDER BY id) FROM task) w WHERE prio = 1 AND id > 5",
            "project #0, #1, #2 [filter (#0 > 5) [window [1] (#0) Positional(RowNumber, []) [filter (#1 = 1) [project #0, #4 [scan 1]]]]]",
        ),
    ]);
}

#[test]
fn subqueries_as_conditions_are_semijoins_and_antijoins() {
    check(&[
        (
            "SELECT id FROM project p WHERE EXISTS (SELECT 1 FROM task t WHERE t.project_id = p.id AND t.done)",
            "project #0 [semi on (#1 = #0) [project #0 [scan 0]] [project #0 [filter #1 [project #1, #3 [scan 1]]]]]",
        ),
        (
            "SELECT id FROM project p WHERE NOT EXISTS (SELECT 1 FROM task t WHERE t.project_id = p.id)",
            "project #0 [anti on (#1 = #0) [project #0 [scan 0]] [project #1 [scan 1]]]",
        ),
        (
            "SELECT id FROM task WHERE project_id IN (SELECT id FROM project WHERE budget > 1)",
            "project #0 [project #0 [semi on (#1 = #2) [project #0, #1 [scan 1]] [project #0 [project #0 [project #0 [filter (#1 > 1) [project #0, #2 [scan 0]]]]]]]]",
        ),
        (
            "SELECT id FROM project WHERE id NOT IN (SELECT id FROM task)",
            "project #0 [anti on (#0 = #1) [project #0 [scan 0]] [project #0 [project #0 [scan 1]]]]",
        ),
        (
            "SELECT id FROM project WHERE id NOT IN (SELECT project_id FROM task)",
            "project #0 [anti on (#0 is null) [anti on true [anti on (#0 = #1) [project #0 [scan 0]] [project #0 [project #1 [scan 1]]]] [distinct [project  [project  [project  [filter (#0 is null) [project #1 [scan 1]]]]]]]] [distinct [project  [scan 1]]]]",
        ),
        (
            "SELECT id FROM project WHERE id NOT IN (SELECT project_id FROM task WHERE project_id IS NOT NULL)",
            "project #0 [anti on (#0 = #1) [project #0 [scan 0]] [project #0 [project #0 [filter (not (#0 is null)) [project #1 [scan 1]]]]]]",
        ),
    ]);
}

#[test]
fn subqueries_as_values_are_marks_and_single_joins() {
    check(&[
        (
            "SELECT id, id IN (SELECT prio FROM task) FROM project",
            "project #0, CASE WHEN #1 THEN true WHEN (#2 OR #3) THEN NULL ELSE false END [mark on (#0 is null) [mark on true [mark on (#0 = #1) [project #0 [scan 0]] [project #0 [project #4 [scan 1]]]] [distinct [project  [project  [project  [filter (#0 is null) [project #4 [scan 1]]]]]]]] [distinct [project  [scan 1]]]]",
        ),
        (
            "SELECT id FROM project p WHERE EXISTS (SELECT 1 FROM task t WHERE t.prio > p.id)",
            "project #0 [semi on (#1 > #0) [project #0 [scan 0]] [distinct [project #4 [scan 1]]]]",
        ),
        (
            "SELECT id, (SELECT name FROM project p WHERE p.id = t.project_id) FROM task t",
            "project #0, #1 [project #0, #2 [single on (#3 = #1) [project #0, #1 [scan 1]] [project #1, #0 [scan 0]]]]",
        ),
        (
            "SELECT id, (SELECT count(*) FROM task t WHERE t.project_id = p.id) FROM project p",
            "project #0, #1 [single on true outer [0] [project #0 [scan 0]] [group () count(*)::bigint [project  [filter (#0 = outer.0) [project #1 [scan 1]]]]]]",
        ),
        (
            "SELECT id FROM project p WHERE (SELECT max(prio) FROM task t WHERE t.project_id = p.id) > 3",
            "project #0 [project #0 [project #0 [filter (#1 > 3) [single on true outer [0] [project #0 [scan 0]] [group () max(#0)::integer [project #1 [filter (#0 = outer.0) [project #1, #4 [scan 1]]]]]]]]]",
        ),
    ]);
}

#[test]
fn lateral_tables_are_joins_where_only_conditions_read_the_left_side() {
    check(&[
        (
            "SELECT p.id, x.id FROM project p, LATERAL (SELECT id FROM task t WHERE t.project_id = p.id) x",
            "project #0, #1 [project #0, #1 [project #0, #1 [inner on (#2 = #0) [project #0 [scan 0]] [project #0, #1 [scan 1]]]]]",
        ),
        (
            "SELECT p.id, x.id FROM project p, LATERAL (SELECT id FROM task t WHERE t.project_id = p.id ORDER BY prio LIMIT 2) x",
            "project #0, #1 [inner on true outer [0] [project #0 [scan 0]] [project #0 [project #0 [top (#1) 2 - [project #0, #1 [project #0, #2 [filter (#1 = outer.0) [project #0, #1, #4 [scan 1]]]]]]]]]",
        ),
        (
            "SELECT id FROM project p WHERE EXISTS (SELECT 1 FROM task t WHERE t.project_id = p.id AND EXISTS (SELECT 1 FROM log WHERE line = p.name))",
            "project #0 [project #0 [semi on true outer [0, 1] [project #0, #1 [scan 0]] [distinct [project  [semi on (#1 = #0) [project outer.1 [project  [filter (#0 = outer.0) [project #1 [scan 1]]]]] [project #1 [scan 2]]]]]]]",
        ),
    ]);
}
