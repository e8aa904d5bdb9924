//! The query fuzzer: after every commit each live result equals the naive one and the fresh one; at the end
//! PostgreSQL agrees, and when all is unsubscribed nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_engine::{Breaker, RequestError};
use deltaic_query::parse;
use deltaic_storage::{Identity, MemoryStore};
use deltaic_types::DatabaseId;

use crate::{
    client::{LiveResult, same, sorted},
    driver::Driver,
    generator::{Generator, QueryCase},
    naive::{self, Database, Failure, Table, V},
    postgres::Postgres,
};

/// What a case counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Queries subscribed to.
    pub queries: usize,
    /// Commits.
    pub commits: usize,
    /// Comparisons of a live result with an oracle.
    pub comparisons: usize,
    /// Comparisons with PostgreSQL.
    pub postgres: usize,
    /// Results in state error.
    pub errors: usize,
    /// Results of which the oracle says nothing: errors of subqueries that it computes only when asked.
    pub undecided: usize,
}

impl Tally {
    /// Adds another's counts.
    pub fn add(&mut self, other: Self) {
        self.queries += other.queries;
        self.commits += other.commits;
        self.comparisons += other.comparisons;
        self.postgres += other.postgres;
        self.errors += other.errors;
        self.undecided += other.undecided;
    }
}

struct Live {
    query: QueryCase,
    result: LiveResult,
}

/// The identity of stores in tests.
pub fn identity() -> Identity {
    Identity { database: DatabaseId(0xd417), actor: deltaic_causality::ActorId(1) }
}

/// Runs the case of a seed. The error tells what is wrong, with the statements that lead there.
pub fn case(seed: u64, postgres: Option<&mut Postgres>, tell: bool) -> Result<Tally, String> {
    let mut case = Case::new(seed, tell)?;
    case.run().map_err(|error| format!("seed {seed}: {error}\n{}", case.history.join(";\n")))?;
    if let Some(postgres) = postgres {
        case.against_postgres(postgres)
            .map_err(|error| format!("seed {seed}: {error}\n{}", case.history.join(";\n")))?;
    }
    case.leave().map_err(|error| format!("seed {seed}: {error}\n{}", case.history.join(";\n")))?;
    Ok(case.tally)
}

struct Case {
    generator: Generator,
    driver: Driver<MemoryStore>,
    database: Database,
    live: BTreeMap<u64, Live>,
    next: u64,
    /// The queries so far.
    asked: Vec<QueryCase>,
    history: Vec<String>,
    /// The places in the history of statements that failed.
    failed: BTreeSet<usize>,
    tally: Tally,
    tell: bool,
}

impl Case {
    fn new(seed: u64, tell: bool) -> Result<Self, String> {
        let generator = Generator::new(seed);
        let store = MemoryStore::new(identity());
        let driver = Driver::open(store, 1_700_000_000_000_000).map_err(|error| error.to_string())?;
        let database = generator
            .tables
            .iter()
            .map(|table| {
                let (columns, kinds) = table.columns.iter().cloned().unzip();
                (table.name.clone(), Table { columns, kinds, key: 1, rows: Vec::new() })
            })
            .collect();
        Ok(Self {
            generator,
            driver,
            database,
            live: BTreeMap::new(),
            next: 0,
            asked: Vec::new(),
            history: Vec::new(),
            failed: BTreeSet::new(),
            tally: Tally::default(),
            tell,
        })
    }

    fn note(&mut self, sql: &str) {
        if self.tell {
            println!("{sql};");
        }
        self.history.push(sql.to_owned());
    }

    fn run(&mut self) -> Result<(), String> {
        for statement in self.generator.schema() {
            self.note(&statement);
            self.driver.run(&statement).map_err(|error| format!("{statement}: {error}"))?;
        }
        let steps = 12 + self.generator.random.below(12);
        for _ in 0..steps {
            match self.generator.random.below(6) {
                0 => self.subscribe()?,
                1 if self.live.len() > 3 => {
                    let ids: Vec<u64> = self.live.keys().copied().collect();
                    let id = *self.generator.random.pick(&ids);
                    self.note(&format!("-- unsubscribe {id}"));
                    self.driver.unsubscribe(id);
                    self.live.remove(&id);
                    if self.generator.random.one_in(2) {
                        self.driver.pass_time();
                    }
                }
                _ => self.write()?,
            }
            self.compare_all()?;
        }
        // Everything goes: groups empty, matches end.
        for table in self.generator.tables.clone() {
            let statement = format!("DELETE FROM {} WHERE true", table.name);
            if self.generator.random.one_in(3) {
                self.execute(&[statement])?;
                self.compare_all()?;
            }
        }
        Ok(())
    }

