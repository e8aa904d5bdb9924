//! The floor and the peers: a bare compare-and-swap, a mutex, governor, throttlecrab and limitador in memory.
//!
//! Invariant: each is given its budgets as a burst that in effect never fills again (a unit a minute), and is used as its
//! documents say. Where there are many keys, all find them by the same names and, where one can be chosen, the same hash.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, SystemTime};

use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use limitador::limit::{Context, Expression, Limit, Namespace, Predicate};
use rustc_hash::{FxBuildHasher, FxHashMap};
use throttlecrab::AdaptiveStore;

use crate::driver::{Budgets, Contestant, Limiter, Run, drive};

/// In so many seconds a unit comes back.
const REFILL: u64 = 60;

/// A bare compare-and-swap: decrement if there is enough. Nothing exact in memory can be cheaper.
pub struct Floor;

struct Cells {
    names: Vec<String>,
    cells: FxHashMap<String, AtomicI64>,
}

impl Contestant for Floor {
    fn name(&self) -> &'static str {
        "compare-and-swap, the floor"
    }

    fn open(&self, budgets: &Budgets, _refunds: bool) -> Option<Box<dyn Limiter>> {
        let cell = |name: &String| (name.clone(), AtomicI64::new(budgets.units as i64));
        Some(Box::new(Cells { names: budgets.keys.clone(), cells: budgets.keys.iter().map(cell).collect() }))
    }
}

fn decrement(cell: &AtomicI64, refunds: bool) -> bool {
    let mut held = cell.load(Ordering::Acquire);
    while held >= 1 {
        match cell.compare_exchange_weak(held, held - 1, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                if refunds {
                    cell.fetch_add(1, Ordering::AcqRel);
                }
                return true;
            }
            Err(now) => held = now,
        }
    }
    false
}

impl Limiter for Cells {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        if let [name] = &self.names[..] {
            let cell = &self.cells[name];
            return drive(stream, refunds, start, |_, back| decrement(cell, back));
        }
        drive(stream, refunds, start, |key, back| decrement(&self.cells[&self.names[key]], back))
    }
}

/// A mutex for each key.
pub struct Locked;

struct Mutexes {
    names: Vec<String>,
    cells: FxHashMap<String, Mutex<i64>>,
}

impl Contestant for Locked {
    fn name(&self) -> &'static str {
        "mutex"
    }

    fn open(&self, budgets: &Budgets, _refunds: bool) -> Option<Box<dyn Limiter>> {
        let cell = |name: &String| (name.clone(), Mutex::new(budgets.units as i64));
        Some(Box::new(Mutexes {
            names: budgets.keys.clone(),
            cells: budgets.keys.iter().map(cell).collect(),
        }))
    }
}

fn locked(cell: &Mutex<i64>, refunds: bool) -> bool {
    let lock = || cell.lock().expect("nobody panics with the lock");
    let is_enough = {
        let mut held = lock();
        let is_enough = *held >= 1;
        *held -= i64::from(is_enough);
        is_enough
    };
    if is_enough && refunds {
        *lock() += 1;
    }
    is_enough
}

impl Limiter for Mutexes {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        if let [name] = &self.names[..] {
            let cell = &self.cells[name];
            return drive(stream, refunds, start, |_, back| locked(cell, back));
        }
        drive(stream, refunds, start, |key, back| locked(&self.cells[&self.names[key]], back))
    }
}

fn quota(units: u64) -> Quota {
    let burst = u32::try_from(units).ok().and_then(NonZeroU32::new).expect("a budget fits a burst");
    Quota::with_period(Duration::from_secs(REFILL)).expect("a minute is a period").allow_burst(burst)
}

/// governor's limiter of one key.
pub struct GovernorDirect;

struct Direct(RateLimiter<NotKeyed, InMemoryState, DefaultClock>);

impl Contestant for GovernorDirect {
    fn name(&self) -> &'static str {
        "governor 0.10, direct"
    }

    fn open(&self, budgets: &Budgets, refunds: bool) -> Option<Box<dyn Limiter>> {
        let fits = budgets.keys.len() == 1 && !refunds;
        fits.then(|| Box::new(Direct(RateLimiter::direct(quota(budgets.units)))) as Box<dyn Limiter>)
    }
}

impl Limiter for Direct {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        drive(stream, refunds, start, |_, _| self.0.check().is_ok())
    }
}

