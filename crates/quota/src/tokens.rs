//! [`Tokens`]: what a lease has left to spend, in cells that threads take from at once.
//!
//! Invariant: every unit is in exactly one place: a cell, the hands of a thread that sweeps, or a permit. A cell
//! never goes below nothing, so no order of steps admits more than was put in. This is O'Neil's escrow (1986)
//! inside one process: stripes hold *spendable tokens*, not counts, so that no sum has to be right.
//!
//! A key begins with one cell, the centre. Where compare-and-swap fails often, stripes are made, and a thread that
//! finds its stripe empty fills it from the centre while the centre is far from empty. Near the end everything is
//! in the centre again.
//!
//! **A refusal is linearizable.** The centre's word says in one bit whether any stripe may hold something. Without
//! the bit, one load of the word has seen all there is. With it, a thread takes the lock, empties the stripes into
//! its hands, and adds them to the centre in one step: at that step all tokens are in the word, because refunds go
//! to the centre only and stripes are filled under the same lock. If that is less than was asked for, there was a
//! moment when there was less.

use std::sync::OnceLock;

use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock};

/// Stripes may hold something.
const SPREAD: u64 = 1 << 63;
/// Nothing may be taken.
const SHUT: u64 = 1 << 62;
const COUNT: u64 = SHUT - 1;

/// Lost races for the centre after which stripes are made.
const CONTENDED: u32 = 64;
/// A stripe is filled only with at least so many times what its thread has just taken.
const WORTH: u64 = 8;

/// A cell on a cache line of its own; two, because processors fetch pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe(AtomicU64);

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// There was a moment, during the call, at which all cells together held only so much.
    Of(u64),
    /// The tokens are shut.
    Shut,
}

#[derive(Debug)]
pub(crate) struct Tokens {
    centre: AtomicU64,
    lost: AtomicU32,
    most_stripes: u32,
    sweep: Mutex<()>,
    stripes: OnceLock<Box<[Stripe]>>,
}

impl Tokens {
    /// `most_stripes` is rounded up to a power of two; 0 means that there is only ever one cell.
    pub(crate) fn new(units: u64, most_stripes: u32) -> Self {
        debug_assert!(units <= crate::Units::LEASE_MAX.0, "invariant: a lease leaves room for the flags");
        Self {
            centre: AtomicU64::new(units),
            lost: AtomicU32::new(0),
            most_stripes,
            sweep: Mutex::new(()),
            stripes: OnceLock::new(),
        }
    }

    /// Takes all of `n` or nothing. `hint` says which stripe; threads with different hints meet less often.
    /// On success, what the cell that was taken from has left, if it is the only one.
    ///
    /// Without stripes: one load and one compare-and-swap, no lock, no allocation.
    #[inline]
    pub(crate) fn take(&self, n: u64, hint: usize) -> Result<Option<u64>, Short> {
        if n > 0 {
            if let Some(stripes) = self.stripes.get() {
                if take_from(&stripe(stripes, hint).0, n) {
                    return Ok(None);
                }
            } else {
                let word = self.centre.load(Ordering::Acquire);
                // The flags are the highest bits: a word with one of them is larger than any count.
                if n <= word && word <= COUNT {
                    let taken =
                        self.centre.compare_exchange(word, word - n, Ordering::AcqRel, Ordering::Acquire);
                    return match taken {
                        Ok(_) => Ok(Some(word - n)),
                        Err(_) => self.take_from_centre(n, hint, 1),
                    };
                }
            }
        }
        self.take_from_centre(n, hint, 0)
    }

    /// The same, where it is not as simple as that; so many races were lost before.
    #[inline(never)]
    fn take_from_centre(&self, n: u64, hint: usize, mut lost: u32) -> Result<Option<u64>, Short> {
        let mut word = self.centre.load(Ordering::Acquire);
        loop {
            if word & SHUT != 0 {
                return Err(Short::Shut);
            }
            let held = word & COUNT;
            if n == 0 {
                return Ok((word & SPREAD == 0).then_some(held));
            }
            if held < n {
                return if word & SPREAD == 0 { Err(Short::Of(held)) } else { self.sweep(n).map(Some) };
            }
            match self.centre.compare_exchange_weak(word, word - n, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => (word, lost) = (now, lost + 1),
            }
        }
        if lost > 0 {
            self.contended(lost);
        }
        if let Some(stripes) = self.stripes.get() {
            self.fill(&stripe(stripes, hint).0, n, stripes.len() as u64);
            return Ok(None);
        }
        Ok((word & SPREAD == 0).then_some((word & COUNT) - n))
    }

    /// Puts units in: a grant, or a refund. To the centre, so that a sweep cannot miss them. One atomic addition.
    #[inline]
    pub(crate) fn put(&self, n: u64) {
        let before = self.centre.fetch_add(n, Ordering::AcqRel);
        debug_assert!((before & COUNT) + n <= COUNT, "invariant: a lease leaves room for the flags");
    }

