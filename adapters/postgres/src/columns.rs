//! [`Columns`]: a batch as the arguments of the function `apply`, an array for each field of its entries.
//!
//! Invariant: equal batches give equal columns, so that a batch that is sent again is the same bytes.

use std::collections::BTreeSet;

use deltaic_quota::{
    Account, Baseline, Batch, Claim, Entry, Key, LimitWord, NodeId, Reply, Row as Answer, Seq, Then, Units,
    WindowId,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::read;
use crate::word::Word;

/// A batch, by columns.
#[derive(Debug)]
pub(crate) struct Columns {
    seq: Seq,
    head: [Word; 5],
    keys: Vec<Key>,
    words: [Vec<Word>; 9],
    flags: [Vec<bool>; 3],
}

impl Columns {
    /// How many arguments the function has.
    pub(crate) const COUNT: usize = 18;

    pub(crate) fn of(batch: &Batch) -> Self {
        let entries = &batch.entries;
        let words = |word: fn(&Entry) -> u64| entries.iter().map(|entry| Word(word(entry))).collect();
        let flags = |flag: fn(&Entry) -> bool| entries.iter().map(flag).collect();
        Self {
            seq: batch.seq,
            head: [batch.node.0, batch.epoch.0, batch.seq.0, batch.now.0, batch.horizon.0].map(Word),
            keys: entries.iter().map(|entry| entry.account.key.clone()).collect(),
            words: [
                words(|entry| entry.account.window.0),
                words(|entry| entry.span),
                words(|entry| match entry.limit {
                    LimitWord::Initially(limit) | LimitWord::Set(limit) => limit.0,
                }),
                words(|entry| entry.consumed.0),
                words(|entry| entry.refunded.0),
                words(|entry| entry.returned.0),
                words(|entry| entry.unbacked.0),
                words(|entry| entry.credited.0),
                words(|entry| match entry.claim {
                    Claim::Units(units) => units.0,
                    Claim::High(until) => until,
                }),
            ],
            flags: [
                flags(|entry| matches!(entry.limit, LimitWord::Set(_))),
                flags(|entry| matches!(entry.claim, Claim::High(_))),
                flags(|entry| entry.then == Then::Close),
            ],
        }
    }

    /// The keys as the function takes them.
    pub(crate) fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(Key::as_bytes).collect()
    }

    /// The arguments, in the function's order, with the keys of [`Columns::keys`].
    pub(crate) fn arguments<'a>(&'a self, keys: &'a &'a [&'a [u8]]) -> [&'a (dyn ToSql + Sync); Self::COUNT] {
        let [node, epoch, seq, now, horizon] = &self.head;
        let [windows, spans, limits, consumed, refunded, returned, unbacked, credited, claims] = &self.words;
        let [sets, highs, closes] = &self.flags;
        [
            node, epoch, seq, now, horizon, keys, windows, spans, sets, limits, consumed, refunded, returned,
            unbacked, credited, highs, claims, closes,
        ]
    }

    /// The answer of the function.
    pub(crate) fn reply(&self, rows: &[Row]) -> Result<Reply, tokio_postgres::Error> {
        let (answers, recalled) = rows.split_at(self.keys.len().min(rows.len()));
        Ok(Reply {
            seq: self.seq,
            rows: answers.iter().map(answer).collect::<Result<_, _>>()?,
            recalled: self.beside(recalled)?,
        })
    }
}

impl Columns {
    /// The accounts that are recalled beside those that the batch names.
    fn beside(&self, rows: &[Row]) -> Result<Vec<(Account, Units)>, tokio_postgres::Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let [windows, ..] = &self.words;
        let named: BTreeSet<(&Key, u64)> = self.keys.iter().zip(windows.iter().map(|word| word.0)).collect();
        let mut recalled = rows.iter().map(recall).collect::<Result<Vec<_>, _>>()?;
        recalled.retain(|(account, _)| !named.contains(&(&account.key, account.window.0)));
        recalled.truncate(Reply::RECALLED);
        Ok(recalled)
    }
}

fn answer(row: &Row) -> Result<Answer, tokio_postgres::Error> {
    let word = |place: usize| row.try_get::<_, Word>(place).map(|word| word.0);
    let units = |place: usize| word(place).map(Units);
    let holder: Option<Word> = row.try_get(9)?;
    Ok(Answer {
        granted: units(0)?,
        baseline: Baseline {
            target: units(1)?,
            limit: units(2)?,
            used: units(3)?,
            reserved: units(4)?,
            overrun: units(5)?,
            before: units(6)?,
            high: word(7)?,
        },
        newest: WindowId(word(8)?),
        held_by: holder.map(|node| NodeId(node.0)),
        recalled: units(10)?,
    })
}

fn recall(row: &Row) -> Result<(Account, Units), tokio_postgres::Error> {
    let units: Word = row.try_get(10)?;
    let window: Word = row.try_get(12)?;
    Ok((Account { key: read::key(row, 11)?, window: WindowId(window.0) }, Units(units.0)))
}
