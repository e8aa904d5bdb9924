//! [`PostgresLedger`]: the ledger of budgets in a database that many nodes share.
//!
//! Invariant: a call is one statement and one transaction, whose rules and constraints stand in the database; what was
//! answered was committed. A call whose outcome is not known ends the connection, and the next one begins another.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deltaic_quota::{
    Account, Batch, Epoch, Keys, Ledger, LedgerError, Loaded, NodeId, Opened, Outcome, Reply, Seq, Silent,
    Stored, Time, Units,
};
use tokio_postgres::{Error, Row};

use crate::columns::Columns;
use crate::link::{Link, Session, no_answer};
use crate::schema::Absent;
use crate::settings::said;
use crate::unknown::Unknown;
use crate::word::Word;
use crate::{ConnectError, Settings, outcome, read};

/// A ledger in PostgreSQL. See the [crate](crate).
#[derive(Debug)]
pub struct PostgresLedger {
    settings: Settings,
    link: Option<Link>,
    known: Arc<Mutex<Known>>,
}

/// What is known of the calls that were made. Those who hear the outcomes of batches know it too.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) unknown: Unknown,
    trouble: Option<String>,
}

impl Known {
    /// What an answer of the driver says, or that there was none in time.
    fn hear<T>(
        &mut self,
        settings: &Settings,
        answer: Option<Result<T, Error>>,
        outcome: impl FnOnce(&Error) -> LedgerError,
    ) -> Result<T, LedgerError> {
        let (error, trouble) = match answer {
            Some(Ok(answer)) => {
                self.trouble = None;
                return Ok(answer);
            }
            Some(Err(error)) => (outcome(&error), said(&error)),
            None => (LedgerError::Away, no_answer(settings.answer_timeout)),
        };
        self.trouble = Some(trouble);
        Err(error)
    }
}

impl PostgresLedger {
    /// Connects, makes the ledger's schema if it is not there, and makes sure that the server keeps what it acknowledges.
    pub fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let link = Some(Link::connect(&settings, Absent::Make)?);
        Ok(Self { settings, link, known: Arc::default() })
    }

    /// What the last call that ended met, in the server's own words; none if it was answered.
    pub fn trouble(&self) -> Option<String> {
        self.known().trouble.clone()
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// The connection, or another one where the outcome of a call on it is not known.
    fn link(&mut self) -> Result<&Link, LedgerError> {
        self.link = self.link.take().filter(|link| !link.is_left());
        match &mut self.link {
            Some(link) => Ok(link),
            none => match Link::connect(&self.settings, Absent::Refuse) {
                Ok(link) => Ok(none.insert(link)),
                Err(error) => {
                    lock(&self.known).trouble = Some(error.to_string());
                    Err(LedgerError::Refused { why: "there is no connection to the ledger" })
                }
            },
        }
    }

    pub(crate) fn call<T: Send + 'static>(
        &mut self,
        run: impl AsyncFnOnce(&mut Session) -> Result<T, Error> + Send + 'static,
        outcome: impl FnOnce(&Error) -> LedgerError,
    ) -> Result<T, LedgerError> {
        let link = self.link()?;
        let left = link.left();
        let answer = link.call(run);
        let heard = self.known().hear(&self.settings, answer, outcome);
        left.if_away(&heard);
        heard
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Whoever panicked with it has changed nothing by halves.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger for PostgresLedger {
    fn open(&mut self, node: NodeId) -> Result<Opened, LedgerError> {
        let run = async move |session: &mut Session| {
            let row = session.client.query_one(&session.open, &[&Word(node.0)]).await?;
            let [epoch, burnt, horizon] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
            let (Word(epoch), Word(burnt), Word(horizon)) = (epoch, burnt, horizon);
            Ok(Opened { epoch: Epoch(epoch), burnt: Units(burnt), horizon: Time(horizon) })
        };
        let opened = self.call(run, outcome::of_call)?;
        self.known().unknown.forget(None, node);
        Ok(opened)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError> {
        let (say, said) = channel();
        self.begin(batch.clone(), Box::new(move |outcome| drop(say.send(outcome))));
        said.recv().expect("invariant: each batch has an outcome")
    }

    fn begin(&mut self, batch: Batch, done: Outcome) {
        let (known, settings) = (Arc::clone(&self.known), self.settings.clone());
        let number = (batch.node, batch.epoch, batch.seq);
        let link = match self.link() {
            Ok(link) => link,
            Err(error) => {
                let settled = lock(&known).unknown.settle(None, number, Err(error));
                return done(settled);
            }
        };
        let (left, columns) = (link.left(), Columns::of(&batch));
        let applied = move |answer| {
            let mut known = lock(&known);
            let heard = known.hear(&settings, answer, |error| outcome::of_batch(error, &batch));
            left.if_away(&heard);
            let settled = known.unknown.settle(None, number, heard);
            drop(known);
            done(settled);
        };
        link.apply(columns, Box::new(applied));
    }

    fn silent(&mut self, before: Time) -> Result<Vec<Silent>, LedgerError> {
        let run = async move |session: &mut Session| {
            let rows = session.client.query(&session.silent, &[&Word(before.0)]).await?;
            let read = |row: &Row| {
                let [node, epoch, seq] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
                let (Word(node), Word(epoch), Word(seq)) = (node, epoch, seq);
                Ok(Silent { node: NodeId(node), epoch: Epoch(epoch), seq: Seq(seq) })
            };
            rows.iter().map(read).collect()
        };
        self.call(run, outcome::of_call)
    }

    fn load(&mut self, account: &Account) -> Result<Option<Loaded>, LedgerError> {
        let wanted = account.clone();
        let rows = self.call(async move |session| read::account(session, &wanted).await, outcome::of_call)?;
        Ok(rows.load(account))
    }

    fn stored(&mut self, keys: &Keys) -> Result<Vec<Stored>, LedgerError> {
        let wanted = keys.clone();
        let run = async move |session: &mut Session| read::keys(session, &wanted).await;
        let (named, rows) = self.call(run, outcome::of_call)?;
        Ok(named.iter().filter_map(|key| rows.stored(key)).collect())
    }

    fn image(&mut self) -> Result<Vec<u8>, LedgerError> {
        Ok(self.call(async |session| read::all(session).await, outcome::of_call)?.image())
    }
}
