//! [`Requests`]: Deltaic as a whole, through [`Engine::step`], over a store in memory.
//!
//! A step is a request from its text to the news: parse, bind, constraints, log record, commit, circuits,
//! messages. Invariant: what is sent is read, row by row.

use std::time::{Duration, Instant};

use deltaic_causality::ActorId;
use deltaic_engine::{
    Claims, ClientId, Effects, Engine, Input, Life, Message, News, Now, Request, RequestId, Slice, Subscribe,
    SubscriptionId,
};
use deltaic_protocol::{Column, encode_row};
use deltaic_storage::{Identity, MemoryStore, Store as _};
use deltaic_types::{DataType, DatabaseId};
use serde_json::Value as Json;

use crate::{
    circuit::{TABLES, weigh_row},
    contestant::{Contestant, Sample, Trial},
    workload::{Issue, Task, Workload},
};

/// Longer than a view stays without subscribers.
const LONG_MICROS: i64 = 3_600_000_000;

/// Its place in the list of contestants.
#[derive(Debug)]
pub struct Requests;

/// An engine and its store.
pub struct Session {
    pub engine: Engine,
    store: MemoryStore,
    now: i64,
    next: u64,
}

impl Session {
    pub fn new() -> Self {
        let store = MemoryStore::new(Identity { database: DatabaseId(1), actor: ActorId(1) });
        let mut engine = Engine::open(&store).expect("the store opens");
        // There is nobody beside whom anything could be done.
        engine.set_slice(Slice::WHOLE);
        Self { engine, store, now: 1_700_000_000_000_000, next: 0 }
    }

    fn step(&mut self, input: Input) -> Effects {
        self.now += 1_000;
        self.engine.step(Now(self.now), input, &self.store)
    }

    /// Runs a request to its news.
    pub fn run(&mut self, sql: String, parameters: Vec<Json>) -> Vec<Message> {
        self.next += 1;
        let request =
            Request { id: RequestId(self.next), sql, parameters, claims: Claims::new(), basis: None };
        let mut effects = self.step(Input::Requests(vec![request]));
        if !effects.append.is_empty() {
            self.store.append(&effects.append).expect("the store takes the commit");
            effects = self.step(Input::Appended(Ok(())));
        }
        let reply = effects.replies.pop().expect("a request has its reply");
        assert!(reply.result.is_ok(), "{:?}", reply.result);
        effects.send
    }

    pub fn subscribe(&mut self, id: u64, sql: String, parameters: Vec<Json>) -> Vec<Message> {
        let (client, subscription) = (ClientId(1), SubscriptionId(id));
        let life = Life::default();
        let claims = Claims::new();
        let subscribe = Subscribe { client, subscription, sql, parameters, claims, resume: None, life };
        self.step(Input::Subscribe(subscribe)).send
    }

    fn unsubscribe(&mut self, id: u64) {
        self.step(Input::Unsubscribe { client: ClientId(1), subscription: SubscriptionId(id) });
    }

    /// Ends the subscription and lets the time of its view pass.
    pub fn end(&mut self, id: u64) {
        self.unsubscribe(id);
        self.now += LONG_MICROS;
        self.step(Input::Wake);
    }

    /// The tables of a workload, filled.
    pub fn load(workload: &Workload) -> Self {
        let mut session = Self::new();
        for sql in TABLES {
            session.run(sql.to_owned(), Vec::new());
        }
        session.run("CREATE INDEX ON issue (project)".to_owned(), Vec::new());
        session.run("CREATE INDEX ON edge (src)".to_owned(), Vec::new());
        if workload.task == Task::Reach {
            let edge = |number| {
                let (from, to) = workload.edge(number);
                format!("({number}, {from}, {to})")
            };
            session.insert("edge", (0..workload.projects).map(edge));
        } else {
            let project = |id| format!("({id}, '{}')", Workload::project(id));
            session.insert("project", (0..workload.projects).map(project));
            session.insert("issue", (0..workload.issues).map(|id| values(&workload.issue(id))));
        }
        session
    }

    fn insert(&mut self, table: &str, rows: impl Iterator<Item = String>) {
        let rows: Vec<String> = rows.collect();
        for rows in rows.chunks(500) {
            self.run(format!("INSERT INTO {table} VALUES {}", rows.join(", ")), Vec::new());
        }
    }
}

fn values(issue: &Issue) -> String {
    let Issue { id, project, status, prio, title } = issue;
    format!("({id}, {project}, {status}, {prio}, '{title}')")
}

/// The sum of what messages say; None where one is a refusal.
fn weigh_news(messages: &[Message]) -> Option<i64> {
    let mut sum = 0;
    for message in messages {
        match &message.news {
            News::Snapshot(snapshot) => sum += snapshot.rows.iter().map(|row| weigh_row(row)).sum::<i64>(),
            News::Change(change) => {
                sum += change.changes.iter().map(|(row, weight)| weight * weigh_row(row)).sum::<i64>();
            }
            News::Current(_) | News::Error { .. } => return None,
        }
    }
    Some(sum)
}

