//! [`Automaton`]: where the matches of a language end, or begin, beside a given place.
//!
//! Invariant: time is linear in the text, memory is bounded by the two limits; all matches count, so that the
//! longest and the shortest can be chosen as POSIX wants it.

use std::{
    ops::Range,
    panic::{RefUnwindSafe, UnwindSafe},
};

use deltaic_types::EvalError;
use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::dfa::{Cache, DFA, OverlappingState},
    nfa::thompson::{Compiler, Config, WhichCaptures},
    util::pool::Pool,
};
use regex_syntax::hir::Hir;

use super::{MEMORY, too_large};

type MakeCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// A language as an automaton that is made while it runs.
pub(super) struct Automaton {
    dfa: DFA,
    caches: Pool<Cache, MakeCache>,
}

impl std::fmt::Debug for Automaton {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Automaton")
    }
}

impl Automaton {
    /// An automaton that reads to the right from where a match begins.
    pub(super) fn forward(language: &Hir) -> Result<Self, EvalError> {
        Self::new(language, false)
    }

    /// An automaton that reads to the left from where a match ends.
    pub(super) fn backward(language: &Hir) -> Result<Self, EvalError> {
        Self::new(language, true)
    }

    fn new(language: &Hir, reverse: bool) -> Result<Self, EvalError> {
        let config =
            Config::new().nfa_size_limit(Some(MEMORY)).which_captures(WhichCaptures::None).reverse(reverse);
        let nfa = Compiler::new().configure(config).build_from_hir(language).map_err(|_| too_large())?;
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(MEMORY)
            // A cache holds a few states at least, whatever their size, which the limit above bounds.
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|_| too_large())?;
        let for_caches = dfa.clone();
        let make: MakeCache = Box::new(move || for_caches.create_cache());
        Ok(Self { dfa, caches: Pool::new(make) })
    }

    /// The memory of what was compiled.
    pub(super) fn size(&self) -> usize {
        self.dfa.get_nfa().memory_usage()
    }

    /// Where the longest or the shortest match ends that begins at the range's start and lies in it.
    pub(super) fn end(
        &self,
        text: &str,
        range: Range<usize>,
        shortest: bool,
    ) -> Result<Option<usize>, EvalError> {
        let input = Input::new(text).range(range).anchored(Anchored::Yes).earliest(shortest);
        let found = self.dfa.try_search_fwd(&mut self.caches.get(), &input).map_err(|_| too_large())?;
        Ok(found.map(|found| found.offset()))
    }

    /// Every end of a match that begins at the range's start and lies in it, ascending.
    pub(super) fn ends(&self, text: &str, range: Range<usize>) -> Result<Vec<usize>, EvalError> {
        let input = Input::new(text).range(range).anchored(Anchored::Yes);
        let mut cache = self.caches.get();
        let mut state = OverlappingState::start();
        let mut places = Vec::new();
        loop {
            let step = self.dfa.try_search_overlapping_fwd(&mut cache, &input, &mut state);
            step.map_err(|_| too_large())?;
            let Some(found) = state.get_match() else { return Ok(places) };
            places.push(found.offset());
        }
    }

    /// Every start of a match that ends at the range's end and lies in it, ascending.
    pub(super) fn starts(&self, text: &str, range: Range<usize>) -> Result<Vec<usize>, EvalError> {
        let input = Input::new(text).range(range).anchored(Anchored::Yes);
        let mut cache = self.caches.get();
        let mut state = OverlappingState::start();
        let mut places = Vec::new();
        loop {
            let step = self.dfa.try_search_overlapping_rev(&mut cache, &input, &mut state);
            step.map_err(|_| too_large())?;
            let Some(found) = state.get_match() else { break };
            places.push(found.offset());
        }
        places.reverse();
        Ok(places)
    }
}
