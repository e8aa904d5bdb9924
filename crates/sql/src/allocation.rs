//! CREATE ALLOCATION and DROP ALLOCATION as syntax: statements that the parser library does not know.
//!
//! ```text
//! CREATE ALLOCATION [IF NOT EXISTS] name
//!     CAPACITY (SELECT …) NEED (SELECT …) RECOGNITION (SELECT …)
//!     [FLOORS (SELECT …)] [ATTRIBUTES (SELECT …)] [ACCEPTED (SELECT …)] [HELD (SELECT …)]
//!     [OFFERS [WITHIN 'interval'] [ELSEWHERE]]
//!     [POLICY max_min | damped_v2 | rounds_v1] [SHADOW max_min | damped_v2 | rounds_v1] [COALESCE 'interval']
//! DROP ALLOCATION [IF EXISTS] name [, …]
//! ```
//!
//! Invariant: queries in it are the library's, read by its own parser under its own limits.

use deltaic_types::{AllocationPolicy, AllocationSource};
use sqlparser::{
    ast::{ObjectName, Query},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Location, Span, Token},
};

use crate::word::{Parsed, choose, expect, take};

/// CREATE ALLOCATION.
#[derive(Debug, Clone)]
pub(crate) struct CreateAllocation {
    pub(crate) if_not_exists: bool,
    pub(crate) name: ObjectName,
    pub(crate) sources: Vec<SourceSyntax>,
    pub(crate) offers: Option<OffersSyntax>,
    pub(crate) policy: AllocationPolicy,
    pub(crate) shadow: Option<(AllocationPolicy, Span)>,
    /// The text of the interval.
    pub(crate) coalesce: Option<(String, Span)>,
}

/// OFFERS.
#[derive(Debug, Clone)]
pub(crate) struct OffersSyntax {
    pub(crate) span: Span,
    /// The text of the interval within which they are to be answered.
    pub(crate) within: Option<(String, Span)>,
    pub(crate) is_elsewhere: bool,
}

/// A query, with where its text begins and ends.
#[derive(Debug, Clone)]
pub(crate) struct SourceSyntax {
    pub(crate) source: AllocationSource,
    pub(crate) query: Box<Query>,
    pub(crate) span: Span,
    pub(crate) start: Location,
    pub(crate) end: Location,
}

/// DROP ALLOCATION.
#[derive(Debug, Clone)]
pub(crate) struct DropAllocation {
    pub(crate) if_exists: bool,
    pub(crate) names: Vec<ObjectName>,
}

/// Reads a CREATE ALLOCATION.
pub(crate) fn create_allocation(parser: &mut Parser<'_>) -> Parsed<CreateAllocation> {
    parser.expect_keyword(Keyword::CREATE)?;
    expect(parser, "allocation")?;
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_object_name(false)?;
    let mut sources = Vec::new();
    for kind in AllocationSource::ALL {
        let is_optional = kind.is_optional();
        let span = parser.peek_token().span;
        if is_optional && !take(parser, kind.name()) {
            continue;
        }
        if !is_optional {
            expect(parser, kind.name())?;
        }
        sources.push(source(parser, kind, span)?);
    }
    let offers = offers(parser)?;
    let policy = if take(parser, "policy") { policy(parser)? } else { AllocationPolicy::default() };
    let span = parser.peek_token().span;
    let shadow = if take(parser, "shadow") { Some((self::policy(parser)?, span)) } else { None };
    let coalesce = if take(parser, "coalesce") { Some(interval(parser, "'50 milliseconds'")?) } else { None };
    Ok(CreateAllocation { if_not_exists, name, sources, offers, policy, shadow, coalesce })
}

fn offers(parser: &mut Parser<'_>) -> Parsed<Option<OffersSyntax>> {
    let span = parser.peek_token().span;
    if !take(parser, "offers") {
        return Ok(None);
    }
    let within = if take(parser, "within") { Some(interval(parser, "'10 minutes'")?) } else { None };
    let is_elsewhere = take(parser, "elsewhere");
    Ok(Some(OffersSyntax { span, within, is_elsewhere }))
}

fn interval(parser: &mut Parser<'_>, example: &str) -> Parsed<(String, Span)> {
    let token = parser.next_token();
    let Token::SingleQuotedString(interval) = token.token else {
        return parser.expected(&format!("an interval in quotes, as {example}"), token);
    };
    Ok((interval, token.span))
}

fn source(parser: &mut Parser<'_>, source: AllocationSource, span: Span) -> Parsed<SourceSyntax> {
    parser.expect_token(&Token::LParen)?;
    let start = parser.get_current_token().span.end;
    let query = parser.parse_query()?;
    parser.expect_token(&Token::RParen)?;
    let end = parser.get_current_token().span.start;
    Ok(SourceSyntax { source, query, span, start, end })
}

fn policy(parser: &mut Parser<'_>) -> Parsed<AllocationPolicy> {
    let names = AllocationPolicy::ALL.map(AllocationPolicy::name);
    Ok(AllocationPolicy::ALL[choose(parser, &names)?])
}

/// Reads a DROP ALLOCATION.
pub(crate) fn drop_allocation(parser: &mut Parser<'_>) -> Parsed<DropAllocation> {
    parser.expect_keyword(Keyword::DROP)?;
    expect(parser, "allocation")?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let names = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
    Ok(DropAllocation { if_exists, names })
}
