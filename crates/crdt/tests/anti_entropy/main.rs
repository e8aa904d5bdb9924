//! Replicas that write apart and are brought together, over links that lose, repeat, reorder and part; with crashes, copies
//! that are restored, members that come and go, and trimming.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking, in shared functions too")]

mod pair;
mod rows;
mod subjects;
mod world;

use deltaic_crdt::anti_entropy::Settings;

pub(crate) const SETTINGS: Settings = Settings {
    least_interval: 1_000,
    most_interval: 64_000,
    patience: 8_000,
    window: 3,
    retention: 2_000_000,
};
