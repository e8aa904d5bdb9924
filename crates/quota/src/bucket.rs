//! [`Bucket`]: a rate with a burst, as the generic cell rate algorithm (ITU-T I.371) over one atomic.
//!
//! Invariant: units stand for time, and no moment of it is given twice. What is admitted takes its time from the
//! *theoretical arrival time* on, which starts at a mark that the ledger remembers, never passes the mark that it
//! has acknowledged, never lies before a moment that was admitted at, and is ahead of that moment by at most a
//! burst's time. So no stretch of time `t` has more than `burst + rate * t`, across crashes too, and a clock that
//! steps back finds nothing new.
//!
//! Time is counted in ticks of 2^-20 milliseconds since 1970, whatever the rate, so that a mark keeps its meaning
//! when a limit changes. Below a million units a second a unit takes its time rounded up, which is less than a
//! thousandth more; above, a burst does, and an amount its part of that, so that the rate is below the declared one
//! by at most a tick a request. The ticks end in the year 2248; from then on nothing is admitted.
//!
//! **A refund never mints.** Taking a request out of the past gives back what of its time had not passed at any
//! later admission: less than it took if the bucket was nearly full meanwhile. One word for each bucket cannot know
//! that exactly; it gives back what had certainly not passed: up to the permit's own end, less all that others
//! began to give back since, less the latest moment that was admitted at.

use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::{Time, Units};

/// Ticks of a millisecond.
const TICKS: u64 = 1 << 20;
/// The last tick. A signed 64-bit column of a ledger holds it.
const LAST: u64 = i64::MAX as u64;
/// Nothing may be taken.
const SHUT: u64 = 1 << 63;
/// The longest time of a burst: 139 years. A burst that takes longer is never admitted from.
const LONGEST: u64 = 1 << 62;
/// A unit that takes so many ticks or more takes whole ones.
const WHOLE: u128 = 1 << 10;
/// Stands for a longer one.
const NEVER: u64 = u64::MAX;

/// How a bucket fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The limit comes anew in so many milliseconds; 0 counts as 1.
    pub millis: u64,
    /// The most at once.
    pub burst: Units,
}

/// What was taken, to be given back once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Where its time ends, in the count of all that was given back before it.
    end: u64,
    given_back: u64,
    /// Its time.
    ticks: u64,
    /// The ledger remembers that it was taken.
    pub(crate) backed: bool,
}

impl Share {
    pub(crate) fn encode_into(self, bytes: &mut Vec<u8>) {
        for word in [self.end, self.given_back, self.ticks, u64::from(self.backed)] {
            write_u64(bytes, word);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (end, given_back, ticks) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let backed = match reader.u64()? {
            backed @ 0..=1 => backed == 1,
            _ => return Err(DecodeError::Invalid("share of a bucket")),
        };
        Ok(Self { end, given_back, ticks, backed })
    }

    /// The share of `part` units of `whole`, and the rest.
    pub(crate) fn split(self, part: Units, whole: Units) -> (Self, Self) {
        let ticks = self.of(part, whole);
        (Self { ticks, ..self }, Self { ticks: self.ticks - ticks, ..self })
    }

    /// The time of `part` units of `whole`: rounded down, because it is to be given back.
    fn of(self, part: Units, whole: Units) -> u64 {
        let ticks = u128::from(self.ticks) * u128::from(part.0) / u128::from(whole.0.max(1));
        u64::try_from(ticks).unwrap_or(0)
    }
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There is enough from this moment on.
    Until(Time),
    /// More than a burst, or nothing ever comes.
    Never,
    /// There is enough, and the ledger's mark is too near.
    Mark,
    /// The bucket is shut.
    Shut,
}

/// A bucket. Shared by threads; every call takes `&self`.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The theoretical arrival time, and in its highest bit whether the bucket is shut.
    arrival: AtomicU64,
    /// The mark that the ledger has acknowledged.
    mark: AtomicU64,
    /// Beyond this a consumer asks for a further mark.
    low: AtomicU64,
    /// The latest moment that was admitted at.
    latest: AtomicU64,
    /// In how many ticks a burst comes.
    span: AtomicU64,
    /// Ticks whose giving back has begun, and has ended. At the largest number nothing is given back any more.
    begun: AtomicU64,
    ended: AtomicU64,
    /// Units admitted, gross.
    admitted: AtomicU64,
    /// Whether the ledger says that this node holds the bucket.
    holds: AtomicBool,
    rate: Rate,
}

