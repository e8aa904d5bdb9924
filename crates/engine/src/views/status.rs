//! What is told of the live queries: [`ViewStatus`], and the counts [`Lives`] and [`Advances`].

use deltaic_dataflow::Description;
use deltaic_types::Value;

use super::{ViewId, Views, view::ENTRY_BYTES};
use crate::life::Life;

/// What became of views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lives {
    /// Views that were made.
    pub opened: u64,
    /// Views whose subscribers found them there.
    pub shared: u64,
    /// Views whose time was over.
    pub expired: u64,
    /// Views that went for want of memory while nobody watched them.
    pub evicted: u64,
    /// Views that were refused or ended because they were too large.
    pub refused: u64,
}

/// How commits were brought to the live queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Advances {
    /// Row by row.
    pub stepped: u64,
    /// By computing results anew and giving out the difference.
    pub recomputed: u64,
}

/// What a view is, for people to read.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewStatus {
    /// Its number.
    pub id: ViewId,
    /// The query.
    pub sql: String,
    /// The values of its parameters, those that were constants in the query included.
    pub parameters: Vec<Value>,
    /// The live views of the catalog whose rows it is.
    pub names: Vec<String>,
    /// How many subscriptions it has.
    pub subscribers: usize,
    /// How many rows its result has.
    pub rows: usize,
    /// The bytes of its result and of its ring.
    pub bytes: usize,
    /// How many commits changed it.
    pub updates: u64,
    /// How long it stays when its last subscriber has left.
    pub life: Life,
    /// Why its result cannot be told, if it cannot.
    pub error: Option<String>,
}

impl Views {
    /// What views there are.
    pub(crate) fn status(&self) -> Vec<ViewStatus> {
        self.by_id
            .iter()
            .map(|(id, view)| {
                let circuit = self.templates[&view.template].circuit;
                let rows = self.graph.arranged(circuit.root, &view.tuple[..circuit.prefix]);
                let ring = view.ring.iter().flat_map(|change| &change.changes);
                ViewStatus {
                    id: *id,
                    sql: view.sql.clone(),
                    parameters: view.tuple.to_vec(),
                    names: view.names.iter().cloned().collect(),
                    subscribers: view.subscribers.len(),
                    rows: rows.iter().map(|(_, weight)| *weight as usize).sum(),
                    bytes: view.bytes + ring.map(|(row, _)| row.heap_bytes() + ENTRY_BYTES).sum::<usize>(),
                    updates: view.updates,
                    life: view.life,
                    error: view.error.as_ref().map(ToString::to_string),
                }
            })
            .collect()
    }

    /// The circuit of a view.
    pub(crate) fn circuit(&self, view: ViewId) -> Option<Vec<Description>> {
        let view = self.by_id.get(&view)?;
        Some(self.graph.describe(self.templates[&view.template].circuit.root))
    }
}
