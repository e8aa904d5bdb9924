//! [`Circuit`]: Deltaic's circuits without its requests, over relations in memory.
//!
//! The SQL goes through the engine's own parser, binder, optimiser and lowering. A step changes the relations as a
//! commit does (on a snapshot, every index) and advances the graph; this is what the peers' figures are, who
//! keep their arrangements and have no statements. Invariant: no code here but the order of the calls is other
//! than the engine's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use deltaic_dataflow::{Graph, NodeId, Relation, RelationId, Relations, ZSet};
use deltaic_query::{
    lower::{self, lower},
    optimise::optimise,
    plan::{Plan, Query},
    statement::Statement,
    template::{lift, lift_equalities},
};
use deltaic_sql::{BindContext, bind, parse};
use deltaic_types::{Catalog, DataType, Row, TableId, Value};

use crate::{
    contestant::{Contestant, Sample, Trial, Work},
    workload::{Issue, Task, Workload, weigh},
};

/// The tables as statements.
pub const TABLES: [&str; 3] = [
    "CREATE TABLE project (id integer PRIMARY KEY, name text)",
    "CREATE TABLE issue (id integer PRIMARY KEY, project integer, status integer, prio integer, title text)",
    "CREATE TABLE edge (id integer PRIMARY KEY, src integer, dst integer)",
];

/// Its place in the list of contestants.
#[derive(Debug)]
pub struct Circuit;

/// All columns in memory, as they stand; indexes on the key and on the second column.
struct AllColumns;

impl lower::Tables for AllColumns {
    fn slot(&self, _: TableId, column: usize) -> Option<usize> {
        Some(column)
    }

    fn keys(&self, _: TableId) -> Vec<Vec<usize>> {
        vec![vec![0], vec![1]]
    }
}

/// A template as the engine finds it in a query: without its circuit yet.
struct Template {
    query: Query,
    tuple: Row,
}

/// A circuit and its parameter relation.
#[derive(Debug, Clone, Copy)]
struct Live {
    root: NodeId,
    prefix: usize,
    parameters: Option<RelationId>,
}

/// The graph, the relations, and the live queries.
pub struct Database {
    catalog: Catalog,
    relations: Relations,
    graph: Graph,
    roots: BTreeSet<NodeId>,
    next: u64,
}

fn integer(value: impl Into<i64>) -> Value {
    Value::Integer(value.into())
}

fn issue_row(issue: &Issue) -> Row {
    let Issue { id, project, status, prio, title } = issue;
    Row::from_iter([
        integer(*id),
        integer(*project),
        integer(*status),
        integer(*prio),
        Value::from(title.as_str()),
    ])
}

/// What a result's row adds to the sum.
pub fn weigh_row(row: &[Value]) -> i64 {
    weigh(row[0].as_i64().expect("an integer"), row[1].as_i64().expect("an integer"))
}

impl Database {
    /// The tables of a workload, filled.
    pub fn load(workload: &Workload) -> Self {
        let mut catalog = Catalog::default();
        for sql in TABLES {
            let statements = parse(sql).expect("it parses");
            let bound =
                bind(&statements[0], &BindContext { catalog: &catalog, now: None }).expect("it binds");
            let Statement::CreateTable(Some(table)) = bound.statement else { panic!("a new table") };
            catalog.put(table).expect("the table is new");
        }
        let mut database = Self {
            catalog,
            relations: Relations::default(),
            graph: Graph::default(),
            roots: BTreeSet::new(),
            next: 0,
        };
        let (mut issues, mut projects, mut edges) = (Vec::new(), Vec::new(), Vec::new());
        if workload.task == Task::Reach {
            edges.extend((0..workload.projects).map(|number| edge_row(workload, number)));
        } else {
            issues.extend((0..workload.issues).map(|id| issue_row(&workload.issue(id))));
            projects.extend((0..workload.projects).map(|id| {
                Row::from_iter([integer(i64::from(id)), Value::from(Workload::project(id).as_str())])
            }));
        }
        for (name, rows) in [("issue", issues), ("project", projects), ("edge", edges)] {
            let mut relation = Relation::of(&[0], rows);
            if name != "project" {
                relation.ensure_index(&[deltaic_dataflow::KeyColumn::ascending(1)]);
            }
            database.relations.put(database.table(name), relation);
        }
        database
    }

    fn table(&self, name: &str) -> RelationId {
        RelationId::Table(self.catalog.table(name).expect("the table is there").id)
    }

