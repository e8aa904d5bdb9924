//! [`Vsa`]: the Vector-Scalar Accumulator by its own names, over this crate's tokens.
//!
//! Invariant: `available = S - V` at every moment, S changes only by [`Vsa::commit`], and nothing is admitted that
//! is not available. S is the durable scalar, V the net consumption that is not yet committed. V is signed: a credit
//! raises what is available, where the original subtracts its absolute value and lowers it. While nothing is
//! credited, V is not negative and the two are one.
//!
//! The original's options chose approximations of V that could admit too much. Here what is left is held as tokens,
//! not counted, so that every gate is exact and each option is accepted and changes nothing but the stripes.
//!
//! A `Vsa` is memory alone. Who has to survive a crash takes [`Budgets`](crate::Budgets).
//!
//! ```
//! use deltaic_quota::vsa::Vsa;
//!
//! let vsa = Vsa::new(100);
//! assert!(vsa.try_consume(30) && !vsa.try_consume(71));
//! assert_eq!((vsa.state(), vsa.available()), ((100, 30), 70));
//! let vector = vsa.check_commit(20).unwrap();
//! // Write `vector` somewhere, and then:
//! assert!(vsa.commit(vector));
//! assert_eq!((vsa.state(), vsa.available()), ((70, 0), 70));
//! ```

use crate::Units;
use crate::sync::{Mutex, lock};
use crate::tokens::{Short, Tokens};

/// The original's options, under their Rust names. All are safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// The most cells that contention may make; 0 chooses.
    pub stripes: u32,
    /// How `update` chose its stripe: served by the thread's own stripe.
    pub cheap_update_chooser: bool,
    /// The same by processor: served by the thread's own stripe.
    pub per_processor_update_chooser: bool,
    /// A gate on a stale sum: served by tokens, which are never stale.
    pub use_cached_gate: bool,
    /// How stale, in microseconds: nothing is.
    pub cache_interval_micros: u64,
    /// How far from the limit the stale sum was believed: it is not needed.
    pub cache_slack: i64,
    /// Reading one group of stripes for all: served by taking from one stripe.
    pub group_count: u32,
    /// How far that estimate was believed: it is not needed.
    pub group_slack: i64,
    /// Admission without a lock far from the limit: all admission is.
    pub fast_path_guard: i64,
    /// Sums of groups: there are no sums.
    pub hierarchical_groups: u32,
}

#[derive(Debug)]
struct Inner {
    scalar: i64,
    /// What the tokens have no room for.
    vault: u64,
    closed: bool,
}

/// See the [module](self). Amounts are signed 64-bit, as the original's; a negative amount to consume or refund is
/// refused.
#[derive(Debug)]
pub struct Vsa {
    tokens: Tokens,
    inner: Mutex<Inner>,
}

impl Vsa {
    /// One with a scalar; a negative one has nothing available.
    pub fn new(scalar: i64) -> Self {
        Self::with_options(scalar, Options::default())
    }

    /// One with options.
    pub fn with_options(scalar: i64, options: Options) -> Self {
        let all = u64::try_from(scalar).unwrap_or(0);
        let held = all.min(Units::LEASE_MAX.0);
        let stripes = if options.stripes == 0 { 16 } else { options.stripes.min(1 << 10) };
        let inner = Inner { scalar: scalar.max(0), vault: all - held, closed: false };
        Self { tokens: Tokens::new(held, stripes), inner: Mutex::new(inner) }
    }

    /// `S - V`: exact while nothing runs.
    pub fn available(&self) -> i64 {
        let inner = lock(&self.inner);
        self.left(&inner)
    }

    /// `(S, V)`.
    pub fn state(&self) -> (i64, i64) {
        let inner = lock(&self.inner);
        (inner.scalar, inner.scalar - self.left(&inner))
    }

