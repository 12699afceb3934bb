//! Parses and prints `FUTURE LIMIT d` and `PAST LIMIT d`, limits for a policy's points (1.12).

use std::fmt;

use super::duration;
use super::error::ParseError;
use super::parser::Parser;
use super::token::Keyword;

pub(super) const FUTURE: &str = "FUTURE";
pub(super) const PAST: &str = "PAST";

pub(super) fn comes_next(p: &mut Parser<'_>) -> bool {
    p.peek_word(FUTURE) || p.peek_word(PAST)
}

pub(super) fn parse(p: &mut Parser<'_>, word: &str) -> Result<Option<i64>, ParseError> {
    if !p.word_if(word) {
        return Ok(None);
    }
    p.expect_keyword(Keyword::Limit)?;
    p.duration_ns().map(Some)
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, word: &str, limit_ns: Option<i64>) -> fmt::Result {
    match limit_ns {
        Some(ns) => write!(f, " {word} LIMIT {}", duration::format(ns)),
        None => Ok(()),
    }
}
