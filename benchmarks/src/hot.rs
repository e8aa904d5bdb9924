//! The share of operations that are served from memory: those that read nothing from the store.

use std::{cell::Cell, collections::BTreeMap, path::Path, sync::Arc};

use deltaic_causality::ActorId;
use deltaic_simulation::tpch::{SCHEMA, Workload};
use deltaic_storage::{
    Commit, Header, Identity, MemoryStore, Reader, Stager, StorageError, Store, StoredRow, TableSize,
};
use deltaic_types::{DatabaseId, Lsn, Row, TableId, Value};

use crate::{
    flights::{QUERIES, TABLES, load},
    session::Session,
};

/// A store that counts what is read of its tables.
struct Counted {
    store: MemoryStore,
    reads: Cell<u64>,
}

impl Counted {
    fn new() -> Self {
        let identity = Identity { database: DatabaseId(1), actor: ActorId(1) };
        Self { store: MemoryStore::new(identity), reads: Cell::new(0) }
    }
}

impl Reader for Counted {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        self.reads.set(self.reads.get() + 1);
        self.store.row(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        self.reads.set(self.reads.get() + 1);
        self.store.scan(table, columns, visit)
    }
}

impl Store for Counted {
    fn header(&self) -> Result<Header, StorageError> {
        self.store.header()
    }

    fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError> {
        self.store.snapshot()
    }

    fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError> {
        self.store.commits(after, limit)
    }

    fn append(&mut self, commits: &[Commit]) -> Result<(), StorageError> {
        self.store.append(commits)
    }

    fn stager(&self) -> Box<dyn Stager> {
        self.store.stager()
    }

    fn settle(&mut self, limit: usize) -> Result<bool, StorageError> {
        self.store.settle(limit)
    }

    fn first(&self) -> Lsn {
        self.store.first()
    }

    fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError> {
        self.store.sizes()
    }
}

/// How many operations of a kind there were, and how many of them read the store.
#[derive(Default)]
struct Share {
    all: u64,
    cold: u64,
}

#[derive(Default)]
struct Shares(BTreeMap<&'static str, Share>);

impl Shares {
    /// Runs an operation and counts it.
    fn count(
        &mut self,
        kind: &'static str,
        session: &mut Session<Counted>,
        run: impl FnOnce(&mut Session<Counted>),
    ) {
        let before = session.store.reads.get();
        run(session);
        let share = self.0.entry(kind).or_default();
        share.all += 1;
        share.cold += u64::from(session.store.reads.get() > before);
    }

    fn run(&mut self, kind: &'static str, session: &mut Session<Counted>, sql: &str) {
        self.count(kind, session, |session| drop(session.run(sql, Vec::new())));
    }

    /// Opens live queries, and again for another subscriber, and asks them once.
    fn ask(&mut self, session: &mut Session<Counted>, queries: &[&str]) {
        for kind in ["first subscription", "further subscription"] {
            for query in queries {
                let id = self.0.values().map(|share| share.all).sum();
                self.count(kind, session, |session| {
                    session.subscribe(id, query);
                });
            }
        }
        for query in queries {
            self.run("SELECT", session, query);
        }
    }

    fn print(&self, name: &str) {
        let (mut all, mut hot) = (0, 0);
        for (kind, share) in &self.0 {
            println!("| {name} | {kind} | {} | {} |", share.all, share.all - share.cold);
            (all, hot) = (all + share.all, hot + share.all - share.cold);
        }
        println!("| {name} | all | {all} | {hot} ({:.0} %) |", hot as f64 * 100.0 / all as f64);
    }
}

/// The demo: all tables, ten live queries, each flight departs and arrives.
fn demo(directory: &Path) -> Shares {
    let mut shares = Shares::default();
    let mut session = Session::open(Counted::new());
    session.run(include_str!("../../examples/flights/schema.sql"), Vec::new());
    for table in TABLES {
        load(&mut session, directory, table);
    }
    shares.ask(&mut session, &QUERIES);
    for id in 1..=1_000 {
        let departs = format!(
            "UPDATE flights SET status = 'departed', dep_time = 517, dep_delay = {} WHERE id = {id}",
            id % 90
        );
        let arrives = format!(
            "UPDATE flights SET status = 'arrived', arr_time = 830, arr_delay = 11, air_time = 227 WHERE id = {id}"
        );
        shares.run("UPDATE of a flight", &mut session, &departs);
        shares.run("UPDATE of a flight", &mut session, &arrives);
        shares.run(
            "SELECT of a flight",
            &mut session,
            &format!("SELECT carrier, dest, status FROM flights WHERE id = {id}"),
        );
    }
    shares
}

/// TPC-H: its queries live, and the refreshes as transactions.
fn tpch() -> Shares {
    let mut shares = Shares::default();
    let mut session = Session::open(Counted::new());
    let workload = Workload::of(0.01);
    session.run(SCHEMA, Vec::new());
    for sql in &workload.load {
        shares.run("INSERT of 2,000 rows", &mut session, sql);
    }
    let queries: Vec<&str> = workload.queries.iter().map(String::as_str).collect();
    shares.ask(&mut session, &queries);
    for (name, sql) in &workload.refreshes {
        shares.run(name, &mut session, sql);
    }
    shares
}

pub(crate) fn run(directory: &Path) {
    println!("| workload | operation | times | without a read of the store |");
    println!("|---|---|---|---|");
    demo(directory).print("demo");
    tpch().print("TPC-H");
}
