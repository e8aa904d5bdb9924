//! [`Differential`]: differential dataflow, one worker in this thread.
//!
//! A workload is a dataflow written by hand; a step feeds changes and runs the worker until its output is complete.
//! Many `k = $1` are one join with a collection of parameters, and the top ten a reduction in stages, as
//! Materialize builds them; a query of a new form is a new dataflow that imports the shared arrangement.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use differential_dataflow::{
    VecCollection,
    input::{Input, InputSession},
    operators::{arrange::TraceAgent, iterate::Iterate as _},
    trace::{TraceReader as _, implementations::ValSpine},
};
use timely::{
    WorkerConfig,
    communication::allocator::{Allocator, thread::Thread},
    dataflow::{ProbeHandle, Scope},
    progress::frontier::AntichainRef,
    worker::Worker,
};

use crate::{
    contestant::{Contestant, Sample, Trial},
    workload::{Issue, Task, Workload, weigh},
};

type Time = u32;
type IssueRow = (i64, i64, i64, i64, String);
type Rows<'a, D> = VecCollection<'a, Time, D, isize>;
type Shared = TraceAgent<ValSpine<i64, IssueRow, Time, isize>>;

/// Its place in the list of contestants.
pub struct Differential {
    worker: Worker,
}

impl Differential {
    pub fn new() -> Self {
        let allocator = Allocator::Thread(Thread::default());
        Self { worker: Worker::new(WorkerConfig::default(), allocator, Some(Instant::now())) }
    }
}

/// The inputs of a dataflow, those that it has.
#[derive(Default)]
struct Inputs {
    issue: Option<InputSession<Time, IssueRow, isize>>,
    project: Option<InputSession<Time, (i64, String), isize>>,
    /// The parameters of live queries.
    keys: Option<InputSession<Time, i64, isize>>,
    edge: Option<InputSession<Time, (i64, i64), isize>>,
    root: Option<InputSession<Time, i64, isize>>,
}

struct Running {
    workload: Workload,
    worker: Worker,
    inputs: Inputs,
    probe: ProbeHandle<Time>,
    /// The issues by project, for dataflows that come later.
    shared: Option<Shared>,
    time: Time,
    /// The sum over all output.
    sum: Rc<Cell<i64>>,
    issues: Vec<IssueRow>,
}

fn row(issue: Issue) -> IssueRow {
    (issue.id, issue.project, issue.status, issue.prio, issue.title)
}

/// Reads a result to its end.
fn output<D: differential_dataflow::Data>(
    rows: Rows<'_, D>,
    probe: &ProbeHandle<Time>,
    sum: &Rc<Cell<i64>>,
    weigh: impl Fn(&D) -> i64 + 'static,
) {
    let sum = Rc::clone(sum);
    rows.inspect(move |(row, _, weight)| sum.set(sum.get() + *weight as i64 * weigh(row))).probe_with(probe);
}

fn by_first_two(row: &(i64, i64, String)) -> i64 {
    weigh(row.0, row.1)
}

