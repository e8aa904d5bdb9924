//! [`Budgets`]: the budgets of the catalog, over the node that admits what is spent of them.
//!
//! Whoever wants to spend asks, once; limits are acquired one after the other in their order, each from the lease that the
//! node holds or from the ledger, and given back when a later one refuses. Invariants: what is admitted is covered by
//! something durable, as the budget's guarantee says; a request's permits are committed when its own commit is durable and
//! refunded when nothing of it happened; a budget that is dropped admits nothing more. The ledger is somebody else's:
//! calls leave as [`crate::Effects::ledger`], and answers come back as [`crate::Input::Ledger`].

mod ask;
mod gauge;
mod grant;
mod key;
mod limit;
mod listing;
mod promise;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use deltaic_quota::{
    Batch, Chunk, Effects as NodeEffects, Guarantee, Input as NodeInput, Keys, LedgerError, Limit, Lost,
    Metrics, NodeId, Opened, Policy, PolicyId, Reply as LedgerReply, Seq, Silent, Stored, Time, Units,
    WhenAway, Window,
};
use deltaic_types::{Budget, BudgetAmount, BudgetGuarantee, BudgetId, Catalog, OnLedgerFailure, Per};

pub(crate) use ask::amount;
pub use ask::{Admitted, Asked, Consume, ConsumeError, ConsumeId, LimitState, Looked};
use ask::{Ask, Look, Parked};
pub(crate) use gauge::Gauges;
pub use grant::Spent;
pub(crate) use grant::{Grant, Grants, Purse, Wanted};
use key::Naming;
pub use key::{parse as parse_key, to_text as key_text};
use limit::Limits;
pub(crate) use limit::SELF;
use listing::{Listed, Listing};
use promise::Promises;

use crate::input::{Now, Request, RequestId};

/// The parts that a sliding window is cut into: what went over a part ago may count for a part longer.
const PARTS: u32 = 16;

/// The longest that a node waits before it looks at its keys again, while it has some.
const TICK_MICROS: i64 = 100_000;

/// Batches that may be under way together to a ledger that is shared.
const DEPTH: usize = 4;

/// What is to be asked of the ledger.
#[derive(Debug, Clone)]
pub enum LedgerCall {
    /// [`deltaic_quota::Ledger::open`].
    Open(NodeId),
    /// [`deltaic_quota::Ledger::apply`].
    Apply(Batch),
    /// [`deltaic_quota::Ledger::silent`].
    Silent(Time),
    /// [`deltaic_quota::Ledger::open`] for a node that has died; nobody waits for the answer.
    Bury(NodeId),
    /// [`deltaic_quota::Ledger::stored`], under a number to be named in the answer.
    Stored(u64, Keys),
}

/// What the ledger answered.
#[derive(Debug)]
pub enum LedgerAnswer {
    /// To [`LedgerCall::Open`].
    Opened(Result<Opened, LedgerError>),
    /// To [`LedgerCall::Apply`], by the number of the batch.
    Applied(Seq, Result<LedgerReply, LedgerError>),
    /// To [`LedgerCall::Silent`].
    Silent(Result<Vec<Silent>, LedgerError>),
    /// To [`LedgerCall::Stored`].
    Stored(u64, Result<Vec<Stored>, LedgerError>),
}

/// What is wrong with the ledger, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerTrouble {
    /// It does not answer, or writes nothing.
    Away(LedgerError),
    /// It forgot what it had acknowledged: nothing is admitted until the engine starts anew.
    Lost(Lost),
    /// It refuses this node, which begins anew.
    Failed(LedgerError),
}

/// A budget with its policies, one for each of its limits.
#[derive(Debug)]
struct Declared {
    budget: Arc<Budget>,
    policies: Vec<PolicyId>,
}

