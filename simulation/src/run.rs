//! [`run`]: does a case's steps and compares all live results after each of them with every oracle.
//!
//! Invariant: what passes undecided is an error of evaluation in a subquery, or equal rows under two windows, and nothing else: PostgreSQL leaves
//! open which subqueries are computed, and so does the engine.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_engine::{Breaker, Outcome, RequestError, Slice};
use deltaic_sql::{Parsed, parse, sqlparser::ast::Statement as Ast};
use deltaic_storage::MemoryStore;

use crate::{
    case::{Case, Computed, Step, Write},
    client::{LiveResult, same, sorted},
    driver::Driver,
    failure::{Failed, Kind, Oracle, is_data_exception, is_evaluation},
    fuzz::{Tally, identity},
    generator::QueryCase,
    naive::{self, Database, Failure, V},
    postgres::Postgres,
    quiet::caught,
};

/// Changes what the oracle says, or panics: the defect of a test.
pub(crate) type Meddle = fn(&Database, &QueryCase, &mut Vec<Vec<V>>);

/// Who judges a case.
#[derive(Debug, Default)]
pub struct Judge<'a> {
    /// The second oracle, where it is there.
    pub postgres: Option<&'a mut Postgres>,
    /// Whether each step is printed before it is done.
    pub tell: bool,
    /// In tests.
    pub(crate) meddle: Option<Meddle>,
}

/// Runs a case. A panic is a failure like others.
pub fn run(case: &Case, judge: &mut Judge<'_>) -> Result<Tally, Failed> {
    let mut begun = 0;
    let outcome = caught(|| {
        let mut run = Run::new(judge)?;
        let outcome = run.all(case, &mut begun);
        outcome.map(|()| run.tally)
    });
    outcome
        .unwrap_or_else(|panic| {
            Err(Failed {
                kind: Kind::Panic(panic.place.clone()),
                steps: 0,
                what: String::new(),
                difference: format!("panicked at {}: {}", panic.place, panic.message),
            })
        })
        .map_err(|failed| Failed { steps: begun, ..failed })
}

struct Live {
    query: QueryCase,
    result: LiveResult,
    /// Whether SQL leaves open which rows are right.
    ambiguous: bool,
}

struct Run<'j, 'a> {
    judge: &'j mut Judge<'a>,
    driver: Driver<MemoryStore>,
    database: Database,
    live: BTreeMap<u64, Live>,
    /// The statements so far, and whether the engine ran them.
    history: Vec<(String, bool)>,
    tally: Tally,
}

fn failed(kind: Kind, what: impl Into<String>, difference: impl Into<String>) -> Failed {
    Failed { kind, steps: 0, what: what.into(), difference: difference.into() }
}

fn unknown(what: &str, error: impl std::fmt::Display) -> Failed {
    failed(Kind::Unknown, what, error.to_string())
}

fn listed(rows: &[Vec<V>]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("    {row:?}")).collect();
    if rows.is_empty() { "    no row".to_owned() } else { rows.join("\n") }
}

impl<'j, 'a> Run<'j, 'a> {
    fn new(judge: &'j mut Judge<'a>) -> Result<Self, Failed> {
        let store = MemoryStore::new(identity());
        let driver = Driver::open(store, 1_700_000_000_000_000).map_err(|error| unknown("", error))?;
        let (database, live) = (Database::new(), BTreeMap::new());
        Ok(Self { judge, driver, database, live, history: Vec::new(), tally: Tally::default() })
    }

    fn all(&mut self, case: &Case, begun: &mut usize) -> Result<(), Failed> {
        for step in &case.steps {
            *begun += 1;
            if self.judge.tell {
                println!("{step}");
            }
            self.step(step)?;
            if !matches!(step, Step::Schema(_)) {
                self.compare_all()?;
            }
        }
        if self.judge.postgres.is_some() {
            self.against_postgres(&case.tables())?;
        }
        self.leave()
    }

