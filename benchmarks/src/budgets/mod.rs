//! What budgets cost: rows, answers over a real PostgreSQL, crashes and recovery, memory.
//!
//! Invariant: every row of a table says what was admitted beside what it cost. Rows, calls and bytes are counted and are
//! the same on any machine; only times are measured.

mod crash;
mod far;
mod flow;
mod memory;
mod open_loop;
mod plot;
mod postgres;
mod rows;
mod server;
mod world;

/// The benchmark of this name; none if there is no such one.
pub(crate) fn run(name: &str) -> Option<()> {
    println!("load of the machine before: {}\n", load());
    match name {
        "rows" => rows::run(),
        "postgres" => postgres::run(),
        "crash" => crash::run(),
        "memory" => memory::run(),
        _ => return None,
    }
    println!("\nload of the machine after: {}", load());
    Some(())
}

/// The load of the machine, as it says itself.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(", ")
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
