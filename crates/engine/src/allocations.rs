//! [`Allocations`]: capacities and needs that are shared out, and kept so while their rows change.
//!
//! The queries of an allocation are live views that the engine follows itself. Their changes are gathered for the interval that the
//! allocation declares, then what they touch is solved again, and what comes of it is a commit of its own: rows of
//! `deltaic.allocations`. Invariant: what is shown is what the rows of the queries give, from nothing, once nothing is due any more;
//! nothing of it is stored, and a start works it out anew.

mod book;
mod shown;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::OnceLock;

use deltaic_allocation::{EdgeId, Tier, Time};
use deltaic_storage::Store;
use deltaic_types::{ALLOCATIONS, Allocation, AllocationSource, LiveView, Row, text_format};
use siphasher::sip::SipHasher24;

use self::{book::Book, source::Columns};
use crate::{
    effects::Effects,
    engine::Engine,
    input::{ClientId, Input, Now, Subscribe, SubscriptionId},
    life::Life,
    showing::Showing,
    watched::Watched,
};

/// Who follows the queries.
const FOLLOWER: ClientId = ClientId(u64::MAX - 2);

/// How long a query that was refused is left alone.
const REFUSED_MICROS: i64 = 1_000_000;

/// The allocations of the catalog.
#[derive(Debug, Default)]
pub(crate) struct Allocations {
    running: BTreeMap<String, Running>,
    /// The queries that are followed, with the allocation of each.
    followed: BTreeMap<u64, (String, AllocationSource)>,
    next: u64,
}

/// An allocation that is kept.
#[derive(Debug)]
struct Running {
    declared: Allocation,
    /// Its live views as they were when it was begun.
    views: Vec<LiveView>,
    sources: BTreeMap<AllocationSource, Followed>,
    book: Book,
    /// Before this time it is not solved again.
    rest_until: Now,
    /// The rows that are shown of it.
    shown: BTreeMap<(EdgeId, Tier), Row>,
    /// The sum of their hashes.
    digest: u64,
    /// Whether the solution proves itself, once somebody has asked.
    certified: OnceLock<bool>,
    /// It is to go, with its rows.
    is_ending: bool,
}

#[derive(Debug)]
struct Followed {
    number: u64,
    watched: Watched,
    asked_at: Now,
}

/// What of an allocation changed, as it was.
#[derive(Debug)]
pub(crate) struct Given {
    name: String,
    rows: BTreeMap<(EdgeId, Tier), Option<Row>>,
}

impl Running {
    /// What is wrong with it, the first of it.
    fn problems(&self) -> Vec<String> {
        let failures = self.sources.iter().filter_map(|(source, followed)| {
            followed.watched.failure().map(|why| format!("{}: {why}", source.name()))
        });
        failures.chain(self.book.problems().map(str::to_owned)).collect()
    }

    fn is_told(&self) -> bool {
        self.sources.values().all(|followed| followed.watched.is_told())
    }

