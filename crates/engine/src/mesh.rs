//! [`Mesh`]: this engine as one of several that write apart and merge.
//!
//! Its tables are what is seen of a replica of rows that merge ([`State`]), which anti-entropy brings to the state of the others. A
//! transaction's writes are drafted beside it and put in place with their commit; what peers send is merged by a commit of its own.
//! Invariants: the replica is what the store has, so a step that fails loads it anew; a peer is told that it was heard when the merge
//! is durable; the tables, and so every live result, are a function of the merged rows.

pub(crate) mod claims;
pub(crate) mod conflict;
pub(crate) mod draft;
mod late;
mod merging;
pub(crate) mod name;
mod peer;
pub(crate) mod rich_text;
pub(crate) mod rights;
mod schema;
pub(crate) mod settling;
pub(crate) mod shape;
pub(crate) mod state;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use deltaic_causality::{ActorId, Dot, HybridTime, VersionVector};
use deltaic_crdt::anti_entropy::{Effect, Input as Heard, MergeId, Micros, Settings, SyncMetrics};
use deltaic_crdt::{AntiEntropy, State as _};
use deltaic_storage::{Change, StorageError, Store};
use deltaic_types::{Catalog, Row, TableId};

use crate::{
    effects::{PeerNews, ToPeer},
    input::Now,
    tables::Tables,
};

pub use peer::PeerInput;
pub use schema::SchemaMismatch;

use self::{
    draft::Draft,
    name::RowKey,
    rights::Wants,
    schema::{Opened, Schemas},
    state::{Kept, State},
};

/// How much a replica keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplicaSize {
    /// Rows, those among them that are gone and may be written to by somebody who does not know.
    pub rows: usize,
    /// Removals that some member may not know.
    pub removals: usize,
    /// Bytes of all rows, as they are sent whole.
    pub bytes: usize,
}

/// What a peer sent, to be merged.
#[derive(Debug)]
struct Delta {
    id: MergeId,
    to: VersionVector,
    body: Vec<u8>,
}

/// One replica of several.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) state: Arc<State>,
    kept: Kept,
    /// Begun with the first step, whose time names this start.
    sync: Option<AntiEntropy>,
    settings: Settings,
    schemas: Schemas,
    waiting: VecDeque<Delta>,
    /// Deltas that are none, which their senders are asked for again.
    refused: Vec<MergeId>,
    /// Rights that others lack.
    wants: Wants,
    /// Rows of which nothing is left, whose records are to go with the next commit.
    trimmed: BTreeSet<RowKey>,
    /// Whether the store has the members as they are.
    is_kept: bool,
    /// What leaves with this step.
    send: Vec<ToPeer>,
    news: Vec<PeerNews>,
}

fn micros(now: Now) -> Micros {
    Micros(u64::try_from(now.0).unwrap_or(0))
}

impl Mesh {
    fn new(state: State, kept: Kept, settings: Settings, catalog: &Catalog) -> Self {
        Self {
            state: Arc::new(state),
            kept,
            sync: None,
            settings,
            schemas: Schemas::new(catalog),
            waiting: VecDeque::new(),
            refused: Vec::new(),
            wants: Wants::default(),
            trimmed: BTreeSet::new(),
            is_kept: true,
            send: Vec::new(),
            news: Vec::new(),
        }
    }

    /// A transaction of an author who had seen `basis`, or all that is here.
    pub(crate) fn draft(&self, time: HybridTime, basis: Option<&VersionVector>) -> Draft {
        let draft = Draft::new(Arc::clone(&self.state), self.state.rows.actor(), time, basis);
        draft.among(self.kept.peers.is_empty(), self.has_ended())
    }