    fn step(&mut self, step: &Step) -> Result<(), Failed> {
        match step {
            Step::Schema(sql) => self.execute(std::slice::from_ref(sql)),
            Step::Subscribe { id, query } => {
                self.driver.subscribe(*id, &query.sql, &query.parameters, None);
                self.tally.queries += 1;
                self.live.insert(
                    *id,
                    Live { query: query.clone(), result: LiveResult::default(), ambiguous: false },
                );
                self.deliver()
            }
            Step::Unsubscribe { id, pass_time } => {
                self.driver.unsubscribe(*id);
                self.live.remove(id);
                if *pass_time {
                    self.driver.pass_time();
                }
                Ok(())
            }
            Step::Write(write) => self.write(write),
        }
    }

    fn write(&mut self, write: &Write) -> Result<(), Failed> {
        if let Some(Computed { anew, beside }) = write.computed {
            // Computing anew must change nothing.
            self.driver.engine.set_breaker(if anew { Breaker::ALWAYS } else { Breaker::NEVER });
            // Nor must where a query is computed.
            self.driver.engine.set_slice(if beside { Slice::NONE } else { Slice::WHOLE });
            if beside {
                return self.beside(&write.texts());
            }
        }
        self.execute(&write.texts())
    }

    /// Requests of which each comes while the work of those before it is still to be done. They are one after the other in
    /// the order of their commits; one that wrote nothing stands behind the commit that it saw. One that failed did so on a
    /// state that nobody knows.
    fn beside(&mut self, requests: &[String]) -> Result<(), Failed> {
        self.driver.holds = true;
        let ids: Vec<_> =
            requests.iter().flat_map(|request| self.driver.send(std::slice::from_ref(request))).collect();
        self.driver.holds = false;
        let replies = self.driver.replies(&ids).map_err(|error| unknown("", error))?;
        let mut serial = Vec::new();
        for (request, reply) in requests.iter().zip(replies) {
            match reply {
                Ok(outcome) => serial.push((outcome.lsn, outcome.rows_affected == 0, request, Ok(outcome))),
                Err(RequestError::Evaluation(_) | RequestError::Constraint(_)) => {
                    self.history.push((request.clone(), false));
                }
                Err(error) => self.verify(request, Err(error))?,
            }
        }
        serial.sort_by_key(|(lsn, is_idle, ..)| (*lsn, *is_idle));
        for (_, _, request, reply) in serial {
            self.verify(request, reply)?;
        }
        self.deliver()
    }

    fn execute(&mut self, requests: &[String]) -> Result<(), Failed> {
        let replies = self.driver.batch(requests).map_err(|error| unknown("", error))?;
        for (request, reply) in requests.iter().zip(replies) {
            self.verify(request, reply)?;
        }
        self.deliver()
    }

