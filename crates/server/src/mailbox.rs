//! [`Mailbox`]: the messages that wait for one client's socket.
//!
//! Invariant: what waits is bounded in number and bytes. One message over the bound, and the client is cut off:
//! nothing is sent any more and its connection is severed. A message counts as a quarter of the bound at most,
//! so that a result larger than the bound can be sent at all.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use deltaic_types::limits::{QUEUED_BYTES, QUEUED_MESSAGES};
use tokio::sync::Notify;

use crate::{connection::Severance, metrics::Metrics};

/// Messages on their way to a socket.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    ready: Notify,
    severance: Arc<Severance>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<String>,
    counted: usize,
    closed: bool,
}

fn counted(text: &str) -> usize {
    text.len().min(QUEUED_BYTES / 4)
}

impl Mailbox {
    pub(crate) fn new(severance: Arc<Severance>, metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), severance, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message; false where the client is cut off or gone.
    pub(crate) fn push(&self, text: String) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        if state.counted + counted(&text) > QUEUED_BYTES || state.queue.len() == QUEUED_MESSAGES {
            self.empty(&mut state);
            state.closed = true;
            self.metrics.cut_off();
            self.severance.sever();
        } else {
            state.counted += counted(&text);
            self.metrics.queued(text.len());
            state.queue.push_back(text);
        }
        let open = !state.closed;
        drop(state);
        self.ready.notify_one();
        open
    }

    /// Takes no more; what waits is still sent.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// The next message, or None after the last one.
    pub(crate) async fn next(&self) -> Option<String> {
        loop {
            {
                let mut state = self.lock();
                if let Some(text) = state.queue.pop_front() {
                    state.counted -= counted(&text);
                    self.metrics.dequeued(text.len());
                    return Some(text);
                }
                if state.closed {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    fn empty(&self, state: &mut State) {
        for text in state.queue.drain(..) {
            self.metrics.dequeued(text.len());
        }
        state.counted = 0;
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *self.lock());
        self.empty(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> Mailbox {
        Mailbox::new(Arc::default(), Arc::default())
    }

    #[tokio::test]
    async fn messages_come_in_order_and_end() {
        let mailbox = mailbox();
        assert!(mailbox.push("a".into()) && mailbox.push("b".into()));
        mailbox.close();
        assert!(!mailbox.push("c".into()));
        assert_eq!(mailbox.next().await.as_deref(), Some("a"));
        assert_eq!(mailbox.next().await.as_deref(), Some("b"));
        assert_eq!(mailbox.next().await, None);
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_at_the_bytes() {
        let mailbox = mailbox();
        let big = "x".repeat(QUEUED_BYTES);
        for _ in 0..4 {
            assert!(mailbox.push(big.clone()), "a message counts as a quarter at most");
        }
        assert!(!mailbox.push("x".into()));
        assert!(mailbox.severance.is_severed());
        assert_eq!(mailbox.next().await, None);
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_at_the_messages() {
        let mailbox = mailbox();
        assert!((0..QUEUED_MESSAGES).all(|_| mailbox.push("x".into())));
        assert!(!mailbox.push("x".into()));
        assert_eq!(mailbox.next().await, None);
    }
}
