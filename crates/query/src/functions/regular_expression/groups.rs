//! [`Dissection`]: which part of a match each capturing group has.
//!
//! `PostgreSQL` knows a match's whole extent first and then divides it: of two things that follow each other the
//! first takes the longest part (or the shortest, if its first quantifier says so) that leaves the second a
//! match; of alternatives the first that matches the whole part has it; of a repetition the last round counts.
//! A leftmost-first engine assigns groups while it searches, and differently.
//!
//! Invariant: without back references a division that the automata allow can always be carried through, so
//! nothing is tried twice.

use std::ops::Range;

use deltaic_types::EvalError;
use regex_automata::Anchored;
use regex_syntax::hir::Hir;

use super::{
    automaton::{Automaton, Work},
    parse::{Atom, Item, Preference, alternatives, repeated, sequence},
    too_large,
};

/// How deep an expression may be divided: each capturing group is a level.
const LEVELS: usize = 100;
/// The most memory of all automata of an expression.
const AUTOMATA: usize = 1 << 22;

/// The groups that a replacement can name: the whole match, then `\1` to `\9`.
pub(crate) type Groups = [Option<Range<usize>>; 10];

/// What a part prefers, whether its parts disagree about that, and whether groups are in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are a set, and each can be there without the others")]
struct Traits {
    longest: bool,
    shortest: bool,
    mixed: bool,
    captures: bool,
}

impl Traits {
    fn preferring(preference: Preference) -> Self {
        Self {
            longest: preference == Preference::Longest,
            shortest: preference == Preference::Shortest,
            ..Self::default()
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            longest: self.longest || other.longest,
            shortest: self.shortest || other.shortest,
            mixed: self.mixed || other.mixed,
            captures: self.captures || other.captures,
        }
    }

    /// What holds for a part around this one.
    fn around(self) -> Self {
        Self {
            longest: false,
            shortest: false,
            mixed: self.mixed || (self.longest && self.shortest),
            captures: self.captures,
        }
    }

    fn preference(self) -> Self {
        Self { mixed: false, captures: false, ..self }
    }

    fn has_preference(self) -> bool {
        self.longest || self.shortest
    }

    /// The traits of one after the other: the first that has a preference decides.
    fn then(self, other: Self) -> Self {
        let first = if self.has_preference() { self } else { other };
        self.or(other).around().or(first.preference())
    }

    fn must_be_divided(self) -> bool {
        self.mixed || self.captures
    }
}

/// A part of an expression as `PostgreSQL` divides it.
struct Part {
    traits: Traits,
    /// The groups that have all of the part.
    captures: Vec<usize>,
    language: Hir,
    shape: Shape,
}

enum Shape {
    Whole,
    Sequence(Box<Part>, Box<Part>),
    Alternatives(Vec<Part>),
    /// None or more, or none or one.
    Rounds {
        part: Box<Part>,
        max: Option<u32>,
    },
}

impl Part {
    fn whole(language: Hir, traits: Traits) -> Self {
        Self { traits, captures: Vec::new(), language, shape: Shape::Whole }
    }

    fn sequence(first: Self, second: Self, traits: Traits) -> Self {
        let language = Hir::concat(vec![first.language.clone(), second.language.clone()]);
        let shape = Shape::Sequence(Box::new(first), Box::new(second));
        Self { traits, captures: Vec::new(), language, shape }
    }
}

/// Whether an expression as a whole prefers short matches.
pub(super) fn prefers_short(branches: &[Vec<Item>]) -> Result<bool, EvalError> {
    Ok(divided(branches, 0)?.traits.shortest)
}

fn divided(branches: &[Vec<Item>], level: usize) -> Result<Part, EvalError> {
    if let [branch] = branches {
        return divided_branch(branch, level);
    }
    let mut traits = Traits { longest: true, ..Traits::default() };
    let mut parts = Vec::new();
    for branch in branches {
        let part = divided_branch(branch, level)?;
        traits = traits.or(traits.or(part.traits).around());
        parts.push(part);
    }
    let shape = if traits.must_be_divided() { Shape::Alternatives(parts) } else { Shape::Whole };
    Ok(Part { traits, captures: Vec::new(), language: alternatives(branches), shape })
}

