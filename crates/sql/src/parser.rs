//! From text to syntax trees: PostgreSQL's dialect, bounded before the parser recurses.
//!
//! Invariant: on any path through a tree that leaves here there are at most [`CHAIN`] operators besides AND
//! and OR, at most [`LOGICAL_CHAIN`] of those, and a bounded number of nested brackets. A chain `1+1+1+…` is
//! a tree as deep as it is long, which the syntax tree's own destructor walks recursively, so chains are
//! counted in the tokens, before there is a tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deltaic_types::limits;
use sqlparser::{
    ast::Statement,
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer},
};

use crate::{
    allocation::{self, CreateAllocation, DropAllocation},
    budget::{self, CreateBudget, DropBudget},
    clauses::{Clauses, take_out},
    error::SqlError,
    lexical::as_postgresql,
    position::{Cursor, Lines},
    word::{defines, is_word},
};

/// The most operators on one path through an expression, AND and OR aside.
pub const CHAIN: usize = 200;

/// The most ANDs and ORs, or set operations, on one path.
pub const LOGICAL_CHAIN: usize = 1_000;

/// The most names and keywords in a row, which bounds what a prefix keyword may repeat.
const WORDS_IN_A_ROW: usize = 512;

/// A statement as syntax.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The syntax tree.
    pub(crate) tree: Tree,
    /// What it says of merging, which is not in the tree.
    pub(crate) clauses: Clauses,
    /// The statement's own text, without the semicolon.
    pub text: String,
    /// The highest number of a `$n` in the whole text it was parsed from.
    pub placeholders: usize,
    /// The lines of the whole text it was parsed from, to which positions refer.
    pub(crate) lines: Arc<Lines>,
    /// The number of the statement's first character in that text, from 1.
    first: usize,
}

/// The syntax of a statement: the library's, or that of one which only we have.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Sql(Box<Statement>),
    CreateBudget(Box<CreateBudget>),
    DropBudget(DropBudget),
    CreateAllocation(Box<CreateAllocation>),
    DropAllocation(DropAllocation),
}

impl Parsed {
    /// The number of the character (from 1, in the parsed text) at which a part of the tree starts. Cost: constant.
    pub fn position(&self, span: Span) -> Option<usize> {
        self.lines.position(span.start)
    }

    /// The library's syntax tree; none of a statement that only we have.
    pub fn ast(&self) -> Option<&Statement> {
        if let Tree::Sql(statement) = &self.tree { Some(statement) } else { None }
    }

    /// The same, to be kept and changed.
    pub fn into_ast(self) -> Option<Statement> {
        if let Tree::Sql(statement) = self.tree { Some(*statement) } else { None }
    }

    /// The characters of the statement between two places of the whole text, the second not among them.
    pub(crate) fn characters(&self, start: usize, end: usize) -> Vec<char> {
        self.text.chars().skip(start - self.first).take(end - start).collect()
    }

    /// The same statement with another query in its place, whose parts stand where the first one's stood.
    pub(crate) fn with_query(&self, query: sqlparser::ast::Query) -> Self {
        Self { tree: Tree::Sql(Box::new(Statement::Query(Box::new(query)))), ..self.clone() }
    }
}

/// A type by its text; none if it is no type and nothing else. Words alone: what nests could nest without end.
pub(crate) fn parse_type(text: &str) -> Option<sqlparser::ast::DataType> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_ ".contains(&byte)) {
        return None;
    }
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?;
    let parsed = parser.parse_data_type().ok()?;
    (parser.peek_token().token == Token::EOF).then_some(parsed)
}

