//! [`Semantic`]: the live views that must be empty, whose rows are conflicts.
//!
//! Rows that no constraint refuses and that do not go together, as two bookings of one room: a query finds them, and as long as it
//! does they are in `deltaic.conflicts`. Invariant: what is listed is what the views have, once the commit behind that changed them is
//! made; nothing is listed for a view that is gone.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_storage::Store;
use deltaic_types::{CONFLICTS, Row, Value, json_format, text_format};

use crate::{
    effects::Effects,
    engine::{Engine, micros},
    input::{ClientId, Input, Now, Subscribe, SubscriptionId},
    life::Life,
    showing::Showing,
    watched::Watched,
};

/// Who watches the views.
const WATCHER: ClientId = ClientId(u64::MAX - 1);

/// The least time between two commits of such conflicts.
const REST_MICROS: i64 = 50_000;

/// The views that are watched, and what is listed of them.
#[derive(Debug, Default)]
pub(crate) struct Semantic {
    watched: BTreeMap<u64, Rule>,
    next: u64,
    listed: Listed,
    rest_until: Option<Now>,
}

/// By primary key: rows with the number of the rule that has each.
pub(crate) type Listed = BTreeMap<Row, (u64, Row)>;

impl Semantic {
    /// What was listed last is not: this is.
    pub(crate) fn list_again(&mut self, listed: Listed) {
        self.listed = listed;
        self.watched.values_mut().for_each(|rule| rule.has_changed = true);
    }
}

#[derive(Debug)]
struct Rule {
    view: String,
    watched: Watched,
    has_changed: bool,
}

impl Rule {
    /// What the view has, as JSON. One that cannot be computed finds nothing, and says so where it is read.
    fn rows(&self) -> impl Iterator<Item = String> {
        let rows = self.watched.rows().filter(|_| self.watched.is_told());
        rows.map(|(row, _)| {
            let values = self.watched.columns().iter().zip(row.iter());
            let values = values.map(|(column, value)| json_format::to_json(value, &column.data_type));
            serde_json::Value::Array(values.collect()).to_string()
        })
    }
}

/// A row of `deltaic.conflicts`, and its primary key.
fn listed(view: &str, row: &str, at: Now) -> (Row, Row) {
    let values: [Value; 11] = [
        "semantic".into(),
        view.into(),
        row.into(),
        "".into(),
        "".into(),
        "".into(),
        Value::Null,
        Value::Null,
        "rule".into(),
        "open".into(),
        Value::Timestamp(at.0),
    ];
    let values = Row::from(values.to_vec());
    (values.project(&[1, 2, 3, 4, 5, 0]), values)
}

impl Engine {
    /// Watches the views that must be empty, and lists what they have.
    pub(crate) fn watch_rules(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        while self.in_flight.is_none() && self.behind.is_none() {
            let views = self.tables.catalog().views().filter(|view| view.must_be_empty);
            let wanted: BTreeSet<&str> = views.map(|view| view.name.as_str()).collect();
            // One that was refused, for want of memory, is asked for anew when it is time to list again.
            let rests = self.semantic.rest_until.is_some_and(|until| now < until);
            let is_gone =
                |rule: &Rule| !wanted.contains(rule.view.as_str()) || (rule.watched.is_over() && !rests);
            let gone = self.semantic.watched.iter().find(|(_, rule)| is_gone(rule));
            if let Some(number) = gone.map(|(number, _)| *number) {
                self.semantic.watched.remove(&number);
                let (client, subscription) = (WATCHER, SubscriptionId(number));
                effects.absorb(self.take(now, Input::Unsubscribe { client, subscription }, store));
                continue;
            }
            let is_watched = |view: &str| self.semantic.watched.values().any(|rule| rule.view == view);
            let Some(view) = wanted.into_iter().find(|view| !is_watched(view)).map(str::to_owned) else {
                break;
            };
            self.semantic.next += 1;
            let number = self.semantic.next;
            let sql = format!("SELECT * FROM {}", text_format::quoted(&view));
            self.semantic
                .watched
                .insert(number, Rule { view, watched: Watched::default(), has_changed: true });
            let subscribe = Subscribe {
                client: WATCHER,
                subscription: SubscriptionId(number),
                sql,
                parameters: Vec::new(),
                claims: BTreeMap::new(),
                resume: None,
                life: Life::Ephemeral,
            };
            effects.absorb(self.take(now, Input::Subscribe(subscribe), store));
        }
        if effects.send.iter().any(|message| message.client == WATCHER) {
            let (own, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut effects.send).into_iter().partition(|message| message.client == WATCHER);
            effects.send = others;
            for message in own {
                if let Some(rule) = self.semantic.watched.get_mut(&message.subscription.0) {
                    rule.watched.take(&message.news);
                    rule.has_changed = true;
                }
            }
        }
        self.list_rules(now, effects);
    }

    /// Brings what the views have into `deltaic.conflicts`: a commit of its own where a live query reads it.
    fn list_rules(&mut self, now: Now, effects: &mut Effects) {
        let semantic = &mut self.semantic;
        let is_gone = |number: &u64| !semantic.watched.contains_key(number);
        let is_due = semantic.watched.values().any(|watched| watched.has_changed)
            || semantic.listed.values().any(|(number, _)| is_gone(number));
        let rests = semantic.rest_until.is_some_and(|until| now < until);
        if !is_due || rests || self.in_flight.is_some() || self.behind.is_some() || self.views.is_hydrating()
        {
            return;
        }
        semantic.rest_until = Some(Now(now.0.saturating_add(REST_MICROS)));
        let mut next = BTreeMap::new();
        for (number, watched) in &mut semantic.watched {
            watched.has_changed = false;
            for row in watched.rows() {
                let (key, values) = listed(&watched.view, &row, micros(self.time));
                // What was found before keeps the time at which it was.
                let values = semantic.listed.get(&key).map_or(values, |(_, values)| values.clone());
                next.insert(key, (*number, values));
            }
        }
        let of = |one: &Listed, other: &Listed| -> Vec<Row> {
            let new = one.iter().filter(|(key, _)| !other.contains_key(*key));
            new.map(|(_, (_, values))| values.clone()).collect()
        };
        let (gone, come) = (of(&semantic.listed, &next), of(&next, &semantic.listed));
        let before = std::mem::replace(&mut semantic.listed, next);
        if gone.is_empty() && come.is_empty() {
            return;
        }
        self.conflicts.count(&come);
        self.show_rows(now, CONFLICTS, (&gone, &come), Showing::Rules(before), effects);
    }

    /// When conflicts are to be listed that wait.
    pub(crate) fn rules_wake_at(&self) -> Option<Now> {
        let is_due = self.semantic.watched.values().any(|watched| watched.has_changed);
        self.semantic.rest_until.filter(|_| is_due)
    }
}

/// How many conflicts there have been since the start, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ConflictCounts(pub(crate) BTreeMap<String, u64>);

impl ConflictCounts {
    /// Counts rows that came into `deltaic.conflicts`. One that was resolved has been counted before.
    pub(crate) fn count(&mut self, come: &[Row]) {
        for row in come.iter().filter(|row| row[9].as_str() != Some("resolved")) {
            *self.0.entry(row[0].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
}