    /// Puts a transaction's writes in place, the last of which is `seq`: the records that are stored with them, which rows of
    /// `deltaic.conflicts` changed, and those that came.
    pub(crate) fn put(
        &mut self,
        draft: Draft,
        seq: u64,
        time: HybridTime,
        tables: &mut Tables,
    ) -> (Vec<Change>, Vec<(TableId, Row)>, Vec<Row>) {
        let Draft { state, rows, shown, defined, forgotten, .. } = draft;
        drop(state);
        let keys: BTreeSet<RowKey> = rows.keys().cloned().collect();
        self.trimmed.extend(forgotten);
        let (gone, come) = match defined {
            Some(next) => {
                self.define(tables.catalog());
                let before = std::mem::replace(&mut self.state, Arc::new(next));
                let (before, after): (BTreeSet<&Row>, BTreeSet<&Row>) =
                    (before.conflicts().collect(), self.state.conflicts().collect());
                let of = |rows: &BTreeSet<&Row>, others: &BTreeSet<&Row>| -> Vec<Row> {
                    rows.difference(others).map(|row| (*row).clone()).collect()
                };
                (of(&before, &after), of(&after, &before))
            }
            None => {
                let state = self.state_mut();
                state.put(rows);
                state.show(&shown)
            }
        };
        self.state_mut().rows.advance(seq);
        let version = Dot { actor: self.state.rows.actor(), seq };
        (self.records(&keys, version, time, false), tables.show_conflicts(&gone, &come), come)
    }

    /// What the store has of it; none if this database has always been alone.
    pub(crate) fn load(
        actor: ActorId,
        seq: u64,
        catalog: &Catalog,
        store: &dyn Store,
        settings: Settings,
    ) -> Result<Option<Self>, StorageError> {
        let loaded = State::load(actor, seq, catalog, store)?;
        Ok(loaded.map(|(state, kept)| Self::new(state, kept, settings, catalog)))
    }

    /// An append failed: what is here is what the store has. Deltas that were on their way are asked for again. Gives back the other
    /// members where it was the one that was to begin it.
    pub(crate) fn reload(
        &mut self,
        now: Now,
        seq: u64,
        catalog: &Catalog,
        store: &dyn Store,
        merged: Vec<MergeId>,
    ) -> Option<BTreeSet<ActorId>> {
        // A store that cannot be read takes no further append either: nothing that is here will be told to anybody.
        match State::load(self.state.rows.actor(), seq, catalog, store) {
            Ok(Some((state, kept))) => (self.state, self.kept) = (Arc::new(state), kept),
            Ok(None) => return Some(std::mem::take(&mut self.kept.peers)),
            Err(_) => {}
        }
        for id in merged {
            self.hear(now, Heard::Refused(id));
        }
        None
    }

