//! [`EnableWinsFlag`] and [`DisableWinsFlag`]: a boolean, with the side that wins when both are written at once.
//!
//! Invariant: each write replaces the writes that it has seen and no other. An [`EnableWinsFlag`] keeps enabling writes
//! alone, so that a concurrent disabling finds nothing of the new enabling to remove. A [`DisableWinsFlag`] keeps both
//! kinds, and is on only where it has an enabling and no disabling one. Both are off before the first write.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Causal, Crdt, DisableWinsFlag, EnableWinsFlag};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut here: Causal<EnableWinsFlag> = Causal::default();
//! let mut there = here.clone();
//! here.enable(dot(1, 1))?;
//! there.disable(dot(2, 1))?;
//! here.join(&there);
//! assert!(here.is_enabled());
//!
//! let mut here: Causal<DisableWinsFlag> = Causal::default();
//! let mut there = here.clone();
//! here.enable(dot(1, 1))?;
//! there.disable(dot(2, 1))?;
//! here.join(&there);
//! assert!(!here.is_enabled());
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use deltaic_causality::{CausalContext, Dot, VersionVector};
use deltaic_types::codec::{DecodeError, Reader};

use crate::crdt::check_fresh;
use crate::{Causal, DotSet, DotStore, WriteError};

/// A flag that is on where enabling and disabling are concurrent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnableWinsFlag {
    enables: DotSet,
}

impl EnableWinsFlag {
    /// Whether the flag is on.
    pub fn is_enabled(&self) -> bool {
        !self.enables.is_empty()
    }

    /// Switches on.
    pub fn enable(&mut self, seen: &CausalContext, dot: Dot) -> Result<Causal<Self>, WriteError> {
        self.replace(seen, dot, Self { enables: DotSet::one(dot) })
    }

    /// Switches off what was seen here.
    pub fn disable(&mut self, seen: &CausalContext, dot: Dot) -> Result<Causal<Self>, WriteError> {
        self.replace(seen, dot, Self::default())
    }

    fn replace(&mut self, seen: &CausalContext, dot: Dot, new: Self) -> Result<Causal<Self>, WriteError> {
        check_fresh(seen, dot)?;
        let gone = std::mem::replace(self, new.clone());
        Ok(Causal::delta(new, dot, &gone))
    }
}

impl Causal<EnableWinsFlag> {
    /// Switches on.
    pub fn enable(&mut self, dot: Dot) -> Result<Self, WriteError> {
        self.apply(|flag, seen| flag.enable(seen, dot))
    }

    /// Switches off what was seen here.
    pub fn disable(&mut self, dot: Dot) -> Result<Self, WriteError> {
        self.apply(|flag, seen| flag.disable(seen, dot))
    }
}

impl DotStore for EnableWinsFlag {
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext) {
        self.enables.join(own, &other.enables, theirs);
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.enables.each_dot(visit);
    }

    fn is_empty(&self) -> bool {
        self.enables.is_empty()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { enables: self.enables.novel(seen) }
    }

    fn decompose(&self) -> Vec<Self> {
        self.enables.decompose().into_iter().map(|enables| Self { enables }).collect()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.enables.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { enables: DotSet::read(reader)? })
    }
}

/// A flag that is off where enabling and disabling are concurrent.
///
/// A disabling write stays in the store until an enabling one that has seen it replaces it, or until it is
/// [forgotten](DisableWinsFlag::forget).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DisableWinsFlag {
    enables: DotSet,
    disables: DotSet,
}

impl DisableWinsFlag {
    /// Whether the flag is on.
    pub fn is_enabled(&self) -> bool {
        !self.enables.is_empty() && self.disables.is_empty()
    }

    /// Switches on, if nobody switches off at the same time.
    pub fn enable(&mut self, seen: &CausalContext, dot: Dot) -> Result<Causal<Self>, WriteError> {
        self.replace(seen, dot, Self { enables: DotSet::one(dot), disables: DotSet::default() })
    }

    /// Switches off.
    pub fn disable(&mut self, seen: &CausalContext, dot: Dot) -> Result<Causal<Self>, WriteError> {
        self.replace(seen, dot, Self { enables: DotSet::default(), disables: DotSet::one(dot) })
    }

    /// Forgets that it was switched off, if all that stands here is *stable*: every write that is still to come here was
    /// made by an author that had seen the cut `stable`. (Every member has acknowledged the cut, and all that they had then
    /// has come here.) It stays off. A write like others, as copies elsewhere must forget too.
    pub fn forget(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        stable: &VersionVector,
    ) -> Result<Causal<Self>, WriteError> {
        if !seen.covers(stable) {
            return Err(WriteError::Unseen);
        }
        check_fresh(seen, dot)?;
        let gone = if self.is_forgettable(stable) { std::mem::take(self) } else { Self::default() };
        Ok(Causal::delta(Self::default(), dot, &gone))
    }

    /// Whether it was switched on by a write that a holder of `seen` has not seen.
    pub(crate) fn is_enabled_beyond(&self, seen: &CausalContext) -> bool {
        self.enables.iter().any(|dot| !seen.contains(dot))
    }

    /// Whether the flag is off and all that stands here is stable, so that each write to come replaces all of it. An
    /// enabling write that lost must be stable too: as long as another may still replace what it lost to, without having
    /// seen it, it can count again.
    pub(crate) fn is_forgettable(&self, stable: &VersionVector) -> bool {
        let mut all = self.enables.iter().chain(self.disables.iter());
        !self.disables.is_empty() && all.all(|dot| stable.contains(dot))
    }

    fn replace(&mut self, seen: &CausalContext, dot: Dot, new: Self) -> Result<Causal<Self>, WriteError> {
        check_fresh(seen, dot)?;
        let gone = std::mem::replace(self, new.clone());
        Ok(Causal::delta(new, dot, &gone))
    }
}

impl Causal<DisableWinsFlag> {
    /// Switches on, if nobody switches off at the same time.
    pub fn enable(&mut self, dot: Dot) -> Result<Self, WriteError> {
        self.apply(|flag, seen| flag.enable(seen, dot))
    }

    /// Switches off.
    pub fn disable(&mut self, dot: Dot) -> Result<Self, WriteError> {
        self.apply(|flag, seen| flag.disable(seen, dot))
    }

    /// Forgets that it was switched off: [`DisableWinsFlag::forget`].
    pub fn forget(&mut self, dot: Dot, stable: &VersionVector) -> Result<Self, WriteError> {
        self.apply(|flag, seen| flag.forget(seen, dot, stable))
    }
}

impl DotStore for DisableWinsFlag {
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext) {
        self.enables.join(own, &other.enables, theirs);
        self.disables.join(own, &other.disables, theirs);
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.enables.each_dot(visit);
        self.disables.each_dot(visit);
    }

    fn is_empty(&self) -> bool {
        self.enables.is_empty() && self.disables.is_empty()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { enables: self.enables.novel(seen), disables: self.disables.novel(seen) }
    }

    fn decompose(&self) -> Vec<Self> {
        let enables = self.enables.decompose().into_iter().map(|enables| Self { enables, ..Self::default() });
        let disables =
            self.disables.decompose().into_iter().map(|disables| Self { disables, ..Self::default() });
        enables.chain(disables).collect()
    }

    /// The enabling dots, then the disabling ones.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.enables.write(bytes);
        self.disables.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { enables: DotSet::read(reader)?, disables: DotSet::read(reader)? })
    }
}