    /// When it is to be settled; none where nothing has changed.
    fn due(&self) -> Option<Now> {
        if self.is_ending {
            return Some(self.rest_until);
        }
        if !self.is_told() {
            return None;
        }
        let moment = self
            .book
            .next_moment()
            .map(|Time(millis)| Now(i64::try_from(millis).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)));
        let dirty = self.book.is_dirty().then_some(self.rest_until);
        dirty.into_iter().chain(moment.map(|moment| moment.max(self.rest_until))).min()
    }

    /// A row is shown, or none; the one that was.
    fn put(&mut self, place: (EdgeId, Tier), row: Option<Row>) -> Option<Row> {
        self.digest = self.digest.wrapping_add(row.as_ref().map_or(0, hash));
        let was = match row {
            Some(row) => self.shown.insert(place, row),
            None => self.shown.remove(&place),
        };
        self.digest = self.digest.wrapping_sub(was.as_ref().map_or(0, hash));
        was
    }

    /// The rows that went and came.
    fn settle(&mut self, now: Now) -> (Given, Vec<Row>, Vec<Row>) {
        let interval = i64::from(self.declared.coalesce_millis) * 1_000;
        self.rest_until = Now(now.0.saturating_add(interval));
        let mut before = Given { name: self.declared.name.clone(), rows: BTreeMap::new() };
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        let changed: BTreeSet<(EdgeId, Tier)> = if self.is_ending {
            self.shown.keys().copied().collect()
        } else {
            self.certified = OnceLock::new();
            self.book.settle(Time(u64::try_from(now.0 / 1_000).unwrap_or(0)));
            self.book.take_changed()
        };
        for (edge, tier) in changed {
            let given = self.book.given(edge, tier).filter(|_| !self.is_ending);
            let row = given.map(|given| shown::row(&self.declared, &self.book, &given));
            if self.shown.get(&(edge, tier)) == row.as_ref() {
                continue;
            }
            come.extend(row.clone());
            let was = self.put((edge, tier), row);
            gone.extend(was.clone());
            before.rows.insert((edge, tier), was);
        }
        (before, gone, come)
    }
}

/// Of the texts of a row's values.
fn hash(row: &Row) -> u64 {
    let mut hasher = SipHasher24::new();
    for value in row.iter() {
        let text = text_format::to_text(value);
        hasher.write(&(text.len() as u64).to_le_bytes());
        hasher.write(text.as_bytes());
    }
    hasher.finish()
}

/// What is known of an allocation, for whoever watches the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocationStatus {
    /// Its name.
    pub name: String,
    /// The pairs of a capacity and a need that could exchange something.
    pub edges: usize,
    /// The rows that it gives.
    pub rows: usize,
    /// A sum of these rows, equal on all servers where they are.
    pub digest: u64,
    /// Whether its solution proves itself.
    pub is_certified: bool,
    /// What is wrong with its rows and its queries, the first of it; nothing is given of that.
    pub problems: Vec<String>,
}

impl Engine {
    /// The allocations as they stand, by name. Cost: the edges of those that have changed since somebody asked.
    pub fn allocation_status(&self) -> Vec<AllocationStatus> {
        let running = self.allocations.running.values().filter(|running| !running.is_ending);
        running
            .map(|running| AllocationStatus {
                name: running.declared.name.clone(),
                edges: running.book.edge_count(),
                rows: running.shown.len(),
                digest: running.digest,
                is_certified: *running.certified.get_or_init(|| running.book.is_certified()),
                problems: running.problems(),
            })
            .collect()
    }

    /// Follows the queries of allocations, and shows what they give.
    pub(crate) fn allocate(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        if self.in_flight.is_none() && self.behind.is_none() {
            self.take_definitions();
        }
        while self.in_flight.is_none() && self.behind.is_none() {
            let wanted = self.allocations.running.values().flat_map(|running| {
                running.sources.values().map(|followed| followed.number).filter(|_| !running.is_ending)
            });
            let wanted: BTreeSet<u64> = wanted.collect();
            let gone = self.allocations.followed.keys().find(|number| !wanted.contains(number)).copied();
            if let Some(number) = gone {
                self.allocations.followed.remove(&number);
                let (client, subscription) = (FOLLOWER, SubscriptionId(number));
                effects.absorb(self.take(now, Input::Unsubscribe { client, subscription }, store));
                continue;
            }
            let Some(subscribe) = self.allocations.ask(now) else { break };
            effects.absorb(self.take(now, Input::Subscribe(subscribe), store));
        }
        if effects.send.iter().any(|message| message.client == FOLLOWER) {
            let (own, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut effects.send).into_iter().partition(|message| message.client == FOLLOWER);
            effects.send = others;
            for message in own {
                let Some((name, source)) = self.allocations.followed.get(&message.subscription.0) else {
                    continue;
                };
                let Some(running) = self.allocations.running.get_mut(name) else { continue };
                running.hear(*source, &message.news);
            }
        }
        self.show_allocations(now, effects);
    }

