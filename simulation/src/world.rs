//! The simulated world: the engine over redb over a disk that loses, tears and refuses writes.
//!
//! A seed gives a schema, transactions, live queries that come and go, and faults: a crash during any
//! storage operation, a sync that fails, a disk that is full. Checked: after every commit each live result
//! equals the naive one; after every restart every acknowledged transaction is there, the one in flight is
//! there wholly or not at all, nothing else is, and the log, of which a few commits may be left, explains the tables.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_engine::{RequestError, Slice};
use deltaic_sql::parse;
use deltaic_storage::{FaultPlan, FaultyDisk, RedbStore, StorageError, check};

use crate::{
    client::{LiveResult, same, sorted},
    driver::{Driver, Log},
    fuzz::{Tally, identity},
    generator::{Generator, QueryCase},
    naive::{self, Database, Failure, Table, V},
    random::Random,
    run::ast_of,
};

/// Runs the world of a seed. The error tells what is wrong and what led there.
pub fn world(seed: u64, tell: bool) -> Result<Tally, String> {
    let mut world = World::new(seed, tell)?;
    world.run().map_err(|error| format!("seed {seed}: {error}\n{}", world.history.join(";\n")))?;
    Ok(world.tally)
}

struct World {
    generator: Generator,
    random: Random,
    /// How many commits stay in the log.
    log: Log,
    disk: FaultyDisk,
    driver: Option<Driver<RedbStore>>,
    database: Database,
    live: BTreeMap<u64, (QueryCase, LiveResult)>,
    next: u64,
    now: i64,
    history: Vec<String>,
    tally: Tally,
    tell: bool,
    /// Whether requests run beside the commits.
    beside: bool,
}

impl World {
    fn new(seed: u64, tell: bool) -> Result<Self, String> {
        let generator = Generator::new(seed);
        let disk = FaultyDisk::new(seed);
        let now = 1_700_000_000_000_000;
        let store = RedbStore::create_with_backend(disk.clone(), identity()).map_err(|e| e.to_string())?;
        let driver = Driver::open(store, now).map_err(|error| error.to_string())?;
        Ok(Self {
            generator,
            random: Random::new(seed ^ 0x5eed),
            log: Log::new(seed),
            disk,
            driver: Some(driver),
            database: Database::new(),
            live: BTreeMap::new(),
            next: 0,
            now,
            history: Vec::new(),
            tally: Tally::default(),
            tell,
            beside: false,
        })
    }

    fn note(&mut self, text: String) {
        if self.tell {
            println!("{text};");
        }
        self.history.push(text);
    }

    fn driver(&mut self) -> &mut Driver<RedbStore> {
        self.driver.as_mut().expect("invariant: the engine runs between restarts")
    }

    fn run(&mut self) -> Result<(), String> {
        for statement in self.generator.schema() {
            self.note(statement.clone());
            self.driver().run(&statement).map_err(|error| format!("{statement}: {error}"))?;
        }
        for table in &self.generator.tables {
            let (columns, kinds) = table.columns.iter().cloned().unzip();
            self.database.insert(table.name.clone(), Table { columns, kinds, key: 1, rows: Vec::new() });
        }
        for _ in 0..30 {
            // Nothing depends on where and when something is computed.
            self.beside = self.random.one_in(2);
            let slice = if self.beside { Slice::NONE } else { Slice::WHOLE };
            self.driver().engine.set_slice(slice);
            self.driver().holds |= self.random.one_in(4);
            let log = self.log.kept();
            self.driver().log = log;
            match self.random.below(8) {
                0 => self.subscribe()?,
                1 => self.plan_fault(),
                2 if self.random.one_in(3) => {
                    self.note("-- crash".to_owned());
                    self.restart(Vec::new())?;
                }
                _ => self.write()?,
            }
            if !self.driver().holds || self.random.one_in(2) {
                self.driver().holds = false;
                self.driver().work();
                self.deliver()?;
                self.compare()?;
            }
        }
        self.note("-- the end".to_owned());
        self.restart(Vec::new())?;
        self.compare()
    }

    /// Something will go wrong soon.
    fn plan_fault(&mut self) {
        let soon = 1 + self.random.below(40) as u64;
        let mut plan = FaultPlan::default();
        match self.random.below(4) {
            0 | 1 => plan.crash_at = Some(soon),
            2 => plan.fail_sync = Some(1 + soon % 3),
            _ => plan.fail_write = Some(soon),
        }
        self.note(format!("-- {plan:?}"));
        self.disk.set_plan(plan);
    }

