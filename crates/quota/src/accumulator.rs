//! [`Accumulator`]: one key in one window, on one node: admission in memory under a durable lease.
//!
//! Invariant: `granted = returned + consumed - refunded + held`, where `held` is in the tokens: the lease is the
//! whole of what can be admitted, so that *admitted - refunded <= granted <= limit* at every moment, whichever
//! threads run and whichever rows are still under way. Admission touches the tokens' cell and two words that only
//! change at a flush; it takes no lock, does no I/O and does not allocate. What is consumed is not counted: it is
//! what the lease no longer has.

mod settle;

use std::sync::{Arc, OnceLock};

use settle::Book;
pub use settle::LostWrite;

use crate::dirty::Mark;
use crate::guarantee::{Bound, Exposure, Guarantee};
use crate::permit::{Denied, Permit, Reason, Reservation};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::tokens::{Short, Tokens};
use crate::{Account, Time, Units};

/// What an accumulator is made for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The row of the ledger.
    pub account: Account,
    /// How many windows before this one count against its limit; 0 unless the window slides.
    pub span: u64,
    /// The limit, if the ledger does not know the key yet.
    pub limit: Units,
    /// What covers what is admitted.
    pub guarantee: Guarantee,
    /// When the window is over.
    pub ends: Time,
    /// The most stripes that contention may make; 0 keeps to one cell.
    pub stripes: u32,
}

impl Settings {
    /// A stock under [`Guarantee::Escrow`] with up to 16 stripes.
    pub fn stock(account: Account, limit: Units) -> Self {
        Self { account, span: 0, limit, guarantee: Guarantee::Escrow, ends: Time::NEVER, stripes: 16 }
    }
}

/// Where a budget stands, as this node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Available {
    /// What this node can admit without asking the ledger.
    pub local: Units,
    /// What the ledger could still grant when it last answered.
    pub durable: Units,
    /// What a crash at this moment would cost.
    pub bound: Bound,
}

/// The admission of one key in one window. Shared by threads; every call takes `&self`.
#[derive(Debug)]
pub struct Accumulator {
    tokens: Tokens,
    /// Below this, a consumer asks for a flush.
    low_water: AtomicU64,
    /// Whether it was crossed since the last answer.
    low: AtomicBool,
    /// What the ledger had left when it last answered.
    durable: AtomicU64,
    marked: AtomicBool,
    /// Whether to admit without cover when the lease is used up.
    open: AtomicBool,
    /// Whether it is shut because the ledger is away, and not for good.
    paused: AtomicBool,
    refunded: AtomicU64,
    unbacked: AtomicU64,
    /// What was refused since the last flush because the lease was used up.
    missed: AtomicU64,
    denied: AtomicU64,
    burnt: AtomicU64,
    guarantee: Guarantee,
    ends: Time,
    mark: Option<Mark>,
    next: OnceLock<Arc<Accumulator>>,
    book: Mutex<Book>,
}

impl Accumulator {
    /// One without a lease: it admits nothing before the first answer of the ledger.
    pub fn new(settings: Settings) -> Self {
        Self::marking(settings, None)
    }

    pub(crate) fn marking(settings: Settings, mark: Option<Mark>) -> Self {
        Self {
            tokens: Tokens::new(0, settings.stripes),
            low_water: AtomicU64::new(0),
            low: AtomicBool::new(false),
            durable: AtomicU64::new(settings.limit.0),
            marked: AtomicBool::new(false),
            open: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            refunded: AtomicU64::new(0),
            unbacked: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            burnt: AtomicU64::new(0),
            guarantee: settings.guarantee,
            ends: settings.ends,
            mark,
            next: OnceLock::new(),
            book: Mutex::new(Book::new(settings.account, settings.span, settings.limit)),
        }
    }