    /// Compares what came of a request with what the oracle says.
    fn verify(&mut self, request: &str, reply: Result<Outcome, RequestError>) -> Result<(), Failed> {
        self.history.push((request.to_owned(), reply.is_ok()));
        let mut trial = self.database.clone();
        let parsed = parse(request).map_err(|error| unknown(request, error))?;
        let expected = parsed.iter().try_fold(0, |_, parsed| naive::execute(&mut trial, ast_of(parsed)));
        match (reply, expected) {
            (_, Err(Failure::Unsupported(what))) => return Err(unknown(request, what)),
            (Ok(outcome), Ok(count)) => {
                if outcome.rows_affected != count as u64 {
                    return Err(failed(
                        Kind::Statement { engine: true, naive: true },
                        request,
                        format!("  came {} rows, not {count}", outcome.rows_affected),
                    ));
                }
                self.tally.commits += usize::from(!request.starts_with("CREATE "));
                self.database = trial;
            }
            (Err(error), expected)
                if !is_evaluation(&error) && !matches!(error, RequestError::Constraint(_)) =>
            {
                let code = error.sqlstate().to_owned();
                let said = format!("  came {code}: {error}\n  expected {expected:?}");
                return Err(failed(Kind::Refused(code), request, said));
            }
            // Which of two failures of one statement comes first is nobody's promise.
            (Err(RequestError::Evaluation(_)), Err(Failure::Evaluation(_)))
            | (Err(RequestError::Constraint(_)), Err(Failure::Constraint))
            | (
                Err(RequestError::Evaluation(_) | RequestError::Constraint(_)),
                Err(Failure::Evaluation(_) | Failure::Constraint),
            ) => {}
            (reply, expected) => {
                let kind = Kind::Statement { engine: reply.is_ok(), naive: expected.is_ok() };
                let reply = reply.map(|outcome| outcome.rows_affected).map_err(|error| error.to_string());
                return Err(failed(kind, request, format!("  came {reply:?}\n  expected {expected:?}")));
            }
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), Failed> {
        for message in std::mem::take(&mut self.driver.messages) {
            let Some(live) = self.live.get_mut(&message.subscription.0) else { continue };
            live.result.take(&message.news).map_err(|error| {
                failed(Kind::Message, format!("{}{}", live.query.sql, live.query.values()), error)
            })?;
        }
        Ok(())
    }

    fn compare_all(&mut self) -> Result<(), Failed> {
        let mut ambiguous = BTreeSet::new();
        for (id, live) in &self.live {
            self.tally.comparisons += 1;
            let outcome = self.compare(live).map_err(|failed| Failed {
                what: format!("live query {id}{}:\n{};", live.query.values(), live.query.sql),
                ..failed
            })?;
            match outcome {
                Agreement::Rows => {}
                Agreement::Error => self.tally.errors += 1,
                Agreement::Undecided => self.tally.undecided += 1,
                Agreement::Ambiguous => {
                    self.tally.undecided += 1;
                    ambiguous.insert(*id);
                }
            }
        }
        for (id, live) in &mut self.live {
            live.ambiguous = ambiguous.contains(id);
        }
        Ok(())
    }

    fn compare(&self, live: &Live) -> Result<Agreement, Failed> {
        let statements = parse(&live.query.sql).map_err(|error| unknown("", error))?;
        let statement = statements.first().ok_or_else(|| unknown("", "no statement"))?;
        let mut expected = naive::query(&self.database, ast_of(statement), &live.query.arguments());
        if let (Some(meddle), Ok(rows)) = (self.judge.meddle, &mut expected) {
            meddle(&self.database, &live.query, rows);
        }
        let fresh = self.fresh(&live.query)?;
        let fresh = match (fresh.error, fresh.rows) {
            (None, rows) => Ok(sorted(rows)),
            (Some(error), _) => Err(error),
        };
        // An error that no row causes is a refusal, whatever the oracle says.
        let refusal = [live.result.error.as_ref(), fresh.as_ref().err()];
        if let (Some(error), false) = (
            refusal.into_iter().flatten().find(|error| !is_evaluation(error)),
            matches!(expected, Err(Failure::Unsupported(_))),
        ) {
            let code = error.sqlstate().to_owned();
            return Err(failed(Kind::Refused(code.clone()), "", format!("  came {code}: {error}")));
        }
        let kind = Kind::State {
            live: live.result.error.is_some(),
            naive: expected.is_err(),
            fresh: fresh.is_err(),
        };
        match (&live.result.error, expected, fresh) {
            (_, Err(Failure::Unsupported(what)), _) => {
                Err(unknown("", format!("the oracle does not know {what}")))
            }
            (Some(_), Err(Failure::Evaluation(_)), Err(_)) => Ok(Agreement::Error),
            (None, Ok(expected), Ok(fresh)) => {
                let (rows, expected) = (live.result.values(), sorted(expected));
                if !same(&rows, &expected) {
                    let mut told = format!("  expected\n{}\n  came\n{}", listed(&expected), listed(&rows));
                    if rows != fresh {
                        told += &format!("\n  from a new engine\n{}", listed(&fresh));
                    }
                    return Err(failed(Kind::Rows(Oracle::Naive), "", told));
                }
                if rows != fresh {
                    let told = format!(
                        "  expected, and from a new engine\n{}\n  came\n{}",
                        listed(&fresh),
                        listed(&rows)
                    );
                    return Err(failed(Kind::Rows(Oracle::Fresh), "", told));
                }
                Ok(Agreement::Rows)
            }
            // Live and fresh must agree in any case.
            (Some(_), Err(Failure::Ambiguous), Err(_)) => Ok(Agreement::Ambiguous),
            (None, Err(Failure::Ambiguous), Ok(fresh)) if live.result.values() == fresh => {
                Ok(Agreement::Ambiguous)
            }
            (Some(_), Ok(_), Err(_)) if live.query.nested => Ok(Agreement::Undecided),
            (None, Err(Failure::Evaluation(_)), Ok(fresh)) if live.query.nested => {
                let rows = live.result.values();
                if rows == fresh {
                    return Ok(Agreement::Undecided);
                }
                let told = format!("  from a new engine\n{}\n  came\n{}", listed(&fresh), listed(&rows));
                Err(failed(Kind::Rows(Oracle::Fresh), "", told))
            }
            (error, expected, fresh) => {
                let fresh = fresh.map_err(|error| error.to_string());
                let told =
                    format!("  came {error:?}\n  expected {expected:?}\n  from a new engine {fresh:?}");
                Err(failed(kind, "", told))
            }
        }
    }

    /// The result of the query from an engine of its own over the same store.
    fn fresh(&self, query: &QueryCase) -> Result<Fresh, Failed> {
        let mut driver = Driver::open(self.driver.store.clone(), self.driver.now)
            .map_err(|error| failed(Kind::Refused("58030".to_owned()), "", error.to_string()))?;
        driver.subscribe(1, &query.sql, &query.parameters, None);
        let mut result = LiveResult::default();
        for message in &driver.messages {
            result.take(&message.news).map_err(|error| failed(Kind::Message, "", error))?;
        }
        Ok(Fresh { rows: result.values(), error: result.error })
    }

    /// Replays the writes on PostgreSQL and compares every live result there.
    fn against_postgres(&mut self, tables: &[String]) -> Result<(), Failed> {
        let Some(postgres) = self.judge.postgres.as_mut() else { return Ok(()) };
        let drop: Vec<String> = tables.iter().map(|table| format!("DROP TABLE IF EXISTS {table}")).collect();
        postgres.run(&drop.join("; ")).map_err(|code| unknown("", format!("PostgreSQL says {code}")))?;
        for (statement, ran) in &self.history {
            // PostgreSQL folds constants at other times and may pass an error by: then the tables differ.
            if postgres.run(statement).is_ok() != *ran {
                return Ok(());
            }
        }
        for (id, live) in self.live.iter().filter(|(_, live)| !live.ambiguous) {
            let sql = live.query.inlined();
            let what = || format!("live query {id}:\n{sql};");
            self.tally.postgres += 1;
            match (postgres.run(&sql), &live.result.error) {
                (Ok(rows), None) => {
                    let types = &live.result.types;
                    let parsed: Vec<Vec<V>> = rows.iter().map(|row| from_text(row, types)).collect();
                    let (rows, parsed) = (live.result.values(), sorted(parsed));
                    if !same(&rows, &parsed) {
                        let told = format!(
                            "  expected, by PostgreSQL\n{}\n  came\n{}",
                            listed(&parsed),
                            listed(&rows)
                        );
                        return Err(failed(Kind::Rows(Oracle::Postgres), what(), told));
                    }
                }
                // PostgreSQL may stop at an error that the result does not depend on, or pass one by.
                (Err(code), _) if is_data_exception(&code) => {}
                (Ok(_), Some(_)) => {}
                (Err(code), _) => {
                    let told = format!("  PostgreSQL says {code}");
                    return Err(failed(Kind::RefusedByPostgres(code), what(), told));
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Failed> {
        let ids: Vec<u64> = self.live.keys().copied().collect();
        for id in ids {
            self.driver.unsubscribe(id);
        }
        self.driver.pass_time();
        if self.driver.engine.is_idle() {
            Ok(())
        } else {
            Err(failed(Kind::Leftover, "", "something is left of the live queries"))
        }
    }
}

/// How a live result agrees with the oracles.
enum Agreement {
    Rows,
    Error,
    Undecided,
    /// SQL leaves open which rows are right; live and fresh are the same.
    Ambiguous,
}

/// The result of a new engine.
struct Fresh {
    rows: Vec<Vec<V>>,
    error: Option<std::sync::Arc<RequestError>>,
}

fn from_text(row: &[Option<String>], types: &[deltaic_types::DataType]) -> Vec<V> {
    row.iter()
        .zip(types)
        .map(|(text, data_type)| match text {
            None => V::Null,
            Some(text) => deltaic_types::text_format::parse_text(text, data_type)
                .map_or(V::Text(text.clone()), |value| V::from_engine(&value, data_type)),
        })
        .collect()
}

/// The syntax that the naive evaluator walks: that of every statement which is generated.
pub(crate) fn ast_of(parsed: &Parsed) -> &Ast {
    parsed.ast().expect("invariant: what is generated is in the library's grammar")
}
