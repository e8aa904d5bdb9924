//! The words of the statements that only we have.
//!
//! Invariant: a word is one in no quotes, in any case, whatever the parser library takes it for.

use sqlparser::{
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

/// What the parser says of one of our own statements.
pub(crate) type Parsed<T> = Result<T, ParserError>;

/// Whether a token is a certain word.
pub(crate) fn is_word(token: &Token, name: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
}

/// Whether the next words are CREATE or DROP, which is given, and another.
pub(crate) fn defines(parser: &Parser<'_>, what: &str) -> Option<Keyword> {
    let Token::Word(first) = parser.peek_token().token else { return None };
    let second = parser.peek_nth_token(1).token;
    let is_ours = matches!(first.keyword, Keyword::CREATE | Keyword::DROP) && is_word(&second, what);
    is_ours.then_some(first.keyword)
}

/// Takes the next word if it is this one.
pub(crate) fn take(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = is_word(&parser.peek_token().token, word);
    if found {
        parser.next_token();
    }
    found
}

/// Takes the next word, which must be this one.
pub(crate) fn expect(parser: &mut Parser<'_>, word: &str) -> Parsed<()> {
    if take(parser, word) { Ok(()) } else { parser.expected(&word.to_uppercase(), parser.peek_token()) }
}

/// Takes one of several words, by place.
pub(crate) fn choose(parser: &mut Parser<'_>, words: &[&str]) -> Parsed<usize> {
    match words.iter().position(|word| take(parser, word)) {
        Some(place) => Ok(place),
        None => parser.expected(&words.join(", ").to_uppercase(), parser.peek_token()),
    }
}
