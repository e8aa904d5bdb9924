//! Reads `PostgreSQL`'s advanced regular expressions (chapter 9.7.3 of its manual).
//!
//! Invariant: what is read means what it means in `PostgreSQL` 15; an expression that is valid there and
//! cannot be had here is refused by name, and nothing is taken for something similar.

use deltaic_types::EvalError;
use regex_syntax::hir::{ClassUnicode, Hir, Look, Repetition};

use super::class;

/// How deep groups may be nested.
const DEPTH: usize = 64;
/// The longest pattern in characters.
const CHARACTERS: usize = 8192;
/// The most ranges that all sets of characters together may have: `\w` has some 760.
const RANGES: usize = 1 << 16;

/// What a quantifier prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preference {
    /// There is none: the operand's counts.
    None,
    Longest,
    Shortest,
}

/// What can be repeated, or stands between it.
#[derive(Debug)]
pub(super) enum Atom {
    Set(ClassUnicode),
    Group {
        branches: Vec<Vec<Item>>,
        capture: Option<usize>,
    },
    /// `^`, `\A`
    Start,
    /// `$`, `\Z`
    End,
    /// What `{0}` leaves of an atom.
    Nothing,
}

/// An atom and how often it stands there; `max` is None for any number.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) atom: Atom,
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    pub(super) preference: Preference,
}

impl Item {
    fn once(atom: Atom) -> Self {
        Self { atom, min: 1, max: Some(1), preference: Preference::None }
    }

    /// The language of the atom alone.
    pub(super) fn atom_language(&self) -> Hir {
        match &self.atom {
            Atom::Set(set) => Hir::class(regex_syntax::hir::Class::Unicode(set.clone())),
            Atom::Group { branches, .. } => alternatives(branches),
            Atom::Start => Hir::look(Look::Start),
            Atom::End => Hir::look(Look::End),
            Atom::Nothing => Hir::empty(),
        }
    }

    /// The language of the item.
    pub(super) fn language(&self) -> Hir {
        repeated(self.atom_language(), self.min, self.max)
    }
}

/// What matches `min` to `max` times in succession.
pub(super) fn repeated(language: Hir, min: u32, max: Option<u32>) -> Hir {
    if (min, max) == (1, Some(1)) {
        return language;
    }
    Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(language) })
}

/// The language of a sequence.
pub(super) fn sequence(items: &[Item]) -> Hir {
    Hir::concat(items.iter().map(Item::language).collect())
}

/// The language of branches.
pub(super) fn alternatives(branches: &[Vec<Item>]) -> Hir {
    Hir::alternation(branches.iter().map(|branch| sequence(branch)).collect())
}

/// An expression that was read.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) branches: Vec<Vec<Item>>,
    /// How many capturing groups there are.
    pub(super) groups: usize,
    /// Whether a quantifier prefers short matches.
    pub(super) reluctant: bool,
}

/// An escape, or an element of a bracket expression.
enum Element {
    Character(u32),
    Set(ClassUnicode),
    Atom(Atom),
}

fn invalid(reason: &'static str) -> EvalError {
    EvalError::InvalidArgument { function: "regular expression", reason }
}

fn unsupported(feature: &'static str) -> EvalError {
    EvalError::NotSupported { feature }
}

const UNCLOSED: &str = "brackets [ ] are not balanced";
const ESCAPE: &str = "there is no such escape, or it is not complete";

struct Parser {
    chars: Vec<char>,
    at: usize,
    ignore_case: bool,
    /// For each group whether it is closed, so that a back reference could name it.
    groups: Vec<bool>,
    reluctant: bool,
    ranges: usize,
}

