//! [`Behind`]: the commits that the live queries have not seen yet, and how they are brought to them.
//!
//! Small commits are followed when they are durable, one after the other. A large one leaves as [`Work::Following`]; the
//! commits behind it are made and acknowledged meanwhile and stand in a queue here, and what asks for results waits. Invariants: circuits see
//! each commit once, in order; what a subscription is told stands where the circuits stand.

use std::collections::{BTreeMap, VecDeque};

use deltaic_storage::Store;

use crate::{
    effects::Effects,
    engine::{Engine, Prepared, micros},
    input::{ClientId, Input, Now, Subscribe, SubscriptionId},
    merge::merge,
    tables::Tables,
    views::{Followed, Tuple},
    work::{Discarded, Work, Worked},
};

/// The commits that wait while a large one is followed.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The tables before what is followed.
    standing: Tables,
    followed: Cause,
    /// The commits after it.
    rest: VecDeque<Prepared>,
    /// Whether one of those that were followed changed a definition.
    is_defined: bool,
}

/// What is followed.
#[derive(Debug)]
enum Cause {
    /// A commit, without the rows that it touched.
    Commit(Prepared),
    /// A parameter tuple, for a subscription that waits for it unless it has ended.
    Tuple(Tuple, Option<Subscribe>),
}

impl Behind {
    /// How many subscriptions wait for what is followed.
    pub(crate) fn subscriptions(&self) -> usize {
        usize::from(matches!(self.followed, Cause::Tuple(_, Some(_))))
    }

    /// Forgets who waits for what is followed.
    fn forget(&mut self, gone: impl Fn(ClientId, SubscriptionId) -> bool) -> bool {
        match &mut self.followed {
            Cause::Tuple(_, waiting) => {
                waiting.take_if(|waiting| gone(waiting.client, waiting.subscription)).is_some()
            }
            Cause::Commit(_) => false,
        }
    }
}

/// Commits to be followed from where the live queries stand.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) standing: Tables,
    /// The tables after the last of them, where requests have brought columns into memory since.
    pub(crate) newest: Option<Tables>,
    pub(crate) commits: VecDeque<Prepared>,
    pub(crate) is_defined: bool,
}

/// Inputs that wait until the live queries have caught up.
#[derive(Debug, Default)]
pub(crate) struct Held(VecDeque<Input>);

impl Held {
    /// How many subscriptions wait.
    pub(crate) fn subscriptions(&self) -> usize {
        self.0.iter().filter(|input| matches!(input, Input::Subscribe(_))).count()
    }

    /// Lets a subscription wait.
    pub(crate) fn put(&mut self, subscribe: Subscribe) {
        self.0.push_back(Input::Subscribe(subscribe));
    }

    /// Forgets subscriptions that wait.
    fn forget(&mut self, gone: impl Fn(ClientId, SubscriptionId) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|input| match input {
            Input::Subscribe(subscribe) => !gone(subscribe.client, subscribe.subscription),
            _ => true,
        });
        self.0.len() < before
    }
}

impl Engine {
    /// Lets an input wait where it needs live queries that have seen all commits. Gives back what does not.
    pub(crate) fn hold(&mut self, input: Input) -> Option<Input> {
        let Some(behind) = &mut self.behind else { return Some(input) };
        match input {
            Input::Subscribe(_) | Input::Worked(Worked::Hydrated(_)) => {
                self.held.0.push_back(input);
                None
            }
            Input::Unsubscribe { client, subscription } => {
                let is_it = |c, s| (c, s) == (client, subscription);
                let waited = behind.forget(is_it) || self.held.forget(is_it);
                (!waited).then_some(input)
            }
            Input::Disconnect(client) => {
                behind.forget(|other, _| other == client);
                self.held.forget(|other, _| other == client);
                Some(input)
            }
            Input::Wake => None,
            Input::Requests(_)
            | Input::Appended(_)
            | Input::Worked(_)
            | Input::Consume(_)
            | Input::Ledger(_)
            | Input::Peer(_)
            | Input::Settle => Some(input),
        }
    }