/// Parses statements separated by semicolons.
pub fn parse(sql: &str) -> Result<Vec<Parsed>, SqlError> {
    if sql.len() > limits::STATEMENT_BYTES {
        return Err(SqlError::StatementTooLong { bytes: sql.len(), limit: limits::STATEMENT_BYTES });
    }
    if let Some(at) = sql.find('\0') {
        return Err(SqlError::Syntax {
            message: "a NUL character".to_owned(),
            position: Some(sql[..at].chars().count() + 1),
        });
    }
    let dialect = PostgreSqlDialect {};
    let tokens =
        Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| SqlError::Syntax {
            message: lower_first(&error.message),
            position: Lines::of(sql).position(error.location),
        })?;
    let tokens = as_postgresql(tokens).map_err(|location| SqlError::Syntax {
        message: "two strings side by side: put || between them".to_owned(),
        position: Lines::of(sql).position(location),
    })?;
    check_chains(sql, &tokens)?;
    let placeholders = tokens.iter().filter_map(|token| placeholder(&token.token)).max().unwrap_or(0);
    let (tokens, mut clauses) = check_statements(sql, tokens)?;
    let lines = Arc::new(Lines::of(sql));
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(2 * limits::EXPRESSION_DEPTH)
        .with_tokens_with_locations(tokens);
    let mut statements = Vec::new();
    let mut cursor = Cursor::new(sql);
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let start = parser.peek_token();
        if start.token == Token::EOF {
            return Ok(statements);
        }
        if statements.len() == limits::STATEMENTS {
            let position = Lines::of(sql).position(start.span.start);
            return Err(SqlError::TooManyStatements { limit: limits::STATEMENTS, position });
        }
        let tree = match (defines(&parser, "budget"), defines(&parser, "allocation")) {
            (Some(Keyword::CREATE), _) => {
                budget::create_budget(&mut parser).map(|create| Tree::CreateBudget(Box::new(create)))
            }
            (Some(_), _) => budget::drop_budget(&mut parser).map(Tree::DropBudget),
            (None, Some(Keyword::CREATE)) => allocation::create_allocation(&mut parser)
                .map(|create| Tree::CreateAllocation(Box::new(create))),
            (None, Some(_)) => allocation::drop_allocation(&mut parser).map(Tree::DropAllocation),
            (None, None) => parser.parse_statement().map(|statement| Tree::Sql(Box::new(statement))),
        };
        let tree = tree.map_err(|error| syntax_error(sql, error))?;
        let clauses = clauses.remove(&start.span.start).unwrap_or_default();
        let end = clauses.end.max(Some(parser.get_current_token().span.end));
        let end = end.expect("invariant: a statement has a last token");
        let next = parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Err(SqlError::Syntax {
                message: format!("expected the end of the statement, found \"{}\"", next.token),
                position: Lines::of(sql).position(next.span.start),
            });
        }
        let first = lines.position(start.span.start).unwrap_or(1);
        let start = cursor.forward(start.span.start);
        let text = sql[start..cursor.forward(end)].trim_end().to_owned();
        statements.push(Parsed { tree, clauses, text, placeholders, lines: Arc::clone(&lines), first });
    }
}

fn placeholder(token: &Token) -> Option<usize> {
    let Token::Placeholder(name) = token else { return None };
    placeholder_number(name)
}

/// The number of a parameter, `$1` upwards.
pub(crate) fn placeholder_number(name: &str) -> Option<usize> {
    let number = name.strip_prefix('$')?.parse::<usize>().ok()?;
    (1..=limits::PARAMETERS).contains(&number).then_some(number)
}

/// Parses one expression, as it is stored in a schema.
pub(crate) fn parse_expression(sql: &str) -> Result<(sqlparser::ast::Expr, Parsed), SqlError> {
    // The statement around it makes positions and limits those of any other text.
    let mut statements = parse(&format!("SELECT {sql}"))?;
    let wrong = || SqlError::Syntax { message: "expected one expression".to_owned(), position: None };
    if statements.len() != 1 {
        return Err(wrong());
    }
    let parsed = statements.remove(0);
    let Tree::Sql(statement) = &parsed.tree else { return Err(wrong()) };
    let Statement::Query(query) = &**statement else { return Err(wrong()) };
    let sqlparser::ast::SetExpr::Select(select) = &*query.body else { return Err(wrong()) };
    match &select.projection[..] {
        [sqlparser::ast::SelectItem::UnnamedExpr(expr)] => Ok((expr.clone(), parsed.clone())),
        _ => Err(wrong()),
    }
}

/// What the counters of one bracket level have seen.
#[derive(Clone, Copy, Default)]
struct Level {
    operators: usize,
    logical: usize,
    sets: usize,
}