    /// From text to a template, as for a subscription; None where the engine has no such queries. The first query of a form
    /// in which nothing is found by an equality has a circuit of its own.
    fn plan(&self, sql: &str, values: &[Value], is_first: bool) -> Option<Template> {
        let statements = parse(sql).ok()?;
        let bound = bind(&statements[0], &BindContext { catalog: &self.catalog, now: None }).ok()?;
        let types: Vec<DataType> = bound.parameters.into_iter().flatten().collect();
        let Statement::Query(query) = bound.statement else { return None };
        let plan = optimise(query.plan.clone());
        if is_first && types.is_empty() && lift_equalities(&plan).values.is_empty() {
            return Some(Template { query: Query { plan, ..query }, tuple: Row::empty() });
        }
        let lifted = lift(&plan, types.len(), &|_, _| true);
        let tuple = values.iter().cloned().chain(lifted.values).collect();
        Some(Template { query: Query { plan: lifted.plan, ..query }, tuple })
    }

    /// Lowers and hydrates a template, without live tuples.
    fn open(&mut self, template: &Template) -> Option<Live> {
        let width = template.tuple.len();
        let relation = RelationId::Parameters(self.next);
        self.next += 1;
        let parameters = (width > 0).then_some((relation, width));
        let circuit = lower(&template.query, parameters, &mut self.graph, &AllColumns).ok()?;
        if width > 0 {
            self.relations.put(relation, Relation::new(&(0..width).collect::<Vec<_>>()));
        }
        self.graph.hold(circuit.root);
        for (relation, key) in self.graph.required_indexes() {
            self.relations.get_mut(relation).expect("a relation of the graph").ensure_index(&key);
        }
        self.graph.hydrate(&self.relations);
        self.roots.insert(circuit.root);
        Some(Live {
            root: circuit.root,
            prefix: circuit.prefix,
            parameters: parameters.map(|(relation, _)| relation),
        })
    }

    fn close(&mut self, live: Live) {
        self.graph.release(live.root);
        self.roots.remove(&live.root);
        if let Some(relation) = live.parameters {
            self.relations.remove(relation);
        }
    }

    /// Inserts or removes a tuple of live parameters.
    fn tuple(&mut self, live: Live, tuple: &Row, weight: i64) {
        let Some(relation) = live.parameters else { return };
        let before = self.relations.clone();
        let parameters = self.relations.get_mut(relation).expect("a template's relation");
        if weight > 0 {
            parameters.insert(tuple);
        } else {
            parameters.remove(tuple);
        }
        let change = ZSet::from_iter([(tuple.clone(), weight)]);
        self.graph.step(&before, &self.relations, [(relation, change)], &BTreeSet::new());
        drop(before);
        self.relations.settle();
    }

    /// The sum of a view's rows.
    fn read(&self, live: Live, tuple: &Row) -> i64 {
        let rows = self.graph.arranged(live.root, &tuple[..live.prefix]);
        rows.iter().map(|(row, weight)| weight * weigh_row(&row[live.prefix..])).sum()
    }

    /// What the relations in it hold: a measure of memory by who knows.
    pub fn heap_bytes(&self) -> usize {
        self.relations.iter().map(|(_, relation)| relation.heap_bytes()).sum()
    }
}

fn edge_row(workload: &Workload, number: u32) -> Row {
    let (from, to) = workload.edge(number);
    Row::from_iter([integer(i64::from(number)), integer(from), integer(to)])
}

struct Running {
    workload: Workload,
    database: Database,
    live: Vec<Live>,
    sum: i64,
}

impl Contestant for Circuit {
    fn name(&self) -> String {
        "Deltaic, circuit".to_owned()
    }

    fn open(&mut self, workload: &Workload) -> Option<Box<dyn Trial>> {
        if workload.task == Task::HydrateJson {
            return None;
        }
        let mut database = Database::load(workload);
        let (mut live, mut sum) = (Vec::<Live>::new(), 0);
        let mut shared: BTreeMap<Plan, Live> = BTreeMap::new();
        let counted = match workload.task {
            Task::HydrateFilter | Task::HydrateJoin | Task::New => 0,
            Task::Unindexed => workload.queries,
            _ => 1,
        };
        for number in 0..counted {
            let given = matches!(workload.task, Task::Keyed | Task::Add | Task::Drop);
            let values: Vec<Value> = given.then(|| integer(0)).into_iter().collect();
            let template = database.plan(&workload.sql(number), &values, number == 0)?;
            let opened = match shared.get(&template.query.plan) {
                Some(opened) => *opened,
                None => {
                    let opened = database.open(&template)?;
                    live.push(opened);
                    shared.insert(template.query.plan.clone(), opened);
                    opened
                }
            };
            if given {
                for key in 0..workload.queries {
                    let tuple = Row::from_iter([integer(key)]);
                    database.tuple(opened, &tuple, 1);
                    sum += database.read(opened, &tuple);
                }
            } else {
                database.tuple(opened, &template.tuple, 1);
                sum += database.read(opened, &template.tuple);
            }
        }
        Some(Box::new(Running { workload: workload.clone(), database, live, sum }))
    }
}