    fn subscribe(&mut self) -> Result<(), String> {
        // Now and then one that was there before, or is there.
        let again = !self.asked.is_empty() && self.generator.random.one_in(3);
        let mut query =
            if again { self.generator.random.pick(&self.asked).clone() } else { self.generator.query() };
        if again && self.generator.random.one_in(2) {
            // Another tuple of its template.
            for value in query.parameters.iter_mut().filter(|value| value.is_i64() || value.is_u64()) {
                *value = serde_json::Value::from(self.generator.random.below(5));
            }
        }
        self.asked.push(query.clone());
        self.next += 1;
        let id = self.next;
        self.note(&format!("-- subscribe {id}: {} {:?}", query.sql, query.parameters));
        self.driver.subscribe(id, &query.sql, &query.parameters, None);
        self.tally.queries += 1;
        self.live.insert(id, Live { query, result: LiveResult::default() });
        self.deliver()
    }

    fn write(&mut self) -> Result<(), String> {
        // Computing anew must change nothing.
        let forced = self.generator.random.one_in(3);
        self.driver.engine.set_breaker(if forced { Breaker::ALWAYS } else { Breaker::NEVER });
        // Nor must where a query is computed.
        self.driver.engine.set_slice(if self.generator.random.one_in(2) { 0 } else { usize::MAX });
        // Sometimes several statements are one transaction, sometimes several requests one append.
        let count = if self.generator.random.one_in(3) { 1 + self.generator.random.below(3) } else { 1 };
        let statements: Vec<String> = (0..count).map(|_| self.generator.statement()).collect();
        if self.generator.random.one_in(2) {
            self.execute(&[statements.join("; ")])
        } else {
            self.execute(&statements)
        }
    }

    fn execute(&mut self, requests: &[String]) -> Result<(), String> {
        let start = self.history.len();
        for request in requests {
            self.note(request);
        }
        let replies = self.driver.batch(requests).map_err(|error| error.to_string())?;
        for (place, (request, reply)) in requests.iter().zip(replies).enumerate() {
            if reply.is_err() {
                self.failed.insert(start + place);
            }
            let mut trial = self.database.clone();
            let expected = parse(request)
                .map_err(|error| format!("{request}: {error}"))?
                .iter()
                .try_fold(0, |_, parsed| naive::execute(&mut trial, &parsed.ast));
            match (reply, expected) {
                (Ok(outcome), Ok(count)) => {
                    if outcome.rows_affected != count as u64 {
                        return Err(format!("{request}: {} rows, not {count}", outcome.rows_affected));
                    }
                    self.tally.commits += 1;
                    self.database = trial;
                }
                (Err(RequestError::Evaluation(_)), Err(Failure::Evaluation(_)))
                | (Err(RequestError::Constraint(_)), Err(Failure::Constraint)) => {}
                // Which of two failures of one statement comes first is nobody's promise.
                (
                    Err(RequestError::Evaluation(_) | RequestError::Constraint(_)),
                    Err(Failure::Evaluation(_) | Failure::Constraint),
                ) => {}
                (reply, expected) => {
                    let reply = reply.map(|outcome| outcome.rows_affected).map_err(|error| error.to_string());
                    return Err(format!("{request}: {reply:?}, the oracle says {expected:?}"));
                }
            }
        }
        self.deliver()
    }

    fn deliver(&mut self) -> Result<(), String> {
        for message in std::mem::take(&mut self.driver.messages) {
            let Some(live) = self.live.get_mut(&message.subscription.0) else { continue };
            live.result
                .take(&message.news)
                .map_err(|error| format!("{} {:?}: {error}", live.query.sql, live.query.parameters))?;
        }
        Ok(())
    }

