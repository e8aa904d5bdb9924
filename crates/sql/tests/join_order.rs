//! The order in which joins bind their inputs, with and without knowing what the indexes hold.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in functions that tests share too")]

use std::collections::BTreeSet;

use deltaic_dataflow::{Graph, KeyColumn, Operator, Relation, RelationId, Relations, Sample, ZSet};
use deltaic_query::{
    lower::{Tables, Unmeasured, lower},
    optimise::optimise,
    plan::Query,
    statement::Statement,
    template::lift,
};
use deltaic_sql::{BindContext, bind, parse};
use deltaic_types::{Catalog, Row, TableId, Value};

/// A table's name, its rows, and the second column of each.
type Shape<'a> = (&'a str, i64, &'a dyn Fn(i64) -> i64);

/// Tables whose second column has an index.
struct Stored {
    catalog: Catalog,
    relations: Relations,
}

impl Tables for Stored {
    fn slot(&self, _: TableId, column: usize) -> Option<usize> {
        Some(column)
    }

    fn keys(&self, _: TableId) -> Vec<Vec<usize>> {
        vec![vec![0], vec![1]]
    }

    fn rows(&self, table: TableId) -> Option<usize> {
        self.relations.get(RelationId::Table(table)).map(Relation::len)
    }

    fn sample(&self, table: TableId, columns: &[usize]) -> Option<Sample> {
        let key: Vec<KeyColumn> = columns.iter().copied().map(KeyColumn::ascending).collect();
        let index = self.relations.get(RelationId::Table(table))?.index(&key)?;
        Some(index.sample(columns.len()))
    }
}

impl Stored {
    /// Of `wide` 500 rows share a key, or many more; of `thin` one has it; a `hub` names a key of each.
    fn new() -> Self {
        let mut stored = Self { catalog: Catalog::default(), relations: Relations::default() };
        let keys: [Shape<'_>; 3] =
            [("hub", 50, &|id| id % 4), ("wide", 2_000, &|id| id % 4), ("thin", 2_000, &|id| id)];
        for (name, rows, key) in keys {
            let sql = format!("CREATE TABLE {name} (id int PRIMARY KEY, k int, j int)");
            let Statement::CreateTable(Some(table)) = stored.bound(&sql) else { panic!("a table") };
            let row = |id: i64| Row::from_iter([id, key(id), id].map(Value::Integer));
            let mut relation = Relation::of(&[0], (0..rows).map(row));
            relation.ensure_index(&[KeyColumn::ascending(1)]);
            stored.relations.put(RelationId::Table(table.id), relation);
            stored.catalog.put(table).unwrap();
        }
        stored
    }

    fn bound(&self, sql: &str) -> Statement {
        let statements = parse(sql).unwrap();
        bind(&statements[0], &BindContext { catalog: &self.catalog, now: None }).unwrap().statement
    }

    /// The order in which the inputs are bound from the first, and the rows visited when a row comes to it.
    fn bound_from_first(&self, sql: &str, tables: &dyn Tables) -> (Vec<usize>, u64) {
        let Statement::Query(query) = self.bound(sql) else { panic!("a query") };
        let lifted = lift(&optimise(query.plan.clone()), 0, &|_, _| true);
        let mut graph = Graph::default();
        let mut before = self.relations.clone();
        let parameters = RelationId::Parameters(1);
        let width = lifted.values.len();
        before.put(
            parameters,
            Relation::of(&(0..width).collect::<Vec<_>>(), [lifted.values.into_iter().collect()]),
        );
        let query = Query { plan: lifted.plan, ..query };
        let circuit = lower(&query, (width > 0).then_some((parameters, width)), &mut graph, tables).unwrap();
        graph.hold(circuit.root);
        for (relation, key) in graph.required_indexes() {
            before.get_mut(relation).unwrap().ensure_index(&key);
        }
        let node = graph.describe(circuit.root).into_iter().find_map(|node| match node.operator {
            Operator::Join(join) => Some(join),
            _ => None,
        });
        let order = node.unwrap().paths[0].probes.iter().map(|probe| probe.input).collect();
        graph.hydrate(&before);
        let visited = graph.visited();
        let hub = RelationId::Table(self.catalog.table("hub").unwrap().id);
        let row = Row::from_iter([1_000, 1, 7].map(Value::Integer));
        let mut after = before.clone();
        after.get_mut(hub).unwrap().insert(&row);
        graph.step(&before, &after, [(hub, ZSet::from_iter([(row, 1)]))], &BTreeSet::new());
        (order, graph.visited() - visited)
    }
}

#[test]
fn the_input_of_which_a_probe_finds_fewest_is_bound_first() {
    let stored = Stored::new();
    for condition in ["thin.k = hub.j", "thin.id = hub.j"] {
        let sql = format!("SELECT hub.id FROM hub, wide, thin WHERE wide.k = hub.k AND {condition}");
        assert_eq!(stored.bound_from_first(&sql, &stored), (vec![2, 1], 501), "{sql}");
        assert_eq!(stored.bound_from_first(&sql, &Unmeasured(&stored)), (vec![1, 2], 1_000), "{sql}");
    }
}

#[test]
fn a_templates_tuples_are_asked_before_a_table_that_finds_many() {
    let stored = Stored::new();
    let sql = "SELECT hub.id FROM hub JOIN wide ON wide.k = hub.k WHERE hub.j > 1000";
    // The tuples are the last input.
    assert_eq!(stored.bound_from_first(sql, &stored), (vec![2, 1], 0));
    assert_eq!(stored.bound_from_first(sql, &Unmeasured(&stored)), (vec![1, 2], 500));
}
