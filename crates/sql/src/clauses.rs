//! What a definition says of merging, as syntax: clauses that the parser library does not know.
//!
//! ```text
//! CREATE TABLE name (
//!     column type [CONFLICT LWW | CONFLICT MANUAL | CONFLICT PRIORITY (column) | CONFLICT CUSTOM (expression)] …,
//!     [GROUP (column, column [, …]), …]
//! ) [REMOVE WINS]
//! ALTER TABLE name ADD [COLUMN] column type [CONFLICT …] …
//! CREATE LIVE VIEW name [(column [, …])] [MUST BE EMPTY] AS SELECT …
//! ```
//!
//! Invariant: they are taken out of a statement's tokens before the library sees these, and what is left is a statement of its
//! own whose tokens stand where they stood. No name that may be given without quotes is taken for one of them.

use std::collections::BTreeSet;

use deltaic_types::limits;
use sqlparser::{
    ast::{Expr, Ident},
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Span, Token, TokenWithSpan},
};

use crate::word::is_word;

/// The clauses of one statement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clauses {
    pub(crate) groups: Vec<Group>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) remove_wins: bool,
    pub(crate) must_be_empty: bool,
    /// Where the last of them ends.
    pub(crate) end: Option<Location>,
}

/// GROUP beside the columns.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) columns: Vec<Ident>,
    pub(crate) span: Span,
}

/// CONFLICT behind a column.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Where the part of the list begins that it stands in: with the column's name.
    pub(crate) column: Location,
    pub(crate) kind: PolicyKind,
    pub(crate) span: Span,
}

/// What a policy is.
#[derive(Debug, Clone)]
pub(crate) enum PolicyKind {
    LastWriter,
    Manual,
    Priority(Ident),
    Custom(Box<Expr>),
}

type Taken<T> = Result<T, ParserError>;

/// A way through the tokens of one statement, without its spaces.
struct Walk<'a> {
    tokens: &'a [&'a TokenWithSpan],
    clauses: Clauses,
    /// Where the tokens begin that were taken out.
    out: &'a mut BTreeSet<Location>,
}

/// Takes the clauses out of a statement: what it is given begins with its first word. The places of the tokens that are to
/// be left out are added to `out`. Cost: linear.
pub(crate) fn take_out(tokens: &[&TokenWithSpan], out: &mut BTreeSet<Location>) -> Taken<Clauses> {
    let mut walk = Walk { tokens, clauses: Clauses::default(), out };
    let second = match (walk.keyword(0), walk.keyword(1)) {
        (Keyword::CREATE, Keyword::TEMP | Keyword::TEMPORARY) => walk.keyword(2),
        (_, second) => second,
    };
    match (walk.keyword(0), second) {
        (Keyword::CREATE, Keyword::TABLE) => walk.create_table()?,
        (Keyword::ALTER, Keyword::TABLE) => walk.alter_table()?,
        (Keyword::CREATE, _) if walk.is_word(1, "live") && walk.keyword(2) == Keyword::VIEW => {
            walk.live_view();
        }
        _ => {}
    }
    Ok(walk.clauses)
}

