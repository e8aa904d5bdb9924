//! How an engine becomes a replica, and what it makes of what peers send: commits.
//!
//! Invariant: a merge is one commit, and what it shows is what the merged rows say: rows that were not touched change where a
//! constraint lets them be seen or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltaic_causality::{Dot, HybridTime};
use deltaic_crdt::anti_entropy::{Input as Heard, MergeId};
use deltaic_storage::{Change, Commit, StorageError, Store, StoredRow};
use deltaic_types::{CONFLICTS, Row, TableId};

use super::{
    Mesh, PeerInput,
    draft::Draft,
    name::RowKey,
    state::{Kept, Shown, State},
};
use crate::{
    effects::Effects,
    engine::{Engine, InFlight, Prepared},
    input::Now,
    tables::Tables,
};

/// The tables and the changes of a commit that shows rows.
struct Showing<'a> {
    state: &'a State,
    tables: Tables,
    changes: Vec<Change>,
    touched: Vec<(TableId, Row)>,
}

impl Showing<'_> {
    /// Brings what is seen of a row into its table. `version` is the write that it is shown by.
    fn row(&mut self, key: &RowKey, version: Dot, time: HybridTime) {
        // Conflicts are shown by themselves.
        let Some(shape) = self.state.shape_of(key).filter(|shape| shape.table != CONFLICTS) else { return };
        let Some(name) = key.values().filter(|name| name.len() == shape.key.len()) else { return };
        let was = self.tables.get(shape.table, &name).cloned();
        if let Some(was) = &was {
            self.tables.relation_mut(shape.table).remove(was);
        }
        match self.state.seen(key) {
            Some(values) => {
                let hot = self.tables.hot(shape.table, &values);
                self.tables.relation_mut(shape.table).insert(&hot);
                let row = StoredRow { version, time, cells: Vec::new(), values };
                self.changes.push(Change::Put { table: shape.table, key: name.clone(), row });
            }
            None if was.is_some() => {
                self.changes.push(Change::Delete {
                    table: shape.table,
                    key: name.clone(),
                    dot: version,
                    time,
                });
            }
            None => return,
        }
        self.touched.push((shape.table, name));
    }
}

impl Tables {
    /// Shows which conflicts went and came.
    pub(crate) fn show_conflicts(&mut self, gone: &[Row], come: &[Row]) -> Vec<(TableId, Row)> {
        self.show(CONFLICTS, gone, come)
    }
}

impl Engine {
    /// Takes in what happened between replicas.
    pub(crate) fn peer(&mut self, now: Now, input: PeerInput) {
        match (input, &mut self.mesh) {
            (PeerInput::Join(peer), _) if peer == self.identity.actor => {}
            (PeerInput::Join(peer), None) => drop(self.joining.insert(peer)),
            (PeerInput::Join(peer), Some(mesh)) => {
                if mesh.kept.peers.insert(peer) {
                    mesh.is_kept = false;
                }
                mesh.state_to(peer);
                mesh.hear(now, Heard::Join(peer));
            }
            (PeerInput::Leave(peer, by), Some(mesh)) => {
                mesh.kept.peers.remove(&peer);
                mesh.is_kept = false;
                mesh.waiting.retain(|delta| delta.id.peer() != peer);
                mesh.hear(now, Heard::Leave(peer, by));
            }
            (PeerInput::Received(peer, bytes), Some(mesh)) if mesh.kept.peers.contains(&peer) => {
                mesh.receive(now, peer, &bytes);
            }
            (PeerInput::Leave(..) | PeerInput::Received(..), _) => {}
        }
    }

    /// Does what peers ask for, as far as it can be done now.
    pub(crate) fn merge_peers(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        let is_wanted = !self.joining.is_empty() || (self.mesh.is_none() && !self.late_requests.is_empty());
        if self.in_flight.is_none() && is_wanted && self.aside.waiting() == 0 {
            effects.append = self.begin_mesh(now, store);
        }
        if self.in_flight.is_none() && self.mesh.is_some() && !self.late_requests.is_empty() {
            let late = std::mem::take(&mut self.late_requests);
            effects.absorb(self.admit(now, &late, store));
        }
        if self.in_flight.is_none() {
            // While an append is under way the replica is ahead of the store, and nothing may be said of it.
            if let Some(mesh) = &mut self.mesh {
                mesh.tick(now);
            }
            effects.append = self.merge_deltas(now);
        }
        if self.in_flight.is_none() {
            effects.append = self.give_rights(now);
        }
        let Some(mesh) = &mut self.mesh else { return };
        let (send, news) = mesh.take();
        effects.peers.extend(send);
        effects.peer_news.extend(news);
    }

    /// Makes a replica of the tables.
    fn begin_mesh(&mut self, now: Now, store: &dyn Store) -> Vec<Commit> {
        let Ok(time) = self.clock_time(now) else { return Vec::new() };
        let Ok((state, seq)) = self.replica_of_tables(store) else { return Vec::new() };
        let kept = Kept { peers: std::mem::take(&mut self.joining), ..Kept::default() };
        let mut mesh = Mesh::new(state, kept, self.mesh_settings, self.tables.catalog());
        let keys: BTreeSet<RowKey> = mesh.state.rows.iter().map(|(key, _)| key.clone()).collect();
        let version = Dot { actor: self.identity.actor, seq };
        let changes = mesh.records(&keys, version, time, true);
        self.mesh = Some(mesh);
        let after = self.tables.clone();
        self.send_off(time, seq, after, Vec::new(), changes, Vec::new())
    }