/// A moment in ticks.
fn ticks(now: Time) -> u64 {
    now.0.saturating_mul(TICKS).min(LAST)
}

/// The first moment that is not before a tick.
fn moment(tick: u64) -> Time {
    Time(tick.div_ceil(TICKS))
}

impl Bucket {
    /// One that admits nothing before the ledger said where its mark is.
    pub(crate) fn new(rate: Rate, limit: Units) -> Self {
        let bucket = Self {
            arrival: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            low: AtomicU64::new(NEVER),
            latest: AtomicU64::new(0),
            span: AtomicU64::new(NEVER),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            holds: AtomicBool::new(false),
            rate: Rate { millis: rate.millis.max(1), burst: rate.burst.min(Units::MAX) },
        };
        bucket.set_limit(limit);
        bucket
    }

    /// The most at once.
    pub(crate) fn burst(&self) -> Units {
        self.rate.burst
    }

    /// So much comes in the rate's time from now on. What was taken keeps the time that it took.
    pub(crate) fn set_limit(&self, limit: Units) {
        let (burst, limit) = (u128::from(self.rate.burst.0), u128::from(limit.0));
        let all = u128::from(self.rate.millis) * u128::from(TICKS);
        let span = if limit == 0 || burst == 0 {
            None
        } else if all.div_ceil(limit) >= WHOLE {
            all.div_ceil(limit).checked_mul(burst)
        } else {
            all.checked_mul(burst).map(|all| all.div_ceil(limit))
        };
        let span = span.and_then(|span| u64::try_from(span).ok()).filter(|span| *span <= LONGEST);
        self.span.store(span.unwrap_or(NEVER), Ordering::Release);
    }

    /// The time of so many units, at most a burst: rounded up.
    fn cost(&self, n: Units, span: u64) -> u64 {
        match n.0.checked_mul(span) {
            Some(all) => all.div_ceil(self.rate.burst.0),
            None => {
                let cost = (u128::from(n.0) * u128::from(span)).div_ceil(u128::from(self.rate.burst.0));
                u64::try_from(cost).unwrap_or(NEVER)
            }
        }
    }