    /// Takes as much as there is, up to `n`, whether shut or not. For going home, not for admission.
    pub(crate) fn take_up_to(&self, n: u64) -> u64 {
        let _alone = lock(&self.sweep);
        let hand = self.collect();
        let mut taken = 0;
        self.change(|word| {
            let total = (word & COUNT) + hand;
            taken = total.min(n);
            (word & SHUT) | (total - taken)
        });
        taken
    }

    /// From the end of this call on nothing is taken, except by [`Tokens::take_up_to`]. Refunds still come in.
    pub(crate) fn shut(&self) {
        let _alone = lock(&self.sweep);
        self.centre.fetch_or(SHUT, Ordering::AcqRel);
        // A stripe knows nothing of the flag: it is emptied.
        let hand = self.collect();
        self.change(|word| SHUT | ((word & COUNT) + hand));
    }

    /// Takes back [`Tokens::shut`].
    pub(crate) fn open(&self) {
        self.centre.fetch_and(!SHUT, Ordering::AcqRel);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.centre.load(Ordering::Acquire) & SHUT != 0
    }

    /// What all cells hold: a number that was right at some moment of the call when nothing was put in meanwhile.
    pub(crate) fn held(&self) -> u64 {
        let Some(stripes) = self.stripes.get() else {
            return self.centre.load(Ordering::Acquire) & COUNT;
        };
        let _alone = lock(&self.sweep);
        let spread: u64 = stripes.iter().map(|stripe| stripe.0.load(Ordering::Acquire)).sum();
        spread + (self.centre.load(Ordering::Acquire) & COUNT)
    }

    /// The bytes on the heap: none before stripes were needed.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.stripes.get().map_or(0, |stripes| std::mem::size_of_val(&**stripes))
    }

    /// Makes the stripes, if they are not there.
    pub(crate) fn stripe(&self) {
        let count = self.most_stripes.next_power_of_two();
        if self.most_stripes > 0 {
            self.stripes.get_or_init(|| (0..count).map(|_| Stripe(AtomicU64::new(0))).collect());
        }
    }

    /// Everything into the centre; enough there, or a refusal.
    fn sweep(&self, n: u64) -> Result<u64, Short> {
        let _alone = lock(&self.sweep);
        let hand = self.collect();
        let mut outcome = Err(Short::Shut);
        self.change(|word| {
            let total = (word & COUNT) + hand;
            let shut = word & SHUT;
            if shut != 0 {
                outcome = Err(Short::Shut);
                shut | total
            } else if total < n {
                outcome = Err(Short::Of(total));
                total
            } else {
                outcome = Ok(total - n);
                total - n
            }
        });
        outcome
    }

    /// Empties the stripes. Only under the lock, and what comes out has to be put into the centre.
    fn collect(&self) -> u64 {
        let Some(stripes) = self.stripes.get() else { return 0 };
        stripes.iter().map(|stripe| stripe.0.swap(0, Ordering::AcqRel)).sum()
    }

    fn change(&self, mut to: impl FnMut(u64) -> u64) {
        let mut word = self.centre.load(Ordering::Acquire);
        while let Err(now) =
            self.centre.compare_exchange_weak(word, to(word), Ordering::AcqRel, Ordering::Acquire)
        {
            word = now;
        }
    }

    /// Moves a share of the centre into a stripe whose thread has just had to go to the centre, if the centre is
    /// so far from empty that this is worth it.
    fn fill(&self, stripe: &AtomicU64, n: u64, stripes: u64) {
        let share = |word: u64| (word & COUNT) / (2 * stripes);
        if share(self.centre.load(Ordering::Relaxed)) < n.saturating_mul(WORTH) {
            return;
        }
        let _alone = lock(&self.sweep);
        let mut moved = 0;
        self.change(|word| {
            moved = if word & SHUT == 0 { share(word) } else { 0 };
            if moved == 0 { word } else { (word - moved) | SPREAD }
        });
        if moved > 0 {
            stripe.fetch_add(moved, Ordering::AcqRel);
        }
    }

    fn contended(&self, lost: u32) {
        if self.lost.fetch_add(lost, Ordering::Relaxed) >= CONTENDED {
            self.stripe();
        }
    }

    /// Puts units into one stripe, as many contended takes would.
    #[cfg(test)]
    pub(crate) fn spread(&self, stripe: usize, units: u64) {
        self.stripe();
        let _alone = lock(&self.sweep);
        self.centre.fetch_or(SPREAD, Ordering::AcqRel);
        let stripes = self.stripes.get().expect("invariant: stripes were just made");
        stripes[stripe].0.fetch_add(units, Ordering::AcqRel);
    }
}

