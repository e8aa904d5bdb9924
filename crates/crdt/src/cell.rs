//! [`Cell`]: a column's value of one row, or a column group's, that merges as its kind says.
//!
//! Invariant: a cell keeps its kind. Two of one column that have different kinds, which only a foreign peer can bring about,
//! merge to the one whose kind comes last.

use std::sync::Arc;

use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime};
use deltaic_types::codec::{DecodeError, Reader, write_u64};
use deltaic_types::limits;

use crate::{
    AddWinsSet, BoundedCounter, Causal, Counter, Crdt, DotStore, Element, EnableWinsFlag, Exact, GCounter,
    Log, Max, Merge, Min, MvRegister, RemoveWinsSet, Stamp, WriteError,
};

/// The values of a column group, or of one column, with the time they were written at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// When.
    pub time: HybridTime,
    /// The group's values, in the order of its columns.
    pub values: Vec<Exact>,
}

impl Element for Written {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.time.write(bytes);
        write_u64(bytes, self.values.len() as u64);
        self.values.iter().for_each(|value| value.write(bytes));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let time = HybridTime::read(reader)?;
        let values = (0..reader.length(limits::VALUE_BYTES)?).map(|_| Exact::read(reader));
        Ok(Self { time, values: values.collect::<Result<_, _>>()? })
    }
}

/// A cell, by the kind of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// The last writes that have not seen each other; which of them is read is the reader's policy, and
    /// [`Cell::last`] the last by time. So that concurrent writes are known as such, and none is lost before somebody has
    /// seen it.
    Register(MvRegister<Written>),
    /// What was set last, and what was added to it since.
    Counter(Counter),
    /// A sum that only grows.
    GrowCounter(GCounter),
    /// A set in which an addition wins over a concurrent removal.
    AddWinsSet(AddWinsSet<Exact>),
    /// A set in which a removal wins over a concurrent addition.
    RemoveWinsSet(RemoveWinsSet<Exact>),
    /// On, where switching on and off are concurrent.
    Flag(EnableWinsFlag),
    /// The greatest value written.
    Max(Max<Exact>),
    /// The least.
    Min(Min<Exact>),
    /// All writes, of which whoever knows their bytes makes a value.
    Log(Log),
    /// A sum that nobody takes below zero.
    Bounded(BoundedCounter),
}

/// A write to a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a register.
    Write(Vec<Exact>),
    /// Adds to a counter what may be negative.
    Increment(i64),
    /// Sets a counter.
    Set(i64),
    /// Adds to a counter that only grows.
    Grow(u64),
    /// Adds an element to a set in which additions win.
    Add(Exact),
    /// Removes one from it.
    Remove(Exact),
    /// Adds an element to a set in which removals win.
    AddUnlessRemoved(Exact),
    /// Removes one from it.
    RemoveFirst(Exact),
    /// Switches a flag.
    Switch(bool),
    /// Writes a value of which the greatest is kept.
    Raise(Exact),
    /// Writes a value of which the least is kept.
    Lower(Exact),
    /// Adds a write to a log.
    Append(Arc<[u8]>),
    /// Adds to a counter that stays above zero, and gives its author the right to take so much.
    Mint(u64),
    /// Takes from it what its author has the right to.
    Spend(u64),
    /// Gives another actor rights to take.
    Send(ActorId, u64),
}

/// Puts `new` in the place of what `basis` holds of a store, and says what went.
pub(crate) fn replace<S: DotStore>(store: &mut S, new: &S, basis: &CausalContext) -> CausalContext {
    let left = store.novel(basis);
    let gone = store.dots().minus(&left.dots());
    *store = left;
    let (own, theirs) = (store.dots(), new.dots());
    store.join(&own, new, &theirs);
    gone
}

/// What a delta of a store removed.
fn gone_of<S: DotStore>(delta: &Causal<S>, dot: Dot) -> CausalContext {
    delta.context().minus(&delta.store().dots()).minus(&[dot].into_iter().collect())
}

impl Cell {
    /// A cell of the kind that the change is for, before any write.
    fn of(change: &Change) -> Self {
        match change {
            Change::Write(_) => Self::Register(MvRegister::default()),
            Change::Increment(_) | Change::Set(_) => Self::Counter(Counter::default()),
            Change::Grow(_) => Self::GrowCounter(GCounter::default()),
            Change::Add(_) | Change::Remove(_) => Self::AddWinsSet(AddWinsSet::default()),
            Change::AddUnlessRemoved(_) | Change::RemoveFirst(_) => {
                Self::RemoveWinsSet(RemoveWinsSet::default())
            }
            Change::Switch(_) => Self::Flag(EnableWinsFlag::default()),
            Change::Raise(_) => Self::Max(Max::default()),
            Change::Lower(_) => Self::Min(Min::default()),
            Change::Append(_) => Self::Log(Log::default()),
            Change::Mint(_) | Change::Spend(_) | Change::Send(..) => Self::Bounded(BoundedCounter::default()),
        }
    }