fn divided_branch(items: &[Item], level: usize) -> Result<Part, EvalError> {
    if level > LEVELS {
        return Err(too_large());
    }
    // What needs no division is one part, up to the first item that does.
    let mut before = Traits::default();
    for (place, item) in items.iter().enumerate() {
        let (atom, capture) = match &item.atom {
            Atom::Start | Atom::End | Atom::Nothing => continue,
            Atom::Set(_) => (Part::whole(item.atom_language(), Traits::default()), None),
            Atom::Group { branches, capture } => (divided(branches, level + 1)?, *capture),
        };
        let traits = before.or(Traits::preferring(item.preference)).or(atom.traits);
        if capture.is_none() && !traits.around().must_be_divided() {
            before = traits;
            continue;
        }
        // A quantifier {1,1} has a preference, though it repeats nothing.
        let tail = Traits { captures: atom.traits.captures || capture.is_some(), ..atom.traits };
        let tail = Traits::preferring(item.preference).then(tail);
        let part = divided_item(item, atom, capture);
        let rest = &items[place + 1..];
        let prefix = Part::whole(sequence(&items[..place]), before);
        if rest.is_empty() {
            if place == 0 {
                return Ok(part);
            }
            let traits = before.or(before.then(part.traits));
            return Ok(Part::sequence(prefix, part, traits));
        }
        let rest = divided_branch(rest, level + 1)?;
        let tail = tail.or(tail.then(rest.traits));
        let traits = before.or(before.then(tail));
        if place == 0 {
            return Ok(Part::sequence(part, rest, traits));
        }
        return Ok(Part::sequence(prefix, Part::sequence(part, rest, tail), traits));
    }
    Ok(Part::whole(sequence(items), before))
}

/// An atom that is or has a group, or whose quantifier wants another extent than what is before it.
fn divided_item(item: &Item, mut atom: Part, capture: Option<usize>) -> Part {
    if let Some(number) = capture {
        atom.captures.push(number);
        atom.traits.captures = true;
    }
    let own = Traits::preferring(item.preference);
    let within = Traits { captures: false, ..atom.traits };
    if (item.min, item.max) == (1, Some(1))
        && (!own.has_preference() || within == Traits::default() || own == within)
    {
        return atom;
    }
    let traits = own.then(atom.traits);
    if !atom.traits.captures {
        return Part::whole(item.language(), traits);
    }
    if item.min > 0 {
        // Only the last round counts, so the others are one part.
        let others = repeated(atom.language.clone(), item.min - 1, item.max.map(|max| max - 1));
        return Part::sequence(Part::whole(others, traits.preference()), atom, traits);
    }
    let shape = Shape::Rounds { part: Box::new(atom), max: item.max };
    Part { traits, captures: Vec::new(), language: item.language(), shape }
}

/// A part with the automata that divide it.
#[derive(Debug)]
struct Step {
    captures: Vec<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Whole,
    Sequence { first: Box<Step>, second: Box<Step>, ends: Automaton, starts: Automaton, shortest: bool },
    Alternatives(Vec<(Automaton, Step)>),
    Optional { round: Box<Step>, ends: Automaton, shortest: bool },
    Rounds { round: Box<Step>, ends: Automaton, starts: Automaton, shortest: bool },
}

/// How a match is divided among groups.
#[derive(Debug)]
pub(super) struct Dissection(Step);

impl Dissection {
    pub(super) fn new(branches: &[Vec<Item>]) -> Result<Self, EvalError> {
        let mut memory = 0;
        step(divided(branches, 0)?, &mut memory).map(Self)
    }

    /// The groups of a match.
    pub(super) fn groups(&self, text: &str, range: Range<usize>, work: &Work) -> Result<Groups, EvalError> {
        let mut groups = Groups::default();
        divide(&self.0, text, range.clone(), work, &mut groups)?;
        groups[0] = Some(range);
        Ok(groups)
    }
}

fn counted(automaton: Result<Automaton, EvalError>, memory: &mut usize) -> Result<Automaton, EvalError> {
    let automaton = automaton?;
    *memory += automaton.size();
    if *memory > AUTOMATA { Err(too_large()) } else { Ok(automaton) }
}