/// The stripe of a hint. There are as many as a power of two.
#[inline]
fn stripe(stripes: &[Stripe], hint: usize) -> &Stripe {
    &stripes[hint & (stripes.len() - 1)]
}

#[inline]
fn take_from(cell: &AtomicU64, n: u64) -> bool {
    let mut held = cell.load(Ordering::Acquire);
    while held >= n {
        match cell.compare_exchange_weak(held, held - n, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(now) => held = now,
        }
    }
    false
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_or_nothing_at_the_edges() {
        let tokens = Tokens::new(10, 4);
        assert_eq!(tokens.take(0, 0), Ok(Some(10)));
        assert_eq!(tokens.take(11, 0), Err(Short::Of(10)));
        assert_eq!(tokens.take(u64::MAX, 0), Err(Short::Of(10)));
        assert_eq!(tokens.take(10, 0), Ok(Some(0)));
        assert_eq!(tokens.take(1, 0), Err(Short::Of(0)));
        let large = Tokens::new(crate::Units::LEASE_MAX.0, 4);
        assert_eq!(large.take(crate::Units::LEASE_MAX.0, 3), Ok(Some(0)));
    }

    #[test]
    fn a_take_that_no_cell_can_serve_is_served_by_all() {
        let tokens = Tokens::new(1, 4);
        (0..4).for_each(|stripe| tokens.spread(stripe, 1));
        assert_eq!(tokens.take(6, 2), Err(Short::Of(5)));
        (0..4).for_each(|stripe| tokens.spread(stripe, 1));
        assert_eq!(tokens.take(9, 1), Ok(Some(0)));
    }

    #[test]
    fn what_is_shut_gives_nothing_and_goes_home_whole() {
        let tokens = Tokens::new(5, 2);
        tokens.spread(1, 7);
        tokens.shut();
        assert!(tokens.is_shut());
        assert_eq!((tokens.take(1, 1), tokens.take(0, 0)), (Err(Short::Shut), Err(Short::Shut)));
        tokens.put(1);
        assert_eq!((tokens.take_up_to(4), tokens.take_up_to(u64::MAX)), (4, 9));
        tokens.put(2);
        tokens.open();
        assert_eq!(tokens.take(2, 0).map(|_| ()), Ok(()));
    }

    #[test]
    fn stripes_fill_far_from_the_end_and_are_empty_near_it() {
        let tokens = Tokens::new(10_000, 4);
        assert_eq!(tokens.heap_bytes(), 0);
        tokens.contended(CONTENDED + 1);
        tokens.contended(1);
        assert_eq!(tokens.heap_bytes(), 4 * 128);
        let mut taken = 0;
        while tokens.take(1, taken % 7).is_ok() {
            taken += 1;
        }
        assert_eq!((taken, tokens.held()), (10_000, 0));
        assert_eq!(tokens.centre.load(Ordering::Relaxed), 0, "nothing says that stripes hold something");
    }

    proptest! {
        /// Whatever is called, one thread sees a number and a subtraction.
        #[test]
        fn one_thread_sees_a_number(
            start in 0_u64..200,
            stripes in 0_u32..9,
            steps in proptest::collection::vec((0_u8..7, 0_u64..40, 0_usize..16), 0..60),
        ) {
            let tokens = Tokens::new(start, stripes);
            let (mut model, mut shut) = (start, false);
            for (step, n, hint) in steps {
                match step {
                    0..=2 => {
                        let expected = if shut { Err(Short::Shut) }
                            else if n > model { Err(Short::Of(model)) }
                            else { model -= n; Ok(()) };
                        prop_assert_eq!(tokens.take(n, hint).map(|_| ()), expected);
                    }
                    3 => { tokens.put(n); model += n; }
                    4 => { let t = tokens.take_up_to(n); prop_assert_eq!(t, model.min(n)); model -= t; }
                    5 => tokens.stripe(),
                    _ => { if shut { tokens.open() } else { tokens.shut() } shut = !shut; }
                }
                prop_assert_eq!(tokens.held(), model);
            }
        }
    }
}

