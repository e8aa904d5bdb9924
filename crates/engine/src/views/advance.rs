//! The way of a commit through the live queries: circuits, then results, then news.
//!
//! Invariants: a commit reaches the circuits once, in order; a result in error gives out nothing but the error, and the
//! net change when it recovers.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_dataflow::{Advance, Batch, ENTRY_BYTES, NodeId, RelationId, Weight, ZSet, clock_change};
use deltaic_types::{DatabaseId, EvalError, Lsn, Row};

use super::{ViewId, Views, view::without_result};
use crate::{
    cookie::Cookie,
    effects::{Message, News, ViewChange},
    error::RequestError,
    input::Now,
    tables::Tables,
};

/// From so many rows on, what was withheld is added up before more comes.
const WITHHELD_ROWS: usize = 4096;

impl Views {
    /// The next time at which the clock changes a result.
    pub(crate) fn next_change(&self) -> Option<Now> {
        self.graph.next_change().map(Now)
    }

    /// Moves the clock to the time of a commit, where a result depends on it.
    pub(crate) fn move_clock(
        &self,
        before: &Tables,
        after: &mut Tables,
        time: Now,
        changes: &mut BTreeMap<RelationId, ZSet>,
    ) {
        if let (true, Some(clock)) = (self.graph.has_clock(), before.relations.clock()) {
            after.relations.set_clock(time.0);
            changes.insert(RelationId::Clock, clock_change(clock, time.0));
        }
    }

    /// Advances all circuits over a commit, and gives the news of the results that it changed.
    pub(crate) fn advance(
        &mut self,
        before: &Tables,
        after: &Tables,
        changes: BTreeMap<RelationId, ZSet>,
        (database, lsn, time): (DatabaseId, Lsn, Now),
    ) -> Vec<Message> {
        self.hydrating.miss(time, &changes);
        let (before, after) = (&before.relations, &after.relations);
        let (outputs, path) = self.graph.advance(&self.breaker, before, after, changes, &self.roots);
        self.give_out(&outputs, path, (database, lsn, time))
    }

    /// The news of what a commit changed of the circuits' results.
    pub(super) fn give_out(
        &mut self,
        outputs: &BTreeMap<NodeId, Batch>,
        path: Advance,
        (database, lsn, _): (DatabaseId, Lsn, Now),
    ) -> Vec<Message> {
        match path {
            Advance::Stepped => self.advances.stepped += 1,
            Advance::Recomputed => self.advances.recomputed += 1,
        }
        let mut messages = Vec::new();
        for (root, output) in outputs {
            for template in self.by_root.get(root).cloned().unwrap_or_default() {
                self.deliver(template, output, database, lsn, &mut messages);
            }
        }
        // A client's news of one commit stand together.
        messages.sort_by_key(|message| (message.client, message.subscription));
        messages
    }

    /// Routes the change of a template's results to its views, by the parameters that rows begin with.
    fn deliver(
        &mut self,
        template: u64,
        output: &Batch,
        database: DatabaseId,
        lsn: Lsn,
        messages: &mut Vec<Message>,
    ) {
        let entry = &self.templates[&template];
        let (prefix, root) = (entry.circuit.prefix, entry.circuit.root);
        let mut changed: BTreeMap<ViewId, ZSet> = BTreeMap::new();
        for (row, weight) in output.rows.iter() {
            let tuple: Row = row[..prefix].iter().cloned().collect();
            if let Some(view) = entry.views.get(&tuple) {
                let row = row[prefix..].iter().cloned().collect();
                changed.entry(*view).or_default().push(row, weight);
            }
        }
        for (error, _) in &output.errors {
            if let Some(view) = entry.views.get(&error.key) {
                changed.entry(*view).or_default();
            } else if error.key.is_empty() {
                // An error without parameters spoils every result of the template.
                for view in entry.views.values() {
                    changed.entry(*view).or_default();
                }
            }
        }
        for (view, rows) in changed {
            let tuple = self.by_id[&view].tuple.clone();
            let error = self.graph.error(root, &tuple).cloned();
            self.update(view, rows, error, database, lsn, messages);
        }
    }

    fn update(
        &mut self,
        id: ViewId,
        rows: ZSet,
        error: Option<EvalError>,
        database: DatabaseId,
        lsn: Lsn,
        messages: &mut Vec<Message>,
    ) {
        let view = self.by_id.get_mut(&id).expect("invariant: a template's views are there");
        view.updates += 1;
        let cookie = Cookie { database, lsn, minor: view.minor };
        let before = view.bytes;
        for (row, weight) in rows.iter() {
            let bytes = (row.heap_bytes() + ENTRY_BYTES).saturating_mul(weight.unsigned_abs() as usize);
            view.bytes = if weight > 0 { view.bytes + bytes } else { view.bytes.saturating_sub(bytes) };
        }
        self.bytes = self.bytes - before + view.bytes;
        self.idle.resize(id, view.bytes);
        if view.bytes > self.memory.view {
            self.overgrown.push(id);
            return;
        }
        view.withheld.extend(rows);
        if view.withheld.len() > WITHHELD_ROWS.max(2 * view.added_up) {
            view.withheld = std::mem::take(&mut view.withheld).consolidated();
            view.added_up = view.withheld.len();
        }
        if let Some(error) = error {
            if view.error.as_ref() != Some(&error) {
                view.error = Some(error.clone());
                let error = Arc::new(RequestError::Evaluation(error));
                let news = |cookie| News::Error { error: Arc::clone(&error), cookie: Some(cookie) };
                view.tell(id, &news(cookie), |subscriber| subscriber.has_result, messages);
                view.tell(id, &news(without_result(cookie)), |subscriber| !subscriber.has_result, messages);
            }
            return;
        }
        let recovered = view.error.take().is_some();
        let net = std::mem::take(&mut view.withheld).consolidated();
        if net.is_empty() && !recovered {
            return;
        }
        let mut changes: Vec<(Row, Weight)> = net.into_iter().collect();
        changes.sort_by_key(|(_, weight)| *weight > 0);
        let change = Arc::new(ViewChange {
            columns: view.columns.clone(),
            order: view.order.clone(),
            changes,
            cookie,
        });
        view.remember(Arc::clone(&change));
        view.tell(id, &News::Change(change), |subscriber| subscriber.has_result, messages);
        if view.subscribers.values().any(|subscriber| !subscriber.has_result) {
            let snapshot = News::Snapshot(Arc::new(self.snapshot(id, cookie)));
            let view = self.by_id.get_mut(&id).expect("invariant: the view is there");
            view.tell(id, &snapshot, |subscriber| !subscriber.has_result, messages);
            for subscriber in view.subscribers.values_mut() {
                subscriber.has_result = true;
            }
        }
    }
}
