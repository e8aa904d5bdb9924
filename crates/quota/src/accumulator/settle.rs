//! The slow side of an accumulator: what it says to the ledger and what it makes of the answer.
//!
//! Invariant: every amount in an entry is cumulative and never goes down (but `unbacked`), and consumed minus
//! refunded is exactly what the tokens no longer have. Units go home only out of the tokens, so nobody can spend
//! them meanwhile. An answer installs what it grants beyond the grants installed before, so that a repeated answer
//! installs nothing.

use thiserror::Error;

use super::Accumulator;
use crate::bucket::Bucket;
use crate::budgets::Sums;
use crate::guarantee::Guarantee;
use crate::ledger::{Baseline, Claim, Entry, LimitWord, Row, Then};
use crate::sync::{Ordering, lock};
use crate::{Account, Time, Units};

/// The ledger has forgotten what it acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{account}: the ledger granted {acknowledged} and now knows of {remembered}: it lost a write; restore it"
)]
pub struct LostWrite {
    /// Where.
    pub account: Account,
    /// What was granted by its own word.
    pub acknowledged: Units,
    /// What it says now.
    pub remembered: Units,
}

#[derive(Debug)]
pub(crate) struct Book {
    account: Account,
    span: u64,
    initial: Units,
    set: Option<Units>,
    granted: Units,
    returned: Units,
    /// Of that, what the ledger has acknowledged.
    home: Units,
    consumed: Units,
    refunded: Units,
    credited: Units,
    credit_told: Units,
    /// Of what has no cover, what the ledger has acknowledged.
    uncovered_told: Units,
    /// Net consumption that the ledger has acknowledged.
    settled: Units,
    /// Put into the tokens without a lease.
    volatile: Units,
    /// Net consumption of that when the last entry was made.
    volatile_net: Units,
    baseline: Option<Baseline>,
    /// Whether other nodes want what this one holds.
    recalled: bool,
}

impl Book {
    pub(crate) fn new(account: Account, span: u64, limit: Units) -> Self {
        Self {
            account,
            span,
            initial: limit,
            set: None,
            granted: Units::ZERO,
            returned: Units::ZERO,
            home: Units::ZERO,
            consumed: Units::ZERO,
            refunded: Units::ZERO,
            credited: Units::ZERO,
            credit_told: Units::ZERO,
            uncovered_told: Units::ZERO,
            settled: Units::ZERO,
            volatile: Units::ZERO,
            volatile_net: Units::ZERO,
            baseline: None,
            recalled: false,
        }
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn credit(&mut self, n: Units) {
        self.credited = self.credited.plus(n);
    }

    pub(crate) fn set_limit(&mut self, limit: Units) {
        self.set = Some(limit);
    }

    pub(crate) fn baseline(&self) -> Option<Baseline> {
        self.baseline
    }

    pub(crate) fn limit(&self) -> Units {
        self.set.or(self.baseline.map(|baseline| baseline.target)).unwrap_or(self.initial)
    }

    /// What was put into the tokens and has not gone home.
    fn out(&self) -> Units {
        self.granted.minus(self.returned).plus(self.volatile)
    }
}

impl Accumulator {
    /// Net consumption that the ledger does not know of: below nothing where refunds are more.
    pub(crate) fn pending(&self) -> i64 {
        let book = lock(&self.book);
        let net = book.out().minus(self.held());
        net.0 as i64 - book.settled.0 as i64
    }

    /// What the ledger holds reserved for this lease, as far as it has answered.
    pub(crate) fn outstanding(&self) -> Units {
        let book = lock(&self.book);
        book.granted.minus(book.home).minus(book.settled)
    }

    /// What was sent home and is not known to have arrived.
    pub(crate) fn going_home(&self) -> Units {
        let book = lock(&self.book);
        book.returned.minus(book.home)
    }

    /// By how much what is used and reserved is above the target of a limit that was cut.
    pub(crate) fn over(&self) -> Units {
        let baseline = lock(&self.book).baseline.unwrap_or_default();
        baseline.used.plus(baseline.reserved).plus(baseline.before).minus(baseline.target)
    }

    /// Whether other nodes want what this one holds, as far as the ledger has said.
    pub(crate) fn is_recalled(&self) -> bool {
        lock(&self.book).recalled
    }

    /// The ledger says so beside the answers to entries.
    pub(crate) fn recall(&self) {
        lock(&self.book).recalled = true;
    }

    /// Whether the ledger has ever answered.
    pub(crate) fn is_known(&self) -> bool {
        lock(&self.book).baseline.is_some()
    }

    /// Whether the limit or the credit was changed and the ledger was not told.
    pub(crate) fn has_untold(&self) -> bool {
        let book = lock(&self.book);
        book.set.is_some() || book.credit_told < book.credited
    }