    fn subscribe(&mut self) -> Result<(), String> {
        let query = self.generator.plain_query();
        self.next += 1;
        self.note(format!("-- subscribe {}: {} {:?}", self.next, query.sql, query.parameters));
        let next = self.next;
        self.driver().subscribe(next, &query.sql, &query.parameters, None);
        self.live.insert(self.next, (query, LiveResult::default()));
        self.tally.queries += 1;
        self.deliver()
    }

    fn write(&mut self) -> Result<(), String> {
        let count = 1 + self.random.below(3);
        let statements: Vec<String> = (0..count).map(|_| self.generator.statement()).collect();
        for statement in &statements {
            self.note(statement.clone());
        }
        if self.beside {
            return self.write_beside(&statements);
        }
        let mut after = self.database.clone();
        let mut outcomes = Vec::new();
        for statement in &statements {
            let mut trial = after.clone();
            let parsed = parse(statement).map_err(|error| format!("{statement}: {error}"))?;
            let outcome = naive::execute(&mut trial, ast_of(&parsed[0]));
            if outcome.is_ok() {
                after = trial;
            }
            outcomes.push(outcome);
        }
        match self.driver().batch(&statements) {
            Ok(replies) => {
                for ((statement, reply), outcome) in statements.iter().zip(replies).zip(outcomes) {
                    match (reply, outcome) {
                        (Ok(_), Ok(_)) => self.tally.commits += 1,
                        (
                            Err(RequestError::Evaluation(_) | RequestError::Constraint(_)),
                            Err(Failure::Evaluation(_) | Failure::Constraint),
                        ) => {}
                        // A read that met the failing disk; the next append will say more.
                        (Err(RequestError::Storage(error)), _) => return self.failed(&error, vec![after]),
                        (reply, outcome) => {
                            let reply = reply.map(|o| o.rows_affected).map_err(|e| e.to_string());
                            return Err(format!("{statement}: {reply:?}, the oracle says {outcome:?}"));
                        }
                    }
                }
                self.database = after;
                self.made()
            }
            Err(error) => self.failed(&error, vec![after]),
        }
    }

    /// Each request comes while those before it run aside; they are one after the other in the order of their commits.
    fn write_beside(&mut self, statements: &[String]) -> Result<(), String> {
        let driver = self.driver();
        let holds = std::mem::replace(&mut driver.holds, true);
        let ids: Vec<_> =
            statements.iter().flat_map(|statement| driver.send(std::slice::from_ref(statement))).collect();
        driver.holds = holds;
        let (replies, failure) = driver.outcome(&ids);
        let mut made: Vec<(_, bool, usize)> = Vec::new();
        let mut open = Vec::new();
        for (place, reply) in replies.into_iter().enumerate() {
            match reply {
                Some(Ok(outcome)) => made.push((outcome.lsn, outcome.rows_affected == 0, place)),
                Some(Err(RequestError::Evaluation(_) | RequestError::Constraint(_))) => {}
                None | Some(Err(RequestError::Storage(_))) => open.push(place),
                Some(Err(error)) => return Err(format!("{}: {error}", statements[place])),
            }
        }
        made.sort();
        let mut after = self.database.clone();
        for (_, _, place) in &made {
            Self::execute(&mut after, &statements[*place])?;
            self.tally.commits += 1;
        }
        // What was acknowledged is there, whatever comes now.
        self.database = after;
        let Some(failure) = failure else { return self.made() };
        // Of what was not, anything may be, one request after the other.
        let mut candidates = Vec::new();
        let mut orders = vec![(self.database.clone(), open)];
        while let Some((state, left)) = orders.pop() {
            for place in &left {
                let mut next = state.clone();
                if Self::execute(&mut next, &statements[*place]).is_ok() {
                    candidates.push(next.clone());
                }
                orders.push((next, left.iter().copied().filter(|other| other != place).collect()));
            }
        }
        self.failed(&failure, candidates)
    }

    /// All that was asked is done; bringing what was written ahead into its tables may have failed.
    fn made(&mut self) -> Result<(), String> {
        match self.driver().unsettled.take() {
            Some(error) => self.failed(&error, Vec::new()),
            None => self.deliver(),
        }
    }

    /// Runs a statement on the oracle's tables.
    fn execute(database: &mut Database, statement: &str) -> Result<(), String> {
        let parsed = parse(statement).map_err(|error| format!("{statement}: {error}"))?;
        let mut trial = database.clone();
        naive::execute(&mut trial, ast_of(&parsed[0]))
            .map_err(|failure| format!("{statement}: the oracle says {failure:?}"))?;
        *database = trial;
        Ok(())
    }

