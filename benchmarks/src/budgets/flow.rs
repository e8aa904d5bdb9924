//! [`Flow`]: requests that cancel each other, and what each way of gating makes of them.
//!
//! Every key climbs to its peak in even steps and gives all of it back, again and again; which key is next is drawn from a
//! seed. One request in a thousand asks for more than the limit and has to be refused. Invariant: all ways see the same
//! requests at the same moments, and none may let a key's net use go over the limit.

use deltaic_quota::{Flush, Handle, Key, MemoryLedger, Permit, Policy, Units};

use super::world::{Random, World, key};

/// Requests in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) keys: usize,
    pub(super) requests: u64,
    /// In a second.
    pub(super) rate: u64,
    /// Units that a key has in use at the most, reached in so many steps.
    pub(super) peak: u64,
    pub(super) steps: u64,
    pub(super) limit: u64,
}

/// What somebody wants of a key.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Take(u64),
    GiveBack,
}

/// What a way of gating did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    pub(super) admitted: u64,
    pub(super) refunded: u64,
    pub(super) denied: u64,
    /// Units by which any key went over its limit at any moment.
    pub(super) over: u64,
    pub(super) rows: u64,
    pub(super) calls: u64,
    /// Of the rows, where they are encoded.
    pub(super) bytes: Option<u64>,
    /// The most that a crash could have cost: units never given, and units given twice.
    pub(super) under_by_crash: u64,
    pub(super) over_by_crash: u64,
}

impl Flow {
    /// All requests: the moment in milliseconds, the key, the wish.
    fn each(&self, mut visit: impl FnMut(u64, usize, Wish)) {
        let mut random = Random(7);
        let mut places = vec![0_u64; self.keys];
        for number in 0..self.requests {
            let now = number * 1_000 / self.rate;
            let key = random.below(self.keys as u64) as usize;
            if number % 1_000 == 999 {
                visit(now, key, Wish::Take(self.limit + 1));
                continue;
            }
            let place = places[key] % (2 * self.steps);
            places[key] += 1;
            let wish = if place < self.steps { Wish::Take(self.peak / self.steps) } else { Wish::GiveBack };
            visit(now, key, wish);
        }
    }

    /// Exact in memory, and every change a row and a call of its own.
    pub(super) fn each_a_row(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut used = vec![0_u64; self.keys];
        self.each(|_, key, wish| {
            if count(wish, &mut used[key], self, &mut outcome) {
                outcome.rows += 1;
                outcome.calls += 1;
            }
        });
        outcome
    }

    /// Exact in memory, and every so many milliseconds a row for each key whose sum has changed, in one call. What a
    /// crash forgets it gives again.
    pub(super) fn coalesced(&self, millis: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let (mut used, mut written) = (vec![0_u64; self.keys], vec![0_u64; self.keys]);
        let mut next = millis;
        let mut flush = |used: &[u64], outcome: &mut Outcome| {
            let unwritten = used.iter().zip(&written).map(|(used, written)| used.saturating_sub(*written));
            outcome.over_by_crash = outcome.over_by_crash.max(unwritten.sum());
            let changed = used.iter().zip(&written).filter(|(used, written)| used != written).count() as u64;
            outcome.rows += changed;
            outcome.calls += u64::from(changed > 0);
            written.copy_from_slice(used);
        };
        self.each(|now, key, wish| {
            while now >= next {
                flush(&used, &mut outcome);
                next += millis;
            }
            count(wish, &mut used[key], self, &mut outcome);
        });
        flush(&used, &mut outcome);
        outcome
    }

    /// Under leases.
    pub(super) fn leased(&self, policy: Policy) -> Outcome {
        let mut outcome = Outcome::default();
        let mut world = World::new(MemoryLedger::new(), policy, 0);
        let names: Vec<Key> = (0..self.keys as u64).map(key).collect();
        let mut handles: Vec<Handle> = names.iter().map(|name| world.handle(0, name)).collect();
        let mut permits: Vec<Vec<Permit<'static>>> = (0..self.keys).map(|_| Vec::new()).collect();
        let mut used = vec![0_u64; self.keys];
        let (mut ticked, mut looked) = (0, 0);
        let mut last = 0;
        self.each(|now, key, wish| {
            // A driver ticks ten times in the age of a row, and when a lease is low.
            if now >= ticked + 100 || (now > last && world.node.is_urgent()) {
                world.tick(now);
                if now >= looked + 100 {
                    world.look();
                    looked = now;
                }
                ticked = now;
            }
            last = now;
            match wish {
                Wish::Take(units) => match world.consume(now, &mut handles[key], &names[key], units) {
                    Ok(permit) => {
                        outcome.admitted += 1;
                        used[key] += units;
                        permits[key].push(permit);
                        outcome.over = outcome.over.max(used[key].saturating_sub(self.limit));
                    }
                    Err(_) => outcome.denied += 1,
                },
                Wish::GiveBack => {
                    if let Some(permit) = permits[key].pop() {
                        used[key] -= permit.units().0;
                        permit.refund();
                        outcome.refunded += 1;
                    }
                }
            }
        });
        world.look();
        drop(permits);
        drop(handles);
        let (_, cost) = world.close(last + 1);
        (outcome.rows, outcome.calls, outcome.bytes) = (cost.rows, cost.calls, Some(cost.bytes));
        outcome.under_by_crash = cost.exposure;
        outcome
    }
}

/// Applies a wish to an exact counter; says whether anything changed.
fn count(wish: Wish, used: &mut u64, flow: &Flow, outcome: &mut Outcome) -> bool {
    match wish {
        Wish::Take(units) if *used + units > flow.limit => {
            outcome.denied += 1;
            return false;
        }
        Wish::Take(units) => {
            *used += units;
            outcome.admitted += 1;
        }
        Wish::GiveBack => {
            *used = used.saturating_sub(flow.peak / flow.steps);
            outcome.refunded += 1;
        }
    }
    true
}

/// A stock that is settled when so much is unsettled for a second.
pub(super) fn policy(limit: u64, deadband: u64) -> Policy {
    let stock = Policy::stock(Units(limit));
    Policy { flush: Flush { deadband: Units(deadband), ..stock.flush }, ..stock }
}
