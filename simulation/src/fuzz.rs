//! The query fuzzer: after every commit each live result equals the naive one and the fresh one; at the end
//! PostgreSQL agrees, and when all is unsubscribed nothing is left.

use deltaic_storage::Identity;
use deltaic_types::DatabaseId;

use crate::{
    case::Case,
    postgres::Postgres,
    run::{Judge, run},
    shrink::{BUDGET, Shrunk, shrink},
};

/// What a case counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Queries subscribed to.
    pub queries: usize,
    /// Commits.
    pub commits: usize,
    /// Comparisons of a live result with an oracle.
    pub comparisons: usize,
    /// Comparisons with PostgreSQL.
    pub postgres: usize,
    /// Results in state error.
    pub errors: usize,
    /// Results of which the oracle says nothing: errors of subqueries that it computes only when asked.
    pub undecided: usize,
}

impl Tally {
    /// Adds another's counts.
    pub fn add(&mut self, other: Self) {
        self.queries += other.queries;
        self.commits += other.commits;
        self.comparisons += other.comparisons;
        self.postgres += other.postgres;
        self.errors += other.errors;
        self.undecided += other.undecided;
    }
}

/// The identity of stores in tests.
pub fn identity() -> Identity {
    Identity { database: DatabaseId(0xd417), actor: deltaic_causality::ActorId(1) }
}

/// Runs the case of a seed. The error tells what is wrong, with the statements that lead there: all of them, or
/// those of a smaller case that fails in the same way.
pub fn case(seed: u64, postgres: Option<&mut Postgres>, tell: bool, shrinks: bool) -> Result<Tally, String> {
    judged(seed, &mut Judge { postgres, tell, ..Judge::default() }, shrinks)
}

fn judged(seed: u64, judge: &mut Judge<'_>, shrinks: bool) -> Result<Tally, String> {
    let case = Case::of(seed);
    run(&case, judge).map_err(|failed| {
        if !shrinks || !failed.kind.is_shrinkable() {
            return format!("seed {seed}:\n{}\n{failed}", case.script());
        }
        let Shrunk { case: small, failed: again, runs } = shrink(&case, failed.clone(), judge, BUDGET);
        let (size, before) = (small.size(), case.size());
        format!(
            "seed {seed}: {failed}\n\n\
             -- shrunk from {before} statements and queries to {size} in {runs} runs:\n{}\n{again}",
            small.script()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_whole_and_small() {
        let told = |shrinks| {
            let meddle = Some((|_, _, rows| rows.push(Vec::new())) as crate::run::Meddle);
            judged(7, &mut Judge { meddle, ..Judge::default() }, shrinks).unwrap_err()
        };
        let (whole, small) = (told(false), told(true));
        assert!(whole.starts_with("seed 7:\nCREATE TABLE ") && !whole.contains("shrunk"), "{whole}");
        let (first, rest) = small.split_once("\n\n-- shrunk from ").unwrap();
        assert!(first.starts_with("seed 7: Rows(Naive)\nlive query "), "{small}");
        let expected = " to 2 in ";
        assert!(rest.contains(expected) && rest.lines().count() < 15, "{small}");
    }
}