/// What leaves after a step, on its way to the engine's effects.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) ledger: Vec<LedgerCall>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) looked: Vec<Looked>,
    /// Requests that can go on, with what was admitted for them.
    pub(crate) ready: Vec<Request>,
    /// Requests that were refused.
    pub(crate) refused: Vec<(Request, ConsumeError)>,
    /// Limits that are to be watched, by their number, and those that nobody needs any more.
    pub(crate) watch: Vec<limit::Watch>,
    pub(crate) unwatch: Vec<u64>,
    pub(crate) trouble: Option<LedgerTrouble>,
}

/// The budgets of an engine.
#[derive(Debug)]
pub(crate) struct Budgets {
    name: NodeId,
    naming: Naming,
    node: deltaic_quota::Budgets,
    /// Whether the ledger was asked for an epoch.
    is_begun: bool,
    /// Whether everything is settled for the end.
    is_closed: bool,
    /// Whether the ledger lost a write.
    is_lost: bool,
    declared: BTreeMap<BudgetId, Declared>,
    /// What a policy of the node belongs to.
    by_policy: BTreeMap<PolicyId, (BudgetId, usize)>,
    limits: Limits,
    asks: BTreeMap<u64, Ask>,
    /// Requests that wait for what they consume.
    parked: BTreeMap<RequestId, Parked>,
    looks: BTreeMap<u64, Look>,
    next: u64,
    pub(crate) grants: Grants,
    pub(crate) gauges: Gauges,
    listing: Listing,
    listed: Listed,
    pub(crate) promises: Promises,
    /// Asks that can go on.
    going: VecDeque<u64>,
    /// What the nodes before this one did.
    done: Metrics,
    out: Out,
}

impl Budgets {
    /// Those of a ledger of its own, or of one that others share.
    pub(crate) fn new(name: NodeId, is_shared: bool) -> Self {
        let naming = if is_shared { Naming::Name(name) } else { Naming::Number };
        Self {
            name,
            naming,
            node: new_node(name, naming),
            is_begun: false,
            is_closed: false,
            is_lost: false,
            declared: BTreeMap::new(),
            by_policy: BTreeMap::new(),
            limits: Limits::default(),
            asks: BTreeMap::new(),
            parked: BTreeMap::new(),
            looks: BTreeMap::new(),
            next: 0,
            grants: Grants::default(),
            gauges: Gauges::default(),
            listing: Listing::Done,
            listed: Listed::new(),
            promises: Promises::default(),
            going: VecDeque::new(),
            done: Metrics::default(),
            out: Out::default(),
        }
    }

    /// Takes over the budgets of the catalog.
    pub(crate) fn declare(&mut self, now: Now, catalog: &Catalog) {
        let there: BTreeSet<BudgetId> = catalog.budgets().map(|budget| budget.id).collect();
        let gone: Vec<BudgetId> = self.declared.keys().filter(|id| !there.contains(id)).copied().collect();
        for id in gone {
            self.retire(now, id);
        }
        let mut is_new = false;
        for budget in catalog.budgets() {
            if !self.declared.contains_key(&budget.id) {
                self.put(budget);
                is_new = true;
            }
        }
        // In a ledger of its own nothing is of a budget that is new.
        if is_new && (!self.is_begun || self.naming != Naming::Number) {
            self.listing = Listing::Due(now);
        }
        if !self.declared.is_empty() && !self.is_begun {
            self.is_begun = true;
            self.out.ledger.push(LedgerCall::Open(self.name));
        }
    }

    fn put(&mut self, budget: &Budget) {
        let limits = budget.limits.iter().enumerate();
        let policies: Vec<PolicyId> = limits
            .map(|(place, limit)| {
                let (name, policy) = (self.naming.share(budget, place), policy_of(budget, limit));
                let declared = self.node.try_declare_as(&name, policy);
                declared.expect("invariant: a budget promises what it can keep")
            })
            .collect();
        for (place, policy) in policies.iter().enumerate() {
            self.by_policy.insert(*policy, (budget.id, place));
        }
        self.declared.insert(budget.id, Declared { budget: Arc::new(budget.clone()), policies });
    }