    /// Takes all of `n` at this moment or nothing; with the share, whether the mark is near. `beyond` takes past the
    /// mark too. One load and one compare-and-swap, no lock, no allocation.
    pub(crate) fn take(&self, now: Time, n: Units, beyond: bool) -> Result<(Share, bool), Full> {
        let given_back = self.ended.load(Ordering::SeqCst);
        let (at, span) = (ticks(now), self.span.load(Ordering::Acquire));
        let mut word = self.arrival.load(Ordering::SeqCst);
        if n.is_zero() && word & SHUT == 0 {
            return Ok((Share { end: 0, given_back, ticks: 0, backed: true }, false));
        }
        loop {
            if word & SHUT != 0 {
                return Err(Full::Shut);
            }
            if n > self.rate.burst || span == NEVER {
                return Err(Full::Never);
            }
            let cost = self.cost(n, span);
            let end = word.max(at) + cost;
            if end > at + span {
                let from = end - span;
                return Err(if from > LAST { Full::Never } else { Full::Until(moment(from)) });
            }
            if end > LAST {
                return Err(Full::Never);
            }
            let backed = end <= self.mark.load(Ordering::Acquire);
            if !backed && !beyond {
                return Err(Full::Mark);
            }
            // Before the time is taken: a refund that sees it taken sees the moment too.
            if self.latest.load(Ordering::SeqCst) < at {
                self.latest.fetch_max(at, Ordering::SeqCst);
            }
            match self.arrival.compare_exchange_weak(word, end, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    self.admitted.fetch_add(n.0, Ordering::Relaxed);
                    let share = Share { end, given_back, ticks: cost, backed };
                    return Ok((share, end > self.low.load(Ordering::Relaxed)));
                }
                Err(found) => word = found,
            }
        }
    }

    /// Gives back `part` units of a share of `whole`. No lock, no allocation.
    pub(crate) fn put(&self, share: Share, part: Units, whole: Units) {
        let back = share.of(part, whole);
        if back == 0 {
            return;
        }
        // Announced first and finished last: whoever is admitted or given back in between counts it.
        let before = count(&self.begun, back);
        let others = before.saturating_sub(share.given_back);
        let mut word = self.arrival.load(Ordering::SeqCst);
        loop {
            if before >= u64::MAX - back {
                break;
            }
            let end = share.end.saturating_sub(others);
            let left = end.saturating_sub(self.latest.load(Ordering::SeqCst));
            let less = word - back.min(left).min(word & !SHUT);
            match self.arrival.compare_exchange_weak(word, less, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
        count(&self.ended, back);
    }

    /// What could be taken at this moment.
    pub(crate) fn available(&self, now: Time) -> Units {
        let (at, span) = (ticks(now), self.span.load(Ordering::Acquire));
        let word = self.arrival.load(Ordering::SeqCst);
        if span == NEVER || word & SHUT != 0 {
            return Units::ZERO;
        }
        let end = (at + span).min(self.mark.load(Ordering::Acquire));
        self.units(end.saturating_sub(word.max(at)), span)
    }

    /// What the bucket has, however near its mark is.
    pub(crate) fn has(&self, now: Time) -> Units {
        self.has_after(self.arrival.load(Ordering::SeqCst) & !SHUT, now)
    }

    /// What a bucket has whose arrival time was this.
    pub(crate) fn has_after(&self, arrival: u64, now: Time) -> Units {
        let (at, span) = (ticks(now), self.span.load(Ordering::Acquire));
        if span == NEVER {
            return Units::ZERO;
        }
        self.units((at + span).saturating_sub(arrival.max(at)), span)
    }

    /// How many units fit in so much time.
    fn units(&self, ticks: u64, span: u64) -> Units {
        let units = u128::from(ticks) * u128::from(self.rate.burst.0) / u128::from(span.max(1));
        Units(u64::try_from(units).unwrap_or(u64::MAX)).min(Units::MAX)
    }

    /// The latest moment that was admitted at.
    pub(crate) fn latest(&self) -> Time {
        Time(self.latest.load(Ordering::SeqCst) / TICKS)
    }

    /// What a crash would never give, and what it would give again.
    pub(crate) fn exposure(&self) -> (Units, Units) {
        let span = self.span.load(Ordering::Acquire);
        let arrival = self.arrival.load(Ordering::SeqCst) & !SHUT;
        let (used, mark) =
            (arrival.max(self.latest.load(Ordering::SeqCst)), self.mark.load(Ordering::Acquire));
        if span == NEVER {
            return (Units::ZERO, Units::ZERO);
        }
        (
            self.units(mark.saturating_sub(used), span),
            self.units(arrival.saturating_sub(mark), span).min(self.rate.burst),
        )
    }

    /// What a mark that is asked for would add.
    pub(crate) fn beyond_the_mark(&self, until: u64) -> Units {
        let span = self.span.load(Ordering::Acquire);
        let more = until.saturating_sub(self.mark.load(Ordering::Acquire));
        if span == NEVER { Units::ZERO } else { self.units(more, span) }
    }

    pub(crate) fn admitted(&self) -> Units {
        Units(self.admitted.load(Ordering::Relaxed))
    }

    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    pub(crate) fn shut(&self) {
        self.arrival.fetch_or(SHUT, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.arrival.fetch_and(!SHUT, Ordering::SeqCst);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.arrival.load(Ordering::SeqCst) & SHUT != 0
    }

    /// The mark to claim, so that `demand` can be taken and so many milliseconds of the future are covered. Of a
    /// bucket that is not held yet nothing: where its time begins has to be heard first.
    pub(crate) fn claim(&self, now: Time, demand: Units, ahead_millis: u64) -> u64 {
        if !self.holds() {
            return 0;
        }
        let (at, span) = (ticks(now), self.span.load(Ordering::Acquire));
        if span == NEVER {
            return 0;
        }
        let arrival = (self.arrival.load(Ordering::SeqCst) & !SHUT).max(at);
        let wanted = arrival.saturating_add(self.cost(demand.min(self.rate.burst), span));
        // What a burst allows is enough, and what was taken without cover is covered.
        let most = at.saturating_add(span).max(arrival);
        wanted.min(most).saturating_add(ahead_millis.saturating_mul(TICKS)).min(LAST)
    }

    /// The ledger's answer. What it remembered and this node did not is where time begins.
    pub(crate) fn receive(&self, high: u64, held_by_another: bool, ahead_millis: u64) -> Result<(), u64> {
        if held_by_another {
            self.holds.store(false, Ordering::Release);
            return Ok(());
        }
        if !self.holds() {
            let begin = |word: u64| Some((word & SHUT) | (word & !SHUT).max(high.min(LAST)));
            let _ = self.arrival.fetch_update(Ordering::SeqCst, Ordering::SeqCst, begin);
        } else if high < self.mark.load(Ordering::Acquire) {
            return Err(self.mark.load(Ordering::Acquire));
        }
        self.mark.store(high.min(LAST), Ordering::Release);
        self.low.store(high.saturating_sub(ahead_millis.saturating_mul(TICKS) / 2), Ordering::Relaxed);
        self.holds.store(true, Ordering::Release);
        Ok(())
    }

    /// Whoever is told that the mark is near is the only one: the answer sets it anew.
    pub(crate) fn run_low(&self) -> bool {
        self.low.swap(NEVER, Ordering::Relaxed) != NEVER
    }
}

/// Adds, and stays at the largest number.
fn count(sum: &AtomicU64, n: u64) -> u64 {
    let add = |sum: u64| Some(sum.saturating_add(n));
    sum.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

/// The orders of the atomic steps of two threads.
#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn open(burst: u64) -> Arc<Bucket> {
        let bucket = Bucket::new(Rate { millis: 1, burst: Units(burst) }, Units(1));
        bucket.receive(0, false, 0).unwrap();
        bucket.receive(LAST, false, 0).unwrap();
        Arc::new(bucket)
    }

    fn explore(body: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(body);
    }

    #[test]
    fn loom_the_last_unit_of_a_bucket_is_given_once() {
        explore(|| {
            let bucket = open(1);
            let other = {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || bucket.take(Time(5), Units(1), false).is_ok())
            };
            let own = bucket.take(Time(5), Units(1), false).is_ok();
            assert!(own != other.join().unwrap());
        });
    }

    /// A refund beside an admission at a later moment: whichever comes first, at that moment there is at most a
    /// burst beside what was admitted at it.
    #[test]
    fn loom_a_refund_beside_an_admission_does_not_mint() {
        explore(|| {
            let bucket = open(2);
            let (share, _) = bucket.take(Time(5), Units(2), false).unwrap();
            let other = {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || bucket.put(share, Units(2), Units(2)))
            };
            let own = u64::from(bucket.take(Time(7), Units(1), false).is_ok());
            other.join().unwrap();
            assert_eq!(own, 1, "all had come back by then");
            assert_eq!(bucket.available(Time(7)), Units(1));
        });
    }

    #[test]
    fn loom_two_refunds_beside_each_other_give_back_no_more_than_was_taken() {
        explore(|| {
            let bucket = open(4);
            let (one, _) = bucket.take(Time(5), Units(1), false).unwrap();
            let (two, _) = bucket.take(Time(5), Units(1), false).unwrap();
            bucket.take(Time(5), Units(1), false).unwrap();
            let other = {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || bucket.put(one, Units(1), Units(1)))
            };
            bucket.put(two, Units(1), Units(1));
            other.join().unwrap();
            let left = bucket.available(Time(5)).0;
            assert!((1..=3).contains(&left), "{left}");
        });
    }
}
