//! [`Allocations`]: capacities and needs that are shared out, and kept so while their rows change.
//!
//! The queries of an allocation are live views that the engine follows itself. Their changes are gathered for the interval that the
//! allocation declares, then what they touch is solved again, and what comes of it is a commit of its own: rows of
//! `deltaic.allocations`. Invariant: what is shown is what the rows of the queries give, from nothing, once nothing is due any more;
//! nothing of it is stored, and a start works it out anew.

mod book;
mod settling;
mod shown;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::OnceLock;

use deltaic_allocation::Time;
use deltaic_storage::Store;
use deltaic_types::{
    ALLOCATIONS, Allocation, AllocationPolicy, AllocationSource, LiveView, Lsn, Row, text_format,
};
use siphasher::sip::SipHasher24;

pub use self::settling::{Settled, Settling};
pub(crate) use self::source::scaled;
use self::{book::Book, settling::Place, source::Columns};
use crate::{
    effects::{Effects, News},
    engine::Engine,
    input::{ClientId, Input, Now, Subscribe, SubscriptionId},
    life::Life,
    showing::Showing,
    watched::Watched,
    work::Work,
};

/// Who follows the queries.
const FOLLOWER: ClientId = ClientId(u64::MAX - 2);

/// How long a query that was refused is left alone, and the store where it did not take a commit.
const REFUSED_MICROS: i64 = 1_000_000;

/// The allocations of the catalog.
#[derive(Debug, Default)]
pub(crate) struct Allocations {
    running: BTreeMap<String, Running>,
    /// The queries that are followed, with the allocation of each.
    followed: BTreeMap<u64, (String, AllocationSource)>,
    /// Which one is worked out elsewhere.
    aside: Option<u64>,
    next: u64,
}

/// An allocation that is kept.
#[derive(Debug)]
struct Running {
    number: u64,
    declared: Allocation,
    /// Its live views as they were when it was begun.
    views: Vec<LiveView>,
    sources: BTreeMap<AllocationSource, Followed>,
    /// None while it is worked out elsewhere.
    book: Option<Book>,
    /// What was known of it when it was given away.
    known: Known,
    /// What came meanwhile.
    news: Vec<(AllocationSource, Entered)>,
    /// What was worked out and is not shown.
    settled: Option<Settled>,
    /// What was to be shown by a commit that was not made.
    owed: BTreeMap<Place, Option<Row>>,
    /// The first commit whose rows are not worked out, and that of those which are and are not shown.
    since: Option<Lsn>,
    cause: Option<Lsn>,
    /// Before this time it is not worked out again.
    rest_until: Now,
    /// Before this time nothing is shown of it, because the store refused it.
    refused_until: Now,
    /// The rows that are shown of it.
    shown: BTreeMap<Place, Row>,
    /// The sum of their hashes.
    digest: u64,
    /// What was wrong when it was worked out last.
    problem: Option<String>,
    /// Whether it takes long to work it out, once it was asked since the last row came.
    is_large: OnceLock<bool>,
    /// Whether the solution proves itself, once somebody has asked.
    certified: OnceLock<bool>,
    /// It is to go, with its rows.
    is_ending: bool,
}

/// What is known of an allocation that is worked out elsewhere.
#[derive(Debug, Default)]
struct Known {
    edges: usize,
    problems: Vec<String>,
    is_certified: bool,
}

/// News of a query, for the book.
#[derive(Debug)]
enum Entered {
    Columns(Columns),
    Row(Row, i64),
}

#[derive(Debug)]
struct Followed {
    number: u64,
    watched: Watched,
    asked_at: Now,
}

impl Followed {
    /// When it is asked again, if it was refused.
    fn asks_at(&self) -> Option<Now> {
        self.watched.is_over().then(|| Now(self.asked_at.0.saturating_add(REFUSED_MICROS)))
    }
}

/// What of an allocation changed: as it was, and as it is.
#[derive(Debug)]
pub(crate) struct Given {
    name: String,
    rows: BTreeMap<Place, (Option<Row>, Option<Row>)>,
}

impl Running {
    fn new(number: u64, declared: Allocation, views: Vec<LiveView>) -> Self {
        let book = Some(Book::new(declared.is_whole));
        Self {
            number,
            declared,
            views,
            sources: BTreeMap::new(),
            book,
            known: Known::default(),
            news: Vec::new(),
            settled: None,
            owed: BTreeMap::new(),
            since: None,
            cause: None,
            rest_until: Now(0),
            refused_until: Now(0),
            shown: BTreeMap::new(),
            digest: 0,
            problem: None,
            is_large: OnceLock::new(),
            certified: OnceLock::new(),
            is_ending: false,
        }
    }