fn check_chains(sql: &str, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    // The sums over the enclosing levels, and those levels.
    let mut outer = Level::default();
    let mut levels = vec![Level::default()];
    let mut words = 0;
    for token in tokens {
        let Some(level) = levels.last_mut() else { break };
        let mut is_word = false;
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::Comma => {
                level.operators = 0;
                level.logical = 0;
            }
            Token::SemiColon => {
                outer = Level::default();
                levels = vec![Level::default()];
            }
            Token::LParen | Token::LBracket | Token::LBrace => {
                // A chain of subscripts, or of `[]` after a type, nests as well.
                level.operators += usize::from(token.token == Token::LBracket);
                outer.operators += level.operators;
                outer.logical += level.logical;
                outer.sets += level.sets;
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if levels.len() > 1 {
                    levels.pop();
                    if let Some(level) = levels.last() {
                        outer.operators -= level.operators;
                        outer.logical -= level.logical;
                        outer.sets -= level.sets;
                    }
                }
            }
            Token::Word(word) => {
                is_word = true;
                match word.keyword {
                    Keyword::AND | Keyword::OR => {
                        // They bind loosest: what stands between two of them are siblings.
                        level.operators = 0;
                        level.logical += 1;
                    }
                    Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                        level.sets += 1;
                    }
                    Keyword::IS
                    | Keyword::NOT
                    | Keyword::LIKE
                    | Keyword::ILIKE
                    | Keyword::BETWEEN
                    | Keyword::IN
                    | Keyword::COLLATE
                    | Keyword::AT
                    | Keyword::NOTNULL
                    | Keyword::SIMILAR
                    | Keyword::OVERLAPS
                    | Keyword::INTERVAL => level.operators += 1,
                    _ => {}
                }
            }
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::EOF => {}
            _ => level.operators += 1,
        }
        words = if is_word { words + 1 } else { 0 };
        let Some(level) = levels.last() else { break };
        let what = if levels.len() > 2 * limits::EXPRESSION_DEPTH {
            "brackets are nested too deep"
        } else if outer.operators + level.operators > CHAIN {
            "too many operators in one expression"
        } else if outer.logical + level.logical > LOGICAL_CHAIN {
            "too many conditions in one chain of AND and OR"
        } else if outer.sets + level.sets > limits::EXPRESSION_DEPTH {
            "too many set operations in one query"
        } else if words > WORDS_IN_A_ROW {
            "too many words in a row"
        } else {
            continue;
        };
        return Err(SqlError::TooComplex { what, position: Lines::of(sql).position(token.span.start) });
    }
    Ok(())
}

