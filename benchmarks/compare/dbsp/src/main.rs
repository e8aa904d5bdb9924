//! dbsp, one worker, asked in lines over pipes: the protocol is in `../../src/piped.rs`, the data in
//! `../../src/workload.rs`, whose functions are taken as they are.
//!
//! A step feeds the rows, runs a transaction and reads the consolidated output.

#[path = "../../src/workload.rs"]
#[allow(dead_code, reason = "shared with the other contestants, which use the rest")]
mod workload;

use std::{
    io::{BufRead, Write},
    time::Instant,
};

use dbsp::{
    DBSPHandle, NestedCircuit, OrdZSet, OutputHandle, RootCircuit, Runtime, Stream, ZSetHandle, ZWeight,
    circuit::CircuitConfig,
    operator::{Max, Min},
    typed_batch::IndexedZSetReader,
    utils::{Tup2, Tup3, Tup5},
};
use workload::{Issue, Task, Workload, weigh};

type Row = Tup5<i64, i64, i64, i64, String>;
/// The two numbers that are summed, and the text beside them.
type Out = Tup3<i64, i64, String>;

const TASKS: [Task; 12] = [
    Task::HydrateFilter,
    Task::HydrateJoin,
    Task::Batch,
    Task::Filter,
    Task::Join,
    Task::Count,
    Task::Min,
    Task::Max,
    Task::Top,
    Task::Keyed,
    Task::Add,
    Task::Reach,
];

struct Circuit {
    handle: DBSPHandle,
    issue: ZSetHandle<Row>,
    project: ZSetHandle<Tup2<i64, String>>,
    keys: ZSetHandle<i64>,
    edge: ZSetHandle<Tup2<i64, i64>>,
    root: ZSetHandle<i64>,
    output: OutputHandle<OrdZSet<Out>>,
}

fn build(task: Task) -> Circuit {
    // A transaction is one step: what it gives out is whole.
    let config = CircuitConfig::with_workers(1).with_splitter_chunk_size_records(1 << 20);
    let (handle, (issue, project, keys, edge, root, output)) =
        Runtime::init_circuit(config, move |circuit: &mut RootCircuit| {
            let (issues, issue) = circuit.add_input_zset::<Row>();
            let (projects, project) = circuit.add_input_zset::<Tup2<i64, String>>();
            let (key, keys) = circuit.add_input_zset::<i64>();
            let (edges, edge) = circuit.add_input_zset::<Tup2<i64, i64>>();
            let (roots, root) = circuit.add_input_zset::<i64>();
            let whole = |row: &Row| Tup3(row.0, row.3, row.4.clone());
            let output = match task {
                Task::HydrateFilter => issues.filter(|row| row.2 < 1 && row.3 > 20).map(whole).output(),
                Task::Filter => issues.filter(|row| row.2 < 3 && row.3 > 20).map(whole).output(),
                Task::HydrateJoin | Task::Batch | Task::Join => {
                    let least = if task == Task::HydrateJoin { -1 } else { 20 };
                    let left = issues
                        .filter(move |row| row.3 > least)
                        .map_index(|row| (row.1, Tup2(row.0, row.4.clone())));
                    let right = projects.map_index(|row| (row.0, row.1.clone()));
                    left.join(&right, |key, left, name| Tup3(left.0, *key, format!("{}{name}", left.1)))
                        .output()
                }
                Task::Count => issues
                    .map(|row| row.3)
                    .weighted_count()
                    .map(|(prio, count)| Tup3(*prio, *count, String::new()))
                    .output(),
                Task::Min => issues
                    .map_index(|row| (row.1, row.3))
                    .aggregate(Min)
                    .map(|(group, value)| Tup3(*group, *value, String::new()))
                    .output(),
                Task::Max => issues
                    .map_index(|row| (row.1, row.3))
                    .aggregate(Max)
                    .map(|(group, value)| Tup3(*group, *value, String::new()))
                    .output(),
                Task::Top => issues
                    .map_index(|row| ((), Tup3(-row.3, row.0, row.4.clone())))
                    .topk_asc(10)
                    .map(|(_, row)| Tup3(row.1, -row.0, row.2.clone()))
                    .output(),
                Task::Reach => {
                    let reached =
                        circuit.recursive(|child: &NestedCircuit, inner: Stream<_, OrdZSet<i64>>| {
                            let edges = edges.delta0(child).map_index(|edge| (edge.0, edge.1));
                            let roots = roots.delta0(child);
                            let found = inner.map_index(|node| (*node, ()));
                            Ok(found.join(&edges, |_, (), to| *to).plus(&roots))
                        })?;
                    reached.map(|node| Tup3(*node, *node, String::new())).output()
                }
                _ => {
                    let wanted = key.map_index(|key| (*key, ()));
                    issues
                        .map_index(|row| (row.1, row.clone()))
                        .join(&wanted, |_, row, ()| Tup3(row.0, row.3, row.4.clone()))
                        .output()
                }
            };
            Ok((issue, project, keys, edge, root, output))
        })
        .expect("the circuit starts");
    Circuit { handle, issue, project, keys, edge, root, output }
}

