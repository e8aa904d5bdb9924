//! What allocating costs and serves: times of the filling, and the filling beside the seed's rules and the maximum flow.
//!
//! Invariant: what is given, to whom and how often it pays to lie comes from printed seeds and is the same on any
//! machine; only times are measured.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod claims;
mod families;
mod lies;
mod markets;
mod seen;
mod servers;
mod times;
mod verdicts;
#[path = "../../writer.rs"]
mod writer;

/// The program's allocator: what is measured here is what it runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What all random choices come from.
const SEED: u64 = 20_250_917;

/// The load of the machine, as it says itself.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(", ")
}

fn main() {
    let part = std::env::args().nth(1);
    if part.as_deref() == Some("serve") {
        return seen::serve();
    }
    println!("Seed {SEED}. Load of the machine before: {}.\n", load());
    match part.as_deref() {
        None => {
            times::run();
            families::run();
            lies::run();
        }
        Some("claims") => claims::run(),
        Some("seen") => seen::run(),
        Some("times") => times::run(),
        Some("families") => families::run(),
        Some("lies") => lies::run(),
        Some(other) => {
            println!(
                "There is no part {other}: say claims, seen, times, families or lies, or nothing for the last three."
            );
        }
    }
    println!("Load of the machine after: {}.", load());
}
