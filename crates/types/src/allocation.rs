//! [`Allocation`]: capacities and needs that are shared out and kept so, as CREATE ALLOCATION declares them.
//!
//! Invariant: its queries, and what comes of them, are live views of names that follow from its own ([`Allocation::source`],
//! [`Allocation::name`]): they have all that a live view has, and go with it alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BudgetId, TableId};

/// By which rule capacity is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllocationPolicy {
    /// Weighted max-min fair, in whole units, with a certificate.
    #[default]
    MaxMin,
    /// Each provider by itself, damped where recipients are given too much.
    DampedV2,
    /// In rounds that half of the participants have to agree on.
    RoundsV1,
}

impl AllocationPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MaxMin, Self::DampedV2, Self::RoundsV1];

    /// What SQL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxMin => "max_min",
            Self::DampedV2 => "damped_v2",
            Self::RoundsV1 => "rounds_v1",
        }
    }
}

impl fmt::Display for AllocationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one of its queries says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllocationSource {
    /// What is offered.
    Capacity,
    /// What is needed.
    Need,
    /// Who recognises whom, and how much.
    Recognition,
    /// What providers guarantee recipients of a capacity.
    Floors,
    /// What participants say of themselves.
    Attributes,
    /// What two have agreed on.
    Accepted,
    /// What was given and is kept until a moment.
    Held,
}

impl AllocationSource {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Capacity,
        Self::Need,
        Self::Recognition,
        Self::Floors,
        Self::Attributes,
        Self::Accepted,
        Self::Held,
    ];

    /// Whether an allocation may do without it.
    pub fn is_optional(self) -> bool {
        !matches!(self, Self::Capacity | Self::Need | Self::Recognition)
    }

    /// The word before the query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Need => "need",
            Self::Recognition => "recognition",
            Self::Floors => "floors",
            Self::Attributes => "attributes",
            Self::Accepted => "accepted",
            Self::Held => "held",
        }
    }
}

/// Offers of an allocation: rows with a life of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Their table.
    pub table: TableId,
    /// What each capacity may promise; none where the offers are made at another server and only known here.
    pub budget: Option<BudgetId>,
}

/// An allocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Its name, and that of the live view of what is given.
    pub name: String,
    /// The queries that it has: the first three always.
    pub sources: Vec<AllocationSource>,
    /// Whether quantities are whole numbers; otherwise millionths count.
    pub is_whole: bool,
    /// By which rule.
    pub policy: AllocationPolicy,
    /// A rule that is computed beside it, to be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<AllocationPolicy>,
    /// The least time between two solutions, in milliseconds.
    pub coalesce_millis: u32,
    /// Its offers; what is accepted and held is what they say, then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers: Option<Offers>,
}

impl Allocation {
    /// The time between two solutions where nothing else is said.
    pub const COALESCE_MILLIS: u32 = 50;

    /// The name of the live view of a query.
    pub fn source(&self, source: AllocationSource) -> String {
        Self::source_of(&self.name, source)
    }

    /// The same of the allocation of a name.
    pub fn source_of(name: &str, source: AllocationSource) -> String {
        format!("{name}.{}", source.name())
    }

    /// The name of the live view of what the rule beside it gives otherwise.
    pub fn difference(name: &str) -> String {
        format!("{name}.shadow")
    }

    /// The name of the table of its offers, and of the budget of what they promise.
    pub fn offers_of(name: &str) -> String {
        format!("{name}.offers")
    }

    /// The names of its live views.
    pub fn views(&self) -> impl Iterator<Item = String> {
        let sources = self.sources.iter().map(|source| self.source(*source));
        let difference = self.shadow.map(|_| Self::difference(&self.name));
        sources.chain(std::iter::once(self.name.clone())).chain(difference)
    }
}
