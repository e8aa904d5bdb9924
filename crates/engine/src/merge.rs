//! The seam between merging and groups: `dz = {read(s ⊔ d): +1} + {read(s): −1}` for each touched row.
//!
//! A merge is idempotent, a sum is not; here, and only here, the one becomes the other. Invariant: circuits
//! see exact changes; a write that changes nothing a circuit can see, or that repeats one, gives nothing.

use std::collections::BTreeMap;

use deltaic_dataflow::{RelationId, ZSet};
use deltaic_types::{Row, TableId};

use crate::tables::Tables;

/// The change of each table, for the rows that a commit touched.
pub(crate) fn merge<'a>(
    before: &Tables,
    after: &Tables,
    touched: impl IntoIterator<Item = &'a (TableId, Row)>,
) -> BTreeMap<RelationId, ZSet> {
    let mut changes: BTreeMap<RelationId, ZSet> = BTreeMap::new();
    for (table, key) in touched {
        let id = RelationId::Table(*table);
        let was = before.relations.get(id).and_then(|relation| relation.get(key));
        let is = after.relations.get(id).and_then(|relation| relation.get(key));
        if was == is {
            continue;
        }
        let change = changes.entry(id).or_default();
        if let Some(row) = was {
            change.push(row.clone(), -1);
        }
        if let Some(row) = is {
            change.push(row.clone(), 1);
        }
    }
    changes.into_iter().map(|(id, change)| (id, change.consolidated())).collect()
}
