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

use crate::bucket::{Bucket, Full, Rate};
use crate::dirty::Mark;
use crate::guarantee::{Bound, Exposure, Guarantee};
use crate::permit::{Cover, Denied, Permit, Reason, Reservation};
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
    /// How it fills, if it is a bucket.
    pub rate: Option<Rate>,
}

impl Settings {
    /// A stock under [`Guarantee::Escrow`] with up to 16 stripes.
    pub fn stock(account: Account, limit: Units) -> Self {
        let guarantee = Guarantee::Escrow;
        Self { account, span: 0, limit, guarantee, ends: Time::NEVER, stripes: 16, rate: None }
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
    /// Instead of the tokens, if it fills with time.
    bucket: Option<Box<Bucket>>,
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
    /// Whether another node holds the bucket.
    elsewhere: AtomicBool,
    /// When a share will stand behind it: 0 if one does or none is needed, the last moment if that is not known.
    stands_from: AtomicU64,
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
            bucket: settings.rate.map(|rate| Box::new(Bucket::new(rate, settings.limit))),
            low_water: AtomicU64::new(0),
            low: AtomicBool::new(false),
            durable: AtomicU64::new(settings.limit.0),
            marked: AtomicBool::new(false),
            open: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            elsewhere: AtomicBool::new(false),
            stands_from: AtomicU64::new(0),
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
    /// For a bucket no time has passed since it was last admitted from.
    #[inline]
    pub fn try_consume(&self, n: Units) -> Result<Permit<'_>, Denied> {
        self.take(None, n).map(|cover| Permit::borrowed(self, n, cover))
    }

