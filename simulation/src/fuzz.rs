//! The query fuzzer: after every commit each live result equals the naive one and the fresh one; at the end
//! PostgreSQL agrees, and when all is unsubscribed nothing is left.

use deltaic_storage::Identity;
use deltaic_types::DatabaseId;

use crate::{
    case::Case,
    postgres::Postgres,
    run::{Judge, run},
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

/// Runs the case of a seed. The error tells what is wrong, with the statements that lead there.
pub fn case(seed: u64, postgres: Option<&mut Postgres>, tell: bool) -> Result<Tally, String> {
    let case = Case::of(seed);
    let mut judge = Judge { postgres, tell, ..Judge::default() };
    run(&case, &mut judge).map_err(|failed| format!("{}\nseed {seed}: {failed}", case.script()))
}