impl Trial for Running {
    fn run(&mut self, first: u32, count: u32) -> Vec<Sample> {
        (first..first + count).map(|step| self.step(step)).collect()
    }

    fn sum(&mut self) -> Option<i64> {
        (self.workload.task != Task::Drop).then_some(self.sum)
    }

    fn work(&self) -> Option<Work> {
        let mut work = Work::default();
        let mut seen = BTreeSet::new();
        for root in &self.database.roots {
            for node in self.database.graph.describe(*root) {
                if seen.insert(node.id) {
                    work.probes += node.work.probes;
                    work.rows += node.work.rows_in + node.work.rows_out;
                }
            }
        }
        Some(work)
    }
}

impl Running {
    fn step(&mut self, step: u32) -> Sample {
        match self.workload.task {
            Task::HydrateFilter | Task::HydrateJoin | Task::HydrateJson => self.hydrate(step),
            Task::Add => {
                let tuple = Row::from_iter([integer(self.workload.asked(step))]);
                let start = Instant::now();
                self.database.tuple(self.live[0], &tuple, 1);
                self.sum = self.database.read(self.live[0], &tuple);
                let took = start.elapsed();
                self.database.tuple(self.live[0], &tuple, -1);
                Sample::of(took)
            }
            Task::Drop => {
                let tuple = Row::from_iter([integer(self.workload.asked(step))]);
                self.database.tuple(self.live[0], &tuple, 1);
                let start = Instant::now();
                self.database.tuple(self.live[0], &tuple, -1);
                Sample::of(start.elapsed())
            }
            Task::New => {
                let sql = self.workload.sql(step);
                let start = Instant::now();
                let template = self.database.plan(&sql, &[], true).expect("a query like the others");
                let opened = self.database.open(&template).expect("a circuit like the others");
                self.database.tuple(opened, &template.tuple, 1);
                self.sum = self.database.read(opened, &template.tuple);
                let took = start.elapsed();
                self.database.close(opened);
                Sample::of(took)
            }
            _ => self.change(step),
        }
    }

    /// Its circuit is planned beforehand; what is timed is lowering, hydration and reading.
    fn hydrate(&mut self, step: u32) -> Sample {
        let template =
            self.database.plan(&self.workload.sql(step), &[], true).expect("a query like the others");
        let start = Instant::now();
        let opened = self.database.open(&template).expect("a circuit like the others");
        self.sum = self.database.read(opened, &template.tuple);
        let took = start.elapsed();
        self.database.close(opened);
        Sample::of(took)
    }

    fn change(&mut self, step: u32) -> Sample {
        let (relation, change) = self.rows(step);
        let start = Instant::now();
        let before = self.database.relations.clone();
        let table = self.database.relations.get_mut(relation).expect("a table");
        for (row, weight) in change.iter() {
            if weight > 0 { table.insert(row) } else { table.remove(row) }
        }
        let middle = Instant::now();
        let Database { graph, relations, roots, .. } = &mut self.database;
        let outputs = graph.step(&before, relations, [(relation, change)], roots);
        for (root, output) in &outputs {
            let prefix = self.live.binary_search_by_key(root, |live| live.root);
            let prefix = self.live[prefix.expect("a root has its query")].prefix;
            for (row, weight) in output.rows.iter() {
                self.sum += weight * weigh_row(&row[prefix..]);
            }
        }
        let circuit = middle.elapsed();
        drop(outputs);
        drop(before);
        self.database.relations.settle();
        let whole: Duration = start.elapsed();
        Sample { whole, circuit: Some(circuit) }
    }

    /// The rows of a step, retractions first.
    fn rows(&self, step: u32) -> (RelationId, ZSet) {
        let database = &self.database;
        match self.workload.task {
            Task::Batch => {
                let weight = if step % 2 == 0 { 1 } else { -1 };
                let rows = self.workload.batch().iter().map(|issue| (issue_row(issue), weight)).collect();
                (database.table("issue"), rows)
            }
            Task::Reach => {
                let (number, back) = self.workload.toggled(step);
                let row = edge_row(&self.workload, number);
                (database.table("edge"), ZSet::from_iter([(row, if back { 1 } else { -1 })]))
            }
            _ => {
                let table = database.table("issue");
                let id = integer(self.workload.touched(step));
                let relation = database.relations.get(table).expect("a table");
                let old = relation.get(&[id]).expect("the row is there").clone();
                let mut values = old.to_vec();
                let prio = old[3].as_i64().expect("an integer");
                values[3] = integer(Workload::prio(step, prio));
                (table, ZSet::from_iter([(old, -1), (Row::from(values), 1)]).consolidated())
            }
        }
    }
}
