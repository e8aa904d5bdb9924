//! [`Life`] and [`Idle`]: how long a live query stays when nobody watches it.
//!
//! Invariant: every view without subscribers is in the queue once, from the moment its last subscriber leaves until
//! one comes back or the view is closed; a view that is watched is never in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{input::Now, views::ViewId};

/// How long a view is kept for those who come back. A view has the longest life that any of its subscribers asked
/// for since it was last left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Life {
    /// Not at all.
    Ephemeral,
    /// Half a minute: long enough to come back from another page.
    #[default]
    Navigation,
    /// Five minutes: loaded before it is needed.
    Preload,
    /// As long as the engine runs and its memory allows.
    Permanent,
}

impl Life {
    /// All, the shortest first.
    pub const ALL: [Self; 4] = [Self::Ephemeral, Self::Navigation, Self::Preload, Self::Permanent];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ephemeral => "ephemeral",
            Self::Navigation => "navigation",
            Self::Preload => "preload",
            Self::Permanent => "permanent",
        }
    }

    /// The life of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|life| life.name() == name)
    }

    /// When a view that is left now ends; None for never.
    fn ends(self, now: Now) -> Option<Now> {
        let micros = match self {
            Self::Ephemeral => 0,
            Self::Navigation => 30_000_000,
            Self::Preload => 300_000_000,
            Self::Permanent => return None,
        };
        Some(Now(now.0.saturating_add(micros)))
    }
}

/// The views that nobody watches.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    views: BTreeMap<ViewId, Entry>,
    /// When each ends, where it does.
    ends: BTreeSet<(Now, ViewId)>,
    /// In the order in which they were left, the permanent ones last.
    left: BTreeSet<(bool, u64, ViewId)>,
    turn: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    ends: Option<Now>,
    turn: u64,
    bytes: usize,
}

impl Idle {
    /// The last subscriber of a view has left.
    pub(crate) fn put(&mut self, view: ViewId, life: Life, now: Now, bytes: usize) {
        let entry = Entry { ends: life.ends(now), turn: self.turn, bytes };
        self.turn += 1;
        if let Some(ends) = entry.ends {
            self.ends.insert((ends, view));
        }
        self.left.insert((entry.ends.is_none(), entry.turn, view));
        self.bytes += bytes;
        let before = self.views.insert(view, entry);
        assert!(before.is_none(), "a view is left once before somebody comes back");
    }

    /// Somebody came back, or the view is closed.
    pub(crate) fn take(&mut self, view: ViewId) {
        let Some(entry) = self.views.remove(&view) else { return };
        if let Some(ends) = entry.ends {
            self.ends.remove(&(ends, view));
        }
        self.left.remove(&(entry.ends.is_none(), entry.turn, view));
        self.bytes -= entry.bytes;
    }

    /// The result of a view has other bytes now.
    pub(crate) fn resize(&mut self, view: ViewId, bytes: usize) {
        if let Some(entry) = self.views.get_mut(&view) {
            self.bytes = self.bytes - entry.bytes + bytes;
            entry.bytes = bytes;
        }
    }

    /// A view whose time is over.
    pub(crate) fn over(&self, now: Now) -> Option<ViewId> {
        self.ends.first().filter(|(ends, _)| *ends <= now).map(|(_, view)| *view)
    }

    /// The view that was left first.
    pub(crate) fn first_left(&self) -> Option<ViewId> {
        self.left.first().map(|(_, _, view)| *view)
    }

    /// When the next view's time is over.
    pub(crate) fn wake_at(&self) -> Option<Now> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    pub(crate) fn len(&self) -> usize {
        self.views.len()
    }

    /// The bytes of their results.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_end_by_time_and_go_in_the_order_in_which_they_were_left() {
        let mut idle = Idle::default();
        idle.put(ViewId(1), Life::Permanent, Now(0), 10);
        idle.put(ViewId(2), Life::Preload, Now(0), 20);
        idle.put(ViewId(3), Life::Navigation, Now(1), 30);
        idle.put(ViewId(4), Life::Ephemeral, Now(2), 40);
        assert_eq!((idle.len(), idle.bytes()), (4, 100));
        assert_eq!(idle.over(Now(2)), Some(ViewId(4)));
        idle.take(ViewId(4));
        assert_eq!((idle.over(Now(2)), idle.wake_at()), (None, Some(Now(30_000_001))));
        // Memory takes what was left first, and what is permanent last.
        assert_eq!(idle.first_left(), Some(ViewId(2)));
        idle.resize(ViewId(2), 25);
        assert_eq!(idle.bytes(), 65);
        idle.take(ViewId(2));
        idle.take(ViewId(3));
        assert_eq!((idle.first_left(), idle.wake_at()), (Some(ViewId(1)), None));
        idle.take(ViewId(1));
        assert_eq!((idle.len(), idle.bytes()), (0, 0));
    }
}