/// Reads a pattern.
pub(super) fn parse(pattern: &str, ignore_case: bool) -> Result<Syntax, EvalError> {
    let chars: Vec<char> = pattern.chars().take(CHARACTERS + 1).collect();
    if chars.len() > CHARACTERS {
        return Err(unsupported("regular expressions of more than 8192 characters; write a shorter one"));
    }
    let mut parser = Parser { chars, at: 0, ignore_case, groups: Vec::new(), reluctant: false, ranges: 0 };
    parser.prefixes()?;
    let branches = parser.branches(0)?;
    if parser.peek().is_some() {
        return Err(invalid("parentheses ( ) are not balanced"));
    }
    Ok(Syntax { branches, groups: parser.groups.len(), reluctant: parser.reluctant })
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.peek_at(0)
    }

    fn peek_at(&self, distance: usize) -> Option<char> {
        self.chars.get(self.at + distance).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(distance, c)| self.peek_at(distance) == Some(c))
    }

    /// A director and embedded options, which stand only at the start.
    fn prefixes(&mut self) -> Result<(), EvalError> {
        if self.looking_at("***") {
            return Err(match self.peek_at(3) {
                Some('=' | ':') => {
                    unsupported("directors (***) of regular expressions; write the pattern itself")
                }
                _ => invalid("a quantifier has nothing to repeat"),
            });
        }
        if !self.looking_at("(?") || !self.peek_at(2).is_some_and(|c| c.is_ascii_alphabetic()) {
            return Ok(());
        }
        self.at += 2;
        let mut refused = false;
        while let Some(option) = self.peek().filter(char::is_ascii_alphabetic) {
            match option {
                'i' => self.ignore_case = true,
                'c' => self.ignore_case = false,
                // What is the default here.
                's' | 't' => {}
                'b' | 'e' | 'm' | 'n' | 'p' | 'q' | 'w' | 'x' => refused = true,
                _ => return Err(invalid("there is no such embedded option")),
            }
            self.at += 1;
        }
        if !self.eat(')') {
            return Err(invalid("there is no such embedded option"));
        }
        if refused {
            return Err(unsupported("options of regular expressions other than c, i, s and t"));
        }
        Ok(())
    }

    fn skip_comments(&mut self) {
        while self.looking_at("(?#") {
            while self.next().is_some_and(|c| c != ')') {}
        }
    }

    /// Branches up to the end or to a `)`, which is left.
    fn branches(&mut self, depth: usize) -> Result<Vec<Vec<Item>>, EvalError> {
        if depth > DEPTH {
            return Err(unsupported("regular expressions with more than 64 groups in each other"));
        }
        let mut branches = vec![Vec::new()];
        loop {
            self.skip_comments();
            match self.peek() {
                None | Some(')') => return Ok(branches),
                Some('|') => {
                    self.at += 1;
                    branches.push(Vec::new());
                }
                Some(_) => {
                    let item = self.item(depth)?;
                    if let Some(branch) = branches.last_mut() {
                        branch.push(item);
                    }
                }
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item, EvalError> {
        let atom = self.atom(depth)?;
        if matches!(atom, Atom::Start | Atom::End) {
            // A quantifier that follows has nothing to repeat.
            return Ok(Item::once(atom));
        }
        self.skip_comments();
        let (min, max, exact) = match self.peek() {
            Some('*') => (0, None, false),
            Some('+') => (1, None, false),
            Some('?') => (0, Some(1), false),
            Some('{') if self.peek_at(1).is_some_and(|c| c.is_ascii_digit()) => {
                self.at += 1;
                self.bound()?
            }
            _ => return Ok(Item::once(atom)),
        };
        self.at += 1;
        let reluctant = self.eat('?');
        if max == Some(0) {
            return Ok(Item::once(Atom::Nothing));
        }
        // {m} has no preference of its own.
        let preference = match (exact, reluctant) {
            (true, _) => Preference::None,
            (false, true) => Preference::Shortest,
            (false, false) => Preference::Longest,
        };
        self.reluctant |= preference == Preference::Shortest;
        Ok(Item { atom, min, max, preference })
    }

    /// `m}`, `m,}`, `m,n}`, up to the brace: the bounds, and whether there is but one.
    fn bound(&mut self) -> Result<(u32, Option<u32>, bool), EvalError> {
        const REASON: &str = "the repetition counts must be at most 255, as {m}, {m,} or {m,n}";
        let min = self.count().ok_or(invalid(REASON))?;
        let (max, exact) = if !self.eat(',') {
            (Some(min), true)
        } else if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            (Some(self.count().ok_or(invalid(REASON))?), false)
        } else {
            (None, false)
        };
        if self.peek() != Some('}') || max.is_some_and(|max| max < min) {
            return Err(invalid(REASON));
        }
        Ok((min, max, exact))
    }

    fn count(&mut self) -> Option<u32> {
        let mut count = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            count = count * 10 + digit;
            if count > 255 {
                return None;
            }
            self.at += 1;
        }
        Some(count)
    }

    fn atom(&mut self, depth: usize) -> Result<Atom, EvalError> {
        let Some(c) = self.next() else { return Ok(Atom::Nothing) };
        match c {
            '^' => Ok(Atom::Start),
            '$' => Ok(Atom::End),
            '*' | '+' | '?' => Err(invalid("a quantifier has nothing to repeat")),
            '{' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                Err(invalid("a quantifier has nothing to repeat"))
            }
            '(' => self.group(depth),
            '[' => self.bracket(),
            '.' => self.set(class::range(0, 0x0010_FFFF, false)),
            '\\' => match self.escape()? {
                Element::Character(c) => self.set(class::character(c, self.ignore_case)),
                Element::Set(set) => self.set(set),
                Element::Atom(atom) => Ok(atom),
            },
            c => self.set(class::character(c.into(), self.ignore_case)),
        }
    }

    fn set(&mut self, set: ClassUnicode) -> Result<Atom, EvalError> {
        self.ranges += set.ranges().len();
        if self.ranges > RANGES {
            return Err(unsupported("regular expressions with so many classes of characters"));
        }
        Ok(Atom::Set(set))
    }

    fn group(&mut self, depth: usize) -> Result<Atom, EvalError> {
        let mut capture = None;
        if self.eat('?') {
            const LOOK: &str = "lookahead and lookbehind in regular expressions";
            const REASON: &str = "after (? stands :, =, !, <=, <! or #";
            match (self.next(), self.peek()) {
                (Some(':'), _) => {}
                (Some('=' | '!'), _) | (Some('<'), Some('=' | '!')) => {
                    return Err(unsupported(LOOK));
                }
                _ => return Err(invalid(REASON)),
            }
        } else {
            self.groups.push(false);
            capture = Some(self.groups.len());
        }
        let branches = self.branches(depth + 1)?;
        if !self.eat(')') {
            return Err(invalid("parentheses ( ) are not balanced"));
        }
        if let Some(number) = capture {
            self.groups[number - 1] = true;
        }
        Ok(Atom::Group { branches, capture })
    }

    /// The rest of an escape.
    fn escape(&mut self) -> Result<Element, EvalError> {
        let c = self.next().ok_or(invalid(ESCAPE))?;
        let class = |parser: &Self, name: &str, complement: bool| {
            let mut set = class::named(name, parser.ignore_case).unwrap_or_else(ClassUnicode::empty);
            if complement {
                set.negate();
            }
            Ok(Element::Set(set))
        };
        let code = match c {
            'a' => 0x07,
            'b' => 0x08,
            'B' => u32::from('\\'),
            'c' => u32::from(self.next().ok_or(invalid(ESCAPE))?) & 0x1F,
            'e' => 0x1B,
            'f' => 0x0C,
            'n' => 0x0A,
            'r' => 0x0D,
            't' => 0x09,
            'v' => 0x0B,
            'd' | 'D' => return class(self, "digit", c == 'D'),
            's' | 'S' => return class(self, "space", c == 'S'),
            'w' | 'W' => return class(self, "word", c == 'W'),
            'A' => return Ok(Element::Atom(Atom::Start)),
            'Z' => return Ok(Element::Atom(Atom::End)),
            'm' | 'M' | 'y' | 'Y' => {
                return Err(unsupported("the ends of words (\\m, \\M, \\y, \\Y) in regular expressions"));
            }
            'u' => self.digits(16, 4, 4)?,
            'U' => self.digits(16, 8, 8)?,
            'x' => self.digits(16, 1, usize::MAX)?,
            '0'..='9' => return self.numbered(c),
            c if c.is_ascii_alphabetic() => return Err(invalid(ESCAPE)),
            c => u32::from(c),
        };
        // PostgreSQL's largest code point.
        if code > 0x7FFF_FFFE {
            return Err(invalid(ESCAPE));
        }
        Ok(Element::Character(code))
    }

    /// A back reference, or a character in octal: two digits and more are a reference where so many groups
    /// were opened.
    fn numbered(&mut self, first: char) -> Result<Element, EvalError> {
        let start = self.at;
        self.at -= 1;
        if first != '0' {
            let number = self.digits(10, 1, usize::MAX)? as usize;
            if self.at == start || (1..=self.groups.len()).contains(&number) {
                return Err(if self.groups.get(number.wrapping_sub(1)) == Some(&true) {
                    unsupported("back references in regular expressions")
                } else {
                    invalid("a back reference names no group before it")
                });
            }
            self.at = start - 1;
        }
        let mut code = self.digits(8, 1, 3)?;
        if code > 0xFF {
            self.at -= 1;
            code >>= 3;
        }
        Ok(Element::Character(code))
    }

    /// A number; too large a one wraps, as it does in PostgreSQL.
    fn digits(&mut self, base: u32, least: usize, most: usize) -> Result<u32, EvalError> {
        let mut number = 0_u32;
        let mut length = 0;
        while length < most
            && let Some(digit) = self.peek().and_then(|c| c.to_digit(base))
        {
            number = number.wrapping_mul(base).wrapping_add(digit);
            length += 1;
            self.at += 1;
        }
        if length < least { Err(invalid(ESCAPE)) } else { Ok(number) }
    }

    /// The rest of a bracket expression.
    fn bracket(&mut self) -> Result<Atom, EvalError> {
        const RANGE: &str = "a range in brackets must go from a character to a later one";
        if self.looking_at("[:<:]]") || self.looking_at("[:>:]]") {
            return Err(unsupported("the ends of words ([[:<:]], [[:>:]]) in regular expressions"));
        }
        let negated = self.eat('^');
        let mut set = ClassUnicode::empty();
        let mut first = true;
        loop {
            if !first && self.eat(']') {
                break;
            }
            if !first && self.peek() == Some('-') && self.peek_at(1) != Some(']') {
                return Err(invalid(RANGE));
            }
            first = false;
            let start = match self.element()? {
                Element::Character(c) => c,
                Element::Set(class) => {
                    set.union(&class);
                    continue;
                }
                Element::Atom(_) => return Err(invalid(ESCAPE)),
            };
            if self.peek() != Some('-') || self.peek_at(1) == Some(']') {
                set.union(&class::character(start, self.ignore_case));
                continue;
            }
            self.at += 1;
            let Element::Character(end) = self.element()? else { return Err(invalid(RANGE)) };
            if end < start {
                return Err(invalid(RANGE));
            }
            set.union(&class::range(start, end, self.ignore_case));
        }
        if negated {
            set.negate();
        }
        self.set(set)
    }

    /// A character, an escape or a class in brackets.
    fn element(&mut self) -> Result<Element, EvalError> {
        match self.next().ok_or(invalid(UNCLOSED))? {
            '\\' => self.escape(),
            '[' if matches!(self.peek(), Some('.' | '=')) => {
                Err(unsupported("collating elements in regular expressions"))
            }
            '[' if self.eat(':') => {
                let rest = &self.chars[self.at..];
                let end = rest.windows(2).position(|pair| pair == [':', ']']).ok_or(invalid(UNCLOSED))?;
                let name: String = rest[..end].iter().collect();
                self.at += end + 2;
                let set = class::named(&name, self.ignore_case);
                set.map(Element::Set).ok_or(invalid("there is no such class of characters"))
            }
            c => Ok(Element::Character(c.into())),
        }
    }
}
