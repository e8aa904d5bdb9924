//! [`Settling`]: an allocation that is being worked out, here or on another thread.
//!
//! Invariant: what it comes to is a function of the rows that were entered and of its time; what comes meanwhile waits for the next.

use std::collections::BTreeMap;

use deltaic_allocation::{
    EdgeId, Market, Tier, Time,
    baseline::{Economy, Needs, Network, Run, damped_v2, rounds_v1},
};
use deltaic_types::{Allocation, AllocationPolicy, Row};

use super::{book::Book, shown};

/// The most edges for the policies that are there to be compared with: they take messages by the square of them.
const DAMPED_EDGES: usize = 20_000;
const ROUNDS_EDGES: usize = 2_000;

/// Where a row stands.
pub(super) type Place = (AllocationPolicy, EdgeId, Tier);

/// What is to be worked out.
#[derive(Debug)]
pub struct Settling {
    pub(super) number: u64,
    pub(super) declared: Allocation,
    pub(super) book: Book,
    pub(super) now: Time,
}

/// What it came to.
#[derive(Debug)]
pub struct Settled {
    pub(super) number: u64,
    pub(super) declared: Allocation,
    pub(super) book: Book,
    /// Rows that are to be there, or not.
    pub(super) rows: BTreeMap<Place, Option<Row>>,
    /// Policies of which nothing else is to be there.
    pub(super) whole: Vec<AllocationPolicy>,
    /// What could not be worked out.
    pub(super) problem: Option<String>,
}

impl Settling {
    /// Works it out.
    pub fn run(self) -> Settled {
        let Self { number, declared, mut book, now } = self;
        book.settle(now);
        let changed = book.take_changed();
        let (mut rows, mut whole, mut problem) = (BTreeMap::new(), Vec::new(), None);
        for policy in std::iter::once(declared.policy).chain(declared.shadow) {
            if policy == AllocationPolicy::MaxMin {
                for (edge, tier) in &changed {
                    let given = book.allocator().allocation(*edge, *tier);
                    let row = given.map(|given| shown::row(&declared, &book, &given));
                    rows.insert((policy, *edge, *tier), row);
                }
                continue;
            }
            whole.push(policy);
            let given = if book.is_failed() {
                Ok(Vec::new())
            } else {
                by_baseline(policy, &declared, book.allocator().market(), now)
            };
            match given {
                Ok(given) => rows.extend(given.into_iter().map(|(edge, tier, quantity)| {
                    let row = shown::row_of_policy(&declared, &book, policy, (edge, tier), quantity);
                    ((policy, edge, tier), Some(row))
                })),
                Err(why) => problem = Some(why),
            }
        }
        Settled { number, declared, book, rows, whole, problem }
    }
}

/// What a policy to be compared with gives, in the units that count.
fn by_baseline(
    policy: AllocationPolicy,
    declared: &Allocation,
    market: &Market,
    now: Time,
) -> Result<Vec<(EdgeId, Tier, u64)>, String> {
    let mut economy = Economy::of(market, now);
    let most = if policy == AllocationPolicy::DampedV2 { DAMPED_EDGES } else { ROUNDS_EDGES };
    let count = economy.links.len();
    if count > most {
        return Err(format!(
            "{policy} is there to be compared with: it takes {most} edges at most, and there are {count}"
        ));
    }
    // Units, where the rule's own thresholds mean something.
    let parts = if declared.is_whole { 1.0 } else { 1e6 };
    if declared.is_whole {
        economy.capacities.iter_mut().chain(&mut economy.needs).for_each(|(_, quantity)| *quantity *= 1e6);
    }
    let run = |until: u64, every: u64| Run {
        needs: Needs::Stated,
        until: Time(until),
        every,
        network: Network::default(),
        ..Run::default()
    };
    let trace = match policy {
        AllocationPolicy::DampedV2 => damped_v2(&economy, &run(10_000, 1_000)),
        _ => rounds_v1(&economy, &run(450_000, 90_000)),
    };
    let given = economy.links.iter().zip(&trace.given);
    let given = given.map(|(link, quantity)| {
        let tier = if link.mutual > 0.0 { Tier::Mutual } else { Tier::Generous };
        (link.edge, tier, (quantity * parts).max(0.0) as u64)
    });
    Ok(given.filter(|(_, _, quantity)| *quantity > 0).collect())
}
