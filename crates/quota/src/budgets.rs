//! [`Budgets`]: a node: its keys, and the batches that it has under way to the ledger.
//!
//! Invariant: `step(now, input) -> effects` decides all that leaves the node, from its inputs alone: no clock, no
//! thread, no I/O. Admission is no step: it is a call on a [`Handle`], by any thread. A batch is the same bytes until
//! it is answered; of batches that are under way together none names what another does; a grant is spent only after it
//! was answered; nothing is made durable twice, whatever is lost or repeated. A step costs the keys that changed, fall
//! due or are named, not the keys that there are.
//!
//! ```
//! use deltaic_quota::{Budgets, Input, Key, Ledger, MemoryLedger, NodeId, Policy, RequestId, Time, Units};
//!
//! let mut ledger = MemoryLedger::new();
//! let mut budgets = Budgets::new(NodeId(1));
//! let tokens = budgets.declare(Policy::stock(Units(1_000)));
//! let key = Key::new(b"acme").unwrap();
//!
//! budgets.step(Time(0), Input::Opened(ledger.open(NodeId(1)).unwrap()));
//! let ask = Input::Consume { request: RequestId(7), policy: tokens, key: key.clone(), units: Units(5) };
//! let batch = budgets.step(Time(0), ask).send.pop().unwrap();
//! let effects = budgets.step(Time(1), Input::Replied(batch.seq, ledger.apply(&batch)));
//! assert!(effects.replies[0].1.is_ok());
//! ```

mod flush;
mod life;
mod peers;
mod rest;
mod slot;
mod slots;
mod standing;
mod state;
mod traffic;

pub use state::{Changed, KeyState};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use slot::{Call, Named, Slot};
use slots::Slots;
pub(crate) use slots::Sums;
use standing::Share;
pub use traffic::{Answer, Effects, Input, Lost, RequestId};

use crate::accumulator::{Accumulator, Settings};
use crate::dirty::{Mark, SLOTS, Segment};
use crate::handle::Handle;
use crate::ledger::{Batch, Claim};
use crate::metrics::Metrics;
use crate::permit::{Denied, Permit, Reason};
use crate::policy::{Limit, Policy, PolicyError, WhenAway};
use crate::timers::{Timers, shared};
use crate::window::Place;
use crate::{Epoch, Guarantee, Key, NodeId, Seq, Time, Units, WindowId};
use peers::Peers;

/// Names a declared policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(usize);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Unopened,
    Running,
    Stopped,
    Closing,
    Closed,
    Failed,
}

#[derive(Debug)]
struct UnderWay {
    batch: Batch,
    slots: Vec<usize>,
    /// All before this was acknowledged when it was last sent.
    behind: Seq,
    /// Its last attempt has failed, and it is to be sent again.
    again: bool,
}

/// A node: its keys, and the batches that it has under way to the ledger.
#[derive(Debug)]
pub struct Budgets {
    node: NodeId,
    epoch: Epoch,
    seq: Seq,
    stage: Stage,
    clock: Time,
    away: bool,
    policies: Vec<Policy>,
    current: BTreeMap<Key, u32>,
    slots: Slots,
    segments: Vec<Arc<Segment>>,
    pending: BTreeSet<usize>,
    /// Of these, the ones that somebody waits for.
    asking: BTreeSet<usize>,
    /// By policy.
    standing: BTreeMap<usize, Share>,
    /// Windows on a share that begin after the acknowledged horizon.
    uncovered: BTreeSet<usize>,
    /// Earlier lives may have spent the shares of windows that begin before this.
    first: Time,
    /// The horizon as it was last sent, and as it was last acknowledged.
    horizon: Time,
    covered: Time,
    /// The next windows of keys that are in use, shortly before they begin.
    early: BTreeMap<Key, usize>,
    timers: Timers,
    /// In the order of their numbers.
    under_way: VecDeque<UnderWay>,
    /// How many there may be.
    depth: usize,
    peers: Peers,
    done: Metrics,
    watched: Option<state::Watched>,
}

