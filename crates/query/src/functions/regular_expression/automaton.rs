//! [`Automaton`]: where the matches of a language end, or begin, beside a given place.
//!
//! Invariant: time is linear in the text, memory is bounded by the two limits; all matches count, so that the
//! longest and the shortest can be chosen as POSIX wants it.

use std::{
    cell::Cell,
    ops::Range,
    panic::{RefUnwindSafe, UnwindSafe},
};

use deltaic_types::EvalError;
use regex_automata::{
    Anchored, Input, MatchError, MatchKind,
    hybrid::dfa::{Cache, DFA, OverlappingState},
    nfa::thompson::{Compiler, Config, WhichCaptures},
    util::pool::Pool,
};
use regex_syntax::hir::Hir;

use super::{MEMORY, too_large};

/// How many bytes a search may still look at. A search from each of many places, each of which looks far ahead, would
/// otherwise take as long as the square of the text.
#[derive(Debug)]
pub(crate) struct Work {
    left: Cell<u64>,
}

impl Work {
    /// Enough for any expression that looks at each byte of a text a few times, and for short texts in any case.
    pub(crate) fn on(text: &str) -> Self {
        Self { left: Cell::new(WORK + 64 * text.len() as u64) }
    }

    /// Takes some; an error where there is not so much left.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), EvalError> {
        match self.left.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(EvalError::TooMuchWork),
        }
    }
}

/// The bytes that a search may look at beside what follows from the text's length.
const WORK: u64 = 10_000_000;

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
        Self::new(language, false, MatchKind::All)
    }

    /// An automaton that finds the end of the leftmost match.
    pub(super) fn finder(language: &Hir) -> Result<Self, EvalError> {
        Self::new(language, false, MatchKind::LeftmostFirst)
    }

    /// An automaton that reads to the left from where a match ends.
    pub(super) fn backward(language: &Hir) -> Result<Self, EvalError> {
        Self::new(language, true, MatchKind::All)
    }

    fn new(language: &Hir, reverse: bool, kind: MatchKind) -> Result<Self, EvalError> {
        let config =
            Config::new().nfa_size_limit(Some(MEMORY)).which_captures(WhichCaptures::None).reverse(reverse);
        let nfa = Compiler::new().configure(config).build_from_hir(language).map_err(|_| too_large())?;
        let config = DFA::config()
            .match_kind(kind)
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

    /// Where the match ends that begins at the range's start (or, unanchored, the leftmost in it): the last end that
    /// the automaton comes to, or the first.
    pub(super) fn end(
        &self,
        text: &str,
        range: Range<usize>,
        anchored: Anchored,
        shortest: bool,
        work: &Work,
    ) -> Result<Option<usize>, EvalError> {
        let (bytes, start, end) = (text.as_bytes(), range.start, range.end);
        let input = Input::new(text).range(range).anchored(anchored);
        let mut cache = self.caches.get();
        let mut state = self.dfa.start_state_forward(&mut cache, &input).map_err(|_| too_large())?;
        let mut last = None;
        // A state tells of a match one byte late, so the byte behind the range is read too.
        for place in start..=end {
            state = match bytes.get(place) {
                Some(byte) => self.dfa.next_state(&mut cache, state, *byte),
                None => self.dfa.next_eoi_state(&mut cache, state),
            }
            .map_err(|_| too_large())?;
            if state.is_match() {
                last = Some(place);
            }
            if state.is_dead() || (shortest && last.is_some()) || place == end {
                work.spend(place - start + 1)?;
                break;
            }
        }
        Ok(last)
    }

    /// Where the longest match begins that ends at the range's end and lies in it.
    pub(super) fn start(
        &self,
        text: &str,
        range: Range<usize>,
        work: &Work,
    ) -> Result<Option<usize>, EvalError> {
        let (bytes, start, end) = (text.as_bytes(), range.start, range.end);
        let input = Input::new(text).range(range).anchored(Anchored::Yes);
        let mut cache = self.caches.get();
        let mut state = self.dfa.start_state_reverse(&mut cache, &input).map_err(|_| too_large())?;
        let mut last = None;
        for place in (start..=end).rev() {
            state = match place.checked_sub(1) {
                Some(before) => self.dfa.next_state(&mut cache, state, bytes[before]),
                None => self.dfa.next_eoi_state(&mut cache, state),
            }
            .map_err(|_| too_large())?;
            if state.is_match() {
                last = Some(place);
            }
            if state.is_dead() || place == start {
                work.spend(end - place + 1)?;
                break;
            }
        }
        Ok(last)
    }

    /// Every end of a match that begins at the range's start and lies in it, ascending.
    pub(super) fn ends(&self, text: &str, range: Range<usize>, work: &Work) -> Result<Vec<usize>, EvalError> {
        self.places(text, range, work, DFA::try_search_overlapping_fwd)
    }

    /// Every start of a match that ends at the range's end and lies in it, ascending.
    pub(super) fn starts(
        &self,
        text: &str,
        range: Range<usize>,
        work: &Work,
    ) -> Result<Vec<usize>, EvalError> {
        let mut places = self.places(text, range, work, DFA::try_search_overlapping_rev)?;
        places.reverse();
        Ok(places)
    }

    /// Where a search stops until it has nothing more to tell.
    fn places(
        &self,
        text: &str,
        range: Range<usize>,
        work: &Work,
        search: impl Fn(&DFA, &mut Cache, &Input<'_>, &mut OverlappingState) -> Result<(), MatchError>,
    ) -> Result<Vec<usize>, EvalError> {
        work.spend(range.len() + 1)?;
        let input = Input::new(text).range(range).anchored(Anchored::Yes);
        let mut cache = self.caches.get();
        let mut state = OverlappingState::start();
        let mut places = Vec::new();
        loop {
            search(&self.dfa, &mut cache, &input, &mut state).map_err(|_| too_large())?;
            let Some(found) = state.get_match() else { return Ok(places) };
            places.push(found.offset());
        }
    }
}
