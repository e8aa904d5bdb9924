//! What it takes to bring replicas together: time, messages and bytes by their number and who speaks with whom, and a delta
//! beside the whole state.
//!
//! Invariant: messages, bytes and virtual times are counted in a time of its own and are the same on any machine; only what
//! is called wall time is measured.

mod columns;
mod convergence;
mod deltas;
mod network;

pub(crate) fn run() {
    println!("load of the machine before: {}\n", load());
    convergence::run();
    deltas::run();
    columns::run();
    println!("\nload of the machine after: {}", load());
}

/// What updates of columns cost, alone.
pub(crate) fn columns() {
    println!("load of the machine before: {}", load());
    columns::run();
}

/// The load of the machine, as it says itself.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(", ")
}
