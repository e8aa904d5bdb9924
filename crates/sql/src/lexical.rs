//! What PostgreSQL's lexer does beyond the library's: signs at the ends of operators, strings in pieces, and
//! `ISNULL`, which is `IS NULL`.
//!
//! Invariant: tokens keep the places that they have in the text, so that errors point where they should.

use sqlparser::{
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace},
};

/// Tokens as PostgreSQL would have read them; the error is the place of a string that stands right behind another.
pub(crate) fn as_postgresql(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Location> {
    let mut read: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // The place of the last token that is no space, if it is a string, and whether a line has ended since.
    let mut string: Option<(usize, bool)> = None;
    // Behind AS, or a table's name, any word is a name.
    let mut is_name = false;
    for token in tokens {
        let names = match &token.token {
            Token::Whitespace(_) => is_name,
            Token::Period => true,
            Token::Word(word) => word.keyword == Keyword::AS,
            _ => false,
        };
        let was_name = std::mem::replace(&mut is_name, names);
        match (&token.token, string) {
            (Token::Word(word), _) if !was_name && word.quote_style.is_none() => {
                string = None;
                let keywords: &[&str] = if word.value.eq_ignore_ascii_case("isnull") {
                    &["IS", "NULL"]
                } else if word.value.eq_ignore_ascii_case("notnull") {
                    &["IS", "NOT", "NULL"]
                } else {
                    &[]
                };
                if keywords.is_empty() {
                    read.push(token);
                    continue;
                }
                let span = token.span;
                for keyword in keywords {
                    let token = Token::make_keyword(keyword);
                    read.push(TokenWithSpan { token, span });
                }
            }
            (Token::Whitespace(space), Some((at, ended))) => {
                let ends = matches!(space, Whitespace::Newline | Whitespace::SingleLineComment { .. });
                string = Some((at, ended || ends));
                read.push(token);
            }
            (Token::Whitespace(_), None) => read.push(token),
            (Token::SingleQuotedString(_), Some((_, false))) => return Err(token.span.start),
            (Token::SingleQuotedString(more), Some((at, true))) => {
                // Escapes in the next piece of an E'…' were not read as such.
                let Token::SingleQuotedString(text) = &mut read[at].token else {
                    return Err(token.span.start);
                };
                text.push_str(more);
                string = Some((at, false));
            }
            (Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_), _) => {
                string = Some((read.len(), false));
                read.push(token);
            }
            (Token::CustomBinaryOperator(text), _) => {
                string = None;
                split_signs(text, token.span.start, &mut read);
            }
            _ => {
                string = None;
                read.push(token);
            }
        }
    }
    Ok(read)
}

/// Takes signs off the end of an operator: `a>-1` is `a > -1`. An operator with one of some characters keeps them.
fn split_signs(text: &str, mut start: Location, read: &mut Vec<TokenWithSpan>) {
    let keeps_sign = |c: char| "~!@#%^&|`?".contains(c);
    let end = if text.contains(keeps_sign) { text.len() } else { text.trim_end_matches(['+', '-']).len() };
    // An operator of signs alone is its first.
    let (head, signs) = text.split_at(end.max(1));
    let head = match Tokenizer::new(&PostgreSqlDialect {}, head).tokenize() {
        Ok(found) if found.len() == 1 => found,
        _ => vec![Token::CustomBinaryOperator(head.to_owned())],
    };
    let signs = signs.chars().map(|sign| if sign == '-' { Token::Minus } else { Token::Plus });
    for token in head.into_iter().chain(signs) {
        let end = Location { column: start.column + token.to_string().len() as u64, ..start };
        read.push(TokenWithSpan { token, span: Span { start, end } });
        start = end;
    }
}
