//! [`View`]: the result of a template for one parameter tuple, and who watches it.
//!
//! Invariant: the ring holds every change of the result after [`View::since`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use deltaic_dataflow::{KeyColumn, ZSet};
use deltaic_query::plan::ResultColumn;
use deltaic_types::{EvalError, Lsn, Row};

use super::ViewId;
use crate::{
    cookie::Cookie,
    effects::{Message, News, ViewChange},
    input::{ClientId, SubscriptionId},
    life::Life,
};

/// The bytes that an entry takes up beside its row.
pub(super) const ENTRY_BYTES: usize = 12;

/// The most changed rows that a view keeps for clients that come back.
const RING_ROWS: usize = 4096;

/// The result of a template for a parameter tuple.
#[derive(Debug)]
pub(super) struct View {
    pub(super) template: u64,
    pub(super) tuple: Row,
    /// The query as the first subscriber wrote it, for people to read.
    pub(super) sql: String,
    pub(super) columns: Vec<ResultColumn>,
    pub(super) order: Vec<KeyColumn>,
    pub(super) minor: u64,
    pub(super) subscribers: BTreeMap<(ClientId, SubscriptionId), Subscriber>,
    /// The live views of the catalog whose rows it is.
    pub(super) names: BTreeSet<String>,
    pub(super) ring: VecDeque<Arc<ViewChange>>,
    pub(super) ring_rows: usize,
    /// The ring holds every change after this commit.
    pub(super) since: Lsn,
    /// Why the result cannot be told, while it cannot.
    pub(super) error: Option<EvalError>,
    /// What changed while the view was in error.
    pub(super) withheld: ZSet,
    /// The rows that were withheld when they were last added up.
    pub(super) added_up: usize,
    /// The longest life that a subscriber asked for since the view was last left.
    pub(super) life: Life,
    /// The bytes of the result.
    pub(super) bytes: usize,
    pub(super) updates: u64,
}

/// Who watches a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscriber {
    /// Whether it has a result that changes can be added to.
    pub(super) has_result: bool,
}

impl View {
    /// Sends news to some of the subscribers.
    pub(super) fn tell(
        &self,
        id: ViewId,
        news: &News,
        to: impl Fn(&Subscriber) -> bool,
        messages: &mut Vec<Message>,
    ) {
        for ((client, subscription), subscriber) in &self.subscribers {
            if to(subscriber) {
                let (client, subscription) = (*client, *subscription);
                messages.push(Message { client, subscription, view: Some(id), news: news.clone() });
            }
        }
    }

    /// Keeps a change for clients that come back, and forgets the oldest beyond the bound.
    pub(super) fn remember(&mut self, change: Arc<ViewChange>) {
        self.ring_rows += change.changes.len();
        self.ring.push_back(change);
        while self.ring_rows > RING_ROWS {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_rows -= oldest.changes.len();
            self.since = oldest.cookie.lsn;
        }
    }
}

/// The cookie of a client that has been told of an error and nothing else: no change can be added to what it
/// has, so it names no result.
pub(super) fn without_result(cookie: Cookie) -> Cookie {
    Cookie { minor: !cookie.minor, ..cookie }
}
