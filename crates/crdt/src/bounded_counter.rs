//! [`BoundedCounter`]: a counter that no partition takes below zero.
//!
//! Invariant: an actor spends only rights that it has, and each right is one actor's at a time: what it minted and what
//! was sent to it, less what it sent and spent. So the sum of what is spent never passes the sum of what was minted,
//! whoever is cut off from whom. Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric
//! Invariants" (2015): their matrix, a cell at a time, each written by one actor alone.
//!
//! The bound holds as long as an actor knows all that it wrote itself. One that was restored from a copy does not, and
//! must come back as a new actor.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{BoundedCounter, Crdt, WriteError};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut berlin = BoundedCounter::default();
//! berlin.mint(dot(1, 1), 10)?;
//! berlin.transfer(dot(1, 2), ActorId(2), 4)?;
//!
//! let mut tokyo = berlin.clone();
//! tokyo.spend(dot(2, 1), 3)?;
//! assert_eq!(tokyo.spend(dot(2, 2), 2), Err(WriteError::Rights { amount: 2, available: 1 }));
//! berlin.spend(dot(1, 3), 6)?;
//! berlin.join(&tokyo);
//! assert_eq!(berlin.value(), 1);
//! # Ok::<(), WriteError>(())
//! ```

use deltaic_causality::{ActorId, CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::chains::{Chains, Link};
use crate::{Crdt, Element, WriteError};

/// A counter with rights. About 60 bytes for each actor that minted or spent and each pair that sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoundedCounter {
    cells: Chains<Cell, Total>,
}

/// A cell of the matrix, with the actor that writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    owner: ActorId,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Minted,
    Spent,
    Sent(ActorId),
}

/// A cell's total, with the number of the write that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Total {
    seq: u64,
    amount: u64,
}

impl Element for Cell {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.owner.0);
        match self.what {
            What::Minted => bytes.push(0),
            What::Spent => bytes.push(1),
            What::Sent(to) => {
                bytes.push(2);
                write_u64(bytes, to.0);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let owner = ActorId(reader.u64()?);
        let what = match reader.take()? {
            [0] => What::Minted,
            [1] => What::Spent,
            [2] => What::Sent(ActorId(reader.u64()?)),
            [tag] => return Err(DecodeError::UnknownTag(tag)),
        };
        Ok(Self { owner, what })
    }
}

impl Link<Cell> for Total {
    fn dot(&self, cell: &Cell) -> Dot {
        Dot { actor: cell.owner, seq: self.seq }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.seq);
        write_u64(bytes, self.amount);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { seq: reader.u64()?, amount: reader.u64()? })
    }
}

impl BoundedCounter {
    /// What was minted less what was spent, as far as it is known here. At least 0 where all that precedes what is known
    /// is known too; where a mint is still on its way it may be below. O(cells).
    pub fn value(&self) -> i128 {
        let signed = |(cell, total): (&Cell, &Total)| match cell.what {
            What::Minted => i128::from(total.amount),
            What::Spent => -i128::from(total.amount),
            What::Sent(_) => 0,
        };
        self.cells.links.iter().map(signed).sum()
    }

    /// How much the actor may spend or send. Asked of another actor than one's own it is what is known here, which may
    /// be out of date. 0 where foreign bytes say that more was spent than there was. O(cells).
    pub fn rights(&self, actor: ActorId) -> u64 {
        let signed = |(cell, total): (&Cell, &Total)| {
            let amount = i128::from(total.amount);
            let own = cell.owner == actor;
            match cell.what {
                What::Minted if own => amount,
                What::Spent if own => -amount,
                // What an actor sends to itself it neither gains nor loses.
                What::Sent(to) if own && to != actor => -amount,
                What::Sent(to) if !own && to == actor => amount,
                _ => 0,
            }
        };
        let rights: i128 = self.cells.links.iter().map(signed).sum();
        u64::try_from(rights.max(0)).unwrap_or(u64::MAX)
    }

    /// Raises the counter by `amount`, which its actor may then spend.
    pub fn mint(&mut self, dot: Dot, amount: u64) -> Result<Self, WriteError> {
        self.raise(dot, What::Minted, amount)
    }

    /// Lowers the counter by `amount`; an error if the dot's actor has not so many rights.
    pub fn spend(&mut self, dot: Dot, amount: u64) -> Result<Self, WriteError> {
        self.check_rights(dot.actor, amount)?;
        self.raise(dot, What::Spent, amount)
    }

    /// Sends rights to another actor; an error if the dot's actor has not so many.
    pub fn transfer(&mut self, dot: Dot, to: ActorId, amount: u64) -> Result<Self, WriteError> {
        self.check_rights(dot.actor, amount)?;
        self.raise(dot, What::Sent(to), amount)
    }

    fn check_rights(&self, actor: ActorId, amount: u64) -> Result<(), WriteError> {
        let available = self.rights(actor);
        if amount > available { Err(WriteError::Rights { amount, available }) } else { Ok(()) }
    }

    fn raise(&mut self, dot: Dot, what: What, amount: u64) -> Result<Self, WriteError> {
        let owner = dot.actor;
        let first = Cell { owner, what: What::Minted };
        let last = Cell { owner, what: What::Sent(ActorId(u64::MAX)) };
        if dot.seq == 0 || self.cells.links.range(first..=last).any(|(_, total)| total.seq >= dot.seq) {
            return Err(WriteError::UsedDot { dot });
        }
        let cell = Cell { owner, what };
        let before = self.cells.links.get(&cell).map_or(0, |total| total.amount);
        let amount = before.checked_add(amount).ok_or(WriteError::Overflow { amount })?;
        Ok(Self { cells: self.cells.raise(cell, Total { seq: dot.seq, amount }) })
    }
}

impl Crdt for BoundedCounter {
    fn join(&mut self, other: &Self) {
        self.cells.join(&other.cells);
    }

    fn decompose(&self) -> Vec<Self> {
        self.cells.parts().map(|cells| Self { cells }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { cells: self.cells.novel(seen) }
    }

    fn is_bottom(&self) -> bool {
        self.cells.links.is_empty()
    }

    /// The number of cells; of each its actor, 0 (minted), 1 (spent) or 2 and the receiver, the number of its last write
    /// and its total: 5 to 12 bytes for one write of everyday size.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.cells.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { cells: Chains::read(reader)? })
    }
}