/// A snapshot's text, as the server makes it.
fn json(messages: &[Message]) -> String {
    let News::Snapshot(snapshot) = &messages[0].news else { panic!("a snapshot comes first") };
    let types: Vec<DataType> = snapshot.columns.iter().map(|column| column.data_type.clone()).collect();
    let column =
        |name: &String, data_type: &DataType| Column { name: name.clone(), data_type: data_type.to_string() };
    let body = deltaic_protocol::Snapshot {
        columns: snapshot.columns.iter().map(|it| column(&it.name, &it.data_type)).collect(),
        rows: snapshot.rows.iter().map(|row| encode_row(row, &types)).collect(),
        lsn: snapshot.cookie.lsn.0,
        keys: Vec::new(),
    };
    serde_json::to_string(&body).expect("it is text")
}

struct Running {
    workload: Workload,
    session: Session,
    /// What each issue's priority is now.
    prios: Vec<i64>,
    sum: i64,
}

impl Contestant for Requests {
    fn name(&self) -> String {
        "Deltaic, request".to_owned()
    }

    fn open(&mut self, workload: &Workload) -> Option<Box<dyn Trial>> {
        let mut session = Session::load(workload);
        let mut sum = 0;
        let queries: Vec<(String, Vec<Json>)> = match workload.task {
            Task::HydrateFilter | Task::HydrateJson | Task::HydrateJoin | Task::New => Vec::new(),
            Task::Keyed | Task::Add | Task::Drop => {
                (0..workload.queries).map(|key| (workload.sql(0), vec![Json::from(key)])).collect()
            }
            Task::Unindexed => (0..workload.queries).map(|key| (workload.sql(key), Vec::new())).collect(),
            _ => vec![(workload.sql(0), Vec::new())],
        };
        for (number, (sql, parameters)) in queries.into_iter().enumerate() {
            sum += weigh_news(&session.subscribe(number as u64, sql, parameters))?;
        }
        let prios = (0..workload.issues).map(|id| workload.issue(id).prio).collect();
        Some(Box::new(Running { workload: workload.clone(), session, prios, sum }))
    }
}

impl Trial for Running {
    fn run(&mut self, first: u32, count: u32) -> Vec<Sample> {
        (first..first + count).map(|step| Sample::of(self.step(step))).collect()
    }

    fn sum(&mut self) -> Option<i64> {
        (!matches!(self.workload.task, Task::Drop | Task::HydrateJson)).then_some(self.sum)
    }
}

impl Running {
    fn step(&mut self, step: u32) -> Duration {
        /// The number of the subscription that comes and goes.
        const OTHER: u64 = 1 << 40;
        let Self { workload, session, .. } = self;
        let (sql, parameters) = match workload.task {
            Task::Add | Task::Drop => (workload.sql(0), vec![Json::from(workload.asked(step))]),
            Task::New | Task::HydrateFilter | Task::HydrateJson | Task::HydrateJoin => {
                (workload.sql(step), Vec::new())
            }
            _ => return self.change(step),
        };
        let start = Instant::now();
        let messages = session.subscribe(OTHER, sql, parameters);
        if workload.task == Task::HydrateJson {
            std::hint::black_box(json(&messages));
        } else {
            self.sum = weigh_news(&messages).expect("a snapshot");
        }
        let added = start.elapsed();
        drop(messages);
        let start = Instant::now();
        session.end(OTHER);
        if workload.task == Task::Drop { start.elapsed() } else { added }
    }

    fn change(&mut self, step: u32) -> Duration {
        let (sql, parameters) = match self.workload.task {
            Task::Batch if step % 2 == 0 => {
                let rows: Vec<String> = self.workload.batch().iter().map(values).collect();
                (format!("INSERT INTO issue VALUES {}", rows.join(", ")), Vec::new())
            }
            Task::Batch => {
                let ids: Vec<String> =
                    self.workload.batch().iter().map(|issue| issue.id.to_string()).collect();
                (format!("DELETE FROM issue WHERE id IN ({})", ids.join(", ")), Vec::new())
            }
            Task::Reach => match self.workload.toggled(step) {
                (number, true) => {
                    let (from, to) = self.workload.edge(number);
                    let values = vec![Json::from(number), Json::from(from), Json::from(to)];
                    ("INSERT INTO edge VALUES ($1, $2, $3)".to_owned(), values)
                }
                (number, false) => ("DELETE FROM edge WHERE id = $1".to_owned(), vec![Json::from(number)]),
            },
            _ => {
                let id = self.workload.touched(step);
                let prio = &mut self.prios[id as usize];
                *prio = Workload::prio(step, *prio);
                let values = vec![Json::from(id), Json::from(*prio)];
                ("UPDATE issue SET prio = $2 WHERE id = $1".to_owned(), values)
            }
        };
        let start = Instant::now();
        let messages = self.session.run(sql, parameters);
        self.sum += weigh_news(&messages).expect("a change");
        start.elapsed()
    }
}
