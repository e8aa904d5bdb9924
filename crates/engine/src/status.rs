//! [`Status`]: what an engine holds, for people to read.

use std::collections::BTreeSet;

use deltaic_dataflow::Description;
use deltaic_types::{Lsn, TableId};

use crate::{
    aside::AsideCounts,
    behind::Behind,
    engine::Engine,
    label::Labels,
    views::{Advances, Lives, ViewId, ViewStatus},
};

/// A table, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// Its number.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: usize,
    /// The bytes of its rows and indexes in memory.
    pub memory_bytes: usize,
    /// Its columns: name, type, and whether it is in memory.
    pub columns: Vec<(String, String, bool)>,
    /// The names of its primary key's columns; none of a key that is hidden.
    pub key: Vec<String>,
}

/// What an engine holds, for people to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The last commit.
    pub lsn: Lsn,
    /// The tables.
    pub tables: Vec<TableStatus>,
    /// The live queries.
    pub views: Vec<ViewStatus>,
    /// How commits were brought to them.
    pub advances: Advances,
    /// What became of live queries so far.
    pub lives: Lives,
    /// Subscriptions whose results are being computed.
    pub waiting: usize,
    /// Requests that are large, or wait for a large one.
    pub aside: usize,
    /// What became of such requests.
    pub aside_counts: AsideCounts,
    /// The bytes of all results and of what the circuits keep to compute them, within a factor of two.
    pub held_bytes: usize,
}

/// An operator of a circuit, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitNode {
    /// What it does, in a line.
    pub label: String,
    /// The node.
    pub node: Description,
}

impl Engine {
    /// What the engine holds.
    pub fn status(&self) -> Status {
        let tables = self.tables.catalog().tables().map(|table| {
            let relation = self.tables.relation(table.id);
            let hot: BTreeSet<usize> = self.tables.hot_columns(table.id).iter().copied().collect();
            let columns = table
                .visible()
                .map(|place| {
                    let column = &table.columns[place];
                    (column.name.clone(), column.type_name(), hot.contains(&place))
                })
                .collect();
            let key = if table.has_row_id() { &[][..] } else { &table.primary_key };
            TableStatus {
                id: table.id,
                name: table.name.clone(),
                rows: relation.len(),
                memory_bytes: relation.heap_bytes(),
                columns,
                key: key.iter().map(|place| table.columns[*place].name.clone()).collect(),
            }
        });
        Status {
            lsn: self.lsn,
            tables: tables.collect(),
            views: self.views.status(),
            advances: self.views.advances(),
            lives: self.views.lives(),
            waiting: self.views.waiting()
                + self.held.subscriptions()
                + self.behind.as_ref().map_or(0, Behind::subscriptions),
            aside: self.aside.waiting(),
            aside_counts: self.aside.counts(),
            held_bytes: self.views.held_bytes(),
        }
    }

    /// The latest time that was given to a request, in milliseconds since 1970: ahead of a clock that was set back since.
    pub fn time_millis(&self) -> u64 {
        self.clock.last().millis()
    }

    /// The operators of a view's circuit, inputs first.
    pub fn circuit(&self, view: ViewId) -> Option<Vec<CircuitNode>> {
        let nodes = self.views.circuit(view)?;
        let labels = Labels::of(&nodes, &self.tables);
        let describe = |node: Description| CircuitNode { label: labels.label(&node.operator), node };
        Some(nodes.into_iter().map(describe).collect())
    }

    /// Whether no trace of a live query is left: what a test for leaks asks.
    pub fn is_idle(&self) -> bool {
        self.views.is_empty()
    }
}
