//! [`PostgresLedger`]: the ledger of budgets in a database that many nodes share.
//!
//! Invariant: a call is one statement and one transaction, whose rules and constraints stand in the database; what was
//! answered was committed. A call whose outcome is not known ends the connection, and the next one begins another.

use std::collections::BTreeMap;

use deltaic_quota::{
    Account, Batch, Epoch, Key, Keys, Ledger, LedgerError, Loaded, NodeId, Opened, Reply, Seq, Silent,
    Stored, Time, Units,
};

use crate::columns::Columns;
use crate::link::{Link, Session, no_answer};
use crate::schema::Absent;
use crate::settings::said;
use crate::word::Word;
use crate::{ConnectError, Settings, outcome, read};

/// A ledger in PostgreSQL. See the [crate](crate).
#[derive(Debug)]
pub struct PostgresLedger {
    settings: Settings,
    link: Option<Link>,
    /// The batches whose outcome is not known, one at the most for each node and aggregate.
    unknown: BTreeMap<(Option<Key>, NodeId), (Epoch, Seq)>,
    trouble: Option<String>,
}

impl PostgresLedger {
    /// Connects, makes the ledger's schema if it is not there, and makes sure that the server keeps what it acknowledges.
    pub fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let link = Some(Link::connect(&settings, Absent::Make)?);
        Ok(Self { settings, link, unknown: BTreeMap::new(), trouble: None })
    }

    /// What the last call met, in the server's own words; none if it was answered.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(crate) fn call<T: Send + 'static>(
        &mut self,
        run: impl FnOnce(&mut Session) -> Result<T, postgres::Error> + Send + 'static,
        outcome: impl FnOnce(&postgres::Error) -> LedgerError,
    ) -> Result<T, LedgerError> {
        let link = match &self.link {
            Some(link) => link,
            None => match Link::connect(&self.settings, Absent::Refuse) {
                Ok(link) => self.link.insert(link),
                Err(error) => {
                    self.trouble = Some(error.to_string());
                    return Err(LedgerError::Refused { why: "there is no connection to the ledger" });
                }
            },
        };
        let (error, trouble) = match link.call(run) {
            Some(Ok(answer)) => {
                self.trouble = None;
                return Ok(answer);
            }
            Some(Err(error)) => (outcome(&error), said(&error)),
            None => (LedgerError::Away, no_answer(self.settings.answer_timeout)),
        };
        if error == LedgerError::Away {
            self.link = None;
        }
        self.trouble = Some(trouble);
        Err(error)
    }
}

/// What is not known of batches, of budgets or of an aggregate.
impl PostgresLedger {
    /// A batch of the dead epoch is refused from now on, whether it was written or not.
    pub(crate) fn forget_unknown(&mut self, aggregate: Option<&Key>, node: NodeId) {
        self.unknown.remove(&(aggregate.cloned(), node));
    }

    /// The outcome of a batch, with what is known of the attempts before this one.
    pub(crate) fn settle_unknown<T>(
        &mut self,
        aggregate: Option<&Key>,
        node: NodeId,
        number: (Epoch, Seq),
        outcome: Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let place = (aggregate.cloned(), node);
        match &outcome {
            Err(LedgerError::Away) => {
                self.unknown.insert(place, number);
            }
            // This attempt wrote nothing; the one before may have.
            Err(LedgerError::Refused { .. }) if self.unknown.get(&place) == Some(&number) => {
                return Err(LedgerError::Away);
            }
            Err(LedgerError::Refused { .. }) => {}
            _ => {
                self.unknown.remove(&place);
            }
        }
        outcome
    }
}

impl Ledger for PostgresLedger {
    fn open(&mut self, node: NodeId) -> Result<Opened, LedgerError> {
        let run = move |session: &mut Session| {
            let row = session.client.query_one(&session.open, &[&Word(node.0)])?;
            let [epoch, burnt, horizon] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
            let (Word(epoch), Word(burnt), Word(horizon)) = (epoch, burnt, horizon);
            Ok(Opened { epoch: Epoch(epoch), burnt: Units(burnt), horizon: Time(horizon) })
        };
        let opened = self.call(run, outcome::of_call)?;
        self.forget_unknown(None, node);
        Ok(opened)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError> {
        let (node, number) = (batch.node, (batch.epoch, batch.seq));
        let columns = Columns::of(batch);
        let run = move |session: &mut Session| {
            let rows = columns.with(|arguments| session.client.query(&session.apply, arguments))?;
            columns.reply(&rows)
        };
        let outcome = self.call(run, |error| outcome::of_batch(error, batch));
        self.settle_unknown(None, node, number, outcome)
    }

    fn silent(&mut self, before: Time) -> Result<Vec<Silent>, LedgerError> {
        let run = move |session: &mut Session| {
            let rows = session.client.query(&session.silent, &[&Word(before.0)])?;
            let read = |row: &postgres::Row| {
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
        let rows = self.call(move |session| read::account(session, &wanted), outcome::of_call)?;
        Ok(rows.load(account))
    }

    fn stored(&mut self, keys: &Keys) -> Result<Vec<Stored>, LedgerError> {
        let wanted = keys.clone();
        let (named, rows) = self.call(move |session| read::keys(session, &wanted), outcome::of_call)?;
        Ok(named.iter().filter_map(|key| rows.stored(key)).collect())
    }

    fn image(&mut self) -> Result<Vec<u8>, LedgerError> {
        Ok(self.call(read::all, outcome::of_call)?.image())
    }
}