    /// Begins and ends allocations as the catalog has them.
    fn take_definitions(&mut self) {
        let catalog = self.tables.catalog();
        let views = |declared: &Allocation| -> Vec<LiveView> {
            declared.views().filter_map(|name| catalog.view(&name).cloned()).collect()
        };
        for running in self.allocations.running.values_mut() {
            let is_same = catalog
                .allocation(&running.declared.name)
                .is_some_and(|declared| *declared == running.declared && views(declared) == running.views);
            running.is_ending |= !is_same;
        }
        for declared in catalog.allocations() {
            if !self.allocations.running.contains_key(&declared.name) {
                let running = Running {
                    declared: declared.clone(),
                    views: views(declared),
                    sources: BTreeMap::new(),
                    book: Book::new(declared.is_whole),
                    rest_until: Now(0),
                    shown: BTreeMap::new(),
                    digest: 0,
                    certified: OnceLock::new(),
                    is_ending: false,
                };
                self.allocations.running.insert(declared.name.clone(), running);
            }
        }
    }

    /// Brings what is given into `deltaic.allocations`, one allocation at a time.
    fn show_allocations(&mut self, now: Now, effects: &mut Effects) {
        while self.in_flight.is_none() && self.behind.is_none() && !self.views.is_hydrating() {
            let is_due = |running: &&mut Running| running.due().is_some_and(|due| due <= now);
            let Some(running) = self.allocations.running.values_mut().find(is_due) else { return };
            let (before, gone, come) = running.settle(now);
            if running.is_ending && gone.is_empty() {
                self.allocations.running.remove(&before.name);
                continue;
            }
            self.show_rows(now, ALLOCATIONS, (&gone, &come), Showing::Allocation(before), effects);
        }
    }

    /// When an allocation is to be settled.
    pub(crate) fn allocations_wake_at(&self) -> Option<Now> {
        self.allocations.running.values().filter_map(Running::due).min()
    }
}

impl Allocations {
    /// A query that is to be followed and is not.
    fn ask(&mut self, now: Now) -> Option<Subscribe> {
        for running in self.running.values_mut().filter(|running| !running.is_ending) {
            for source in running.declared.sources.clone() {
                let known = running.sources.get(&source);
                let rests = |followed: &Followed| now.0 < followed.asked_at.0.saturating_add(REFUSED_MICROS);
                if known.is_some_and(|followed| !followed.watched.is_over() || rests(followed)) {
                    continue;
                }
                self.next += 1;
                let number = self.next;
                let watched = known.map(|followed| followed.watched.clone()).unwrap_or_default();
                running.sources.insert(source, Followed { number, watched, asked_at: now });
                self.followed.insert(number, (running.declared.name.clone(), source));
                let view = running.declared.source(source);
                return Some(Subscribe {
                    client: FOLLOWER,
                    subscription: SubscriptionId(number),
                    sql: format!("SELECT * FROM \"{}\"", view.replace('"', "\"\"")),
                    parameters: Vec::new(),
                    claims: BTreeMap::new(),
                    resume: None,
                    life: Life::Ephemeral,
                });
            }
        }
        None
    }

    /// A commit that was to show this was not made.
    pub(crate) fn show_again(&mut self, given: Given) {
        if let Some(running) = self.running.get_mut(&given.name) {
            let changed = given.rows.keys().copied().collect();
            for (place, was) in given.rows {
                running.put(place, was);
            }
            running.book.give_back(changed);
        }
    }
}

impl Running {
    /// Takes in news of a query.
    fn hear(&mut self, source: AllocationSource, news: &crate::effects::News) {
        let Some(followed) = self.sources.get_mut(&source) else { return };
        let touched: BTreeSet<Row> = followed.watched.take(news).into_iter().collect();
        self.book.describe(source, Columns::new(followed.watched.columns()));
        for row in touched {
            let count = followed.watched.count(&row);
            self.book.put(source, row, count);
        }
    }
}
