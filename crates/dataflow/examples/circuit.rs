//! A circuit built by hand: of a tracker's issues, how many are open in each project, the projects without any, and
//! the two that have the most. Run it with `cargo run -p deltaic-dataflow --example circuit`.

use std::{cmp::Ordering, collections::BTreeSet};

use deltaic_dataflow::{
    Aggregate, AggregateCall, AggregateFunction, Comparand, Graph, Join, JoinInput, KeyColumn, Map, NodeId,
    Operator, Path, Probe, Relation, RelationId, Relations, Scalar, TopK, ZSet,
};
use deltaic_types::{Row, TableId, Value};

const PROJECTS: RelationId = RelationId::Table(TableId(1));
const ISSUES: RelationId = RelationId::Table(TableId(2));

fn project(id: i64, name: &str) -> Row {
    Row::from_iter([Value::Integer(id), Value::from(name)])
}

fn issue(id: i64, project: i64, open: bool) -> Row {
    Row::from_iter([Value::Integer(id), Value::Integer(project), Value::Boolean(open)])
}

fn columns<const N: usize>(of: [(usize, usize); N]) -> Vec<Scalar> {
    of.into_iter().map(|(input, column)| Scalar::column(input, column)).collect()
}

/// `π(a ⋈ b)` by one column of each: each side finds the other by its index.
fn join(a: (NodeId, usize), b: (NodeId, usize), project: Vec<Scalar>) -> Operator {
    let input = |source| JoinInput { source, filter: Vec::new() };
    let path = |from: usize, own: usize, to: (NodeId, usize)| Path {
        conditions: Vec::new(),
        probes: vec![Probe {
            input: 1 - from,
            integral: to.0,
            index: vec![KeyColumn::ascending(to.1)],
            key: vec![Scalar::column(from, own)],
            exact: 0,
            search: None,
            conditions: Vec::new(),
        }],
    };
    Operator::Join(Join {
        inputs: vec![input(a.0), input(b.0)],
        paths: vec![path(0, a.1, b), path(1, b.1, a)],
        conditions: Vec::new(),
        project,
        prefix: Vec::new(),
    })
}

fn main() {
    let mut relations = Relations::default();
    relations
        .put(PROJECTS, Relation::of(&[0], [project(1, "core"), project(2, "shell"), project(3, "docs")]));
    relations.put(ISSUES, Relation::of(&[0], [issue(10, 1, true), issue(11, 1, false), issue(12, 2, true)]));

    let mut graph = Graph::default();
    let projects = graph.add(Operator::Input(PROJECTS));
    let issues = graph.add(Operator::Input(ISSUES));
    // ↑σ: the open issues.
    let open = Scalar::comparison("#0.2", (0, 2), Ordering::is_eq, Comparand::Constant(Value::Boolean(true)));
    let open = graph.add(Operator::Map(Map { input: issues, filter: vec![open], project: None, prefix: 0 }));
    // ⋈: each with its project's name. What is no table is integrated, so that the join can probe it.
    let by_project = graph.add(Operator::Arrange { input: open, key: vec![KeyColumn::ascending(1)] });
    let named = graph.add(join((by_project, 1), (projects, 0), columns([(1, 1)])));
    // Aggregate: a count a name; and top_k of that.
    let count = AggregateCall {
        function: AggregateFunction::Count,
        arguments: Vec::new(),
        order: Vec::new(),
        direct: None,
        distinct: false,
        filter: None,
    };
    let counts = graph.add(Operator::Aggregate(Aggregate {
        input: named,
        groups: None,
        key: columns([(0, 0)]),
        prefix: 0,
        calls: vec![count],
    }));
    let most = graph.add(Operator::TopK(TopK {
        input: counts,
        partition: Vec::new(),
        order: vec![KeyColumn { column: 1, descending: true, nulls_first: false }, KeyColumn::ascending(0)],
        offset: Scalar::constant(Value::Integer(0)),
        limit: Scalar::constant(Value::Integer(2)),
    }));
    // distinct, negate and sum: the names of all projects without those of projects that have open issues.
    let of =
        |input, column| Map { input, filter: Vec::new(), project: Some(columns([(0, column)])), prefix: 0 };
    let names = graph.add(Operator::Map(of(projects, 1)));
    let busy = graph.add(Operator::Distinct { input: named });
    let busy = graph.add(Operator::Negate { input: busy });
    let quiet = graph.add(Operator::Union { inputs: vec![names, busy] });

    let mut watched = BTreeSet::new();
    let mut results = Vec::new();
    for (name, input) in [("open", counts), ("most", most), ("quiet", quiet)] {
        let root = graph.add(Operator::Arrange { input, key: Vec::new() });
        graph.hold(root);
        watched.insert(root);
        results.push((name, root));
    }
    for (relation, key) in graph.required_indexes() {
        relations.get_mut(relation).expect("invariant: both tables are there").ensure_index(&key);
    }
    graph.hydrate(&relations);
    for (name, root) in &results {
        println!("{name}: {:?}", graph.arranged(*root, &[]));
    }

    // Steps: the tables change, and of each result comes what changed.
    for (story, gone, come) in [
        ("an issue of docs", None, Some(issue(13, 3, true))),
        ("another of core", None, Some(issue(14, 1, true))),
        ("that of shell is closed", Some(issue(12, 2, true)), Some(issue(12, 2, false))),
    ] {
        let before = relations.clone();
        let table = relations.get_mut(ISSUES).expect("invariant: the table is there");
        if let Some(row) = &gone {
            table.remove(row);
        }
        if let Some(row) = &come {
            table.insert(row);
        }
        let change: ZSet = gone.into_iter().map(|row| (row, -1)).chain(come.map(|row| (row, 1))).collect();
        let outputs = graph.step(&before, &relations, [(ISSUES, change.consolidated())], &watched);
        drop(before);
        relations.settle();
        println!("{story}:");
        for (name, root) in &results {
            if let Some(output) = outputs.get(root) {
                println!("  {name} {:?}", output.rows.iter().collect::<Vec<_>>());
            }
        }
    }
    let (_, quiet) = results[2];
    assert_eq!(graph.arranged(quiet, &[]), [(&Row::from_iter([Value::from("shell")]), 1)]);
}