    /// Whether nothing that is written here is merged anywhere any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.sync.as_ref().is_some_and(AntiEntropy::has_ended)
    }

    pub(crate) fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The state, to be changed.
    fn state_mut(&mut self) -> &mut State {
        Arc::make_mut(&mut self.state)
    }

    /// Begins to speak with the members, with the first step.
    pub(crate) fn begin(&mut self, now: Now) {
        if self.sync.is_none() {
            let rows = &self.state.rows;
            self.sync = Some(AntiEntropy::new(rows.actor(), micros(now).0, rows, self.settings));
            for peer in self.kept.peers.clone() {
                self.state_to(peer);
                self.hear(now, Heard::Join(peer));
            }
        }
    }

    fn send_want(&mut self, peer: ActorId, want: &[u8]) {
        let bytes = self.schemas.want(peer, want);
        self.send.extend(bytes.map(|bytes| ToPeer { peer, bytes }));
    }

    /// Tells a peer of the tables.
    pub(crate) fn state_to(&mut self, peer: ActorId) {
        let bytes = self.schemas.statement();
        self.send.push(ToPeer { peer, bytes });
    }

    /// The tables are defined otherwise: all are told.
    fn define(&mut self, catalog: &Catalog) {
        for (peer, mismatch) in self.schemas.define(catalog) {
            self.news.push(PeerNews::OtherSchema { peer, mismatch });
        }
        for peer in self.kept.peers.clone() {
            self.state_to(peer);
        }
    }

    /// Something came from a peer.
    pub(crate) fn receive(&mut self, now: Now, peer: ActorId, bytes: &[u8]) {
        match self.schemas.open(peer, bytes) {
            Opened::Message(message) => self.hear(now, Heard::Received(peer, message.to_vec())),
            Opened::Answer(bytes) => self.send.push(ToPeer { peer, bytes }),
            Opened::Refused(mismatch) => self.news.push(PeerNews::OtherSchema { peer, mismatch }),
            Opened::Want(want) => self.asked(peer, want),
            Opened::Nothing => {}
        }
    }

    /// Something happened between replicas.
    pub(crate) fn hear(&mut self, now: Now, heard: Heard) {
        self.begin(now);
        let Some(sync) = &mut self.sync else { return };
        for effect in sync.step(micros(now), heard, &self.state.rows) {
            match effect {
                Effect::Send { peer, bytes } => {
                    let bytes = self.schemas.wrap(peer, &bytes);
                    self.send.extend(bytes.map(|bytes| ToPeer { peer, bytes }));
                }
                Effect::Merge { id, to, body, .. } => self.waiting.push_back(Delta { id, to, body }),
                Effect::Stable(stable) => {
                    let gone = Arc::make_mut(&mut self.state).trim(&stable);
                    self.trimmed.extend(gone);
                }
                Effect::Silent(peer) => self.news.push(PeerNews::Silent(peer)),
                Effect::Forgotten { by } => self.news.push(PeerNews::Forgotten { by }),
                Effect::Restored { by } => self.news.push(PeerNews::Restored { by }),
                Effect::PeerRestored(peer) => self.news.push(PeerNews::PeerRestored(peer)),
                Effect::Diverged { peer, kinds } => {
                    let tables = kinds.into_iter().map(|kind| self.state.table_name(kind)).collect();
                    self.news.push(PeerNews::Diverged { peer, tables });
                }
            }
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Now) {
        for id in std::mem::take(&mut self.refused) {
            self.hear(now, Heard::Refused(id));
        }
        if self.wake_at(now).is_some_and(|due| due <= now) {
            self.hear(now, Heard::Tick);
        }
    }

    pub(crate) fn wake_at(&mut self, now: Now) -> Option<Now> {
        self.begin(now);
        let due = self.sync.as_ref()?.wake_at(&self.state.rows)?;
        Some(Now(i64::try_from(due.0).unwrap_or(i64::MAX)))
    }

    /// What is to leave.
    pub(crate) fn take(&mut self) -> (Vec<ToPeer>, Vec<PeerNews>) {
        (std::mem::take(&mut self.send), std::mem::take(&mut self.news))
    }

    /// The cut of this replica, and the others.
    pub(crate) fn cut(&self) -> &VersionVector {
        self.state.rows.cut()
    }

    pub(crate) fn size(&self) -> ReplicaSize {
        let rows = &self.state.rows;
        ReplicaSize { rows: rows.kept(), removals: rows.notes(), bytes: rows.whole_size() }
    }

    pub(crate) fn metrics(&self) -> SyncMetrics {
        self.sync.as_ref().map(AntiEntropy::metrics).unwrap_or_default()
    }

    /// A sum of all that is merged, equal where replicas are.
    pub(crate) fn digest(&self) -> u64 {
        self.state.rows.digest()
    }

    /// What is stored beside the changes of a commit: records of rows, of those that went, and of the whole where it has changed.
    fn records(
        &mut self,
        touched: &BTreeSet<RowKey>,
        version: Dot,
        time: HybridTime,
        is_merge: bool,
    ) -> Vec<Change> {
        let gone = std::mem::take(&mut self.trimmed);
        let mut changes = self.state.stored(touched.union(&gone), version, time);
        if is_merge || !gone.is_empty() {
            self.kept.cut = self.state.rows.cut().clone();
            self.kept.trimmed = self.state.rows.trimmed().clone();
            changes.push(self.kept.record(version, time));
        }
        changes
    }
}