    /// An append failed. Unless the disk was merely full the process ends here.
    fn failed(&mut self, error: &Arc<StorageError>, after: Vec<Database>) -> Result<(), String> {
        self.note(format!("-- {error}"));
        if matches!(**error, StorageError::DiskFull { .. }) {
            // Nothing is lost and nothing of the batch is there; the store is opened anew, the engine goes on.
            self.disk.set_plan(FaultPlan::default());
            let driver = self.driver.take().expect("invariant: the engine ran");
            let open = || RedbStore::open_with_backend(self.disk.clone()).map_err(|e| e.to_string());
            self.driver = Some(driver.reopen(open)?);
            let tables = self.tables()?;
            return Self::check_tables(&tables, &self.database);
        }
        self.restart(after)
    }

    /// The machine stops and starts again. `in_flight` are the states if what was in flight made it.
    fn restart(&mut self, in_flight: Vec<Database>) -> Result<(), String> {
        if let Some(driver) = self.driver.take() {
            self.now = driver.now;
            // What the process would still have written as it ends never happens.
            self.disk.set_plan(FaultPlan { crash_at: Some(1), ..FaultPlan::default() });
            self.disk = self.disk.crash(self.random.number());
            drop(driver);
        }
        let store = RedbStore::open_with_backend(self.disk.clone()).map_err(|error| error.to_string())?;
        let report = check(&store).map_err(|error| error.to_string())?;
        if !report.is_clean() {
            return Err(format!("the log does not explain the tables: {report:?}"));
        }
        self.driver = Some(Driver::open(store, self.now).map_err(|error| error.to_string())?);
        let tables = self.tables()?;
        if let Err(error) = Self::check_tables(&tables, &self.database) {
            let made = in_flight.into_iter().find(|after| Self::check_tables(&tables, after).is_ok());
            self.database = made.ok_or_else(|| format!("{error}\nnor what was in flight"))?;
        }
        let queries: Vec<(u64, QueryCase)> =
            self.live.iter().map(|(id, (query, _))| (*id, query.clone())).collect();
        for (id, query) in queries {
            self.driver().subscribe(id, &query.sql, &query.parameters, None);
            self.live.insert(id, (query, LiveResult::default()));
        }
        self.deliver()
    }

    fn deliver(&mut self) -> Result<(), String> {
        for message in std::mem::take(&mut self.driver().messages) {
            if let Some((query, result)) = self.live.get_mut(&message.subscription.0) {
                result.take(&message.news).map_err(|error| format!("{}: {error}", query.sql))?;
            }
        }
        Ok(())
    }

    /// The tables' rows, as the engine tells them.
    fn tables(&mut self) -> Result<BTreeMap<String, Vec<Vec<V>>>, String> {
        let names: Vec<String> = self.database.keys().cloned().collect();
        let mut tables = BTreeMap::new();
        for name in names {
            let sql = format!("SELECT * FROM {name}");
            let outcome = self.driver().run(&sql).map_err(|error| format!("{sql}: {error}"))?;
            let types: Vec<_> = outcome.columns.iter().map(|column| column.data_type.clone()).collect();
            let rows = outcome
                .rows
                .iter()
                .map(|row| row.iter().zip(&types).map(|(value, t)| V::from_engine(value, t)).collect())
                .collect();
            tables.insert(name, sorted(rows));
        }
        Ok(tables)
    }

    fn check_tables(tables: &BTreeMap<String, Vec<Vec<V>>>, database: &Database) -> Result<(), String> {
        for (name, table) in database {
            let expected = sorted(table.rows.clone());
            if !same(&tables[name], &expected) {
                return Err(format!("table {name}\n  is     {:?}\n  should {expected:?}", tables[name]));
            }
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), String> {
        for (id, (query, result)) in &self.live {
            let statements = parse(&query.sql).map_err(|error| format!("{}: {error}", query.sql))?;
            let parameters: Vec<V> =
                query.parameters.iter().map(|value| value.as_i64().map_or(V::Null, V::Int)).collect();
            let expected = naive::query(&self.database, ast_of(&statements[0]), &parameters);
            self.tally.comparisons += 1;
            match (&result.error, expected) {
                (Some(_), Err(Failure::Evaluation(_))) => self.tally.errors += 1,
                // Which rows are right is nowhere said.
                (_, Err(Failure::Ambiguous)) => {}
                (None, Ok(expected)) if same(&result.values(), &sorted(expected.clone())) => {}
                (error, expected) => {
                    return Err(format!(
                        "subscription {id}: {} {:?}\n  live  {:?} {error:?}\n  naive {:?}",
                        query.sql,
                        query.parameters,
                        result.values(),
                        expected.map(sorted)
                    ));
                }
            }
        }
        Ok(())
    }
}