    /// Ends a budget: who waits for it is refused, its leases are settled and closed.
    fn retire(&mut self, now: Now, id: BudgetId) {
        let Some(declared) = self.declared.remove(&id) else { return };
        self.out.unwatch.extend(self.limits.retire(id));
        self.promises.retire(id);
        self.gauges.retire(&declared.budget.name);
        self.unlist(&declared.budget.name);
        let asks: Vec<u64> =
            self.asks.iter().filter(|(_, ask)| ask.budget.id == id).map(|(number, _)| *number).collect();
        for number in asks {
            let error = ConsumeError::NoSuchBudget { name: declared.budget.name.clone(), nearest: None };
            self.refuse(number, error);
        }
        for policy in declared.policies {
            let effects = self.node.retire_policy(time(now), policy);
            self.absorb(effects);
        }
    }

    /// An answer of the ledger.
    pub(crate) fn answered(&mut self, now: Now, answer: LedgerAnswer) {
        match answer {
            LedgerAnswer::Opened(Ok(opened)) => {
                self.going.extend(self.promises.begin());
                self.step(now, NodeInput::Opened(opened));
                self.list(now);
            }
            LedgerAnswer::Opened(Err(error)) => {
                self.out.trouble = Some(LedgerTrouble::Away(error));
                self.is_begun = false;
                self.refuse_all(&ConsumeError::LedgerAway);
            }
            LedgerAnswer::Applied(seq, outcome) => {
                if let Err(error @ (LedgerError::Away | LedgerError::Refused { .. })) = &outcome {
                    self.out.trouble = Some(LedgerTrouble::Away(error.clone()));
                }
                self.step(now, NodeInput::Replied(seq, outcome));
            }
            LedgerAnswer::Silent(Ok(silent)) => self.step(now, NodeInput::Silent(silent)),
            // It is asked again.
            LedgerAnswer::Silent(Err(_)) => {}
            LedgerAnswer::Stored(number, outcome) if self.listing.is_asked(number) => {
                self.listed(now, outcome);
            }
            LedgerAnswer::Stored(number, outcome) => {
                if !self.credited(number, &outcome) {
                    self.loaded(now, number, outcome);
                }
            }
        }
    }

    /// Time has passed: what is due is written, and a ledger that was away is asked again.
    pub(crate) fn tick(&mut self, now: Now) {
        if !self.is_begun && !self.declared.is_empty() && !self.is_lost {
            self.is_begun = true;
            self.out.ledger.push(LedgerCall::Open(self.name));
        }
        if self.is_begun {
            self.step(now, NodeInput::Tick);
            self.list(now);
        }
    }

    /// When [`Budgets::tick`] is due.
    pub(crate) fn wake_at(&self, now: Now) -> Option<Now> {
        (!self.declared.is_empty() && !self.is_lost).then(|| Now(now.0.saturating_add(TICK_MICROS)))
    }

