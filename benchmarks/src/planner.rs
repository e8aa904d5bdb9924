//! A join of four tables whose keys are skewed, ordered by samples of the indexes and by their keys alone.
//!
//! An order names its customer, a tenth of all orders the same one; a customer has visits, the heavy one most; an
//! order has one bill. Whoever binds the visits first pairs them with each order before the bill refuses most.

use std::{collections::BTreeSet, time::Instant};

use deltaic_dataflow::{Graph, KeyColumn, Relation, RelationId, Relations, Sample, ZSet};
use deltaic_query::{
    lower::{Tables, Unmeasured, lower},
    optimise::optimise,
    plan::Query,
    statement::Statement,
};
use deltaic_sql::{BindContext, bind, parse};
use deltaic_types::{Catalog, Row, TableId, Value};

const ORDERS: i64 = 20_000;
const CUSTOMERS: i64 = 2_000;
const STEPS: i64 = 1_000;

const QUERY: &str = "SELECT o.id, c.id, v.id, b.id FROM visit v JOIN customer c ON c.id = v.customer \
     JOIN purchase o ON o.customer = c.id JOIN bill b ON b.purchase = o.id AND b.state = v.state";

/// A table's name, its rows, its second column, and how a row is made.
type Shape<'a> = (&'a str, i64, &'a str, &'a dyn Fn(i64) -> Row);

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

pub(crate) fn run() {
    let stored = stored();
    println!("| planner | hydrate | rows visited | a purchase comes | rows visited |");
    println!("|---|---|---|---|---|");
    for (name, tables) in [("on", &stored as &dyn Tables), ("off", &Unmeasured(&stored))] {
        compare(name, &stored, tables);
    }
}

fn stored() -> Stored {
    let mut stored = Stored { catalog: Catalog::default(), relations: Relations::default() };
    // A tenth of all rows name one customer.
    let customer = |id: i64| if id % 10 == 0 { 0 } else { id % CUSTOMERS };
    let row = |id: i64, of: i64, state: i64| Row::from_iter([id, of, state].map(Value::Integer));
    let purchase = |id: i64| row(id, customer(id), 0);
    let bill = |id: i64| row(id, id, 1_000 + id % 50);
    let visit = |id: i64| row(id, customer(id), id % 50);
    let tables: [Shape<'_>; 4] = [
        ("customer", CUSTOMERS, "region", &|id| row(id, id % 7, 0)),
        ("purchase", ORDERS, "customer", &purchase),
        ("bill", ORDERS, "purchase", &bill),
        ("visit", ORDERS, "customer", &visit),
    ];
    for (name, rows, column, make) in tables {
        let sql = format!("CREATE TABLE {name} (id int PRIMARY KEY, {column} int, state int)");
        let Statement::CreateTable(Some(table)) = bound(&stored.catalog, &sql) else { panic!("a table") };
        let mut relation = Relation::of(&[0], (0..rows).map(make));
        relation.ensure_index(&[KeyColumn::ascending(1)]);
        stored.relations.put(RelationId::Table(table.id), relation);
        stored.catalog.put(table).expect("the table is new");
    }
    stored
}

fn bound(catalog: &Catalog, sql: &str) -> Statement {
    let statements = parse(sql).expect("it parses");
    bind(&statements[0], &BindContext { catalog, now: None }).expect("it binds").statement
}

fn compare(name: &str, stored: &Stored, tables: &dyn Tables) {
    let Statement::Query(query) = bound(&stored.catalog, QUERY) else { panic!("a query") };
    let query = Query { plan: optimise(query.plan.clone()), ..query };
    let mut graph = Graph::default();
    let mut relations = stored.relations.clone();
    let circuit = lower(&query, None, &mut graph, tables).expect("it has a circuit");
    graph.hold(circuit.root);
    for (relation, key) in graph.required_indexes() {
        relations.get_mut(relation).expect("a table").ensure_index(&key);
    }
    let start = Instant::now();
    graph.hydrate(&relations);
    let hydrated = start.elapsed();
    let visited = graph.visited();
    let purchase = RelationId::Table(stored.catalog.table("purchase").expect("a table").id);
    let start = Instant::now();
    for step in 0..STEPS {
        let before = relations.clone();
        let row = Row::from_iter([ORDERS + step, step % CUSTOMERS, 0].map(Value::Integer));
        relations.get_mut(purchase).expect("a table").insert(&row);
        let change = [(purchase, ZSet::from_iter([(row, 1)]))];
        graph.step(&before, &relations, change, &BTreeSet::new());
    }
    let (steps, more) = (start.elapsed(), graph.visited() - visited);
    println!(
        "| {name} | {:.1} ms | {visited} | {:.1} us | {:.1} |",
        hydrated.as_secs_f64() * 1e3,
        steps.as_secs_f64() * 1e6 / STEPS as f64,
        more as f64 / STEPS as f64
    );
}
