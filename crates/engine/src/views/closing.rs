//! The ends of views: their time is over, memory is short, they have grown too large, or their tables have gone.
//!
//! Invariant: with the last view of a template its circuit goes, and with a view its tuple; snapshots of commits that are not followed
//! yet forget them too.

use std::sync::Arc;

use deltaic_types::limits;

use super::{View, ViewId, Views, parameters_of};
use crate::{
    effects::{Message, News},
    error::RequestError,
    input::Now,
    tables::Tables,
};

impl Views {
    /// Drops the views whose time is over, and of those that nobody watches the first left while they are too many
    /// or too large. No commit is in flight, so there is no snapshot of the tables any more: what was kept for the sake
    /// of snapshots goes.
    pub(crate) fn expire(&mut self, now: Now, tables: &mut Tables) {
        while let Some(view) = self.idle.over(now) {
            self.lives.expired += 1;
            self.idle.take(view);
            self.close(view, tables);
        }
        while self.idle.len() > limits::IDLE_VIEWS
            || self.idle.bytes() > self.memory.idle
            || self.held_bytes() > self.memory.views
        {
            let Some(view) = self.idle.first_left() else { break };
            self.evict(view, tables);
        }
        self.gone.clear();
        tables.relations.settle();
    }

    pub(super) fn evict(&mut self, view: ViewId, tables: &mut Tables) {
        self.lives.evicted += 1;
        self.idle.take(view);
        self.close(view, tables);
    }

    /// Ends the views that the last commit made too large.
    pub(crate) fn end_overgrown(&mut self, tables: &mut Tables) -> Vec<Message> {
        let mut messages = Vec::new();
        for view in std::mem::take(&mut self.overgrown) {
            let bytes = self.by_id[&view].bytes;
            let error = RequestError::ViewTooLarge { bytes, limit: self.memory.view };
            let news = News::Error { error: Arc::new(error), cookie: None };
            self.lives.refused += 1;
            self.end(view, &news, &mut messages);
            self.close(view, tables);
        }
        messages
    }

    /// Tells a view's subscribers that it ends, and forgets them.
    fn end(&mut self, view: ViewId, news: &News, messages: &mut Vec<Message>) {
        self.idle.take(view);
        let entry = self.by_id.get_mut(&view).expect("invariant: a view that ends is there");
        entry.tell(view, news, |_| true, messages);
        for id in std::mem::take(&mut entry.subscribers).into_keys() {
            self.subscriptions.remove(&id);
        }
    }

    pub(super) fn close(&mut self, id: ViewId, tables: &mut Tables) {
        let view = self.forget(id);
        let template = self.templates.get_mut(&view.template).expect("invariant: a view has its template");
        template.views.remove(&view.tuple);
        let (parameters, is_last) = (template.parameters, template.views.is_empty());
        if is_last {
            self.close_template(view.template, tables);
        } else if let Some(relation) = parameters {
            self.remove_parameters(relation, &view.tuple, &mut tables.relations);
            self.gone.push((relation, Some(view.tuple)));
        }
    }

    fn forget(&mut self, id: ViewId) -> View {
        let view = self.by_id.remove(&id).expect("invariant: a view that is closed is there");
        for name in &view.names {
            self.named.remove(name);
        }
        self.bytes -= view.bytes;
        view
    }

    pub(super) fn close_template(&mut self, id: u64, tables: &mut Tables) {
        let template = self.templates.remove(&id).expect("invariant: a template is closed once");
        self.by_key.remove(&template.key);
        if let Some(shared) = template.shared {
            self.own.remove(&shared);
        }
        let root = template.circuit.root;
        let sharers = self.by_root.get_mut(&root).expect("invariant: a root has its templates");
        sharers.retain(|other| *other != id);
        if sharers.is_empty() {
            self.by_root.remove(&root);
            self.roots.remove(&root);
        }
        self.graph.release(root);
        if let Some(relation) = template.parameters {
            tables.relations.remove(relation);
            self.gone.push((relation, None));
        }
    }

    /// Ends the live queries over tables that `after` has no more.
    pub(crate) fn drop_tables(&mut self, tables: &mut Tables, after: &Tables) -> Vec<Message> {
        if tables.has_catalog_of(after) {
            return Vec::new();
        }
        let gone: Vec<u64> = self
            .templates
            .iter()
            .filter(|(_, template)| template.tables.iter().any(|table| after.catalog().get(*table).is_none()))
            .map(|(id, _)| *id)
            .collect();
        let mut messages = Vec::new();
        for id in gone {
            let views: Vec<ViewId> = self.templates[&id].views.values().copied().collect();
            for view in views {
                let news = News::Error { error: Arc::new(RequestError::TableDropped), cookie: None };
                self.end(view, &news, &mut messages);
                self.forget(view);
            }
            self.close_template(id, tables);
        }
        messages
    }

    /// Drops the parameters that have gone since a snapshot was taken. Cost: those that have.
    pub(crate) fn retain_parameters(&self, tables: &mut Tables) {
        for (id, tuple) in &self.gone {
            let Some(tuple) = tuple else {
                tables.relations.remove(*id);
                continue;
            };
            if tables.relations.get(*id).is_some_and(|relation| relation.get(tuple).is_some()) {
                parameters_of(*id, &mut tables.relations).remove(tuple);
            }
        }
    }
}