/// The orders of the atomic steps of two or three threads, with up to three preemptions.
#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn explore(body: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        // Bounded, so that the run ends in seconds: orders with more preemptions are not tried.
        builder.preemption_bound = Some(3);
        builder.check(body);
    }

    fn ok(outcome: &Result<Option<u64>, Short>) -> u64 {
        u64::from(outcome.is_ok())
    }

    #[test]
    fn loom_the_last_token_is_given_once() {
        explore(|| {
            let tokens = Arc::new(Tokens::new(0, 2));
            tokens.spread(0, 1);
            let threads: Vec<_> = (0..2)
                .map(|hint| {
                    let tokens = Arc::clone(&tokens);
                    thread::spawn(move || ok(&tokens.take(1, hint)))
                })
                .collect();
            let own = ok(&tokens.take(1, 1));
            let given: u64 = own + threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>();
            assert_eq!((given, tokens.held()), (1, 0));
        });
    }

    #[test]
    fn loom_one_cell_gives_its_last_token_once_and_nothing_once_shut() {
        explore(|| {
            let tokens = Arc::new(Tokens::new(1, 0));
            let [taker, shutter] = [Arc::clone(&tokens), Arc::clone(&tokens)];
            let taker = thread::spawn(move || ok(&taker.take(1, 0)));
            let shutter = thread::spawn(move || shutter.shut());
            let own = ok(&tokens.take(1, 0));
            shutter.join().unwrap();
            assert_eq!(own + taker.join().unwrap() + tokens.held(), 1);
            assert_eq!(tokens.take(1, 0), Err(Short::Shut));
        });
    }

    #[test]
    fn loom_two_sweeps_do_not_both_refuse_what_one_could_have_had() {
        explore(|| {
            let tokens = Arc::new(Tokens::new(0, 2));
            tokens.spread(0, 1);
            tokens.spread(1, 1);
            let other = {
                let tokens = Arc::clone(&tokens);
                thread::spawn(move || ok(&tokens.take(2, 0)))
            };
            let own = ok(&tokens.take(2, 1));
            assert_eq!((own + other.join().unwrap(), tokens.held()), (1, 0));
        });
    }

    #[test]
    fn loom_a_refund_is_neither_lost_nor_doubled_and_a_refusal_had_its_moment() {
        explore(|| {
            let tokens = Arc::new(Tokens::new(0, 2));
            tokens.spread(0, 1);
            let other = {
                let tokens = Arc::clone(&tokens);
                thread::spawn(move || {
                    let taken = ok(&tokens.take(1, 0));
                    if taken == 1 {
                        tokens.put(1);
                    }
                    taken
                })
            };
            let own = tokens.take(1, 1);
            let taken = other.join().unwrap();
            // Refused means: the other held it at some moment.
            assert!(own.is_ok() || taken == 1);
            assert_eq!(tokens.held(), 1 - ok(&own));
        });
    }

    #[test]
    fn loom_a_grant_is_installed_once_beside_takes_and_sweeps() {
        explore(|| {
            let tokens = Arc::new(Tokens::new(1, 2));
            tokens.spread(0, 1);
            let grant = {
                let tokens = Arc::clone(&tokens);
                thread::spawn(move || tokens.put(2))
            };
            let other = {
                let tokens = Arc::clone(&tokens);
                thread::spawn(move || 3 * ok(&tokens.take(3, 1)))
            };
            let own = ok(&tokens.take(1, 0));
            grant.join().unwrap();
            let taken = own + other.join().unwrap();
            assert_eq!(taken + tokens.held(), 4);
            assert_eq!(own, 1, "one was always there: three of four at most were taken by the other");
        });
    }

    #[test]
    fn loom_a_window_that_rolls_keeps_what_was_not_spent_apart() {
        explore(|| {
            let old = Arc::new(Tokens::new(1, 2));
            old.spread(1, 1);
            let roll = {
                let old = Arc::clone(&old);
                thread::spawn(move || {
                    old.shut();
                    old.take_up_to(u64::MAX)
                })
            };
            let own = ok(&old.take(1, 1));
            if own == 1 {
                old.put(1);
            }
            let home = roll.join().unwrap();
            assert_eq!(home + old.held(), 2);
            assert_eq!(old.take(1, 0), Err(Short::Shut), "a late refund is not spent");
        });
    }

    #[test]
    fn loom_filling_a_stripe_hides_nothing_from_a_refusal() {
        explore(|| {
            let tokens = Arc::new(Tokens::new(34, 2));
            tokens.stripe();
            let other = {
                let tokens = Arc::clone(&tokens);
                thread::spawn(move || ok(&tokens.take(1, 0)))
            };
            let own = 33 * ok(&tokens.take(33, 1));
            let taken = own + other.join().unwrap();
            assert_eq!((taken, tokens.held()), (34, 0), "both fit in every order");
        });
    }

    /// The mutant: look first, take afterwards. Loom has to find the order in which two take the last one.
    #[test]
    #[should_panic(expected = "given twice")]
    fn loom_rejects_check_then_add() {
        explore(|| {
            let cell = Arc::new(AtomicU64::new(1));
            let take = |cell: &AtomicU64| {
                let enough = cell.load(Ordering::Acquire) >= 1;
                if enough {
                    cell.fetch_sub(1, Ordering::AcqRel);
                }
                u64::from(enough)
            };
            let other = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || take(&cell))
            };
            let own = take(&cell);
            assert!(own + other.join().unwrap() <= 1, "given twice");
        });
    }
}
