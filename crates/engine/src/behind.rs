//! [`Behind`]: the commits that the live queries have not seen yet, and how they are brought to them.
//!
//! Small commits are followed when they are durable, one after the other. A large one leaves as [`Work::Following`]; the commits behind it
//! are made and acknowledged meanwhile and stand in a queue here, and what asks for results waits. Invariants: circuits see
//! each commit once, in order; what a subscription is told stands where the circuits stand.

use std::collections::{BTreeMap, VecDeque};

use deltaic_storage::Store;

use crate::{
    effects::Effects,
    engine::{Engine, Prepared, micros},
    input::{ClientId, Input, Now, SubscriptionId},
    merge::merge,
    tables::Tables,
    views::Followed,
    work::{Discarded, Work, Worked},
};

/// The commits that wait while a large one is followed.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The tables before the commit that is followed.
    standing: Tables,
    /// That commit, without the rows that it touched.
    followed: Prepared,
    /// Those after it.
    rest: VecDeque<Prepared>,
    /// Whether one of those that were followed changed a definition.
    is_defined: bool,
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
        if self.behind.is_none() {
            return Some(input);
        }
        match input {
            Input::Subscribe(_) | Input::Worked(Worked::Hydrated(_)) => {
                self.held.0.push_back(input);
                None
            }
            Input::Unsubscribe { client, subscription } => {
                let waited = self.held.forget(|c, s| (c, s) == (client, subscription));
                (!waited).then_some(input)
            }
            Input::Disconnect(client) => {
                self.held.forget(|other, _| other == client);
                Some(input)
            }
            Input::Wake => None,
            Input::Requests(_) | Input::Appended(_) | Input::Worked(_) => Some(input),
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
            if self.views.is_large(&commit.touched) {
                let touched = std::mem::take(&mut commit.touched);
                let (before, after) = (standing.clone(), commit.after.clone());
                let following = self.views.follow(before, after, touched, changes);
                effects.work.push(Work::Following(Box::new(following)));
                let last = commits.back().unwrap_or(&commit);
                self.tables = newest.unwrap_or_else(|| last.after.clone());
                self.behind = Some(Behind { standing, followed: commit, rest: commits, is_defined });
                return;
            }
            changes.extend(merge(&standing, &commit.after, &commit.touched));
            let place = (self.identity.database, commit.lsn, micros(commit.time));
            effects.send.extend(self.views.advance(&standing, &commit.after, changes, place));
            is_defined |= !standing.has_catalog_of(&commit.after);
            standing = commit.after;
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
            let place = self.place(store);
            self.views.keep_named(&mut self.tables, &place, now);
        }
    }

    /// A large commit was followed: its news leave, and the commits behind it are followed.
    pub(crate) fn followed(&mut self, now: Now, followed: Followed, store: &dyn Store) -> Effects {
        let behind = self.behind.take().expect("invariant: what was followed was sent on its way");
        let Behind { standing, followed: commit, rest, is_defined } = behind;
        let mut effects = Effects::default();
        let place = (self.identity.database, commit.lsn, micros(commit.time));
        effects.send = self.views.followed(followed, place, &mut effects.work);
        let is_defined = is_defined || !standing.has_catalog_of(&commit.after);
        effects.work.push(Work::Discard(Discarded::new(standing)));
        let mut standing = commit.after;
        effects.send.extend(self.views.end_overgrown(&mut standing));
        let newest = Some(std::mem::take(&mut self.tables));
        self.follow(now, Path { standing, newest, commits: rest, is_defined }, store, &mut effects);
        effects
    }

    /// Takes in what waited for the live queries to catch up.
    pub(crate) fn release(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        while self.behind.is_none() && self.in_flight.is_none() {
            let Some(input) = self.held.0.pop_front() else { return };
            effects.absorb(self.take(now, input, store));
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