    /// Admits nothing more, and settles everything: [`LedgerCall`]s follow until the node has ended.
    pub(crate) fn close(&mut self, now: Now) {
        self.refuse_all(&ConsumeError::Closing);
        if self.is_begun {
            self.step(now, NodeInput::Close);
        } else {
            self.is_closed = true;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The counters and gauges of the node.
    pub(crate) fn metrics(&self) -> Metrics {
        let now = self.node.metrics();
        Metrics {
            admitted: self.done.admitted.plus(now.admitted),
            denied: self.done.denied + now.denied,
            rows: self.done.rows + now.rows,
            batches: self.done.batches + now.batches,
            burnt: self.done.burnt.plus(now.burnt),
            ..now
        }
    }

    /// What the last steps ask for.
    pub(crate) fn take(&mut self, now: Now) -> Out {
        while let Some(number) = self.going.pop_front() {
            self.go_on(now, number);
        }
        std::mem::take(&mut self.out)
    }

    fn step(&mut self, now: Now, input: NodeInput) {
        let effects = self.node.step(time(now), input);
        self.absorb(effects);
    }

    fn absorb(&mut self, effects: NodeEffects) {
        let NodeEffects { send, replies, ask_silent, declare_dead, lost, failed, closed } = effects;
        self.is_closed |= closed;
        self.out.ledger.extend(send.into_iter().map(LedgerCall::Apply));
        self.out.ledger.extend(ask_silent.map(LedgerCall::Silent));
        self.out.ledger.extend(declare_dead.into_iter().map(LedgerCall::Bury));
        // Somebody declared this node dead: it begins again, with what the ledger has, and who waited waits on.
        let is_anew = failed.is_some() && lost.is_none();
        for (request, answer) in replies {
            if is_anew && answer.is_err() {
                self.going.push_back(request.0);
            } else {
                self.came(request.0, answer);
            }
        }
        if let Some(lost) = lost {
            self.is_lost = true;
            self.out.trouble = Some(LedgerTrouble::Lost(lost));
            self.refuse_all(&ConsumeError::LedgerLost);
        } else if let Some(error) = failed {
            self.out.trouble = Some(LedgerTrouble::Failed(error));
            self.begin_anew();
        }
    }

    fn begin_anew(&mut self) {
        self.done = self.metrics();
        self.node = new_node(self.name, self.naming);
        self.by_policy.clear();
        let budgets: Vec<Arc<Budget>> =
            std::mem::take(&mut self.declared).into_values().map(|declared| declared.budget).collect();
        for budget in budgets {
            self.put(&budget);
        }
        self.out.ledger.push(LedgerCall::Open(self.name));
    }
}

fn new_node(name: NodeId, naming: Naming) -> deltaic_quota::Budgets {
    let mut node = deltaic_quota::Budgets::new(name);
    // A ledger that is shared is behind a network; one of its own syncs for each batch, and the fewer the better.
    node.set_depth(if naming == Naming::Number { 1 } else { DEPTH });
    node.watch();
    node
}

fn time(now: Now) -> Time {
    Time(u64::try_from(now.0 / 1_000).unwrap_or(0))
}

fn policy_of(budget: &Budget, limit: &deltaic_types::BudgetLimit) -> Policy {
    // A limit that a query says is set for each key when it is first used.
    let units = match &limit.amount {
        BudgetAmount::Units(units) => Units(u64::try_from(*units).unwrap_or(0)),
        BudgetAmount::Query(_) => Units::ZERO,
    };
    Policy {
        limit: Limit::Of(units),
        window: match limit.per {
            Per::Ever => Window::None,
            Per::Month => Window::Month,
            // Weeks begin on Monday, and 1970 began on a Thursday.
            Per::Fixed { millis } => {
                let offset = if millis.is_multiple_of(604_800_000) { 4 * 86_400_000 } else { 0 };
                Window::Fixed { millis, offset }
            }
            Per::Sliding { millis } => Window::Sliding { millis, parts: PARTS },
            Per::Bucket { millis, burst } => {
                Window::Bucket { millis, burst: Units(u64::try_from(burst).unwrap_or(0)) }
            }
        },
        guarantee: match budget.guarantee {
            BudgetGuarantee::Escrow => Guarantee::Escrow,
            BudgetGuarantee::Standing => Guarantee::Standing,
            BudgetGuarantee::GroupCommit => Guarantee::GroupCommit,
            BudgetGuarantee::Volatile => Guarantee::Volatile,
        },
        when_away: match budget.on_ledger_failure {
            OnLedgerFailure::Deny => WhenAway::Deny,
            OnLedgerFailure::SpendLease => WhenAway::SpendLease,
            OnLedgerFailure::Open => WhenAway::Open,
        },
        chunk: Chunk::default(),
        ..Policy::stock(units)
    }
}
