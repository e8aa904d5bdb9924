//! [`Guarantee`]: what stands behind an admitted unit when the machine stops, and what a crash may cost.
//!
//! Invariant: a budget's guarantee is chosen when it is declared, and its bound can be printed before anything has
//! happened. Whatever is chosen, threads of one running node never admit more than the limit together.
//!
//! Every acknowledged unit has to be covered by something durable that was written before the acknowledgement: if
//! it were not, the store would be the same as if the unit had never been asked for, and recovery would give it
//! again. The guarantees differ in what the cover is.

use crate::Units;

/// What covers an admitted unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Guarantee {
    /// A durable lease: this node may still spend so much of this key. Rows: about 2 for each key and one for each
    /// chunk of its peak. After a crash what the lease had left is spent.
    #[default]
    Escrow,
    /// A durable share of every window: this node may spend so much of every key in each. Rows: one for each node,
    /// none for a key or a window; a share changes with the next window. For fixed windows and months. After a crash
    /// what the window had left is spent, and the next window's share if the crash came shortly before it; a new
    /// node has its share from its second window on.
    Standing,
    /// A lease of exactly what waits: a request is answered when the write that covers it is durable. After a crash
    /// what was acknowledged is known exactly.
    GroupCommit,
    /// Nothing. After a crash what was not flushed is admitted again. To be asked for by name.
    Volatile,
}

/// What a crash may lose, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// At most so many units are never admitted, although the budget had them.
    pub under: Units,
    /// At most so many units are admitted twice.
    pub over: Units,
}

/// What a bound depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exposure {
    /// What the lease may have unspent.
    pub unspent: Units,
    /// What is admitted and not yet settled.
    pub unsettled: Units,
    /// What was given back and not yet settled.
    pub unsettled_refunds: Units,
    /// What is granted for requests that are not yet acknowledged.
    pub unacknowledged: Units,
}

impl Guarantee {
    /// What a crash of one node costs at the most, where the exposure is at most this.
    ///
    /// | guarantee | under | over |
    /// | --- | --- | --- |
    /// | `Escrow` | unspent | 0 |
    /// | `Standing` | unspent, for each key, and a share more shortly before a window's end | 0 |
    /// | `GroupCommit` | unacknowledged, and refunds not settled | 0 |
    /// | `Volatile` | refunds not settled | unsettled |
    ///
    /// Refunds become unspent units of the lease, so `Escrow` counts them there.
    pub fn bound(self, exposure: Exposure) -> Bound {
        match self {
            Self::Escrow | Self::Standing => Bound { under: exposure.unspent, over: Units::ZERO },
            Self::GroupCommit => {
                Bound { under: exposure.unacknowledged.plus(exposure.unsettled_refunds), over: Units::ZERO }
            }
            Self::Volatile => Bound { under: exposure.unsettled_refunds, over: exposure.unsettled },
        }
    }
}

/// How much a lease has at most: the chunk.
///
/// Rows times what a crash costs is at least the peak that is spent, so the chunk chooses between them. By default
/// it is under an eighth of what is left for this node and under what the key spends in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The part of what is left: one in so many. At least 1.
    pub part: u64,
    /// The nodes that share the budget. At least 1.
    pub nodes: u64,
    /// The most in any case.
    pub most: Units,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { part: 8, nodes: 1, most: Units::LEASE_MAX }
    }
}

impl Chunk {
    /// What a lease should have beyond what waits for it, when so much is left for this node (with what it holds)
    /// and the key spends so much in a second. Near exhaustion this is nothing: then exactly what is asked for is
    /// leased, and the last unit goes to whom it is asked for by.
    #[must_use]
    pub fn target(self, left: Units, rate: Units) -> Units {
        let part = left.0 / self.part.max(1) / self.nodes.max(1);
        Units(part).min(rate).min(self.most).min(Units::LEASE_MAX)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn each_guarantee_prints_its_bound() {
        let exposure = Exposure {
            unspent: Units(1),
            unsettled: Units(2),
            unsettled_refunds: Units(4),
            unacknowledged: Units(8),
        };
        let bound = |guarantee: Guarantee| {
            let bound = guarantee.bound(exposure);
            (bound.under.0, bound.over.0)
        };
        assert_eq!(bound(Guarantee::Escrow), (1, 0));
        assert_eq!(bound(Guarantee::Standing), (1, 0));
        assert_eq!(bound(Guarantee::GroupCommit), (12, 0));
        assert_eq!(bound(Guarantee::Volatile), (4, 2));
    }

    #[test]
    fn a_chunk_is_under_an_eighth_and_under_a_second() {
        let chunk = Chunk::default();
        assert_eq!(chunk.target(Units(1_000), Units(1_000_000)), Units(125));
        assert_eq!(chunk.target(Units(1_000), Units(3)), Units(3));
        assert_eq!(chunk.target(Units(7), Units(1_000)), Units::ZERO);
        assert_eq!(chunk.target(Units::MAX, Units::MAX), Units(Units::MAX.0 / 8));
        assert_eq!(Chunk { nodes: 4, ..chunk }.target(Units(1_000), Units::MAX), Units(31));
        assert_eq!(Chunk { part: 0, nodes: 0, ..chunk }.target(Units(9), Units::MAX), Units(9));
    }
}