/// The dataflow of a workload.
fn build(
    workload: &Workload,
    scope: Scope<'_, Time>,
    probe: &ProbeHandle<Time>,
    sum: &Rc<Cell<i64>>,
) -> (Inputs, Option<Shared>) {
    let mut inputs = Inputs::default();
    let mut shared = None;
    if workload.task == Task::Reach {
        let (edge, edges) = scope.new_collection::<(i64, i64), isize>();
        let (root, roots) = scope.new_collection::<i64, isize>();
        inputs.edge = Some(edge);
        inputs.root = Some(root);
        let reached = roots.clone().iterate(move |scope, inner| {
            let (edges, roots) = (edges.enter(scope), roots.enter(scope));
            inner.map(|node| (node, ())).join_map(edges, |_, (), to| *to).concat(roots).distinct()
        });
        output(reached, probe, sum, |node| weigh(*node, *node));
        return (inputs, shared);
    }
    let (issue, issues) = scope.new_collection::<IssueRow, isize>();
    inputs.issue = Some(issue);
    let result = |(id, _, _, prio, title): IssueRow| (id, prio, title);
    match workload.task {
        Task::HydrateFilter => {
            output(issues.filter(|row| row.2 < 1 && row.3 > 20).map(result), probe, sum, by_first_two);
        }
        Task::Filter => {
            output(issues.filter(|row| row.2 < 3 && row.3 > 20).map(result), probe, sum, by_first_two);
        }
        Task::HydrateJoin | Task::Batch | Task::Join => {
            let (project, projects) = scope.new_collection::<(i64, String), isize>();
            inputs.project = Some(project);
            let least = if workload.task == Task::HydrateJoin { -1 } else { 20 };
            let joined = issues
                .filter(move |row| row.3 > least)
                .map(|row| (row.1, (row.0, row.4)))
                .join_map(projects, |key, (id, title), name| (*id, *key, title.clone(), name.clone()));
            output(joined, probe, sum, |row| weigh(row.0, row.1));
        }
        Task::Count => {
            let counts = issues.map(|row| row.3).count();
            output(counts, probe, sum, |(prio, count)| weigh(*prio, *count as i64));
        }
        Task::Min | Task::Max => {
            let last = workload.task == Task::Max;
            let extremes = issues.map(|row| (row.1, row.3)).reduce(move |_, values, output| {
                output.push((*values[if last { values.len() - 1 } else { 0 }].0, 1));
            });
            output(extremes, probe, sum, |(group, value)| weigh(*group, *value));
        }
        Task::Top => {
            let mut ordered = issues.map(|row| (-row.3, row.0, row.4));
            for buckets in [256, 16, 1] {
                ordered = ordered
                    .map(move |row| (row.1 % buckets, row))
                    .reduce(|_, rows, output| {
                        output.extend(rows.iter().take(10).map(|(row, weight)| ((*row).clone(), *weight)));
                    })
                    .map(|(_, row)| row);
            }
            output(ordered, probe, sum, |row| weigh(row.1, -row.0));
        }
        Task::Keyed | Task::Add | Task::Drop | Task::New => {
            let (key, keys) = scope.new_collection::<i64, isize>();
            inputs.keys = Some(key);
            let arranged = issues.map(|row| (row.1, row)).arrange_by_key();
            if workload.task == Task::New {
                shared = Some(arranged.trace.clone());
            }
            let found = keys
                .map(|key| (key, ()))
                .arrange_by_key()
                .join_core(arranged, |_, (), row| Some((row.0, row.3, row.4.clone())));
            output(found, probe, sum, by_first_two);
        }
        Task::Unindexed => {
            for query in 0..workload.queries {
                let (factor, bound) = Workload::constants(query);
                let passed = issues.clone().filter(move |row| row.3 * factor + row.2 > bound).map(result);
                output(passed, probe, sum, by_first_two);
            }
        }
        Task::HydrateJson | Task::Reach => unreachable!("they have no dataflow here"),
    }
    (inputs, shared)
}

impl Running {
    fn new(workload: &Workload, worker: &Worker) -> Self {
        Self {
            workload: workload.clone(),
            worker: worker.clone(),
            inputs: Inputs::default(),
            probe: ProbeHandle::new(),
            shared: None,
            time: 0,
            sum: Rc::default(),
            issues: (0..workload.issues).map(|id| row(workload.issue(id))).collect(),
        }
    }

    /// Builds the dataflow.
    fn build(&mut self) {
        let Self { workload, worker, probe, sum, .. } = self;
        let (inputs, shared) = worker.dataflow::<Time, _, _>(|scope| build(workload, scope, probe, sum));
        (self.inputs, self.shared) = (inputs, shared);
        self.time = 0;
    }

    /// Feeds the rows that are there from the beginning.
    fn load(&mut self, issues: Vec<IssueRow>) {
        if let Some(input) = &mut self.inputs.issue {
            issues.into_iter().for_each(|row| input.insert(row));
        }
        if let Some(input) = &mut self.inputs.project {
            (0..self.workload.projects).for_each(|id| input.insert((i64::from(id), Workload::project(id))));
        }
        if let Some(input) = &mut self.inputs.keys {
            (0..self.workload.queries).for_each(|key| input.insert(i64::from(key)));
        }
        if let Some(input) = &mut self.inputs.edge {
            (0..self.workload.projects).for_each(|number| input.insert(self.workload.edge(number)));
        }
        if let Some(input) = &mut self.inputs.root {
            input.insert(0);
        }
        self.advance();
    }

    /// Runs until the output is complete.
    fn advance(&mut self) {
        fn to<D: differential_dataflow::Data>(input: &mut Option<InputSession<Time, D, isize>>, time: Time) {
            if let Some(input) = input {
                input.advance_to(time);
                input.flush();
            }
        }
        self.time += 1;
        to(&mut self.inputs.issue, self.time);
        to(&mut self.inputs.project, self.time);
        to(&mut self.inputs.keys, self.time);
        to(&mut self.inputs.edge, self.time);
        to(&mut self.inputs.root, self.time);
        if let Some(shared) = &mut self.shared {
            shared.set_logical_compaction(AntichainRef::new(&[self.time]));
            shared.set_physical_compaction(AntichainRef::new(&[self.time]));
        }
        let (probe, time) = (&self.probe, self.time);
        self.worker.step_while(|| probe.less_than(&time));
    }