    /// Admits all of `n` or nothing, exactly and linearizably. Nothing at all is admitted as soon as the
    /// accumulator admits at all. An amount over every limit is refused like any other that there is not enough for.
    pub fn try_consume(&self, n: Units) -> Result<Permit<'_>, Denied> {
        self.take(n).map(|backed| Permit::borrowed(self, n, backed))
    }

    /// The same, with a permit that outlives the borrow.
    pub fn try_consume_shared(self: &Arc<Self>, n: Units) -> Result<Permit<'static>, Denied> {
        self.take(n).map(|backed| Permit::shared(Arc::clone(self), n, backed))
    }

    /// Admits `n` for somebody who says what was used by the deadline.
    pub fn reserve(&self, n: Units, deadline: Time) -> Result<Reservation<'_>, Denied> {
        self.try_consume(n).map(|permit| Reservation::new(permit, deadline))
    }

    /// Where the budget stands. Takes a lock.
    pub fn available(&self) -> Available {
        let held = Units(self.tokens.held());
        let mut bound = self.guarantee.bound(self.exposure());
        bound.over = bound.over.plus(self.uncovered());
        Available { local: held, durable: Units(self.durable.load(Ordering::Relaxed)), bound }
    }

    /// Adds to the budget: durable with the next flush, and granted from then on.
    pub fn credit(&self, n: Units) {
        lock(&self.book).credit(n);
        self.ask();
    }

    /// Sets the limit. A raise can be spent when the next flush is answered. A cut is a target: what is leased and
    /// spent stays so, nothing more is granted, and the limit follows as leases come home.
    pub fn set_limit(&self, limit: Units) {
        let limit = limit.min(Units::MAX);
        let mut book = lock(&self.book);
        book.set_limit(limit);
        if book.baseline().is_none() {
            // Nothing is known of what is left: at most all of it.
            self.durable.store(limit.0, Ordering::Relaxed);
        }
        drop(book);
        self.ask();
    }

    /// What the limit is to be, as this node knows it.
    pub fn limit(&self) -> Units {
        lock(&self.book).limit()
    }

    /// When the window is over.
    pub fn ends(&self) -> Time {
        self.ends
    }

    /// What covers what it admits.
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// The row of the ledger.
    pub fn account(&self) -> Account {
        lock(&self.book).account().clone()
    }

    /// Requests that were refused.
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Units of reservations that expired.
    pub fn burnt(&self) -> Units {
        Units(self.burnt.load(Ordering::Relaxed))
    }

    /// The bytes on the heap beside the accumulator itself.
    pub fn heap_bytes(&self) -> usize {
        self.tokens.heap_bytes()
    }

    pub(crate) fn next(&self) -> Option<&Arc<Self>> {
        self.next.get()
    }

    /// Says which accumulator has the window after this. The first word counts.
    pub(crate) fn set_next(&self, next: Arc<Self>) {
        let _ = self.next.set(next);
    }

    /// From the end of this call on nothing is admitted.
    pub(crate) fn shut(&self) {
        self.paused.store(false, Ordering::SeqCst);
        self.tokens.shut();
    }

    pub(crate) fn pause(&self) {
        if !self.tokens.is_shut() {
            self.paused.store(true, Ordering::SeqCst);
            self.tokens.shut();
        }
    }

    pub(crate) fn resume(&self) {
        self.open.store(false, Ordering::SeqCst);
        if self.paused.swap(false, Ordering::SeqCst) {
            self.tokens.open();
        }
    }

    /// Admits without cover from now on, when the lease is used up.
    pub(crate) fn admit_uncovered(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take_missed(&self) -> Units {
        Units(self.missed.swap(0, Ordering::Relaxed))
    }

    /// A refusal that was counted, and was none: who asked waits. What it missed is asked for in another way.
    pub(crate) fn wait(&self, n: Units) {
        self.denied.fetch_sub(1, Ordering::Relaxed);
        let less = |sum: u64| Some(sum.saturating_sub(n.0));
        let _ = self.missed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether somebody was refused, or might soon be, because the lease is used up.
    pub(crate) fn is_low(&self) -> bool {
        self.missed.load(Ordering::Relaxed) > 0 || self.low.load(Ordering::Relaxed)
    }

    pub(crate) fn held(&self) -> Units {
        Units(self.tokens.held())
    }

    pub(crate) fn give_back(&self, n: Units, backed: bool) {
        if backed {
            // Counted first: what is seen in the tokens is then never seen as not yet refunded.
            self.refunded.fetch_add(n.0, Ordering::AcqRel);
            self.tokens.put(n.0);
        } else {
            self.unbacked.fetch_sub(n.0, Ordering::AcqRel);
        }
        self.touch();
    }

    pub(crate) fn note_burnt(&self, n: Units) {
        self.burnt.fetch_add(n.0, Ordering::Relaxed);
    }

    fn exposure(&self) -> Exposure {
        let pending = self.pending();
        Exposure {
            unspent: self.held(),
            unsettled: Units(u64::try_from(pending).unwrap_or(0)),
            unsettled_refunds: Units(u64::try_from(-pending).unwrap_or(0)),
            unacknowledged: if self.guarantee == Guarantee::GroupCommit { self.held() } else { Units::ZERO },
        }
    }

    fn take(&self, n: Units) -> Result<bool, Denied> {
        match self.tokens.take(n.0, stripe_hint()) {
            Ok(left) => {
                if !n.is_zero() {
                    self.touch();
                    if left.is_some_and(|left| left < self.low_water.load(Ordering::Relaxed)) {
                        self.run_low();
                    }
                }
                Ok(true)
            }
            Err(short) => self.deny(n, short),
        }
    }

    #[cold]
    fn run_low(&self) {
        // Once: the answer sets the mark anew.
        if self.low_water.swap(0, Ordering::Relaxed) > 0 {
            self.low.store(true, Ordering::Relaxed);
            self.ask();
        }
    }

    #[cold]
    fn deny(&self, n: Units, short: Short) -> Result<bool, Denied> {
        let (held, reason) = match short {
            Short::Shut if self.paused.load(Ordering::SeqCst) => (0, Reason::LedgerAway),
            Short::Shut if self.next.get().is_some() => (0, Reason::WindowOver),
            Short::Shut => (0, Reason::Closed),
            Short::Of(held) if self.open.load(Ordering::SeqCst) && n <= Units::MAX => {
                // Without cover, and said so by the permit; no more than the column has room for.
                let add = |sum: u64| sum.checked_add(n.0).filter(|sum| *sum <= Units::MAX.0);
                if self.unbacked.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok() {
                    self.touch();
                    return Ok(false);
                }
                (held, Reason::Exhausted)
            }
            Short::Of(held) if n.0 <= held.saturating_add(self.durable.load(Ordering::Relaxed)) => {
                // Saturating, so that a storm of large refusals cannot wrap to a small one.
                let add = |sum: u64| Some(sum.saturating_add(n.0));
                let _ = self.missed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
                self.ask();
                (held, Reason::Lease)
            }
            Short::Of(held) => {
                self.touch();
                (held, Reason::Exhausted)
            }
        };
        self.denied.fetch_add(1, Ordering::Relaxed);
        let retry_after = (self.ends != Time::NEVER && reason == Reason::Exhausted).then_some(self.ends);
        Err(Denied { available: Units(held), retry_after, reason })
    }

    /// Sees to it that the next flush looks here.
    fn touch(&self) {
        if let Some(mark) = &self.mark {
            if !self.marked.load(Ordering::SeqCst) {
                self.marked.store(true, Ordering::SeqCst);
                mark.segment.mark(mark.slot, false);
            }
        }
    }

    /// Sees to it that the next flush looks here soon.
    pub(crate) fn ask(&self) {
        if let Some(mark) = &self.mark {
            self.marked.store(true, Ordering::SeqCst);
            mark.segment.mark(mark.slot, true);
        }
    }
}

impl Drop for Accumulator {
    /// A handle that stood still for long holds a chain of windows: they are dropped one after the other, not one
    /// within the other.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            next = last.next.take();
        }
    }
}

/// A number that differs from thread to thread and stays with one: where its thread-local variables lie. It chooses
/// a stripe and nothing else.
pub(crate) fn stripe_hint() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    let place = PLACE.with(|place| std::ptr::from_ref(place).addr() as u64);
    (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize
}