impl Walk<'_> {
    fn token(&self, place: usize) -> Option<&Token> {
        self.tokens.get(place).map(|token| &token.token)
    }

    fn keyword(&self, place: usize) -> Keyword {
        match self.token(place) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        }
    }

    fn is_word(&self, place: usize, word: &str) -> bool {
        self.token(place).is_some_and(|token| is_word(token, word))
    }

    /// Leaves tokens out, the last of which is the last of a clause.
    fn leave_out(&mut self, from: usize, to: usize) {
        self.out.extend(self.tokens[from..=to].iter().map(|token| token.span.start));
        self.clauses.end = self.clauses.end.max(Some(self.tokens[to].span.end));
    }

    /// The place of the bracket that closes the one at a place; the last token where none does.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (place, token) in self.tokens.iter().enumerate().skip(open) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return place;
            }
        }
        self.tokens.len() - 1
    }

    /// Reads what stands in brackets, with the library's parser.
    fn in_brackets<T>(
        &self,
        open: usize,
        read: impl FnOnce(&mut Parser<'_>) -> Taken<T>,
    ) -> Taken<(T, usize)> {
        let close = self.closing(open.min(self.tokens.len() - 1));
        let tokens = self.tokens.get(open..=close).unwrap_or_default();
        let mut parser = Parser::new(&PostgreSqlDialect {})
            .with_recursion_limit(2 * limits::EXPRESSION_DEPTH)
            .with_tokens_with_locations(tokens.iter().map(|token| (*token).clone()).collect());
        parser.expect_token(&Token::LParen)?;
        let read = read(&mut parser)?;
        parser.expect_token(&Token::RParen)?;
        Ok((read, close))
    }

    fn expected<T>(&self, what: &str, place: usize) -> Taken<T> {
        Parser::new(&PostgreSqlDialect {}).expected(
            what,
            match self.tokens.get(place) {
                Some(token) => (*token).clone(),
                None => TokenWithSpan::wrap(Token::EOF),
            },
        )
    }

    fn create_table(&mut self) -> Taken<()> {
        let Some(open) = self.tokens.iter().position(|token| token.token == Token::LParen) else {
            return Ok(());
        };
        let mut place = open + 1;
        let mut part = place;
        // The last comma before this part that the library is to see.
        let mut comma = None;
        let close = loop {
            match self.token(place) {
                None => return Ok(()),
                Some(Token::RParen) => break place,
                Some(Token::LParen) => place = self.closing(place) + 1,
                Some(Token::Comma) => {
                    comma = Some(place);
                    place += 1;
                    part = place;
                }
                Some(_) if place == part && self.keyword(place) == Keyword::GROUP => {
                    let end = self.group(place)?;
                    match self.token(end + 1) {
                        Some(Token::Comma) => {
                            self.leave_out(end + 1, end + 1);
                            place = end + 2;
                            part = place;
                        }
                        Some(Token::RParen) => {
                            if let Some(comma) = comma {
                                self.out.insert(self.tokens[comma].span.start);
                            }
                            place = end + 1;
                        }
                        _ => return self.expected("',' or ')' after GROUP (…)", end + 1),
                    }
                }
                Some(_) if place > part && self.is_policy(place) => place = self.policy(part, place)? + 1,
                Some(_) => place += 1,
            }
        };
        if self.is_word(close + 1, "remove") && self.is_word(close + 2, "wins") {
            self.clauses.remove_wins = true;
            self.leave_out(close + 1, close + 2);
        }
        Ok(())
    }

    fn alter_table(&mut self) -> Taken<()> {
        let Some(add) = (3..self.tokens.len()).find(|place| self.keyword(*place) == Keyword::ADD) else {
            return Ok(());
        };
        let mut part = add + 1;
        part += usize::from(self.keyword(part) == Keyword::COLUMN);
        if self.keyword(part) == Keyword::IF {
            part += 3;
        }
        let mut place = part + 1;
        while let Some(token) = self.token(place) {
            place = match token {
                Token::LParen => self.closing(place) + 1,
                _ if self.is_policy(place) => self.policy(part, place)? + 1,
                _ => place + 1,
            };
        }
        Ok(())
    }

    fn live_view(&mut self) {
        let mut place = 3;
        while let Some(token) = self.token(place) {
            match token {
                Token::LParen => place = self.closing(place),
                Token::Word(word) if word.keyword == Keyword::AS => break,
                _ => {}
            }
            place += 1;
        }
        let found = place > 6
            && place < self.tokens.len()
            && ["must", "be", "empty"].iter().zip(place - 3..).all(|(word, at)| self.is_word(at, word));
        if found {
            self.clauses.must_be_empty = true;
            self.leave_out(place - 3, place - 1);
        }
    }

    /// Whether the word at a place begins a policy, and is no name: of a constraint, a table, a collation.
    fn is_policy(&self, place: usize) -> bool {
        let names =
            [Keyword::CONSTRAINT, Keyword::REFERENCES, Keyword::COLLATE, Keyword::ON, Keyword::DEFAULT];
        self.is_word(place, "conflict")
            && !names.contains(&self.keyword(place - 1))
            && self.token(place - 1) != Some(&Token::Period)
    }

    /// Takes a GROUP out and gives the place of its last token.
    fn group(&mut self, place: usize) -> Taken<usize> {
        let read = |parser: &mut Parser<'_>| parser.parse_comma_separated(Parser::parse_identifier);
        let (columns, end) = self.in_brackets(place + 1, read)?;
        self.clauses.groups.push(Group { columns, span: self.tokens[place].span });
        self.leave_out(place, end);
        Ok(end)
    }

    /// Takes a policy out and gives the place of its last token.
    fn policy(&mut self, part: usize, place: usize) -> Taken<usize> {
        let (kind, end) = if self.is_word(place + 1, "lww") {
            (PolicyKind::LastWriter, place + 1)
        } else if self.is_word(place + 1, "manual") {
            (PolicyKind::Manual, place + 1)
        } else if self.is_word(place + 1, "priority") {
            self.in_brackets(place + 2, |parser| parser.parse_identifier().map(PolicyKind::Priority))?
        } else if self.is_word(place + 1, "custom") {
            self.in_brackets(place + 2, |parser| Ok(PolicyKind::Custom(Box::new(parser.parse_expr()?))))?
        } else {
            return self.expected("LWW, MANUAL, PRIORITY (…) or CUSTOM (…) after CONFLICT", place + 1);
        };
        let column = self.tokens[part].span.start;
        self.clauses.policies.push(Policy { column, kind, span: self.tokens[place].span });
        self.leave_out(place, end);
        Ok(end)
    }
}