    /// Admitted in all, gross: exact while nothing runs.
    pub fn consumed_now(&self) -> Units {
        if let Some(bucket) = &self.bucket {
            return bucket.admitted();
        }
        let refunded = Units(self.refunded.load(Ordering::Acquire));
        let unbacked = Units(self.unbacked.load(Ordering::Acquire));
        let book = lock(&self.book);
        book.out().minus(self.held()).plus(refunded).plus(unbacked)
    }

    /// What was admitted without cover and is not written yet.
    pub(crate) fn uncovered(&self) -> Units {
        if let Some(bucket) = &self.bucket {
            return bucket.exposure().1;
        }
        let book = lock(&self.book);
        Units(self.unbacked.load(Ordering::Acquire)).minus(book.uncovered_told)
    }

    pub(crate) fn durable_left(&self) -> Units {
        Units(self.durable.load(Ordering::Relaxed))
    }

    /// The account as the ledger last said it was.
    pub fn baseline(&self) -> Option<Baseline> {
        lock(&self.book).baseline
    }

    /// The row for the ledger: settles all that was consumed, sends up to `home` unspent units back, claims `want`
    /// more. It has to be answered, or sent again as it is, before the next is made.
    pub fn entry(&self, want: Units, home: Units, then: Then) -> Entry {
        // Unmarked first: what is consumed after this line is marked again, what before is seen below.
        self.marked.store(false, Ordering::SeqCst);
        let mut book = lock(&self.book);
        if self.guarantee != Guarantee::Volatile && !home.is_zero() {
            book.returned = book.returned.plus(Units(self.tokens.take_up_to(home.0)));
        }
        let refunded = Units(self.refunded.load(Ordering::Acquire));
        // A unit that moves while the cells are added up may be seen twice, never missed.
        let held = self.held().min(book.out());
        let net = book.out().minus(held);
        let mut unbacked = Units(self.unbacked.load(Ordering::Acquire));
        if self.guarantee == Guarantee::Volatile {
            book.volatile_net = net;
            unbacked = unbacked.plus(net);
        } else {
            book.consumed = book.consumed.max(net.plus(refunded.max(book.refunded)));
            book.refunded = book.consumed.minus(net);
        }
        Entry {
            account: book.account.clone(),
            span: book.span,
            limit: book.set.map_or(LimitWord::Initially(book.initial), LimitWord::Set),
            consumed: book.consumed,
            refunded: book.refunded,
            returned: book.returned,
            unbacked,
            credited: book.credited,
            claim: Claim::Units(if self.guarantee == Guarantee::Volatile { Units::ZERO } else { want }),
            then,
        }
    }

    /// The row of a bucket: it settles nothing, and claims the time of `demand` and so many milliseconds ahead.
    pub(crate) fn entry_of_bucket(
        &self,
        bucket: &Bucket,
        now: Time,
        demand: Units,
        ahead_millis: u64,
    ) -> Entry {
        let claim = Claim::High(bucket.claim(now, demand, ahead_millis));
        Entry { claim, ..self.entry(Units::ZERO, Units::ZERO, Then::Keep) }
    }

    /// Installs the answer to that.
    pub(crate) fn receive_mark(
        &self,
        bucket: &Bucket,
        entry: &Entry,
        row: &Row,
        ahead_millis: u64,
    ) -> Result<(), LostWrite> {
        let account = entry.account.clone();
        let elsewhere = row.held_by.is_some();
        self.elsewhere.store(elsewhere, Ordering::Release);
        bucket.receive(row.baseline.high, elsewhere, ahead_millis).map_err(|mark| LostWrite {
            account,
            acknowledged: Units(mark),
            remembered: Units(row.baseline.high),
        })?;
        bucket.set_limit(row.baseline.target);
        self.receive(entry, row, Units::ZERO)?;
        let left = if elsewhere { Units::ZERO } else { bucket.burst() };
        self.durable.store(left.0, Ordering::Relaxed);
        Ok(())
    }

    /// What the limit is to be, as far as is known.
    pub(crate) fn target(&self) -> Units {
        let book = lock(&self.book);
        book.baseline.map_or(book.initial, |baseline| baseline.target)
    }

    pub(crate) fn unmark(&self) {
        self.marked.store(false, Ordering::SeqCst);
    }

    /// The whole of it as a few sums, if the ledger knows all that it did.
    pub(crate) fn sums(&self) -> Option<Sums> {
        let (held, unbacked) = (self.held(), self.unbacked.load(Ordering::Acquire));
        let quiet = !self.is_low() && unbacked == 0 && self.stands_from.load(Ordering::SeqCst) == 0;
        let usual = !self.open.load(Ordering::SeqCst) && !self.paused.load(Ordering::SeqCst);
        let refunded = Units(self.refunded.load(Ordering::Acquire));
        let book = lock(&self.book);
        if !quiet
            || !usual
            || book.set.is_some()
            || !book.credited.is_zero()
            || !book.uncovered_told.is_zero()
        {
            return None;
        }
        let net = book.out().minus(held);
        if self.guarantee == Guarantee::Standing {
            let (left, target) = (Units::ZERO, book.initial);
            let (granted, consumed) = (book.volatile, net.plus(refunded));
            return Some(Sums { granted, returned: Units::ZERO, consumed, refunded, left, target });
        }
        let baseline = book.baseline.filter(|_| self.guarantee != Guarantee::Volatile)?;
        let over = baseline.used.plus(baseline.reserved).plus(baseline.before).minus(baseline.target);
        let settled = net == book.settled && book.home == book.returned && over.is_zero();
        settled.then_some(Sums {
            granted: book.granted,
            returned: book.returned,
            consumed: book.consumed,
            refunded: book.refunded,
            left: baseline.left(),
            target: baseline.target,
        })
    }

