//! [`Showing`]: rows of the engine's own tables on their way, by a commit of its own.
//!
//! Invariant: what a commit that was not made was to show is shown by a later one.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_causality::HybridTime;
use deltaic_storage::Commit;
use deltaic_types::{Row, TableId};

use crate::{
    allocations::Given,
    effects::Effects,
    engine::{Engine, InFlight, Prepared},
    input::Now,
    semantic::Listed,
    tables::Tables,
};

/// What leaves with a commit, as it is to be taken back.
#[derive(Debug)]
pub(crate) enum Showing {
    /// What rules had listed before.
    Rules(Listed),
    /// Gauges of budgets, by key.
    Gauges(BTreeMap<Row, Option<Row>>),
    /// What an allocation gave before.
    Allocation(Given),
}

impl Tables {
    /// Shows which rows of a table of the engine's own went and came.
    pub(crate) fn show(&mut self, table: TableId, gone: &[Row], come: &[Row]) -> Vec<(TableId, Row)> {
        let key = |row: &Row| -> Row {
            self.schema(table).primary_key.iter().map(|place| row[*place].clone()).collect()
        };
        let touched: BTreeSet<Row> = gone.iter().chain(come).map(key).collect();
        for row in gone {
            let row = self.hot(table, row);
            self.relation_mut(table).remove(&row);
        }
        for row in come {
            let row = self.hot(table, row);
            self.relation_mut(table).insert(&row);
        }
        touched.into_iter().map(|key| (table, key)).collect()
    }
}

impl Engine {
    /// Brings rows of a table of the engine's own up to date, those that went and those that came: a commit of its own where a live
    /// query reads it.
    pub(crate) fn show_rows(
        &mut self,
        now: Now,
        table: TableId,
        (gone, come): (&[Row], &[Row]),
        showing: Showing,
        effects: &mut Effects,
    ) {
        if gone.is_empty() && come.is_empty() {
            return;
        }
        if !self.views.reads(table) {
            self.tables.show(table, gone, come);
            return;
        }
        let millis = u64::try_from(now.0 / 1_000).unwrap_or(0);
        let time = HybridTime::new(millis, 0).max(self.time);
        let mut after = self.tables.clone();
        let touched = after.show(table, gone, come);
        let (lsn, seq, tables) = (self.lsn.next(), self.seq, BTreeSet::from([table]));
        let prepared = Prepared { lsn, time, touched, tables, after };
        self.in_flight = Some(InFlight { showing: Some(showing), ..InFlight::alone(prepared, seq) });
        effects.append = vec![Commit { lsn, time, seq, changes: Vec::new().into() }];
    }

    /// A commit that was to show this was not made.
    pub(crate) fn not_shown(&mut self, now: Now, showing: Showing) {
        match showing {
            Showing::Rules(listed) => self.semantic.list_again(listed),
            Showing::Gauges(changes) => self.budgets.gauges.show_again(changes),
            Showing::Allocation(given) => self.allocations.show_again(now, given),
        }
    }
}
