//! [`caught()`]: redb's calls, a panic of which is an answer and not a fault of the program.
//!
//! Invariant: while one runs on this thread, and only then, [`panic_is_caught`] is true, so that a program's panic
//! hook can keep a message back that nobody needs: the error says what is to be known.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether a panic of this thread would be caught and become an error. For panic hooks.
pub fn panic_is_caught() -> bool {
    DEPTH.get() > 0
}

/// Runs calls of redb; the error is a panic among them.
///
/// Unwind safe: the calls own what they change, but for redb's, which poisons its own locks.
pub(crate) fn caught<T>(calls: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    DEPTH.set(DEPTH.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(calls));
    DEPTH.set(DEPTH.get() - 1);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_known_before_it_is_caught() {
        assert!(!panic_is_caught());
        let outcome = caught(|| {
            assert!(caught(panic_is_caught).is_ok_and(|inside| inside));
            assert!(panic_is_caught());
            std::panic::resume_unwind(Box::new("damage"));
        });
        assert!(outcome.is_err() && !panic_is_caught());
    }
}