    /// Makes a change to the cell of a column, or the first one; says what it removed. `basis` is what the author had seen,
    /// and `seen` what was seen here. An error changes nothing.
    pub(crate) fn change(
        cell: Option<&Self>,
        seen: &CausalContext,
        basis: &CausalContext,
        Stamp { time, dot }: Stamp,
        change: Change,
    ) -> Result<(Self, CausalContext), WriteError> {
        let mut cell = cell.cloned().unwrap_or_else(|| Self::of(&change));
        let none = CausalContext::default();
        let gone = match (&mut cell, change) {
            (Self::Register(register), Change::Write(values)) => {
                let mut new = MvRegister::default();
                new.set(&none, dot, Written { time, values })?;
                replace(register, &new, basis)
            }
            (Self::Counter(counter), Change::Increment(amount)) => counter.add(dot, amount).map(|_| none)?,
            (Self::Counter(counter), Change::Set(base)) => counter.set(dot, time, base).map(|_| none)?,
            (Self::GrowCounter(counter), Change::Grow(amount)) => {
                counter.increment(dot, amount).map(|_| none)?
            }
            (Self::AddWinsSet(set), Change::Add(element)) => gone_of(&set.add(seen, dot, element)?, dot),
            (Self::AddWinsSet(set), Change::Remove(element)) => {
                gone_of(&set.remove_seen(seen, dot, &element, basis)?, dot)
            }
            (Self::RemoveWinsSet(set), Change::AddUnlessRemoved(element)) => {
                gone_of(&set.add(seen, dot, element)?, dot)
            }
            (Self::RemoveWinsSet(set), Change::RemoveFirst(element)) => {
                gone_of(&set.remove(seen, dot, element)?, dot)
            }
            (Self::Flag(flag), Change::Switch(on)) => {
                let mut new = EnableWinsFlag::default();
                if on {
                    new.enable(&none, dot)?;
                }
                replace(flag, &new, basis)
            }
            (Self::Max(max), Change::Raise(value)) => max.put(dot, value).map(|_| none)?,
            (Self::Min(min), Change::Lower(value)) => min.put(dot, value).map(|_| none)?,
            (Self::Log(log), Change::Append(bytes)) => log.append(dot, bytes).map(|_| none)?,
            (Self::Bounded(counter), Change::Mint(amount)) => counter.mint(dot, amount).map(|_| none)?,
            (Self::Bounded(counter), Change::Spend(amount)) => counter.spend(dot, amount).map(|_| none)?,
            (Self::Bounded(counter), Change::Send(to, amount)) => {
                counter.transfer(dot, to, amount).map(|_| none)?
            }
            _ => return Err(WriteError::OtherKind),
        };
        Ok((cell, gone))
    }

    /// The values of a register by its last writer: the greatest time, then the greatest dot.
    pub fn last(&self) -> Option<(Stamp, &[Exact])> {
        let Self::Register(register) = self else { return None };
        let (dot, last) = register.iter().max_by_key(|(dot, written)| (written.time, *dot))?;
        Some((Stamp { time: last.time, dot }, &last.values))
    }

    /// The latest time of its writes, of those that have one.
    pub(crate) fn latest(&self) -> Option<HybridTime> {
        match self {
            Self::Register(register) => register.values().map(|written| written.time).max(),
            Self::Counter(counter) => counter.epoch().map(|stamp| stamp.time),
            _ => None,
        }
    }

    /// The writes of a register that had not seen each other, if there is more than one: a conflict, until somebody who has
    /// seen them all writes.
    pub fn conflict(&self) -> Option<&MvRegister<Written>> {
        match self {
            Self::Register(register) if register.iter().nth(1).is_some() => Some(register),
            _ => None,
        }
    }

    /// How many writes stand beside each other in a register.
    pub fn values(&self) -> usize {
        if let Self::Register(register) = self { register.iter().count() } else { 0 }
    }