impl Budgets {
    /// A node that waits for its epoch: the driver calls [`Ledger::open`](crate::Ledger::open).
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            epoch: Epoch(0),
            seq: Seq(0),
            stage: Stage::Unopened,
            clock: Time(0),
            away: false,
            policies: Vec::new(),
            current: BTreeMap::new(),
            slots: Slots::default(),
            segments: Vec::new(),
            pending: BTreeSet::new(),
            asking: BTreeSet::new(),
            standing: BTreeMap::new(),
            uncovered: BTreeSet::new(),
            first: Time(0),
            horizon: Time(0),
            covered: Time(0),
            early: BTreeMap::new(),
            timers: Timers::default(),
            under_way: VecDeque::new(),
            depth: 1,
            peers: Peers::default(),
            done: Metrics::default(),
            watched: None,
        }
    }

    /// Declares a policy. Limits above [`Units::MAX`] are taken as that. Panics where [`Budgets::try_declare`] gives
    /// an error.
    pub fn declare(&mut self, policy: Policy) -> PolicyId {
        match self.try_declare(policy) {
            Ok(id) => id,
            Err(error) => panic!("{error}"),
        }
    }

    /// Declares a policy, if it promises what it can keep. The row of a standing share is named by the policy's
    /// place in the order of declarations, which then has to be the same on every node of a ledger, in every life.
    pub fn try_declare(&mut self, policy: Policy) -> Result<PolicyId, PolicyError> {
        let name = format!("\0standing/{}", self.policies.len());
        let name = Key::new(name.as_bytes()).expect("invariant: a number is shorter than a key");
        self.try_declare_as(&name, policy)
    }

    /// The same, with a name for the row of a standing share: the same on every node, and no key of requests.
    pub fn try_declare_as(&mut self, name: &Key, policy: Policy) -> Result<PolicyId, PolicyError> {
        policy.check()?;
        let id = PolicyId(self.policies.len());
        self.policies.push(policy);
        if policy.guarantee == Guarantee::Standing {
            self.stand(id, name);
        }
        Ok(id)
    }

    /// The way to a key's admission. A key has one policy, that of its first use: the minute's and the hour's limit
    /// of a user are two keys. A key that is new to this node admits nothing before the ledger was asked, which a
    /// request by [`Input::Consume`] or the next tick after a refused one does.
    pub fn handle(&mut self, now: Time, policy: PolicyId, key: &Key) -> Handle {
        self.clock = self.clock.max(now);
        match self.slot(policy, key) {
            Some(slot) => Handle::new(Arc::clone(&self.at(slot).accumulator)),
            None => Handle::unlimited(),
        }
    }

    /// Whether a tick now would serve somebody: a lease is low or used up.
    pub fn is_urgent(&self) -> bool {
        self.segments.iter().any(|segment| segment.is_urgent())
    }

    /// How many batches may be under way together: 1 if nothing is said, and at least that. More serve where the way to
    /// the ledger is long: then the next is there when the one before is answered. They are applied in their order.
    pub fn set_depth(&mut self, batches: usize) {
        self.depth = batches.max(1);
    }

    /// Whether a batch is under way.
    pub fn is_waiting(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// The node's counters and gauges. Work: the keys in memory.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.done;
        for slot in self.slots.iter().filter(|slot| !slot.is_share()) {
            slot.count(&mut metrics);
            let available = slot.accumulator.available();
            let outstanding = slot.accumulator.outstanding();
            metrics.keys += 1;
            metrics.exposure = metrics.exposure.plus(available.bound.under);
            metrics.exposure_at_most = metrics.exposure_at_most.plus(outstanding);
            let under = available.bound.under.plus(slot.accumulator.going_home()).plus(self.next_window(
                slot.policy,
                &slot.key,
                slot.accumulator.ends(),
            ));
            metrics.wrong_at_most.under = metrics.wrong_at_most.under.plus(under);
            metrics.wrong_at_most.over = metrics.wrong_at_most.over.plus(available.bound.over);
        }
        for resting in self.slots.iter_resting() {
            let held = resting.sums.held();
            let window = self.policies[resting.policy().0].window;
            let ends = window.at(window.begins(resting.window)).ends;
            let next = self.next_window(resting.policy(), &resting.key, ends);
            metrics.keys += 1;
            metrics.resting += 1;
            metrics.exposure = metrics.exposure.plus(held);
            metrics.wrong_at_most.under = metrics.wrong_at_most.under.plus(held).plus(next);
            if self.policies[resting.policy().0].guarantee != Guarantee::Standing {
                metrics.exposure_at_most = metrics.exposure_at_most.plus(held);
            }
        }
        // The ledger may have granted what it was asked for.
        for under_way in &self.under_way {
            for (entry, index) in under_way.batch.entries.iter().zip(&under_way.slots) {
                let claim = match entry.claim {
                    Claim::Units(claim) => claim,
                    Claim::High(until) => self
                        .at(*index)
                        .accumulator
                        .bucket()
                        .map_or(Units::ZERO, |bucket| bucket.beyond_the_mark(until)),
                };
                metrics.wrong_at_most.under = metrics.wrong_at_most.under.plus(claim);
            }
        }
        metrics
    }

    /// The only way in. A clock that steps back is taken as standing still.
    pub fn step(&mut self, now: Time, input: Input) -> Effects {
        self.clock = self.clock.max(now);
        let mut effects = Effects::default();
        // A single request looks at what waits, everything else at all that changed.
        let all = !matches!(input, Input::Consume { .. });
        match input {
            Input::Opened(opened) => self.opened(&opened),
            Input::Replied(seq, outcome) => self.replied(seq, outcome, &mut effects),
            Input::Consume { request, policy, key, units } => {
                self.consume(request, policy, &key, units, &mut effects);
            }
            Input::SetLimit { policy, key, limit } => {
                if let Some(slot) = self.limited(policy, &key) {
                    self.at(slot).accumulator.set_limit(limit);
                }
            }
            Input::Credit { policy, key, units } => {
                if let Some(slot) = self.limited(policy, &key) {
                    self.at(slot).accumulator.credit(units);
                }
            }
            Input::Tick => self.again(&mut effects),
            Input::Silent(silent) => self.bury(silent, &mut effects),
            Input::Stop => self.stop(&mut effects),
            Input::Close => self.close(&mut effects),
        }
        self.pump(all, &mut effects);
        self.listen(&mut effects);
        effects
    }

    fn at(&self, slot: usize) -> &Slot {
        self.slots.get(slot).expect("invariant: an index names a slot as long as it is listed")
    }

    fn at_mut(&mut self, slot: usize) -> &mut Slot {
        self.slots.get_mut(slot).expect("invariant: an index names a slot as long as it is listed")
    }

    fn consume(
        &mut self,
        request: RequestId,
        policy: PolicyId,
        key: &Key,
        units: Units,
        effects: &mut Effects,
    ) {
        let deny = |reason| Err(Denied { available: Units::ZERO, retry_after: None, reason });
        if !matches!(self.stage, Stage::Running | Stage::Unopened) {
            effects.replies.push((request, deny(Reason::Closed)));
            return;
        }
        let Some(index) = self.slot(policy, key) else {
            effects.replies.push((request, Ok(Permit::unlimited(units))));
            return;
        };
        if let Some(watched) = &mut self.watched {
            watched.touch(index);
        }
        let (away, clock) = (self.away, self.clock);
        let policy = self.policies[policy.0];
        let slot = self.at_mut(index);
        if slot.waiting.is_empty() && !slot.closing {
            let fresh = clock.since(slot.flushed) < policy.flush.max_age_millis;
            match slot.accumulator.try_consume_shared_at(clock, units) {
                Ok(permit) => {
                    effects.replies.push((request, Ok(permit)));
                    return;
                }
                // What the ledger said a moment ago is believed, so that refusals cost no rows.
                Err(denied) if slot.is_believed(denied.reason, fresh) => {
                    effects.replies.push((request, Err(denied)));
                    return;
                }
                Err(denied) if away => {
                    let denied = Denied { reason: Reason::LedgerAway, ..denied };
                    effects.replies.push((request, Err(denied)));
                    return;
                }
                // It waits, and is counted as one that waits.
                Err(denied) if denied.reason == Reason::Lease => slot.accumulator.wait(units),
                Err(_) => slot.accumulator.wait(Units::ZERO),
            }
        }
        slot.waiting.push_back((request, units));
        self.pending.insert(index);
        self.asking.insert(index);
    }

    /// The current slot of a key, made if it is not there; none if the key is unlimited.
    fn slot(&mut self, policy: PolicyId, key: &Key) -> Option<usize> {
        let Limit::Of(limit) = self.policies[policy.0].limit else { return None };
        let place = self.policies[policy.0].window.at(self.clock);
        let old = self.current.get(key).map(|old| *old as usize);
        if let Some(old) = old {
            self.wake(old);
            if self.at(old).window >= place.id {
                return Some(old);
            }
        }
        let mut old = old;
        if let Some(early) = self.early.get(key).copied().filter(|early| self.at(*early).window <= place.id) {
            self.early.remove(key);
            self.current.insert(key.clone(), number(early));
            if let Some(old) = old {
                self.succeed(old, early);
            }
            if self.at(early).window == place.id {
                return Some(early);
            }
            // The clock has passed over it.
            old = Some(early);
        }
        let index = self.make(policy, key, limit, place);
        self.current.insert(key.clone(), number(index));
        self.share(index);
        if let Some(old) = old {
            self.succeed(old, index);
        }
        Some(index)
    }

    /// A key goes from one window to a later one.
    fn succeed(&mut self, old: usize, new: usize) {
        let next = Arc::clone(&self.at(new).accumulator);
        let previous = self.at_mut(old);
        let (rate, waiting) = (previous.rate, std::mem::take(&mut previous.waiting));
        previous.accumulator.set_next(next);
        if !waiting.is_empty() {
            self.asking.insert(new);
            self.pending.insert(new);
        }
        let fresh = self.at_mut(new);
        fresh.rate = fresh.rate.max(rate);
        fresh.waiting.extend(waiting);
        self.retire(old);
    }

    /// Where a limit is set: at the key, or at the share of all keys.
    fn limited(&mut self, policy: PolicyId, key: &Key) -> Option<usize> {
        match self.standing.get(&policy.0) {
            Some(share) => Some(share.slot).filter(|slot| self.slots.get(*slot).is_some()),
            None => self.slot(policy, key),
        }
    }

    /// A slot for a key in a window.
    fn make(&mut self, policy: PolicyId, key: &Key, limit: Units, place: Place) -> usize {
        let index = self.slots.vacant();
        self.fill(index, policy, key, limit, place);
        index
    }

    /// Puts a key into a place.
    fn fill(&mut self, index: usize, policy: PolicyId, key: &Key, limit: Units, place: Place) {
        if index / SLOTS == self.segments.len() {
            self.segments.push(Arc::new(Segment::new()));
        }
        let chosen = self.policies[policy.0];
        let account = crate::Account { key: key.clone(), window: place.id };
        let settings = Settings {
            account,
            span: place.span,
            limit: limit.min(Units::MAX),
            guarantee: chosen.guarantee,
            ends: place.ends,
            stripes: chosen.stripes,
            rate: chosen.window.rate(),
        };
        let mark = Mark { segment: Arc::clone(&self.segments[index / SLOTS]), slot: index % SLOTS };
        // What stands on a share has nothing to settle.
        let quiet = chosen.guarantee == Guarantee::Standing && place.id != WindowId::EVERY;
        let accumulator = Arc::new(Accumulator::marking(settings, Some(mark).filter(|_| !quiet)));
        match self.stage {
            Stage::Running | Stage::Unopened => self.meet_absence(chosen.when_away, &accumulator),
            _ => accumulator.shut(),
        }
        // What stands on a share is forgotten when its window is over and not before: it would be spent again.
        let idle_at =
            if chosen.guarantee == Guarantee::Standing { Time::NEVER } else { self.idle_at(policy) };
        let warm_at = chosen.warm_at(place);
        let look_at = place.ends.min(idle_at).min(warm_at);
        if look_at != Time::NEVER {
            self.timers.set(look_at, index);
        }
        let slot = Slot {
            accumulator,
            key: key.clone(),
            policy,
            window: place.id,
            waiting: VecDeque::new(),
            asked: 0,
            tries: 0,
            dirty_since: None,
            flushed: self.clock,
            sampled: self.clock,
            consumed: Units::ZERO,
            rate: Units::ZERO,
            armed: true,
            closing: false,
            seen: (Units::ZERO, 0),
            idle_at,
            warm_at,
            look_at,
            call: Call::No,
            counted: Units::ZERO,
            quiet_since: self.clock,
            named: Named::No,
        };
        self.slots.put(index, slot);
    }

    /// When a key that is used now is next to be looked at for idleness: together with others.
    fn idle_at(&self, policy: PolicyId) -> Time {
        // It rests long before it is forgotten.
        let millis = (self.policies[policy.0].idle_millis / 8).max(1);
        shared(self.clock.after(millis), millis / 8)
    }

    fn meet_absence(&self, when_away: WhenAway, accumulator: &Accumulator) {
        if self.away {
            match when_away {
                WhenAway::Deny => accumulator.pause(),
                WhenAway::SpendLease => {}
                WhenAway::Open => accumulator.admit_uncovered(),
            }
        }
    }
}

/// A slot's number as the maps have it.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: there are fewer slots than a word counts")
}
