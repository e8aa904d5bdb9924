//! [`Recurse`]: the least fixpoint of a linear step, kept up to date under insertion and deletion.
//!
//! `r = base + step(r)`: DBSP's loop, `r = I(δ₀(base) + step^Δ(z⁻¹(D(r))))` along the iterations, closed by
//! [`crate::Operator::Feedback`] and incremental along the steps as well.
//!
//! A *fact* is a row of the recursive relation. Its *rank* is the first iteration that derives it: 0 from the base,
//! k + 1 from a fact of rank k. The state is, for each fact, the weights of its derivations by rank; the relation
//! that the step reads, the *feedback*, holds each fact at its least rank. (For bags each rank is a row of its own.)
//! This is differential dataflow's nested iteration (`McSherry` et al., 2013), where a linear step lets the times of a
//! fact be its ranks.
//!
//! A change is worked off rank by rank, ascending. Invariant: when a rank's turn comes all derivations up to it are
//! final, because they come from facts of lower ranks; so facts that only support each other lose their derivations
//! one rank after the other until none is left, and a fact that is derived at a higher rank now is found there.
//!
//! What has no end is cut off: a rank is *open* while it is not above [`Bounds::rounds`] and the ranks before it hold
//! no more than [`Bounds::rows`] rows. A fact of a rank that is not open is an error in its place. The cut depends on
//! the input alone, so the error goes when the data no longer diverge, and nothing is computed anew for it.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use deltaic_types::{EvalError, Row, Value};

use crate::{
    cow_tree::CowTree,
    operator::NodeId,
    zset::{Batch, ErrorRow, Weight, ZSet},
};

/// The recursion `r = base + step(r)`.
///
/// Rows of the base are the parameters and the fact's columns. Rows of the feedback are the parameters, the rank and
/// the columns, and so are the step's, which hands the rank of the row it comes from through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recurse {
    /// The node that the step reads the relation from.
    pub feedback: NodeId,
    /// The rows that the recursion begins with.
    pub base: NodeId,
    /// What is derived from the rows of the feedback.
    pub step: NodeId,
    /// How many of the first columns name what the recursion is computed for: the template's parameters first.
    pub prefix: usize,
    /// How many of these are the template's parameters.
    pub parameters: usize,
    /// Whether rows are counted (UNION ALL); otherwise each is there once.
    pub all: bool,
    /// Whether the rank follows the columns in the output.
    pub ranked: bool,
    /// Where a recursion without end is cut off.
    pub bounds: Bounds,
}

/// How far a recursion goes for one tuple of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounds {
    /// The greatest rank.
    pub rounds: u32,
    /// The rows, copies counted, after which no further rank is begun.
    pub rows: i64,
}

/// The horizon of a recursion that is not cut off for its rows.
const OPEN: u32 = u32::MAX;

/// What stands for a derivation outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// Rows of this weight.
    Rows(Weight),
    /// An error: its rank is not open.
    Error,
}

impl Shown {
    fn rows(self) -> Weight {
        if let Self::Rows(weight) = self { weight } else { 0 }
    }
}

/// The derivations of a fact at one rank.
#[derive(Debug, Clone)]
struct Derivation {
    /// The parameters and the columns.
    fact: Row,
    rank: u32,
    weight: Weight,
    shown: Shown,
}

/// What one tuple of parameters has in the feedback.
#[derive(Debug, Clone)]
struct Tally {
    key: Vec<Value>,
    rows: i64,
    /// The last rank that is open; [`OPEN`] if the bound of rows is not reached.
    horizon: u32,
}

/// The state of a recursion.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recursion {
    derivations: CowTree<Derivation>,
    tallies: CowTree<Tally>,
}

impl Recursion {
    /// The rows of the recursion.
    pub(crate) fn contents(&self, spec: &Recurse) -> ZSet {
        let shown = self.derivations.iter().filter(|derivation| derivation.shown.rows() != 0);
        shown
            .map(|derivation| (spec.output(&derivation.fact, derivation.rank), derivation.shown.rows()))
            .collect()
    }