    /// The same, with a permit that outlives the borrow.
    #[inline]
    pub fn try_consume_shared(self: &Arc<Self>, n: Units) -> Result<Permit<'static>, Denied> {
        self.take(None, n).map(|cover| Permit::shared(Arc::clone(self), n, cover))
    }

    /// Admits all of `n` or nothing, at this moment.
    #[inline]
    pub fn try_consume_at(&self, now: Time, n: Units) -> Result<Permit<'_>, Denied> {
        self.take(Some(now), n).map(|cover| Permit::borrowed(self, n, cover))
    }

    /// The same, with a permit that outlives the borrow.
    #[inline]
    pub fn try_consume_shared_at(self: &Arc<Self>, now: Time, n: Units) -> Result<Permit<'static>, Denied> {
        self.take(Some(now), n).map(|cover| Permit::shared(Arc::clone(self), n, cover))
    }

    /// Admits `n` for somebody who says what was used by the deadline.
    pub fn reserve(&self, n: Units, deadline: Time) -> Result<Reservation<'_>, Denied> {
        self.try_consume(n).map(|permit| Reservation::new(permit, deadline))
    }

    /// Where the budget stands. Takes a lock.
    pub fn available(&self) -> Available {
        self.available_at(Time(0))
    }

    /// The same at a moment, which counts for a bucket if it is later than all that it has seen.
    pub fn available_at(&self, now: Time) -> Available {
        let (held, durable) = match &self.bucket {
            Some(bucket) => {
                let now = bucket.latest().max(now);
                let held = bucket.available(now);
                (held, bucket.has(now).minus(held))
            }
            None => (Units(self.tokens.held()), Units(self.durable.load(Ordering::Relaxed))),
        };
        let mut bound = self.guarantee.bound(self.exposure());
        bound.over = bound.over.plus(self.uncovered());
        Available { local: held, durable, bound }
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
    #[inline]
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
        self.tokens.heap_bytes() + self.bucket.as_ref().map_or(0, |bucket| size_of_val(&**bucket))
    }

    #[inline]
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
        self.shut_cells();
    }

    fn shut_cells(&self) {
        match &self.bucket {
            Some(bucket) => bucket.shut(),
            None => self.tokens.shut(),
        }
    }

    pub(crate) fn pause(&self) {
        if !self.bucket.as_ref().map_or_else(|| self.tokens.is_shut(), |bucket| bucket.is_shut()) {
            self.paused.store(true, Ordering::SeqCst);
            self.shut_cells();
        }
    }

    pub(crate) fn resume(&self) {
        self.open.store(false, Ordering::SeqCst);
        if self.paused.swap(false, Ordering::SeqCst) {
            match &self.bucket {
                Some(bucket) => bucket.open(),
                None => self.tokens.open(),
            }
        }
    }

    /// Admits without cover from now on, when the lease is used up.
    pub(crate) fn admit_uncovered(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take_missed(&self) -> Units {
        Units(self.missed.swap(0, Ordering::Relaxed))
    }

    /// A refusal that was counted, and was none: who asked waits, or asks as one who may wait. What it missed is asked
    /// for in another way.
    pub fn wait(&self, n: Units) {
        let one_less = |count: u64| Some(count.saturating_sub(1));
        let _ = self.denied.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
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

    /// Gives `part` of a permit of `whole` back.
    #[inline]
    pub(crate) fn give_back(&self, part: Units, whole: Units, cover: Cover) {
        match (cover, &self.bucket) {
            (Cover::Time(share), Some(bucket)) => {
                // What it took has no row: there is nothing to settle.
                bucket.put(share, part, whole);
                return;
            }
            (Cover::Lease | Cover::Time(_), _) => {
                // Counted first: what is seen in the tokens is then never seen as not yet refunded.
                self.refunded.fetch_add(part.0, Ordering::AcqRel);
                self.tokens.put(part.0);
            }
            (Cover::Nothing, _) => {
                self.unbacked.fetch_sub(part.0, Ordering::AcqRel);
            }
        }
        self.touch();
    }

    pub(crate) fn note_burnt(&self, n: Units) {
        self.burnt.fetch_add(n.0, Ordering::Relaxed);
    }

    fn exposure(&self) -> Exposure {
        if let Some(bucket) = &self.bucket {
            return Exposure { unspent: bucket.exposure().0, ..Exposure::default() };
        }
        let pending = self.pending();
        Exposure {
            unspent: self.held(),
            unsettled: Units(u64::try_from(pending).unwrap_or(0)),
            unsettled_refunds: Units(u64::try_from(-pending).unwrap_or(0)),
            unacknowledged: if self.guarantee == Guarantee::GroupCommit { self.held() } else { Units::ZERO },
        }
    }

    #[inline]
    fn take(&self, now: Option<Time>, n: Units) -> Result<Cover, Denied> {
        if let Some(bucket) = &self.bucket {
            return self.take_time(bucket, now.unwrap_or_else(|| bucket.latest()), n);
        }
        match self.tokens.take(n.0, stripe_hint()) {
            Ok(left) => {
                if !n.is_zero() {
                    self.touch();
                    if left.is_some_and(|left| left < self.low_water.load(Ordering::Relaxed)) {
                        self.run_low();
                    }
                }
                Ok(Cover::Lease)
            }
            Err(short) => self.deny(n, short),
        }
    }

    #[inline(never)]
    fn take_time(&self, bucket: &Bucket, now: Time, n: Units) -> Result<Cover, Denied> {
        let full = match bucket.take(now, n, false) {
            // What is beyond the mark is known to nobody else: not without having been asked for.
            Err(Full::Mark) if self.open.load(Ordering::SeqCst) => bucket.take(now, n, true),
            taken => taken,
        };
        match full {
            Ok((share, low)) => {
                if low && bucket.run_low() {
                    self.low.store(true, Ordering::Relaxed);
                    self.ask();
                }
                Ok(Cover::Time(share))
            }
            Err(full) => Err(self.deny_time(bucket, now, n, full)),
        }
    }

    #[cold]
    fn deny_time(&self, bucket: &Bucket, now: Time, n: Units, full: Full) -> Denied {
        let (retry_after, reason) = match full {
            Full::Shut if self.paused.load(Ordering::SeqCst) => (None, Reason::LedgerAway),
            Full::Shut => (None, Reason::Closed),
            Full::Until(moment) => (Some(moment), Reason::Exhausted),
            Full::Never => (None, Reason::Exhausted),
            Full::Mark => {
                self.miss(n.min(bucket.burst()));
                (None, if self.is_held_elsewhere() { Reason::HeldElsewhere } else { Reason::Lease })
            }
        };
        self.denied.fetch_add(1, Ordering::Relaxed);
        Denied { available: bucket.available(now), retry_after, reason }
    }

    /// Somebody was refused because the lease is used up.
    fn miss(&self, n: Units) {
        // Saturating, so that a storm of large refusals cannot wrap to a small one.
        let add = |sum: u64| Some(sum.saturating_add(n.0));
        let _ = self.missed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.ask();
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
    fn deny(&self, n: Units, short: Short) -> Result<Cover, Denied> {
        let (held, reason) = match short {
            Short::Shut if self.paused.load(Ordering::SeqCst) => (0, Reason::LedgerAway),
            Short::Shut if self.next.get().is_some() => (0, Reason::WindowOver),
            Short::Shut => (0, Reason::Closed),
            Short::Of(held) if self.open.load(Ordering::SeqCst) && n <= Units::MAX => {
                // Without cover, and said so by the permit; no more than the column has room for.
                let add = |sum: u64| sum.checked_add(n.0).filter(|sum| *sum <= Units::MAX.0);
                if self.unbacked.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok() {
                    self.touch();
                    return Ok(Cover::Nothing);
                }
                (held, Reason::Exhausted)
            }
            Short::Of(_) if self.stands_from.load(Ordering::SeqCst) > 0 => (0, Reason::Horizon),
            Short::Of(held) if n.0 <= held.saturating_add(self.durable.load(Ordering::Relaxed)) => {
                self.miss(n);
                (held, Reason::Lease)
            }
            Short::Of(held) => {
                self.touch();
                (held, Reason::Exhausted)
            }
        };
        self.denied.fetch_add(1, Ordering::Relaxed);
        let retry_after = match (reason, self.ends) {
            (Reason::Exhausted, Time(u64::MAX)) => None,
            (Reason::Exhausted, ends) => Some(ends),
            (Reason::Horizon, _) => {
                Some(Time(self.stands_from.load(Ordering::SeqCst))).filter(|from| *from != Time::NEVER)
            }
            _ => None,
        };
        Err(Denied { available: Units(held), retry_after, reason })
    }

    /// Sees to it that the next flush looks here.
    #[inline]
    fn touch(&self) {
        if let Some(mark) = &self.mark {
            if !self.marked.load(Ordering::SeqCst) {
                self.note(mark, false);
            }
        }
    }

    #[cold]
    fn note(&self, mark: &Mark, urgent: bool) {
        self.marked.store(true, Ordering::SeqCst);
        mark.segment.mark(mark.slot, urgent);
    }

    /// Sees to it that the next flush looks here soon.
    pub(crate) fn ask(&self) {
        if let Some(mark) = &self.mark {
            self.note(mark, true);
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
#[inline]
pub(crate) fn stripe_hint() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    let place = PLACE.with(|place| std::ptr::from_ref(place).addr() as u64);
    (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize
}