fn row(issue: Issue) -> Row {
    Tup5(issue.id, issue.project, issue.status, issue.prio, issue.title)
}

impl Circuit {
    /// Runs a transaction and gives the sum of its output.
    fn run(&mut self) -> i64 {
        self.handle.transaction().expect("the transaction runs");
        let output = self.output.consolidate();
        output.iter().map(|(row, (), weight)| weight * weigh(row.0, row.1)).sum()
    }

    fn load(&mut self, workload: &Workload, mut issues: Vec<Tup2<Row, ZWeight>>) -> i64 {
        if workload.task == Task::Reach {
            for number in 0..workload.projects {
                let (from, to) = workload.edge(number);
                self.edge.push(Tup2(from, to), 1);
            }
            self.root.push(0, 1);
        } else {
            self.issue.append(&mut issues);
            for id in 0..workload.projects {
                self.project.push(Tup2(i64::from(id), Workload::project(id)), 1);
            }
            (0..workload.queries).for_each(|key| self.keys.push(i64::from(key), 1));
        }
        self.run()
    }
}

struct Trial {
    workload: Workload,
    circuit: Option<Circuit>,
    issues: Vec<Row>,
    sum: i64,
}

impl Trial {
    fn open(workload: Workload) -> Self {
        let issues: Vec<Row> = (0..workload.issues).map(|id| row(workload.issue(id))).collect();
        let mut trial = Self { workload, circuit: None, issues, sum: 0 };
        if !trial.workload.task.hydrates() {
            let mut circuit = build(trial.workload.task);
            trial.sum = circuit.load(&trial.workload, trial.rows());
            trial.circuit = Some(circuit);
        }
        trial
    }

    fn rows(&self) -> Vec<Tup2<Row, ZWeight>> {
        self.issues.iter().map(|row| Tup2(row.clone(), 1)).collect()
    }

    /// The step's time in nanoseconds.
    fn step(&mut self, step: u32) -> u128 {
        let Self { workload, issues, sum, .. } = self;
        let Some(circuit) = &mut self.circuit else {
            let rows = self.rows();
            let start = Instant::now();
            let mut circuit = build(self.workload.task);
            self.sum = circuit.load(&self.workload, rows);
            let took = start.elapsed().as_nanos();
            circuit.handle.kill().expect("it ends");
            return took;
        };
        let mut changes = Vec::new();
        match workload.task {
            Task::Add => {
                let key = i64::from(workload.asked(step));
                let start = Instant::now();
                circuit.keys.push(key, 1);
                *sum = circuit.run();
                let took = start.elapsed().as_nanos();
                circuit.keys.push(key, -1);
                circuit.run();
                return took;
            }
            Task::Reach => {
                let (number, back) = workload.toggled(step);
                let (from, to) = workload.edge(number);
                let start = Instant::now();
                circuit.edge.push(Tup2(from, to), if back { 1 } else { -1 });
                *sum += circuit.run();
                return start.elapsed().as_nanos();
            }
            Task::Batch => {
                let weight = if step % 2 == 0 { 1 } else { -1 };
                changes.extend(workload.batch().into_iter().map(|issue| Tup2(row(issue), weight)));
            }
            _ => {
                let touched = &mut issues[workload.touched(step) as usize];
                changes.push(Tup2(touched.clone(), -1));
                touched.3 = Workload::prio(step, touched.3);
                changes.push(Tup2(touched.clone(), 1));
            }
        }
        let start = Instant::now();
        circuit.issue.append(&mut changes);
        *sum += circuit.run();
        start.elapsed().as_nanos()
    }
}

fn open(words: &[&str]) -> Option<Trial> {
    let task = TASKS.into_iter().find(|task| task.name() == words[0])?;
    let number = |place: usize| words[place].parse().expect("a number");
    let (issues, projects, queries, seed) = (number(1), number(2), number(3), number(4));
    Some(Trial::open(Workload { label: "", task, issues, projects, queries, steps: 0, aim: None, seed }))
}

fn main() {
    let mut trial = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("lines come in");
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match (words[0], &mut trial) {
            ("name", _) => "dbsp 0.349".to_owned(),
            ("open", _) => {
                trial = open(&words[1..]);
                if trial.is_some() { "ok" } else { "no" }.to_owned()
            }
            ("run", Some(trial)) => {
                let number = |place: usize| words[place].parse::<u32>().expect("a number");
                let times = (number(1)..number(1) + number(2)).map(|step| trial.step(step).to_string());
                times.collect::<Vec<_>>().join(" ")
            }
            ("sum", Some(trial)) => trial.sum.to_string(),
            ("close", _) => {
                trial = None;
                "ok".to_owned()
            }
            _ => format!("unknown: {line}"),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).expect("lines go out");
    }
}