    /// Entries. O(1).
    pub(crate) fn len(&self) -> usize {
        self.derivations.len()
    }

    /// Entries and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let rows: usize = self.derivations.iter().map(|derivation| derivation.fact.heap_bytes() + 40).sum();
        (self.derivations.len(), rows + self.tallies.len() * 64)
    }

    fn of<'a>(&'a self, fact: &'a Row) -> impl Iterator<Item = &'a Derivation> + 'a {
        let start = self.derivations.iter_from(|derivation| derivation.fact.cmp(fact));
        start.take_while(move |derivation| derivation.fact == *fact)
    }

    fn of_key<'a>(&'a self, key: &'a [Value]) -> impl Iterator<Item = &'a Derivation> + 'a {
        let start = self.derivations.iter_from(|derivation| derivation.fact[..key.len()].cmp(key));
        start.take_while(move |derivation| derivation.fact[..key.len()] == *key)
    }
}

impl Recurse {
    /// The row of the feedback for a fact.
    fn feedback(&self, fact: &Row, rank: u32) -> Row {
        let (key, columns) = fact.split_at(self.prefix);
        let rank = std::iter::once(Value::Integer(rank.into()));
        key.iter().cloned().chain(rank).chain(columns.iter().cloned()).collect()
    }

    fn output(&self, fact: &Row, rank: u32) -> Row {
        if self.ranked {
            fact.iter().cloned().chain(std::iter::once(Value::Integer(rank.into()))).collect()
        } else {
            fact.clone()
        }
    }

    /// The fact that a row of the step derives, and its rank.
    fn derived(&self, row: &Row) -> (Row, u32) {
        let rank = row[self.prefix].as_i64().and_then(|rank| u32::try_from(rank + 1).ok());
        let rank = rank.expect("invariant: the step hands the rank through");
        (row[..self.prefix].iter().chain(&row[self.prefix + 1..]).cloned().collect(), rank)
    }
}

/// What is known of a tuple of parameters while a change is worked off.
#[derive(Debug)]
struct Scope {
    rows: i64,
    horizon: u32,
    /// The horizon before the change.
    before: u32,
    /// Where the bound may be crossed: the rows by rank.
    counts: Option<Counts>,
}

#[derive(Debug)]
struct Counts {
    by_rank: BTreeMap<u32, i64>,
    /// The rows of the ranks below `next`.
    sum: i64,
    next: u32,
}