    /// Takes in news of a query.
    fn hear(&mut self, source: AllocationSource, news: &News) {
        let Some(followed) = self.sources.get_mut(&source) else { return };
        let lsn = match news {
            News::Snapshot(snapshot) => Some(snapshot.cookie.lsn),
            News::Change(change) => Some(change.cookie.lsn),
            News::Current(_) | News::Error { .. } => None,
        };
        self.since = self.since.or(lsn);
        let touched: BTreeSet<Row> = followed.watched.take(news).into_iter().collect();
        if matches!(news, News::Snapshot(_)) {
            self.news.push((source, Entered::Columns(Columns::new(followed.watched.columns()))));
        }
        for row in touched {
            let count = followed.watched.count(&row);
            self.news.push((source, Entered::Row(row, count)));
        }
        self.enter();
    }

    /// Takes into the book what has come.
    fn enter(&mut self) {
        let Some(book) = &mut self.book else { return };
        self.is_large = OnceLock::new();
        for (source, entered) in self.news.drain(..) {
            match entered {
                Entered::Columns(columns) => book.describe(source, columns),
                Entered::Row(row, count) => book.put(source, row, count),
            }
        }
    }

    /// What is wrong with it, the first of it.
    fn problems(&self) -> Vec<String> {
        let failures = self.sources.iter().filter_map(|(source, followed)| {
            followed.watched.failure().map(|why| format!("{}: {why}", source.name()))
        });
        let of_rows = match &self.book {
            Some(book) => book.problems().map(str::to_owned).collect(),
            None => self.known.problems.clone(),
        };
        failures.chain(self.problem.clone()).chain(of_rows).collect()
    }

    /// Whether what is shown proves itself; while it is worked out anew, whether it did when it was last checked.
    fn is_certified(&self) -> bool {
        if self.declared.policy != AllocationPolicy::MaxMin {
            return false;
        }
        let Some(book) = &self.book else { return self.known.is_certified };
        *self.certified.get_or_init(|| book.is_certified())
    }

    fn is_told(&self) -> bool {
        self.sources.values().all(|followed| followed.watched.is_told())
    }

    /// Whether it takes long to work it out.
    fn is_large(&self) -> bool {
        let mut policies = std::iter::once(self.declared.policy).chain(self.declared.shadow);
        let has_rule = policies.any(|policy| policy != AllocationPolicy::MaxMin);
        let is_large = |book: &Book| *self.is_large.get_or_init(|| book.is_large());
        has_rule || self.book.as_ref().is_some_and(is_large)
    }