    /// Admits all of `n` or nothing. Without a lock unless it is refused.
    pub fn try_consume(&self, n: i64) -> bool {
        let Ok(n) = u64::try_from(n) else { return false };
        match self.tokens.take(n, crate::accumulator::stripe_hint()) {
            Ok(_) => true,
            Err(Short::Shut) => false,
            Err(Short::Of(_)) => self.take_from_vault(n),
        }
    }

    /// Gives up to `n` of what is pending back: true if anything was pending. What is committed is not pending.
    pub fn try_refund(&self, n: i64) -> bool {
        let inner = lock(&self.inner);
        let pending = u64::try_from(inner.scalar - self.left(&inner)).unwrap_or(0);
        match u64::try_from(n) {
            Ok(n) if n > 0 && pending > 0 => self.add(inner, n.min(pending)),
            _ => false,
        }
    }

    /// Consumes `n`, or credits `-n` if it is negative. True if it was done: unlike the original's it is gated,
    /// so that what is available never falls below nothing nor rises above the largest number.
    pub fn update(&self, n: i64) -> bool {
        if n >= 0 {
            return self.try_consume(n);
        }
        let inner = lock(&self.inner);
        // Neither S - V nor V may leave the numbers.
        let room = i64::MAX as u64 - self.left(&inner) as u64;
        if n.unsigned_abs() > room { false } else { self.add(inner, n.unsigned_abs()) }
    }

    /// The vector to be written, if it is at least so large either way.
    pub fn check_commit(&self, threshold: i64) -> Option<i64> {
        let (_, vector) = self.state();
        (vector != 0 && vector.unsigned_abs() >= threshold.unsigned_abs()).then_some(vector)
    }

    /// Says that a vector was written: S takes it over, what is available stays. False, and nothing is changed, if
    /// it is not a part of what is pending now.
    pub fn commit(&self, vector: i64) -> bool {
        let mut inner = lock(&self.inner);
        let pending = inner.scalar - self.left(&inner);
        let part = vector.signum() == pending.signum() && vector.unsigned_abs() <= pending.unsigned_abs();
        if part && vector != 0 {
            inner.scalar -= vector;
        }
        part || vector == 0
    }

    /// Admits nothing more, and gives what is still to be written: once.
    pub fn close(&self) -> Option<i64> {
        self.tokens.shut();
        let mut inner = lock(&self.inner);
        let first = !std::mem::replace(&mut inner.closed, true);
        let vector = inner.scalar - self.left(&inner);
        (first && vector != 0).then_some(vector)
    }

    fn left(&self, inner: &Inner) -> i64 {
        i64::try_from(self.tokens.held() + inner.vault).expect("invariant: credit is refused beyond i64::MAX")
    }

    fn add(&self, mut inner: crate::sync::MutexGuard<'_, Inner>, n: u64) -> bool {
        let room = Units::LEASE_MAX.0 - self.tokens.held().min(Units::LEASE_MAX.0);
        let now = n.min(room);
        self.tokens.put(now);
        inner.vault += n - now;
        true
    }