/// Refuses statements that are not offered, and EXPLAIN of anything but a statement that is: so statements
/// never nest in statements, where the parser needs much stack for each.
///
/// Gives the tokens without the LIVE of CREATE and DROP LIVE VIEW, which the parser does not know, there being no other views, and
/// without [`Clauses`], which are given by the place at which their statement begins.
fn check_statements(
    sql: &str,
    mut tokens: Vec<TokenWithSpan>,
) -> Result<(Vec<TokenWithSpan>, BTreeMap<Location, Clauses>), SqlError> {
    let mut out = BTreeSet::new();
    let mut clauses = BTreeMap::new();
    let words: Vec<&TokenWithSpan> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    // The parser drops the precision.
    let is_cut = |five: &&[&TokenWithSpan]| {
        matches!(&five[0].token, Token::Word(word) if word.keyword == Keyword::INTERVAL)
            && five[1].token == Token::LParen
            && matches!(five[2].token, Token::Number(..))
            && five[3].token == Token::RParen
            && matches!(five[4].token, Token::SingleQuotedString(_))
    };
    if let Some(five) = words.windows(5).find(is_cut) {
        return Err(SqlError::NotSupported {
            what: "INTERVAL with a precision".to_owned(),
            instead: None,
            position: Lines::of(sql).position(five[0].span.start),
        });
    }
    for statement in words.split(|token| token.token == Token::SemiColon) {
        let keyword = |place: usize| match statement.get(place).map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        };
        let is_open = |place: usize| statement.get(place).is_some_and(|token| token.token == Token::LParen);
        let is_query = |place: usize| {
            matches!(keyword(place), Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE)
        };
        let mut start = 0;
        if keyword(0) == Keyword::EXPLAIN {
            start = 1;
            while matches!(keyword(start), Keyword::ANALYZE | Keyword::VERBOSE) {
                start += 1;
            }
            if is_open(start) && !is_query(start + 1) && !is_open(start + 1) {
                let close = statement[start..].iter().position(|token| token.token == Token::RParen);
                start += close.map_or(0, |close| close + 1);
            }
        }
        let Some(first) = statement.get(start) else { continue };
        let is_live_view = matches!(keyword(start), Keyword::CREATE | Keyword::DROP)
            && is_named(statement.get(start + 1), "live")
            && keyword(start + 2) == Keyword::VIEW;
        if is_live_view {
            out.insert(statement[start + 1].span.start);
        }
        let is_ours = start == 0
            && matches!(keyword(start), Keyword::CREATE | Keyword::DROP)
            && ["budget", "allocation"].iter().any(|what| is_named(statement.get(start + 1), what));
        let offered = match keyword(start) {
            _ if is_live_view || is_ours => true,
            Keyword::CREATE => matches!(
                keyword(start + 1),
                Keyword::TABLE | Keyword::INDEX | Keyword::UNIQUE | Keyword::TEMP | Keyword::TEMPORARY
            ),
            Keyword::ALTER => keyword(start + 1) == Keyword::TABLE,
            Keyword::DROP => matches!(keyword(start + 1), Keyword::TABLE | Keyword::INDEX),
            Keyword::INSERT
            | Keyword::UPDATE
            | Keyword::DELETE
            | Keyword::BEGIN
            | Keyword::START
            | Keyword::COMMIT
            | Keyword::END
            | Keyword::ROLLBACK
            | Keyword::ABORT => true,
            _ => is_query(start) || is_open(start),
        };
        if offered {
            if start == 0 {
                let found = take_out(statement, &mut out).map_err(|error| syntax_error(sql, error))?;
                if found.end.is_some() {
                    clauses.insert(first.span.start, found);
                }
            }
            continue;
        }
        let position = Lines::of(sql).position(first.span.start);
        if keyword(start) == Keyword::NoKeyword {
            let found = format!("expected a statement, found \"{}\"", first.token);
            return Err(SqlError::Syntax { message: found, position });
        }
        let mut what = format!("the statement {}", first.token.to_string().to_uppercase());
        if let (Keyword::CREATE | Keyword::ALTER | Keyword::DROP, Some(second)) =
            (keyword(start), statement.get(start + 1))
        {
            what = format!("{what} {}", second.token.to_string().to_uppercase());
        }
        let is_view = (start..start + 4).any(|place| keyword(place) == Keyword::VIEW);
        let instead =
            is_view.then(|| "Views are live here: write CREATE LIVE VIEW, DROP LIVE VIEW.".to_owned());
        return Err(SqlError::NotSupported { what, instead, position });
    }
    tokens.retain(|token| !out.contains(&token.span.start));
    Ok((tokens, clauses))
}

fn is_named(token: Option<&&TokenWithSpan>, word: &str) -> bool {
    token.is_some_and(|token| is_word(&token.token, word))
}

/// The query's text in the text of a CREATE LIVE VIEW: what follows the first AS that is in no brackets.
pub(crate) fn view_query(text: &str) -> Option<&str> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().ok()?;
    let mut depth = 0;
    let place = tokens.iter().position(|token| {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Word(word) => return depth == 0 && word.keyword == Keyword::AS,
            _ => {}
        }
        false
    })?;
    let end = Cursor::new(text).forward(tokens[place].span.end);
    Some(text[end..].trim())
}