    /// The rows of the tables with writes of their own, as of their times.
    fn replica_of_tables(&self, store: &dyn Store) -> Result<(State, u64), StorageError> {
        let actor = self.identity.actor;
        let mut state = State::new(actor, self.tables.catalog());
        state.rows.advance(self.seq);
        let state = Arc::new(state);
        let mut seq = self.seq;
        let mut rows = BTreeMap::new();
        for schema in self.tables.catalog().tables() {
            let shape = state.shape(schema.id).expect("invariant: each table has its shape");
            for (row, _) in self.tables.relation(schema.id).primary().iter() {
                let key = self.tables.key_in_memory(schema.id, row);
                let Some(stored) = store.row(schema.id, &key)? else { continue };
                let mut draft = Draft::new(Arc::clone(&state), actor, stored.time, None);
                let inserted = draft.insert(&mut seq, shape, &stored.values);
                inserted.expect("invariant: a row of a table is a first write to its name");
                rows.append(&mut draft.rows);
            }
        }
        let mut state = Arc::unwrap_or_clone(state);
        let shown = state.look_ahead(&rows);
        state.put(rows);
        state.show(&shown);
        Ok((state, seq))
    }

    /// Gives those who have asked some of the rights to take from counters.
    fn give_rights(&mut self, now: Now) -> Vec<Commit> {
        let wanted = self.mesh.as_ref().is_some_and(|mesh| !mesh.wants.is_empty());
        if !wanted {
            return Vec::new();
        }
        let Ok(time) = self.clock_time(now) else { return Vec::new() };
        let (mut seq, mut after) = (self.seq, self.tables.clone());
        let Some(mesh) = &mut self.mesh else { return Vec::new() };
        let mut draft = mesh.draft(time, None);
        // What fails is not given: whoever needs it asks again.
        let given = mesh.give(&mut seq, &mut draft);
        if given.is_err() || draft.rows.is_empty() {
            return Vec::new();
        }
        draft.look_ahead();
        let (changes, touched, _) = mesh.put(draft, seq, time, &mut after);
        self.send_off(time, seq, after, touched, changes, Vec::new())
    }

    /// Merges what peers have sent.
    fn merge_deltas(&mut self, now: Now) -> Vec<Commit> {
        let Some(mesh) = &mut self.mesh else { return Vec::new() };
        if mesh.waiting.is_empty() && mesh.is_kept {
            return Vec::new();
        }
        let (mut keys, mut merged) = (BTreeSet::new(), Vec::new());
        for delta in std::mem::take(&mut mesh.waiting) {
            match mesh.state_mut().rows.merge(&delta.body, &delta.to) {
                Ok(changed) => {
                    keys.extend(changed);
                    merged.push(delta.id);
                }
                Err(_) => mesh.refused.push(delta.id),
            }
        }
        if merged.is_empty() && mesh.is_kept {
            return Vec::new();
        }
        mesh.is_kept = true;
        let shown = mesh.state.look_at(keys.iter().cloned());
        // What was committed elsewhere is merged whatever this machine's clock says; it admits nothing until it is right.
        let millis = u64::try_from(now.0 / 1_000).unwrap_or(0);
        if let Some(latest) = mesh.state.latest(&keys) {
            self.clock.observe_at(millis, latest);
        }
        // Not theirs, which may be years ahead: by this time queries are asked.
        let time = HybridTime::new(millis, 0).max(self.time);
        let mesh = self.mesh.as_mut().expect("invariant: it was there just now");
        let version = Dot { actor: self.identity.actor, seq: self.seq };
        let mut changes = mesh.records(&keys, version, time, true);
        let (gone, come) = mesh.state_mut().show(&shown);
        self.conflicts.count(&come);
        let mut showing = Showing {
            state: &mesh.state,
            tables: self.tables.clone(),
            changes: Vec::new(),
            touched: Vec::new(),
        };
        for key in shown.keys() {
            showing.row(key, version, time);
        }
        let Showing { tables: mut after, changes: of_tables, mut touched, .. } = showing;
        touched.extend(after.show_conflicts(&gone, &come));
        changes.extend(of_tables);
        self.send_off(time, self.seq, after, touched, changes, merged)
    }

    /// A commit of the engine's own.
    fn send_off(
        &mut self,
        time: HybridTime,
        seq: u64,
        after: Tables,
        touched: Vec<(TableId, Row)>,
        changes: Vec<Change>,
        merged: Vec<MergeId>,
    ) -> Vec<Commit> {
        let lsn = self.lsn.next();
        let tables = touched.iter().map(|(table, _)| *table).collect();
        let prepared = Prepared { lsn, time, touched, tables, after };
        let (replies, spent) = (Vec::new(), Vec::new());
        self.in_flight =
            Some(InFlight { prepared: vec![prepared], replies, lsn, seq, spent, merged, showing: None });
        vec![Commit { lsn, time, seq, changes: changes.into() }]
    }
}

impl Shown {
    /// All rows of which it says something.
    fn keys(&self) -> BTreeSet<&RowKey> {
        self.changed.keys().chain(self.settled.rows.keys()).chain(self.settled.kept.keys()).collect()
    }
}