    #[cold]
    fn take_from_vault(&self, n: u64) -> bool {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return false;
        }
        if inner.vault == 0 {
            // Another may have held all in its hand when this one looked: under the lock nobody does.
            return self.tokens.take(n, 0).is_ok();
        }
        // All into the hand, and what is left goes back: under the lock, so that no other refusal looks meanwhile.
        let all = self.tokens.take_up_to(u64::MAX) + inner.vault;
        let left = if n <= all { all - n } else { all };
        let held = left.min(Units::LEASE_MAX.0);
        inner.vault = left - held;
        self.tokens.put(held);
        n <= all
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn every_option() -> Vec<Options> {
        let base = Options { stripes: 4, ..Options::default() };
        vec![
            Options::default(),
            base,
            Options { cheap_update_chooser: true, ..base },
            Options { per_processor_update_chooser: true, ..base },
            Options { use_cached_gate: true, cache_interval_micros: 100, cache_slack: 0, ..base },
            Options { group_count: 4, group_slack: 0, ..base },
            Options { fast_path_guard: 64, ..base },
            Options { hierarchical_groups: 2, ..base },
        ]
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Update(i64),
        Consume(i64),
        Refund(i64),
        Commit(i64),
        Check(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let n = prop_oneof![8 => -40_i64..40, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
        let step = (0_u8..5, n).prop_map(|(which, n)| match which {
            0 => Step::Update(n),
            1 => Step::Consume(n),
            2 => Step::Refund(n),
            3 => Step::Commit(n),
            _ => Step::Check(n),
        });
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        /// Invariants 1 to 4, 6 and 8 after each step of random interleavings, with every option, against i128.
        #[test]
        fn invariants_1_to_4_6_and_8_after_each_step(
            steps in steps(),
            start in prop_oneof![0_i64..200, Just(i64::MAX), Just(i64::MAX - 5)],
            option in 0_usize..8,
        ) {
            let vsa = Vsa::with_options(start, every_option()[option]);
            let (mut s, mut v) = (i128::from(start), 0_i128);
            for step in steps {
                let before = s - v;
                match step {
                    Step::Consume(n) => {
                        let fits = n >= 0 && i128::from(n) <= before;
                        prop_assert_eq!(vsa.try_consume(n), fits);
                        v += if fits { i128::from(n) } else { 0 };
                    }
                    Step::Update(n) => {
                        let after = before - i128::from(n);
                        let fits = (0..=i128::from(i64::MAX)).contains(&after);
                        prop_assert_eq!(vsa.update(n), fits);
                        v += if fits { i128::from(n) } else { 0 };
                    }
                    Step::Refund(n) => {
                        let does = n > 0 && v > 0;
                        prop_assert_eq!(vsa.try_refund(n), does);
                        v -= if does { i128::from(n).min(v) } else { 0 };
                    }
                    Step::Commit(n) => {
                        let n128 = i128::from(n);
                        let part = n == 0 || n128.signum() == v.signum() && n128.abs() <= v.abs();
                        prop_assert_eq!(vsa.commit(n), part);
                        if part { s -= n128; v -= n128; }
                        prop_assert_eq!(i128::from(vsa.available()), before, "2: a commit changes nothing available");
                    }
                    Step::Check(t) => {
                        let due = v != 0 && v.unsigned_abs() >= u128::from(t.unsigned_abs());
                        prop_assert_eq!(vsa.check_commit(t).map(i128::from), due.then_some(v));
                    }
                }
                let (scalar, vector) = vsa.state();
                prop_assert_eq!((i128::from(scalar), i128::from(vector)), (s, v), "6: S moves by commit alone");
                prop_assert_eq!(i128::from(vsa.available()), s - v, "1");
                prop_assert!(vsa.available() >= 0, "3: nothing is oversubscribed");
            }
        }
    }

    #[test]
    fn invariant_5_what_is_not_written_stays_under_the_threshold() {
        let vsa = Vsa::new(10_000);
        let (mut written, mut most) = (0, 0);
        for n in 0..9_000 {
            assert!(vsa.try_consume(1));
            if n % 3 == 0 {
                assert!(vsa.try_refund(1));
            }
            most = most.max(vsa.state().1);
            if let Some(vector) = vsa.check_commit(50) {
                assert!(vsa.commit(vector));
                written += vector;
            }
        }
        assert!(most <= 50);
        written += vsa.close().unwrap_or(0);
        assert_eq!((written, vsa.close(), vsa.try_consume(1)), (6_000, None, false));
    }

    #[test]
    fn invariant_7_threads_take_the_last_token_once_with_every_option() {
        for options in every_option() {
            let vsa = Vsa::with_options(1_000, options);
            let admitted: usize = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| (0..600).filter(|_| vsa.try_consume(1)).count())).collect();
                let vector = vsa.check_commit(1);
                assert!(vector.is_none_or(|vector| vsa.commit(vector)));
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!((admitted, vsa.available()), (1_000, 0), "{options:?}");
        }
    }
}