fn step(part: Part, memory: &mut usize) -> Result<Step, EvalError> {
    let Part { traits, captures, shape, .. } = part;
    let kind = match shape {
        _ if !traits.captures => Kind::Whole,
        Shape::Whole => Kind::Whole,
        Shape::Sequence(first, second) => Kind::Sequence {
            ends: counted(Automaton::forward(&first.language), memory)?,
            starts: counted(Automaton::backward(&second.language), memory)?,
            shortest: first.traits.shortest,
            first: Box::new(step(*first, memory)?),
            second: Box::new(step(*second, memory)?),
        },
        Shape::Alternatives(parts) => Kind::Alternatives(
            parts
                .into_iter()
                .map(|part| Ok((counted(Automaton::forward(&part.language), memory)?, step(part, memory)?)))
                .collect::<Result<_, EvalError>>()?,
        ),
        Shape::Rounds { part, max: Some(1) } => Kind::Optional {
            ends: counted(Automaton::forward(&part.language), memory)?,
            shortest: part.traits.shortest,
            round: Box::new(step(*part, memory)?),
        },
        Shape::Rounds { part, max: None } => Kind::Rounds {
            ends: counted(Automaton::forward(&part.language), memory)?,
            starts: counted(Automaton::backward(&repeated(part.language.clone(), 0, None)), memory)?,
            shortest: part.traits.shortest,
            round: Box::new(step(*part, memory)?),
        },
        Shape::Rounds { .. } => {
            return Err(EvalError::NotSupported {
                feature: "groups repeated {0,n} whose text is asked for; use (?: ) or another quantifier",
            });
        }
    };
    Ok(Step { captures, kind })
}

/// The first or the last place that both sorted lists have.
fn common(ends: &[usize], starts: &[usize], first: bool) -> Result<usize, EvalError> {
    let is_start = |place: &&usize| starts.binary_search(place).is_ok();
    let found = if first { ends.iter().find(is_start) } else { ends.iter().rev().find(is_start) };
    found.copied().ok_or(EvalError::NotSupported { feature: "the groups of this regular expression" })
}

fn divide(
    step: &Step,
    text: &str,
    range: Range<usize>,
    work: &Work,
    groups: &mut Groups,
) -> Result<(), EvalError> {
    match &step.kind {
        Kind::Whole => {}
        Kind::Sequence { first, second, ends, starts, shortest } => {
            let ends = ends.ends(text, range.clone(), work)?;
            let middle = common(&ends, &starts.starts(text, range.clone(), work)?, *shortest)?;
            divide(first, text, range.start..middle, work, groups)?;
            divide(second, text, middle..range.end, work, groups)?;
        }
        Kind::Alternatives(branches) => {
            for (automaton, branch) in branches {
                if automaton.end(text, range.clone(), Anchored::Yes, false, work)? == Some(range.end) {
                    divide(branch, text, range.clone(), work, groups)?;
                    break;
                }
            }
        }
        Kind::Optional { round, ends, shortest } | Kind::Rounds { round, ends, shortest, .. }
            if range.is_empty() =>
        {
            // A round that can match nothing is preferred to none, unless it prefers short matches.
            if !shortest && ends.end(text, range.clone(), Anchored::Yes, false, work)?.is_some() {
                divide(round, text, range.clone(), work, groups)?;
            }
        }
        Kind::Optional { round, .. } => divide(round, text, range.clone(), work, groups)?,
        Kind::Rounds { round, ends, starts, shortest } => {
            let starts = starts.starts(text, range.clone(), work)?;
            let mut start = range.start;
            loop {
                let ends = ends.ends(text, start..range.end, work)?;
                // A round that takes nothing leads nowhere.
                let beyond = ends.partition_point(|end| *end <= start);
                let end = common(&ends[beyond..], &starts, *shortest)?;
                if end == range.end {
                    divide(round, text, start..end, work, groups)?;
                    break;
                }
                start = end;
            }
        }
    }
    for number in &step.captures {
        if let Some(group) = groups.get_mut(*number) {
            *group = Some(range.clone());
        }
    }
    Ok(())
}