    /// Whether an element of a set in which removals win was added by a write that a holder of `seen` has not seen.
    pub fn is_added_beyond(&self, element: &Exact, seen: &CausalContext) -> bool {
        matches!(self, Self::RemoveWinsSet(set) if set.is_added_beyond(element, seen))
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Register(_) => 0,
            Self::Counter(_) => 1,
            Self::GrowCounter(_) => 2,
            Self::AddWinsSet(_) => 3,
            Self::RemoveWinsSet(_) => 4,
            Self::Flag(_) => 5,
            Self::Max(_) => 6,
            Self::Min(_) => 7,
            Self::Log(_) => 8,
            Self::Bounded(_) => 9,
        }
    }

    /// Takes in the other side's cell of the column. `context` is what that side knows of the column, besides what it has.
    pub(crate) fn merge(
        &mut self,
        own: &CausalContext,
        other: &Self,
        context: impl Fn(CausalContext) -> CausalContext,
    ) {
        match (self, other) {
            (Self::Register(here), Self::Register(there)) => here.join(own, there, &context(there.dots())),
            (Self::AddWinsSet(here), Self::AddWinsSet(there)) => {
                here.join(own, there, &context(there.dots()));
            }
            (Self::RemoveWinsSet(here), Self::RemoveWinsSet(there)) => {
                here.join(own, there, &context(there.dots()));
            }
            (Self::Flag(here), Self::Flag(there)) => here.join(own, there, &context(there.dots())),
            (Self::Counter(here), Self::Counter(there)) => here.join(there),
            (Self::GrowCounter(here), Self::GrowCounter(there)) => here.join(there),
            (Self::Max(here), Self::Max(there)) => here.join(there),
            (Self::Min(here), Self::Min(there)) => here.join(there),
            (Self::Log(here), Self::Log(there)) => here.join(there),
            (Self::Bounded(here), Self::Bounded(there)) => here.join(there),
            (here, there) if here.tag() < there.tag() => here.clone_from(there),
            _ => {}
        }
    }

    /// The cell before any write, of the same kind.
    pub(crate) fn empty(&self) -> Self {
        match self {
            Self::Register(_) => Self::Register(MvRegister::default()),
            Self::Counter(_) => Self::Counter(Counter::default()),
            Self::GrowCounter(_) => Self::GrowCounter(GCounter::default()),
            Self::AddWinsSet(_) => Self::AddWinsSet(AddWinsSet::default()),
            Self::RemoveWinsSet(_) => Self::RemoveWinsSet(RemoveWinsSet::default()),
            Self::Flag(_) => Self::Flag(EnableWinsFlag::default()),
            Self::Max(_) => Self::Max(Max::default()),
            Self::Min(_) => Self::Min(Min::default()),
            Self::Log(_) => Self::Log(Log::default()),
            Self::Bounded(_) => Self::Bounded(BoundedCounter::default()),
        }
    }

    pub(crate) fn novel(&self, seen: &CausalContext) -> Self {
        match self {
            Self::Register(cell) => Self::Register(cell.novel(seen)),
            Self::Counter(cell) => Self::Counter(cell.novel(seen)),
            Self::GrowCounter(cell) => Self::GrowCounter(cell.novel(seen)),
            Self::AddWinsSet(cell) => Self::AddWinsSet(cell.novel(seen)),
            Self::RemoveWinsSet(cell) => Self::RemoveWinsSet(cell.novel(seen)),
            Self::Flag(cell) => Self::Flag(cell.novel(seen)),
            Self::Max(cell) => Self::Max(cell.novel(seen)),
            Self::Min(cell) => Self::Min(cell.novel(seen)),
            Self::Log(cell) => Self::Log(cell.novel(seen)),
            Self::Bounded(cell) => Self::Bounded(cell.novel(seen)),
        }
    }

    /// Whether it holds a write that a holder of `seen` has not seen.
    pub fn is_beyond(&self, seen: &CausalContext) -> bool {
        self.novel(seen) != self.empty()
    }

    /// [`Merge::is_within`](crate::Merge::is_within).
    pub(crate) fn is_within(&self, held: &CausalContext) -> bool {
        match self {
            Self::Register(cell) => cell.is_within(held),
            Self::AddWinsSet(cell) => cell.is_within(held),
            Self::RemoveWinsSet(cell) => cell.is_within(held),
            Self::Flag(cell) => cell.is_within(held),
            // Each knows its writes by itself.
            Self::Counter(_)
            | Self::GrowCounter(_)
            | Self::Max(_)
            | Self::Min(_)
            | Self::Log(_)
            | Self::Bounded(_) => self.novel(held) == self.empty(),
        }
    }

    /// Appends the kind and the cell.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.tag());
        match self {
            Self::Register(cell) => cell.write(bytes),
            Self::Counter(cell) => cell.write(bytes),
            Self::GrowCounter(cell) => cell.write(bytes),
            Self::AddWinsSet(cell) => cell.write(bytes),
            Self::RemoveWinsSet(cell) => cell.write(bytes),
            Self::Flag(cell) => cell.write(bytes),
            Self::Max(cell) => cell.write(bytes),
            Self::Min(cell) => cell.write(bytes),
            Self::Log(cell) => cell.write(bytes),
            Self::Bounded(cell) => cell.write(bytes),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [tag] = reader.take()?;
        Ok(match tag {
            0 => Self::Register(DotStore::read(reader)?),
            1 => Self::Counter(Crdt::read(reader)?),
            2 => Self::GrowCounter(Crdt::read(reader)?),
            3 => Self::AddWinsSet(DotStore::read(reader)?),
            4 => Self::RemoveWinsSet(DotStore::read(reader)?),
            5 => Self::Flag(DotStore::read(reader)?),
            6 => Self::Max(Crdt::read(reader)?),
            7 => Self::Min(Crdt::read(reader)?),
            8 => Self::Log(Crdt::read(reader)?),
            9 => Self::Bounded(Crdt::read(reader)?),
            tag => return Err(DecodeError::UnknownTag(tag)),
        })
    }
}
