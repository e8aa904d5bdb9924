//! A query without SQL: the adults whom somebody knows within two steps, as a plan that is made by hand, rewritten, lowered
//! to a circuit and kept up to date. Run it with `cargo run -p deltaic-query --example plan_by_hand`.

use std::{collections::BTreeSet, error::Error};

use deltaic_dataflow::{Graph, NodeId, Relation, RelationId, Relations, ZSet};
use deltaic_query::{
    expression::{Comparison, Expr, ExprKind},
    fold::truth_node,
    lower::{Tables, lower},
    optimise::optimise,
    plan::{JoinKind, Plan, Query, ROUND, ResultColumn, SortKey},
    traverse::{Step, traverse},
};
use deltaic_types::{
    DataType::{Integer, Text},
    EvalError, Row, TableId, Value,
};

/// Its columns are id, name and age.
const PERSON: TableId = TableId(1);

/// Its columns are who knows and who is known.
const KNOWS: TableId = TableId(2);

/// Both tables have all their columns in memory, in their order, and an index of their keys.
struct Stored;

impl Tables for Stored {
    fn slot(&self, _: TableId, column: usize) -> Option<usize> {
        Some(column)
    }

    fn keys(&self, table: TableId) -> Vec<Vec<usize>> {
        vec![if table == PERSON { vec![0] } else { vec![0, 1] }]
    }
}

fn compare(op: Comparison, left: Expr, right: Expr) -> Expr {
    truth_node(ExprKind::Compare(op, Box::new(left), Box::new(right)))
}

fn number(n: i64) -> Expr {
    Expr::literal(Value::Integer(n), Integer)
}

/// `SELECT name, depth FROM traverse(knows, 1, 2) JOIN person ON person.id = node WHERE age >= 18 ORDER BY depth, name`
fn acquaintances() -> Result<Query, EvalError> {
    let person = Plan::Scan { table: PERSON, types: vec![Integer, Text, Integer] };
    let knows = Plan::Scan { table: KNOWS, types: vec![Integer, Integer] };
    // Its columns are the node and its depth.
    let reached = traverse(&knows, number(1), Some(number(2)), &[Step { from: 0, to: 1, nullable: false }])?;
    // Behind them stand those of the person.
    let met = Plan::Join {
        kind: JoinKind::Inner,
        left: Box::new(reached),
        right: Box::new(person),
        outer: Vec::new(),
        on: compare(Comparison::Eq, Expr::column(2, Integer), Expr::column(0, Integer)),
    };
    let of_age = compare(Comparison::Ge, Expr::column(4, Integer), number(18));
    let adults = Plan::Filter { input: Box::new(met), predicate: of_age };
    let exprs = vec![Expr::column(3, Text), Expr::column(1, ROUND)];
    let plan = Plan::Project { input: Box::new(adults), exprs };
    let column = |name: &str, data_type| ResultColumn { name: name.to_owned(), data_type };
    let by = |column| SortKey { column, descending: false, nulls_first: false };
    Ok(Query {
        plan: optimise(plan),
        columns: vec![column("name", Text), column("depth", ROUND)],
        order: vec![by(1), by(0)],
    })
}

fn person(id: i64, name: &str, age: i64) -> Row {
    Row::from_iter([Value::Integer(id), Value::from(name), Value::Integer(age)])
}

fn edge(from: i64, to: i64) -> Row {
    Row::from_iter([from, to].map(Value::Integer))
}

fn found(name: &str, depth: i64) -> Row {
    Row::from_iter([Value::from(name), Value::Integer(depth)])
}

fn result(graph: &Graph, root: NodeId) -> Vec<Row> {
    graph.arranged(root, &[]).into_iter().map(|(row, _)| row.clone()).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let [persons, edges] = [PERSON, KNOWS].map(RelationId::Table);
    let people = [person(1, "ada", 36), person(2, "ben", 17), person(3, "cem", 40), person(4, "dora", 52)];
    let mut before = Relations::default();
    before.put(persons, Relation::of(&[0], people));
    before.put(edges, Relation::of(&[0, 1], [edge(1, 2), edge(2, 3), edge(3, 4)]));

    let mut graph = Graph::default();
    let root = lower(&acquaintances()?, None, &mut graph, &Stored)?.root;
    graph.hold(root);
    for (relation, key) in graph.required_indexes() {
        before.get_mut(relation).expect("invariant: both tables are there").ensure_index(&key);
    }
    graph.hydrate(&before);
    // Ben is too young, and Dora three steps away.
    assert_eq!(result(&graph, root), [found("ada", 0), found("cem", 2)]);

    // Ada meets Cem herself: he comes nearer, and who he knows comes within reach.
    let mut after = before.clone();
    after.get_mut(edges).expect("invariant: the table is there").insert(&edge(1, 3));
    let news = ZSet::from_iter([(edge(1, 3), 1)]);
    let changes = graph.step(&before, &after, [(edges, news)], &BTreeSet::from([root]));
    let expected = ZSet::from_iter([(found("cem", 1), 1), (found("cem", 2), -1), (found("dora", 2), 1)]);
    assert_eq!(changes[&root].rows, expected);
    assert_eq!(result(&graph, root), [found("ada", 0), found("cem", 1), found("dora", 2)]);

    for row in result(&graph, root) {
        println!("{row:?}");
    }
    Ok(())
}