    /// Brings durable commits to the live queries, in order, up to the first that is too large to be followed at once.
    pub(crate) fn follow(&mut self, now: Now, path: Path, store: &dyn Store, effects: &mut Effects) {
        let Path { mut standing, newest, mut commits, mut is_defined } = path;
        while let Some(mut commit) = commits.pop_front() {
            effects.send.extend(self.views.drop_tables(&mut standing, &commit.after));
            self.views.retain_parameters(&mut commit.after);
            let mut changes = BTreeMap::new();
            self.views.move_clock(&standing, &mut commit.after, micros(commit.time), &mut changes);
            let is_watching = self.views.is_watching();
            if is_watching && self.views.is_large(&commit.touched) {
                let touched = std::mem::take(&mut commit.touched);
                let (before, after) = (standing.clone(), commit.after.clone());
                let following = self.views.follow(before, after, touched, changes);
                effects.work.push(Work::Following(Box::new(following)));
                let last = commits.back().unwrap_or(&commit);
                self.tables = newest.unwrap_or_else(|| last.after.clone());
                let followed = Cause::Commit(commit);
                self.behind = Some(Behind { standing, followed, rest: commits, is_defined });
                return;
            }
            if is_watching {
                changes.extend(merge(&standing, &commit.after, &commit.touched));
            }
            let place = (self.identity.database, commit.lsn, micros(commit.time));
            effects.send.extend(self.views.advance(&standing, &commit.after, changes, place));
            is_defined |= !standing.has_catalog_of(&commit.after);
            let before = std::mem::replace(&mut standing, commit.after);
            if commit.touched.len() > self.slice.writes {
                effects.work.push(Work::Discard(Discarded::new((before, commit.touched))));
            }
            effects.send.extend(self.views.end_overgrown(&mut standing));
        }
        self.tables = match newest {
            None => standing,
            Some(mut newest) => {
                self.views.retain_parameters(&mut newest);
                if let Some(clock) = standing.relations.clock() {
                    newest.relations.set_clock(clock);
                }
                newest
            }
        };
        if is_defined {
            // Only now: the tables of a commit that follows know nothing of what is brought into memory here.
            self.views.retry_names();
            self.keep_named(now, store, effects);
        }
    }

    /// Has the live views of the catalog computed, now or when the live queries have caught up.
    pub(crate) fn keep_named(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        if let Some(behind) = &mut self.behind {
            behind.is_defined = true;
            return;
        }
        let place = self.place(store);
        effects.work.extend(self.views.keep_named(&mut self.tables, &place, now, true));
    }

    /// Sends a parameter tuple on its way to the circuits.
    pub(crate) fn follow_tuple(&mut self, tuple: Tuple, subscribe: &Subscribe, effects: &mut Effects) {
        let standing = self.tables.clone();
        // The commits that come meanwhile have it.
        self.views.insert_tuple(&tuple, &mut self.tables);
        let following = self.views.follow_tuple(standing.clone(), self.tables.clone(), &tuple);
        effects.work.push(Work::Following(Box::new(following)));
        let followed = Cause::Tuple(tuple, Some(subscribe.clone()));
        self.behind = Some(Behind { standing, followed, rest: VecDeque::new(), is_defined: false });
    }

    /// A large commit was followed: its news leave, and the commits behind it are followed. Or a tuple, for which a
    /// subscription waits.
    pub(crate) fn followed(&mut self, now: Now, followed: Followed, store: &dyn Store) -> Effects {
        let behind = self.behind.take().expect("invariant: what was followed was sent on its way");
        let Behind { mut standing, followed: cause, rest: commits, mut is_defined } = behind;
        let mut effects = Effects::default();
        match cause {
            Cause::Commit(commit) => {
                let place = (self.identity.database, commit.lsn, micros(commit.time));
                effects.send = self.views.followed(followed, place, &mut effects.work);
                is_defined |= !standing.has_catalog_of(&commit.after);
                effects.work.push(Work::Discard(Discarded::new(standing)));
                standing = commit.after;
                effects.send.extend(self.views.end_overgrown(&mut standing));
            }
            Cause::Tuple(tuple, waiting) => match self.views.followed_tuple(followed, &tuple) {
                Ok(()) => {
                    tuple.insert(&mut standing);
                    // Who waited for it asks first.
                    if let Some(subscribe) = waiting {
                        self.held.0.push_front(Input::Subscribe(subscribe));
                    }
                    self.unclaimed.push((tuple.template, tuple.values));
                }
                Err(exhausted) => {
                    let place = self.place(store);
                    let refused = waiting
                        .iter()
                        .flat_map(|subscribe| self.views.subscribe(subscribe, Err(exhausted.into()), &place));
                    effects.send.extend(refused);
                }
            },
        }
        let newest = Some(std::mem::take(&mut self.tables));
        self.follow(now, Path { standing, newest, commits, is_defined }, store, &mut effects);
        effects
    }

    /// Takes in what waited for the live queries to catch up.
    pub(crate) fn release(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        while self.behind.is_none() && self.in_flight.is_none() {
            let Some(input) = self.held.0.pop_front() else { break };
            effects.absorb(self.take(now, input, store));
        }
        if self.behind.is_none() && self.in_flight.is_none() {
            for tuple in std::mem::take(&mut self.unclaimed) {
                self.views.drop_unclaimed(&tuple, &mut self.tables);
            }
        }
    }

    /// Puts durable commits behind those that wait already; gives them back where none does.
    pub(crate) fn queue(&mut self, commits: VecDeque<Prepared>) -> Option<VecDeque<Prepared>> {
        match &mut self.behind {
            Some(behind) => {
                if let Some(last) = commits.back() {
                    self.tables = last.after.clone();
                }
                behind.rest.extend(commits);
                None
            }
            None => Some(commits),
        }
    }
}
