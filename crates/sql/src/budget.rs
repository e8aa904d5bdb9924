//! CREATE BUDGET and DROP BUDGET as syntax: the two statements that the parser library does not know.
//!
//! ```text
//! CREATE BUDGET [IF NOT EXISTS] name (
//!     KEY column type [, …],
//!     LIMIT n | LIMIT (SELECT …) [PER 'interval' [SLIDING | BUCKET burst]] [, …]
//! ) [GUARANTEE ESCROW | STANDING | GROUP COMMIT | VOLATILE]
//!   [ON LEDGER FAILURE DENY | SPEND LEASE | OPEN] [WITH EVENTS]
//! DROP BUDGET [IF EXISTS] name [, …]
//! ```
//!
//! Invariant: expressions, types and queries in it are the library's, read by its own parser under its own limits.

use deltaic_types::{BudgetGuarantee, OnLedgerFailure};
use sqlparser::{
    ast::{DataType, Ident, ObjectName, Query},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Location, Span, Token},
};

use crate::word::{Parsed, choose, expect, is_word, take};

/// CREATE BUDGET.
#[derive(Debug, Clone)]
pub(crate) struct CreateBudget {
    pub(crate) if_not_exists: bool,
    pub(crate) name: ObjectName,
    pub(crate) key: Vec<(Ident, DataType)>,
    pub(crate) limits: Vec<LimitSyntax>,
    pub(crate) guarantee: BudgetGuarantee,
    pub(crate) on_ledger_failure: OnLedgerFailure,
    pub(crate) with_events: bool,
}

/// LIMIT … of a budget.
#[derive(Debug, Clone)]
pub(crate) struct LimitSyntax {
    pub(crate) amount: AmountSyntax,
    pub(crate) per: Option<PerSyntax>,
    pub(crate) span: Span,
}

/// How much.
#[derive(Debug, Clone)]
pub(crate) enum AmountSyntax {
    /// A number, as it is written.
    Units(String),
    /// A query, with where its text begins and ends.
    Query { query: Box<Query>, start: Location, end: Location },
}

/// PER … of a limit.
#[derive(Debug, Clone)]
pub(crate) struct PerSyntax {
    pub(crate) interval: String,
    pub(crate) span: Span,
    pub(crate) shape: Shape,
}

/// How a limit begins anew.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Fixed,
    Sliding,
    /// With the burst, as it is written.
    Bucket(String),
}

/// DROP BUDGET.
#[derive(Debug, Clone)]
pub(crate) struct DropBudget {
    pub(crate) if_exists: bool,
    pub(crate) names: Vec<ObjectName>,
}

fn number(parser: &mut Parser<'_>) -> Parsed<String> {
    let token = parser.next_token();
    match token.token {
        Token::Number(text, _) => Ok(text.replace('_', "")),
        _ => parser.expected("a number", token),
    }
}

/// Reads a CREATE BUDGET.
pub(crate) fn create_budget(parser: &mut Parser<'_>) -> Parsed<CreateBudget> {
    parser.expect_keyword(Keyword::CREATE)?;
    expect(parser, "budget")?;
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_object_name(false)?;
    parser.expect_token(&Token::LParen)?;
    expect(parser, "key")?;
    let mut key = Vec::new();
    let mut limits = Vec::new();
    loop {
        if is_word(&parser.peek_token().token, "limit") && !key.is_empty() {
            limits.push(limit(parser)?);
        } else if limits.is_empty() {
            // KEY may stand before each of the columns.
            if !key.is_empty() {
                take(parser, "key");
            }
            key.push((parser.parse_identifier()?, parser.parse_data_type()?));
        } else {
            return parser.expected("LIMIT", parser.peek_token());
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    if limits.is_empty() {
        return parser.expected(", LIMIT", parser.peek_token());
    }
    parser.expect_token(&Token::RParen)?;
    let guarantee = if take(parser, "guarantee") { guarantee(parser)? } else { BudgetGuarantee::default() };
    let mut on_ledger_failure = OnLedgerFailure::default();
    if take(parser, "on") {
        expect(parser, "ledger")?;
        expect(parser, "failure")?;
        on_ledger_failure = failure(parser)?;
    }
    let with_events = take(parser, "with");
    if with_events {
        expect(parser, "events")?;
    }
    Ok(CreateBudget { if_not_exists, name, key, limits, guarantee, on_ledger_failure, with_events })
}

fn guarantee(parser: &mut Parser<'_>) -> Parsed<BudgetGuarantee> {
    Ok(match choose(parser, &["escrow", "standing", "group", "volatile"])? {
        0 => BudgetGuarantee::Escrow,
        1 => BudgetGuarantee::Standing,
        2 => {
            expect(parser, "commit")?;
            BudgetGuarantee::GroupCommit
        }
        _ => BudgetGuarantee::Volatile,
    })
}

fn failure(parser: &mut Parser<'_>) -> Parsed<OnLedgerFailure> {
    Ok(match choose(parser, &["deny", "spend", "open"])? {
        0 => OnLedgerFailure::Deny,
        1 => {
            expect(parser, "lease")?;
            OnLedgerFailure::SpendLease
        }
        _ => OnLedgerFailure::Open,
    })
}

fn limit(parser: &mut Parser<'_>) -> Parsed<LimitSyntax> {
    let span = parser.peek_token().span;
    expect(parser, "limit")?;
    let amount = if parser.consume_token(&Token::LParen) {
        let start = parser.get_current_token().span.end;
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        let end = parser.get_current_token().span.start;
        AmountSyntax::Query { query, start, end }
    } else {
        AmountSyntax::Units(number(parser)?)
    };
    let mut per = None;
    if take(parser, "per") {
        let token = parser.next_token();
        let Token::SingleQuotedString(interval) = token.token else {
            return parser.expected("an interval in quotes, as '1 day'", token);
        };
        let shape = if take(parser, "sliding") {
            Shape::Sliding
        } else if take(parser, "bucket") {
            Shape::Bucket(number(parser)?)
        } else {
            Shape::Fixed
        };
        per = Some(PerSyntax { interval, span: token.span, shape });
    }
    Ok(LimitSyntax { amount, per, span })
}

/// Reads a DROP BUDGET.
pub(crate) fn drop_budget(parser: &mut Parser<'_>) -> Parsed<DropBudget> {
    parser.expect_keyword(Keyword::DROP)?;
    expect(parser, "budget")?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let names = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
    Ok(DropBudget { if_exists, names })
}