    fn compare_all(&mut self) -> Result<(), String> {
        for (id, live) in &self.live {
            let what = || format!("subscription {id}: {} {:?}", live.query.sql, live.query.parameters);
            let statements = parse(&live.query.sql).map_err(|error| format!("{}: {error}", what()))?;
            let parameters: Vec<V> =
                live.query.parameters.iter().map(|value| value.as_i64().map_or(V::Null, V::Int)).collect();
            let expected = naive::query(&self.database, &statements[0].ast, &parameters);
            let fresh = self.fresh(&live.query);
            self.tally.comparisons += 1;
            match (&live.result.error, expected, fresh) {
                (_, Err(Failure::Unsupported(what)), _) => {
                    return Err(format!("the oracle does not know {what}"));
                }
                (Some(_), Err(_), Err(_)) => self.tally.errors += 1,
                (None, Ok(expected), Ok(fresh)) => {
                    let live_rows = live.result.values();
                    if !same(&live_rows, &sorted(expected.clone())) {
                        return Err(format!(
                            "{}\n  live  {live_rows:?}\n  naive {:?}\n  fresh {fresh:?}",
                            what(),
                            sorted(expected)
                        ));
                    }
                    if live_rows != fresh {
                        return Err(format!("{}\n  live  {live_rows:?}\n  fresh {fresh:?}", what()));
                    }
                }
                // Live and fresh must agree on errors in any case.
                (Some(_), Ok(_), Err(_)) | (None, Err(_), Ok(_)) if live.query.nested => {
                    self.tally.undecided += 1;
                }
                (error, expected, fresh) => {
                    return Err(format!(
                        "{}\n  live error {error:?}, naive {expected:?}, fresh {fresh:?}",
                        what()
                    ));
                }
            }
        }
        Ok(())
    }

    /// The result of the query from an engine of its own over the same store.
    fn fresh(&self, query: &QueryCase) -> Result<Vec<Vec<V>>, String> {
        let mut driver =
            Driver::open(self.driver.store.clone(), self.driver.now).map_err(|e| e.to_string())?;
        driver.subscribe(1, &query.sql, &query.parameters, None);
        let mut result = LiveResult::default();
        for message in &driver.messages {
            result.take(&message.news)?;
        }
        result.error.as_ref().map_or_else(|| Ok(result.values()), |error| Err(error.clone()))
    }

    /// Replays the writes on PostgreSQL and compares every live result there.
    fn against_postgres(&mut self, postgres: &mut Postgres) -> Result<(), String> {
        let drop: Vec<String> = self
            .generator
            .tables
            .iter()
            .map(|table| format!("DROP TABLE IF EXISTS {}", table.name))
            .collect();
        postgres.run(&drop.join("; "))?;
        for (place, statement) in self.history.iter().enumerate() {
            let said = statement.starts_with("--") || postgres.run(statement).is_ok();
            // PostgreSQL folds constants at other times and may pass an error by: then the tables differ.
            if said == self.failed.contains(&place) {
                return Ok(());
            }
        }
        for live in self.live.values() {
            let mut sql = live.query.sql.clone();
            for (place, value) in live.query.parameters.iter().enumerate().rev() {
                let text = value.as_i64().map_or("NULL::integer".to_owned(), |n| format!("({n})"));
                sql = sql.replace(&format!("${}", place + 1), &text);
            }
            self.tally.postgres += 1;
            match (postgres.run(&sql), &live.result.error) {
                (Ok(rows), None) => {
                    let parsed: Vec<Vec<V>> = rows
                        .iter()
                        .map(|row| {
                            row.iter()
                                .zip(&live.result.types)
                                .map(|(text, data_type)| match text {
                                    None => V::Null,
                                    Some(text) => deltaic_types::text_format::parse_text(text, data_type)
                                        .map_or(V::Text(text.clone()), |value| {
                                            V::from_engine(&value, data_type)
                                        }),
                                })
                                .collect()
                        })
                        .collect();
                    if !same(&live.result.values(), &sorted(parsed.clone())) {
                        return Err(format!(
                            "{sql}\n  live       {:?}\n  postgresql {:?}",
                            live.result.values(),
                            sorted(parsed)
                        ));
                    }
                }
                // PostgreSQL may stop at an error that the result does not depend on, or pass one by.
                (Err(code), _) if code.starts_with("22") || code == "21000" => {}
                (Ok(_), Some(_)) => {}
                (Err(code), _) => return Err(format!("{sql}: PostgreSQL says {code}")),
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), String> {
        let ids: Vec<u64> = self.live.keys().copied().collect();
        for id in ids {
            self.driver.unsubscribe(id);
        }
        self.driver.pass_time();
        if self.driver.engine.is_idle() {
            Ok(())
        } else {
            Err("something is left of the live queries".to_owned())
        }
    }
}