/// The working off of one change: the caller runs the step for each delta of the feedback and brings what it derives.
#[derive(Debug)]
pub(crate) struct Rounds<'a> {
    spec: &'a Recurse,
    state: &'a mut Recursion,
    /// The facts to be looked at, by rank.
    queue: BTreeMap<u32, BTreeSet<Row>>,
    scopes: BTreeMap<Vec<Value>, Scope>,
    /// The tuples of parameters whose horizon may move.
    suspects: BTreeSet<Vec<Value>>,
    output: Batch,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(spec: &'a Recurse, state: &'a mut Recursion) -> Self {
        Self {
            spec,
            state,
            queue: BTreeMap::new(),
            scopes: BTreeMap::new(),
            suspects: BTreeSet::new(),
            output: Batch::default(),
        }
    }

    /// Takes a change of the base.
    pub(crate) fn take_base(&mut self, batch: &Batch) {
        self.output.errors.extend(batch.errors.iter().cloned());
        for (row, weight) in batch.rows.iter() {
            self.derive(row.clone(), 0, weight);
        }
    }

    /// Takes a change of the step.
    pub(crate) fn take_step(&mut self, batch: &Batch) {
        self.output.errors.extend(batch.errors.iter().cloned());
        for (row, weight) in batch.rows.iter() {
            let (fact, rank) = self.spec.derived(row);
            self.derive(fact, rank, weight);
        }
    }

    fn derive(&mut self, fact: Row, rank: u32, change: Weight) {
        let matters = Cell::new(false);
        self.state.derivations.update(
            |derivation| derivation.fact.cmp(&fact).then(derivation.rank.cmp(&rank)),
            |derivation| {
                let before = derivation.weight;
                derivation.weight += change;
                assert!(derivation.weight >= 0, "a fact is not retracted more often than it was derived");
                matters.set(self.spec.all || (before > 0) != (derivation.weight > 0));
                derivation.is_kept()
            },
            || {
                assert!(change >= 0, "a fact is not retracted more often than it was derived");
                matters.set(change > 0);
                let fact = fact.clone();
                (change > 0).then_some(Derivation { fact, rank, weight: change, shown: Shown::Nothing })
            },
        );
        if matters.get() {
            self.queue.entry(rank).or_default().insert(fact);
        }
    }

    /// The change of the feedback at the next rank that has one; None at the end.
    pub(crate) fn next_delta(&mut self) -> Option<ZSet> {
        while let Some((rank, facts)) = self.queue.pop_first() {
            let mut delta = ZSet::default();
            for fact in facts {
                if self.spec.all {
                    self.decide_copies(&fact, rank, &mut delta);
                } else {
                    self.decide(&fact, rank, &mut delta);
                }
            }
            for key in self.suspects.clone() {
                self.move_horizon(&key, rank);
            }
            if !delta.is_empty() {
                return Some(delta);
            }
        }
        None
    }

    /// Shows a fact at its least rank, if that is this rank, and nowhere else.
    fn decide(&mut self, fact: &Row, rank: u32, delta: &mut ZSet) {
        let derivations: Vec<(u32, Weight, Shown)> = self
            .state
            .of(fact)
            .map(|derivation| (derivation.rank, derivation.weight, derivation.shown))
            .collect();
        let least = derivations.iter().find(|(_, weight, _)| *weight > 0).map(|(rank, ..)| *rank);
        for (other, _, shown) in derivations {
            let wanted = match least {
                Some(least) if least <= rank && other == least => {
                    // A lower rank had its turn before.
                    if least < rank {
                        continue;
                    }
                    self.verdict(fact, rank, 1)
                }
                Some(least) if least <= rank => Shown::Nothing,
                // Whether a higher rank is right is found at its turn.
                _ if other > rank => continue,
                _ => Shown::Nothing,
            };
            self.show(fact, other, shown, wanted, delta);
        }
        if let Some(later) = least.filter(|least| *least > rank) {
            self.queue.entry(later).or_default().insert(fact.clone());
        }
    }

    /// Shows all copies that a fact has at a rank.
    fn decide_copies(&mut self, fact: &Row, rank: u32, delta: &mut ZSet) {
        let order = |derivation: &Derivation| derivation.fact.cmp(fact).then(derivation.rank.cmp(&rank));
        let Some(derivation) = self.state.derivations.get(order) else { return };
        let (weight, shown) = (derivation.weight, derivation.shown);
        let wanted = if weight == 0 { Shown::Nothing } else { self.verdict(fact, rank, weight) };
        self.show(fact, rank, shown, wanted, delta);
    }

    /// What a fact of a rank is shown as.
    fn verdict(&mut self, fact: &Row, rank: u32, weight: Weight) -> Shown {
        if rank > self.spec.bounds.rounds || rank > self.scope(fact).horizon {
            Shown::Error
        } else {
            Shown::Rows(weight)
        }
    }

    fn show(&mut self, fact: &Row, rank: u32, shown: Shown, wanted: Shown, delta: &mut ZSet) {
        if shown == wanted {
            return;
        }
        self.state.derivations.update(
            |derivation| derivation.fact.cmp(fact).then(derivation.rank.cmp(&rank)),
            |derivation| {
                derivation.shown = wanted;
                derivation.is_kept()
            },
            || None,
        );
        let errors = Weight::from(wanted == Shown::Error) - Weight::from(shown == Shown::Error);
        if errors != 0 {
            let bounds = self.spec.bounds;
            let error = if rank > bounds.rounds {
                EvalError::RecursionTooDeep { limit: bounds.rounds }
            } else {
                EvalError::RecursionTooLarge { limit: bounds.rows }
            };
            let key = fact[..self.spec.parameters].iter().cloned().collect();
            self.output.errors.push((ErrorRow { key, error }, errors));
        }
        let change = wanted.rows() - shown.rows();
        if change == 0 {
            return;
        }
        delta.push(self.spec.feedback(fact, rank), change);
        self.output.rows.push(self.spec.output(fact, rank), change);
        let limit = self.spec.bounds.rows;
        let scope = self.scope(fact);
        scope.rows += change;
        if let Some(counts) = &mut scope.counts {
            *counts.by_rank.entry(rank).or_default() += change;
        } else if scope.rows > limit || scope.before != OPEN {
            self.suspects.insert(fact[..self.spec.prefix].to_vec());
        }
    }

    fn scope(&mut self, fact: &Row) -> &mut Scope {
        let key = &fact[..self.spec.prefix];
        if !self.scopes.contains_key(key) {
            let tally = self.state.tallies.get(|tally| tally.key[..].cmp(key));
            let (rows, horizon) = tally.map_or((0, OPEN), |tally| (tally.rows, tally.horizon));
            let scope = Scope { rows, horizon, before: horizon, counts: None };
            self.scopes.insert(key.to_vec(), scope);
        }
        self.scopes.get_mut(key).expect("invariant: it was just put there")
    }

    /// Finds whether the ranks up to this one, which are final, reach the bound of rows: where they do now and did
    /// not before, or the other way round, the next rank is looked at again.
    fn move_horizon(&mut self, key: &[Value], rank: u32) {
        let scope = self.scopes.get_mut(key).expect("invariant: a suspect has been touched");
        let counts = scope.counts.get_or_insert_with(|| {
            let mut by_rank = BTreeMap::new();
            for derivation in self.state.of_key(key) {
                *by_rank.entry(derivation.rank).or_default() += derivation.shown.rows();
            }
            scope.horizon = OPEN;
            Counts { by_rank, sum: 0, next: 0 }
        });
        if scope.horizon <= rank {
            return;
        }
        counts.sum += counts.by_rank.range(counts.next..=rank).map(|(_, rows)| rows).sum::<i64>();
        counts.next = rank + 1;
        let moved = if counts.sum > self.spec.bounds.rows {
            scope.horizon = rank;
            scope.before != rank
        } else {
            // Every rank up to the bound has its turn, also those that nothing else has changed.
            let following = counts.by_rank.range(counts.next..).next().map(|(rank, _)| *rank);
            let ahead = (scope.before > rank && scope.before != OPEN).then_some(scope.before);
            for rank in following.into_iter().chain(ahead) {
                self.queue.entry(rank).or_default();
            }
            scope.before == rank
        };
        if moved {
            let again = self.state.of_key(key).filter(|derivation| derivation.rank == rank + 1);
            self.queue.entry(rank + 1).or_default().extend(again.map(|derivation| derivation.fact.clone()));
        }
    }

    /// The change of the recursion, when all is worked off.
    pub(crate) fn finish(self) -> Batch {
        for (key, scope) in self.scopes {
            let Scope { rows, horizon, .. } = scope;
            self.state.tallies.update(
                |tally| tally.key.cmp(&key),
                |tally| {
                    (tally.rows, tally.horizon) = (rows, horizon);
                    rows != 0
                },
                || (rows != 0).then(|| Tally { key: key.clone(), rows, horizon }),
            );
        }
        self.output
    }
}

impl Derivation {
    fn is_kept(&self) -> bool {
        self.weight != 0 || self.shown != Shown::Nothing
    }
}
