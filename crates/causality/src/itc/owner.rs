//! [`Owner`]: a replica's clock, with the part of the line on which it counts.
//!
//! Invariant: its id is not empty, and no other owner's id has a point of it. So it cannot be cloned.

use thiserror::Error;

use super::{CounterOverflow, DEPTH, Id, Overlap, Stamp};

/// A replica's clock: its id and what it knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Owner {
    id: Id,
    stamp: Stamp,
}

/// Why an owner gave nothing away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ForkError {
    /// Half of what it owns would lie deeper than trees may be.
    #[error("the id has been halved {DEPTH} times; fork from another replica, or start a new epoch")]
    TooDeep,
}

impl Owner {
    /// The first one: it owns the whole line and knows nothing. There is one in all replicas that ever meet.
    pub fn seed() -> Self {
        Self { id: Id::whole(), stamp: Stamp::default() }
    }

    /// The owner of a part that was given to it or that its storage has kept; `None` if the part is empty. That
    /// nobody else has the part is the caller's word.
    pub fn new(id: Id, stamp: Stamp) -> Option<Self> {
        if id.is_empty() { None } else { Some(Self { id, stamp }) }
    }

    /// Ends the owner, for its storage or to give it away.
    pub fn into_parts(self) -> (Id, Stamp) {
        (self.id, self.stamp)
    }

    /// Gives half of its part to a new owner that knows the same. O(leaves of both).
    pub fn fork(&mut self) -> Result<Self, ForkError> {
        let (left, right) = self.id.split();
        if left.depth().max(right.depth()) > DEPTH {
            return Err(ForkError::TooDeep);
        }
        self.id = left;
        Ok(Self { id: right, stamp: self.stamp.clone() })
    }

    /// Counts one event: afterwards its stamp is above the one before, and above or beside everybody else's.
    /// O(leaves). An error leaves it as it was.
    pub fn event(&mut self) -> Result<(), CounterOverflow> {
        self.stamp.event = self.stamp.event.event(&self.id)?;
        Ok(())
    }

    /// Learns what a stamp knows; this is no event. O(leaves of both), one allocation if there is something new.
    pub fn receive(&mut self, stamp: &Stamp) {
        if !stamp.leq(&self.stamp) {
            self.stamp = self.stamp.join(stamp);
        }
    }

    /// Takes over another owner that ends: its part and what it knows. O(leaves of both). An error leaves this one
    /// as it was; the other is gone, for one of the two is a copy.
    pub fn join(&mut self, other: Self) -> Result<(), Overlap> {
        let (id, stamp) = other.into_parts();
        self.id = self.id.join(&id)?;
        self.receive(&stamp);
        Ok(())
    }

    /// What it knows, to be sent with a message or kept with a commit.
    pub fn peek(&self) -> &Stamp {
        &self.stamp
    }

    /// The part it owns.
    pub fn id(&self) -> &Id {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itc::Event;
    use crate::itc::tree::{Leaf, Tree};

    #[test]
    fn an_owner_owns_something() {
        assert_eq!(Owner::new(Id::empty(), Stamp::default()), None);
        let mut a = Owner::seed();
        let b = a.fork().unwrap();
        let (id, stamp) = b.into_parts();
        assert!(a.join(Owner::new(id, stamp).unwrap()).is_ok());
        assert_eq!(a, Owner::seed());
    }

    #[test]
    fn a_copy_is_refused_and_changes_nothing() {
        let mut a = Owner::seed();
        let b = a.fork().unwrap();
        let copy = Owner::new(b.id().clone(), b.peek().clone()).unwrap();
        a.join(b).unwrap();
        assert_eq!(a.join(copy), Err(Overlap));
        assert_eq!(a, Owner::seed());
    }

    #[test]
    fn forks_end_where_trees_do() {
        let leaf = |opens, value| Leaf { opens, value };
        let rest = std::iter::repeat_n(leaf(0, false), DEPTH as usize);
        let tree = Tree::from_leaves(0, std::iter::once(leaf(DEPTH, true)).chain(rest));
        let left = Id { tree };
        let mut deepest = Owner::new(left.clone(), Stamp::default()).unwrap();
        let error = deepest.fork().unwrap_err();
        assert!(error.to_string().contains("another replica"));
        assert_eq!(deepest.id(), &left);
    }

    #[test]
    fn a_counter_ends() {
        let stamp = Stamp::from(Event { tree: Tree::constant(u64::MAX) });
        let mut last = Owner::new(Id::whole(), stamp.clone()).unwrap();
        assert_eq!(last.event(), Err(CounterOverflow));
        assert_eq!(last.peek(), &stamp);
        assert!(CounterOverflow.to_string().contains("new epoch"));
        // A half of it has no room either.
        let mut half = Owner::new(Id::balanced(1, 2), stamp).unwrap();
        assert_eq!(half.event(), Err(CounterOverflow));
        assert_eq!(half.peek().event().mark(half.id()), Err(CounterOverflow));
        assert!(half.peek().event().mark(&Id::empty()).is_ok());
    }
}
