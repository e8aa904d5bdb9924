//! Provisional dots: those of a transaction that does not know yet where in the log it is going to stand.
//!
//! Invariant: dots stand in the log in commit order, so a write that was made aside carries its number within its
//! commit, and gets its dot and its time when it is committed. Those that were written ahead the store resolves.

use deltaic_causality::{Dot, HybridTime};
use deltaic_storage::{Change, PROVISIONAL};

/// The number before the first provisional one.
pub(crate) const FIRST: u64 = PROVISIONAL;

/// The time of what has none yet.
pub(crate) const TIME: HybridTime = HybridTime(0);

/// Gives changes the dots after `last` and the time of their commit.
pub(crate) fn resolve(changes: &mut [Change], last: u64, time: HybridTime) {
    let settle = |dot: &mut Dot, at: &mut HybridTime| {
        if dot.seq > FIRST {
            dot.seq = last + (dot.seq - FIRST);
            *at = time;
        }
    };
    for change in changes {
        match change {
            Change::Catalog(_) => {}
            Change::Put { row, .. } => {
                settle(&mut row.version, &mut row.time);
                for cell in &mut row.cells {
                    settle(&mut cell.dot, &mut cell.time);
                }
            }
            Change::Delete { dot, time, .. } => settle(dot, time),
        }
    }
}