/// governor's limiter of many keys, in a `DashMap`.
pub struct GovernorKeyed;

struct Keyed {
    names: Vec<String>,
    limiter: RateLimiter<String, DashMapStateStore<String, FxBuildHasher>, DefaultClock>,
}

impl Contestant for GovernorKeyed {
    fn name(&self) -> &'static str {
        "governor 0.10, keyed"
    }

    fn open(&self, budgets: &Budgets, refunds: bool) -> Option<Box<dyn Limiter>> {
        let limiter = RateLimiter::dashmap_with_hasher(quota(budgets.units), FxBuildHasher);
        (!refunds).then(|| Box::new(Keyed { names: budgets.keys.clone(), limiter }) as Box<dyn Limiter>)
    }
}

impl Limiter for Keyed {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        drive(stream, refunds, start, |key, _| self.limiter.check_key(&self.names[key]).is_ok())
    }
}

/// throttlecrab's library over its default store, which wants to be borrowed alone.
pub struct Throttlecrab;

struct Crab {
    names: Vec<String>,
    units: i64,
    limiter: Mutex<throttlecrab::RateLimiter<AdaptiveStore>>,
}

impl Contestant for Throttlecrab {
    fn name(&self) -> &'static str {
        "throttlecrab 0.4, in a mutex"
    }

    fn slower(&self) -> usize {
        8
    }

    fn open(&self, budgets: &Budgets, refunds: bool) -> Option<Box<dyn Limiter>> {
        let limiter = Mutex::new(throttlecrab::RateLimiter::new(AdaptiveStore::new()));
        let (names, units) = (budgets.keys.clone(), budgets.units as i64);
        (!refunds).then(|| Box::new(Crab { names, units, limiter }) as Box<dyn Limiter>)
    }
}

impl Limiter for Crab {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        drive(stream, refunds, start, |key, _| {
            let mut limiter = self.limiter.lock().expect("nobody panics with the lock");
            let now = SystemTime::now();
            let outcome = limiter.rate_limit(&self.names[key], self.units, 1, REFILL as i64, 1, now);
            outcome.expect("the rate is a rate").0
        })
    }
}

/// limitador's limiter over its storage in memory; what was used is given back by its reservations.
pub struct Limitador;

pub struct Limits {
    names: Vec<String>,
    namespace: Namespace,
    limiter: limitador::RateLimiter,
}

impl Limits {
    pub fn new(budgets: &Budgets) -> Self {
        let limiter = limitador::RateLimiter::new(2 * budgets.keys.len() as u64);
        let key = Expression::parse("key").expect("a name is an expression");
        limiter.add_limit(Limit::new("budgets", budgets.units, 3_600, Vec::<Predicate>::new(), [key]));
        Self { names: budgets.keys.clone(), namespace: "budgets".into(), limiter }
    }

    fn ask(&self, context: &Context<'_>, refunds: bool) -> bool {
        if !refunds {
            let outcome = self.limiter.check_rate_limited_and_update(&self.namespace, context, 1);
            return !outcome.expect("the storage is in memory").limited;
        }
        let reserved =
            self.limiter.reserve(&self.namespace, context, 1, None).expect("the storage is in memory");
        if !reserved.limited {
            let id = reserved.reservation_id.as_ref();
            let ended = self.limiter.commit_reservation(&self.namespace, context, id, 0);
            ended.expect("the storage is in memory");
        }
        !reserved.limited
    }
}

impl Contestant for Limitador {
    fn name(&self) -> &'static str {
        "limitador 0.14, in memory"
    }

    fn slower(&self) -> usize {
        64
    }

    fn open(&self, budgets: &Budgets, _refunds: bool) -> Option<Box<dyn Limiter>> {
        Some(Box::new(Limits::new(budgets)))
    }
}

impl Limiter for Limits {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        // Made ahead, which flatters it: a service makes one for each request.
        #[expect(clippy::disallowed_types, reason = "what the peer takes")]
        let context = |name: &String| {
            let values: std::collections::HashMap<String, String> = [("key".to_owned(), name.clone())].into();
            Context::from(values)
        };
        let contexts: Vec<Context<'_>> = self.names.iter().map(context).collect();
        drive(stream, refunds, start, |key, back| self.ask(&contexts[key], back))
    }
}