fn syntax_error(sql: &str, error: ParserError) -> SqlError {
    match error {
        ParserError::RecursionLimitExceeded => {
            SqlError::TooComplex { what: "expressions are nested too deep", position: None }
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let (text, at) = match message.rsplit_once(" at Line: ") {
                Some((text, at)) => (text, read_location(at)),
                None => (message.as_str(), None),
            };
            let position = at.and_then(|at| Lines::of(sql).position(at));
            for clause in ["SEARCH", "CYCLE"] {
                // Behind a common table, where only the query's body or another common table is expected.
                let found =
                    text.rsplit_once(", found: ").filter(|(expected, _)| expected.contains("query body"));
                if found.is_some_and(|(_, found)| found.eq_ignore_ascii_case(clause)) {
                    let what = format!("{clause} of a recursive query");
                    let instead = Some("Carry the path or the depth in a column of your own.".to_owned());
                    return SqlError::NotSupported { what, instead, position };
                }
            }
            let message = match text.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: "))
            {
                Some((expected, "EOF")) => format!("expected {expected}, found the end of the text"),
                Some((expected, found)) => format!("expected {expected}, found \"{found}\""),
                None => lower_first(text),
            };
            let end = || message.ends_with("the end of the text").then(|| sql.chars().count() + 1);
            SqlError::Syntax { position: position.or_else(end), message }
        }
    }
}

fn read_location(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Location::new(line.parse().ok()?, digits.parse().ok()?))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complexity(sql: &str) -> &'static str {
        match parse(sql) {
            Err(error) => error.sqlstate(),
            Ok(_) => "",
        }
    }

    #[test]
    fn statements_keep_their_own_text() {
        let parsed = parse(";;SELECT 1 ; \n UPDATE t SET a = 'ü;' WHERE b;").unwrap();
        let texts: Vec<&str> = parsed.iter().map(|parsed| parsed.text.as_str()).collect();
        assert_eq!(texts, ["SELECT 1", "UPDATE t SET a = 'ü;' WHERE b"]);
        assert!(parse(" -- nothing\n").unwrap().is_empty());
    }

    #[test]
    fn syntax_errors_say_where() {
        for (sql, position) in [
            ("SELEC 1", Some(1)),
            ("SELECT 1\nFROM t WHERE", Some(22)),
            ("SELECT 'ü' 'x' FROM", Some(12)),
            ("SELECT (1", Some(10)),
            ("SELECT 1 2", Some(10)),
            ("SELECT 'open", Some(8)),
            ("SELECT \0", Some(8)),
        ] {
            let error = parse(sql).unwrap_err();
            assert_eq!(error.sqlstate(), "42601", "{sql}: {error}");
            assert_eq!(error.position(), position, "{sql}: {error}");
        }
    }

    #[test]
    fn nothing_nests_too_deep_for_the_stack() {
        for (head, unit, tail) in [
            ("SELECT ", "(", "1"),
            ("SELECT ", "NOT ", "true"),
            ("SELECT ", "- ", "1"),
            ("SELECT ", "1+", "1"),
            ("SELECT ", "a OR ", "b"),
            ("SELECT 1", "::int", ""),
            ("SELECT 1::int", "[]", ""),
            ("SELECT a", "[1]", ""),
            ("SELECT ", "ARRAY[", "1"),
            ("SELECT 1", " IS NULL", ""),
            ("SELECT ", "CASE WHEN ", "1"),
            ("SELECT ", "INTERVAL ", "'1'"),
            ("SELECT ", "f(", "1"),
            ("SELECT 1 ", "UNION ALL SELECT 1, 2 ", ""),
            ("", "SELECT * FROM (", "t"),
            ("SELECT ", "EXISTS (SELECT ", "1"),
            ("SELECT ", "DATE ", "'1'"),
            ("", "EXPLAIN ", "SELECT 1"),
            ("SELECT ", "1 BETWEEN 0 AND ", "1"),
            ("WITH ", "a AS (WITH ", "1"),
        ] {
            for count in [60, 100, 190, 500, 40_000] {
                let sql = format!("{head}{}{tail}", unit.repeat(count));
                let _ = parse(&sql);
            }
            let sql = format!("{head}{}{tail}", unit.repeat(40_000));
            assert!(["54001", "42601", "54000", "0A000"].contains(&complexity(&sql)), "{head}{unit}{tail}");
        }
        assert_eq!(complexity(&"x".repeat(limits::STATEMENT_BYTES + 1)), "54000");
        assert_eq!(complexity(&format!("SELECT 1 IN ({}1)", "1,".repeat(50_000))), "");
    }
}
