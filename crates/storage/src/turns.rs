//! [`Turns`]: who writes next, where an engine's thread and those that write ahead share one file.
//!
//! Invariant: writers take turns in the order in which they came, and of those that write ahead one at most stands in
//! that order; so an append waits for one slice at most, and a slice for one append. The lock of redb promises neither.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Tickets {
    /// The next to be drawn.
    next: u64,
    /// The one whose turn it is.
    serving: u64,
}

/// A lock that is first come, first served.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    tickets: Mutex<Tickets>,
    moved: Condvar,
    ahead: Mutex<()>,
}

/// The turn of one writer: over when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    _ahead: Option<MutexGuard<'t, ()>>,
}

impl Turns {
    /// Waits for a turn to append.
    pub(crate) fn append(&self) -> Turn<'_> {
        self.wait(None)
    }

    /// Waits for a turn to write one slice ahead.
    pub(crate) fn ahead(&self) -> Turn<'_> {
        self.wait(Some(self.ahead.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn wait<'t>(&'t self, ahead: Option<MutexGuard<'t, ()>>) -> Turn<'t> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let own = tickets.next;
        tickets.next += 1;
        while tickets.serving != own {
            tickets = self.moved.wait(tickets).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { turns: self, _ahead: ahead }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.tickets.lock().unwrap_or_else(PoisonError::into_inner).serving += 1;
        self.turns.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_waits_for_one_slice_however_many_write_ahead() {
        let turns = Turns::default();
        let running = turns.ahead();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let _turn = turns.ahead();
                    order.lock().unwrap().push("ahead");
                });
            }
            scope.spawn(|| {
                let _turn = turns.append();
                order.lock().unwrap().push("append");
            });
            // The append stands in the order: those who write ahead wait for each other first.
            while turns.tickets.lock().unwrap().next < 2 {
                std::thread::yield_now();
            }
            drop(running);
        });
        let order = order.into_inner().unwrap();
        assert_eq!(order.len(), 4);
        assert_eq!(order[0], "append");
    }
}