    /// When something is to be done; none where nothing has changed, or it is worked out elsewhere, or waits until `is_busy` is over.
    fn due(&self, is_busy: bool) -> Option<Now> {
        if self.is_ending || self.settled.is_some() || !self.owed.is_empty() {
            return Some(self.refused_until);
        }
        let book = self.book.as_ref().filter(|_| self.is_told() && !(is_busy && self.is_large()))?;
        let moment = book
            .next_moment()
            .map(|Time(millis)| Now(i64::try_from(millis).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)));
        let dirty = book.is_dirty().then_some(self.rest_until);
        dirty.into_iter().chain(moment.map(|moment| moment.max(self.rest_until))).min()
    }

    /// A row is shown, or none; the one that was.
    fn put(&mut self, place: Place, row: Option<Row>) -> Option<Row> {
        self.digest = self.digest.wrapping_add(row.as_ref().map_or(0, hash));
        let was = match row {
            Some(row) => self.shown.insert(place, row),
            None => self.shown.remove(&place),
        };
        self.digest = self.digest.wrapping_sub(was.as_ref().map_or(0, hash));
        was
    }

    /// Begins to work it out.
    fn settling(&mut self, now: Now) -> Option<Settling> {
        let interval = i64::from(self.declared.coalesce_millis) * 1_000;
        self.rest_until = Now(now.0.saturating_add(interval));
        let book = self.book.take()?;
        self.known = Known {
            edges: book.edge_count(),
            problems: book.problems().map(str::to_owned).collect(),
            is_certified: self.certified.get().copied().unwrap_or(self.known.is_certified),
        };
        self.cause = self.since.take();
        let now = Time(u64::try_from(now.0 / 1_000).unwrap_or(0));
        Some(Settling { number: self.number, declared: self.declared.clone(), book, now })
    }

    /// Takes in what it came to.
    fn settled(&mut self, settled: Settled) {
        self.certified = OnceLock::new();
        self.settled = Some(settled);
    }

    /// What is to be shown by now: what changed, and of it what went and what came.
    fn take_rows(&mut self) -> (Given, Vec<Row>, Vec<Row>) {
        let mut next = std::mem::take(&mut self.owed);
        if let Some(Settled { book, rows, whole, problem, .. }) = self.settled.take() {
            let is_replaced = |(policy, edge, tier): &Place| {
                whole.contains(policy) && !rows.contains_key(&(*policy, *edge, *tier))
            };
            next.extend(self.shown.keys().filter(|place| is_replaced(place)).map(|place| (*place, None)));
            next.extend(rows);
            (self.book, self.problem) = (Some(book), problem);
            self.enter();
        }
        if self.is_ending {
            next = self.shown.keys().map(|place| (*place, None)).collect();
        }
        let mut given = Given { name: self.declared.name.clone(), rows: BTreeMap::new() };
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (place, row) in next {
            if self.shown.get(&place) == row.as_ref() {
                continue;
            }
            let was = self.put(place, row.clone());
            gone.extend(was.clone());
            come.extend(row.clone());
            given.rows.insert(place, (was, row));
        }
        (given, gone, come)
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
    /// Whether its solution proves itself, or did when it was last checked, where it is worked out anew beside the commits. Never where
    /// another rule than `max_min` gives, which has no proof.
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
                edges: running.book.as_ref().map_or(running.known.edges, Book::edge_count),
                rows: running.shown.len(),
                digest: running.digest,
                is_certified: running.is_certified(),
                problems: running.problems(),
            })
            .collect()
    }

    /// Follows the queries of allocations, and shows what they give.
    pub(crate) fn allocate(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        loop {
            self.follow_allocations(now, store, effects);
            // In the place of one that has gone another may begin.
            if !self.show_allocations(now, effects) {
                return;
            }
        }
    }

    /// Follows the queries of those allocations that the catalog has.
    fn follow_allocations(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
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
                self.allocations.next += 1;
                let running = Running::new(self.allocations.next, declared.clone(), views(declared));
                self.allocations.running.insert(declared.name.clone(), running);
            }
        }
    }

    /// Works out what is due, and brings it into `deltaic.allocations`, one allocation after the other; whether one has gone.
    fn show_allocations(&mut self, now: Now, effects: &mut Effects) -> bool {
        let mut has_gone = false;
        while self.in_flight.is_none() && self.behind.is_none() && !self.views.is_hydrating() {
            let is_busy = self.allocations.aside.is_some();
            let is_due = |running: &&mut Running| running.due(is_busy).is_some_and(|due| due <= now);
            let due = self.allocations.running.values_mut().filter(is_due);
            // The one that has rested longest: none keeps another from its turn.
            let Some(running) = due.min_by_key(|running| running.rest_until) else { break };
            let is_settled = running.is_ending || running.settled.is_some() || !running.owed.is_empty();
            let is_large = running.is_large();
            if !is_settled && let Some(settling) = running.settling(now) {
                if is_large {
                    self.allocations.aside = Some(settling.number);
                    effects.work.push(Work::Settling(Box::new(settling)));
                    continue;
                }
                running.settled(settling.run());
            }
            let (given, gone, come) = running.take_rows();
            if running.is_ending && gone.is_empty() {
                self.allocations.running.remove(&given.name);
                has_gone = true;
                continue;
            }
            let cause = running.cause.take();
            self.show_rows(now, ALLOCATIONS, (&gone, &come), Showing::Allocation(given), effects);
            effects.caused = effects.append.first().map(|commit| commit.lsn).zip(cause);
        }
        has_gone
    }

    /// An allocation was worked out elsewhere.
    pub(crate) fn settled(&mut self, settled: Settled) {
        self.allocations.aside = None;
        let running = self.allocations.running.get_mut(&settled.declared.name);
        if let Some(running) = running.filter(|running| running.number == settled.number) {
            running.settled(settled);
        }
    }

    /// When an allocation is to be settled.
    pub(crate) fn allocations_wake_at(&self) -> Option<Now> {
        let is_busy = self.allocations.aside.is_some();
        let running = self.allocations.running.values().filter(|running| !running.is_ending);
        let asked = running.flat_map(|running| running.sources.values()).filter_map(Followed::asks_at).min();
        // While a query is computed for the first time nothing is worked out: what it came to is an input of its own.
        let is_waiting = self.views.is_hydrating();
        let due = self.allocations.running.values().filter(|_| !is_waiting);
        due.filter_map(|running| running.due(is_busy)).chain(asked).min()
    }
}

impl Allocations {
    /// A query that is to be followed and is not.
    fn ask(&mut self, now: Now) -> Option<Subscribe> {
        for running in self.running.values_mut().filter(|running| !running.is_ending) {
            for source in running.declared.sources.clone() {
                let known = running.sources.get(&source);
                if known.is_some_and(|followed| followed.asks_at().is_none_or(|at| now < at)) {
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
                    sql: format!("SELECT * FROM {}", text_format::quoted(&view)),
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
    pub(crate) fn show_again(&mut self, now: Now, given: Given) {
        if let Some(running) = self.running.get_mut(&given.name) {
            running.refused_until = Now(now.0.saturating_add(REFUSED_MICROS));
            for (place, (was, is)) in given.rows {
                running.put(place, was);
                running.owed.insert(place, is);
            }
        }
    }
}