    /// Makes a new one what it was.
    pub(crate) fn restore(&self, sums: Sums) {
        let mut book = lock(&self.book);
        self.refunded.store(sums.refunded.0, Ordering::Release);
        if self.guarantee == Guarantee::Standing {
            book.volatile = sums.granted;
        } else {
            (book.granted, book.returned, book.home) = (sums.granted, sums.returned, sums.returned);
            (book.consumed, book.refunded) = (sums.consumed, sums.refunded);
            book.settled = sums.consumed.minus(sums.refunded);
            // What others have of the limit is what is neither left nor this node's.
            let used = sums.target.minus(sums.left).minus(sums.held());
            let (target, limit, reserved) = (sums.target, sums.target, sums.held());
            book.baseline = Some(Baseline { target, limit, used, reserved, ..Baseline::default() });
        }
        self.durable.store(sums.left.0, Ordering::Relaxed);
        self.tokens.put(sums.held().0);
    }

    /// A share of the window, which no row of this account covers. Once.
    pub(crate) fn stand(&self, level: Units) {
        let level = level.min(Units::LEASE_MAX);
        let mut book = lock(&self.book);
        debug_assert!(book.volatile.is_zero(), "invariant: a window's share is given once");
        book.volatile = level;
        self.durable.store(0, Ordering::Relaxed);
        self.tokens.put(level.0);
        self.stands_from.store(0, Ordering::SeqCst);
    }

    /// What was spent of the share behind it.
    pub(crate) fn spent_of_share(&self) -> Units {
        lock(&self.book).volatile.minus(self.held())
    }

    /// A share will stand behind it from this moment on, or when the ledger has answered.
    pub(crate) fn stand_by(&self, from: Option<Time>) {
        self.durable.store(0, Ordering::Relaxed);
        self.stands_from.store(from.unwrap_or(Time::NEVER).0.max(1), Ordering::SeqCst);
    }

    /// The bucket, if it is one.
    pub(crate) fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_deref()
    }

    /// Whether the ledger says that another node holds this bucket.
    pub(crate) fn is_held_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Acquire)
    }

    /// Installs the answer to an entry, and gives what it granted. The low-water mark is what a consumer shall ask
    /// for more at.
    pub fn receive(&self, entry: &Entry, row: &Row, low_water: Units) -> Result<Units, LostWrite> {
        let mut book = lock(&self.book);
        if book.set.is_some_and(|limit| entry.limit == LimitWord::Set(limit)) {
            book.set = None;
        }
        if let LimitWord::Set(limit) = entry.limit {
            book.initial = limit;
        }
        book.credit_told = entry.credited;
        book.home = entry.returned;
        book.uncovered_told = entry.unbacked.minus(book.volatile_net);
        book.settled = match self.guarantee {
            Guarantee::Volatile => book.volatile_net,
            _ => entry.consumed.minus(entry.refunded),
        };
        if entry.then == Then::Close {
            book.baseline = Some(row.baseline);
            return Ok(Units::ZERO);
        }
        if row.granted < book.granted {
            return Err(LostWrite {
                account: book.account.clone(),
                acknowledged: book.granted,
                remembered: row.granted,
            });
        }
        book.recalled = !row.recalled.is_zero();
        let fresh = row.granted.minus(book.granted);
        book.granted = row.granted;
        // From a window before the latest nothing is granted, whatever it has left.
        let over = entry.account.window < row.newest;
        let left = if over { Units::ZERO } else { row.baseline.left() };
        book.baseline = Some(row.baseline);
        let mut installed = fresh;
        if self.guarantee == Guarantee::Volatile {
            let all = left.plus(book.volatile_net).min(Units::LEASE_MAX);
            let more = all.minus(book.volatile);
            let less = Units(self.tokens.take_up_to(book.volatile.minus(all).0));
            book.volatile = book.volatile.plus(more).minus(less);
            installed = more;
        }
        self.durable.store(if self.guarantee == Guarantee::Volatile { 0 } else { left.0 }, Ordering::Relaxed);
        self.low.store(false, Ordering::Relaxed);
        self.low_water.store(low_water.0, Ordering::Relaxed);
        self.tokens.put(installed.0);
        Ok(installed)
    }
}