    /// Ends the dataflow.
    fn close(&mut self) {
        self.inputs = Inputs::default();
        self.shared = None;
        while self.worker.has_dataflows() {
            let before = self.worker.installed_dataflows().len();
            if !self.worker.step() && self.worker.installed_dataflows().len() == before {
                break;
            }
        }
    }

    fn step(&mut self, step: u32) -> Duration {
        match self.workload.task {
            Task::HydrateFilter | Task::HydrateJoin => {
                let issues = self.issues.clone();
                self.sum.set(0);
                let start = Instant::now();
                self.build();
                self.load(issues);
                let took = start.elapsed();
                self.close();
                took
            }
            Task::Add | Task::Drop => {
                let key = i64::from(self.workload.asked(step));
                let mut set = |weight| {
                    self.sum.set(0);
                    let start = Instant::now();
                    self.inputs.keys.as_mut().expect("it has keys").update(key, weight);
                    self.advance();
                    start.elapsed()
                };
                let added = set(1);
                let sum = self.sum.get();
                let mut set = |weight| {
                    let start = Instant::now();
                    self.inputs.keys.as_mut().expect("it has keys").update(key, weight);
                    self.advance();
                    start.elapsed()
                };
                let dropped = set(-1);
                self.sum.set(sum);
                if self.workload.task == Task::Add { added } else { dropped }
            }
            Task::New => self.import(step),
            _ => self.change(step),
        }
    }

    /// A new dataflow over the shared arrangement, for one key.
    fn import(&mut self, step: u32) -> Duration {
        let key = i64::from(self.workload.asked(step));
        let least = -1 - i64::from(step);
        self.sum.set(0);
        let Self { worker, probe, sum, shared, time, .. } = self;
        let shared = shared.as_mut().expect("it was arranged");
        let own = ProbeHandle::new();
        let start = Instant::now();
        let mut keys = worker.dataflow::<Time, _, _>(|scope| {
            let issues = shared.import(scope);
            let (keys, collection) = scope.new_collection::<i64, isize>();
            let found = collection
                .map(|key| (key, ()))
                .arrange_by_key()
                .join_core(issues, move |_, (), row| (row.3 > least).then(|| (row.0, row.3, row.4.clone())));
            output(found, &own, sum, by_first_two);
            keys
        });
        keys.insert(key);
        keys.advance_to(*time);
        keys.flush();
        worker.step_while(|| own.less_than(time));
        let took = start.elapsed();
        let before = worker.installed_dataflows().len();
        drop(keys);
        let result = sum.get();
        let _ = probe;
        let newest = worker.installed_dataflows().into_iter().max().expect("it was installed");
        worker.drop_dataflow(newest);
        debug_assert!(worker.installed_dataflows().len() < before);
        self.sum.set(result);
        took
    }

    fn change(&mut self, step: u32) -> Duration {
        let mut changes = Vec::new();
        let mut edge = None;
        match self.workload.task {
            Task::Batch => {
                let weight = if step % 2 == 0 { 1 } else { -1 };
                changes.extend(self.workload.batch().into_iter().map(|issue| (row(issue), weight)));
            }
            Task::Reach => {
                let (number, back) = self.workload.toggled(step);
                edge = Some((self.workload.edge(number), if back { 1 } else { -1 }));
            }
            _ => {
                let touched = &mut self.issues[self.workload.touched(step) as usize];
                changes.push((touched.clone(), -1));
                touched.3 = Workload::prio(step, touched.3);
                changes.push((touched.clone(), 1));
            }
        }
        let start = Instant::now();
        if let Some(input) = &mut self.inputs.issue {
            changes.into_iter().for_each(|(row, weight)| input.update(row, weight));
        }
        if let (Some(input), Some((edge, weight))) = (&mut self.inputs.edge, edge) {
            input.update(edge, weight);
        }
        self.advance();
        start.elapsed()
    }
}

impl Contestant for Differential {
    fn name(&self) -> String {
        "differential 0.25.1".to_owned()
    }

    fn open(&mut self, workload: &Workload) -> Option<Box<dyn Trial>> {
        if workload.task == Task::HydrateJson {
            return None;
        }
        let mut running = Running::new(workload, &self.worker);
        if !workload.task.hydrates() {
            running.build();
            running.load(running.issues.clone());
        }
        Some(Box::new(running))
    }
}

impl Trial for Running {
    fn run(&mut self, first: u32, count: u32) -> Vec<Sample> {
        (first..first + count).map(|step| Sample::of(self.step(step))).collect()
    }

    fn sum(&mut self) -> Option<i64> {
        (self.workload.task != Task::Drop).then(|| self.sum.get())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close();
    }
}
