//! [`Expression`]: `PostgreSQL`'s regular expressions in linear time.
//!
//! A pattern is read by [`parse`], in `PostgreSQL`'s language, and becomes a language of the `regex` family's
//! automata, whose own syntax is never used: what is written there is another language that looks the same.
//!
//! Invariant: a match is the leftmost, and of those the longest, or the shortest where the pattern says so;
//! an expression that cannot be had so is refused. Memory is bounded whatever the pattern, and time is
//! polynomial: nothing is tried twice.

mod automaton;
mod class;
mod groups;
mod parse;
mod tables;

use std::ops::Range;

use deltaic_types::EvalError;
use regex_automata::{
    Anchored,
    meta::{Config, Regex},
    nfa::thompson::WhichCaptures,
};

use automaton::Automaton;
pub(crate) use automaton::Work;
use groups::Dissection;
pub(crate) use groups::Groups;

/// The most memory that one automaton may take.
const MEMORY: usize = 1 << 20;

/// An expression of too many states: a repetition of repetitions, or many large classes.
fn too_large() -> EvalError {
    EvalError::NotSupported { feature: "so large a regular expression; repeat less" }
}

/// What is asked of an expression: the more, the more is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Whether there is a match.
    Test,
    /// Where the matches are.
    Extent,
    /// What the groups have of them.
    Groups,
}

/// What finds a match: the end of the leftmost of them, from there its start, and from there the end that counts.
#[derive(Debug)]
struct Extent {
    finder: Automaton,
    backward: Automaton,
    forward: Automaton,
}

/// A regular expression that was read.
#[derive(Debug)]
pub(crate) struct Expression {
    test: Regex,
    extent: Option<Extent>,
    shortest: bool,
    dissection: Option<Dissection>,
    groups: usize,
}

impl Expression {
    /// Reads a pattern.
    pub(crate) fn read(pattern: &str, ignore_case: bool, purpose: Purpose) -> Result<Self, EvalError> {
        let syntax = parse::parse(pattern, ignore_case)?;
        let language = parse::alternatives(&syntax.branches);
        let config = Config::new()
            .which_captures(WhichCaptures::Implicit)
            .nfa_size_limit(Some(MEMORY))
            .hybrid_cache_capacity(MEMORY);
        let test = Regex::builder().configure(config).build_from_hir(&language).map_err(|_| too_large())?;
        let extent = if purpose == Purpose::Test {
            None
        } else {
            let (finder, backward) = (Automaton::finder(&language)?, Automaton::backward(&language)?);
            Some(Extent { finder, backward, forward: Automaton::forward(&language)? })
        };
        let shortest =
            syntax.reluctant && purpose != Purpose::Test && groups::prefers_short(&syntax.branches)?;
        let dissection = if purpose == Purpose::Groups && syntax.groups > 0 {
            Some(Dissection::new(&syntax.branches)?)
        } else {
            None
        };
        Ok(Self { test, extent, shortest, dissection, groups: syntax.groups })
    }

    /// How many capturing groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// Whether there is a match.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.test.is_match(text)
    }

    /// The first match from a place on; what is before it counts for `^`.
    pub(crate) fn find(
        &self,
        text: &str,
        from: usize,
        work: &Work,
    ) -> Result<Option<Range<usize>>, EvalError> {
        let extent =
            self.extent.as_ref().expect("invariant: matches are asked for where that was the purpose");
        let Extent { finder, backward, forward } = extent;
        let Some(end) = finder.end(text, from..text.len(), Anchored::No, false, work)? else {
            return Ok(None);
        };
        let start = backward.start(text, from..end, work)?.unwrap_or(end);
        let end = forward.end(text, start..text.len(), Anchored::Yes, self.shortest, work)?.unwrap_or(end);
        Ok(Some(start..end))
    }

    /// The parts of a match that the groups have.
    pub(crate) fn divide(&self, text: &str, found: Range<usize>, work: &Work) -> Result<Groups, EvalError> {
        match &self.dissection {
            Some(dissection) => dissection.groups(text, found, work),
            None => {
                let mut groups = Groups::default();
                groups[0] = Some(found);
                Ok(groups)
            }
        }
    }
}

#[cfg(test)]
mod tests;
