//! Parses and prints clauses that several statements share, such as `ON`, `WHERE` and `LIMIT`.

use std::fmt;

use super::error::ParseError;
use super::expr::{Expr, List};
use super::measurement::Measurement;
use super::order_by::OrderBy;
use super::parser::Parser;
use super::source::{self, Source};
use super::token::{Keyword, TokenKind};
use super::{expr_parser, quote};

pub(super) fn on_database(p: &mut Parser<'_>) -> Result<Option<String>, ParseError> {
    if !p.keyword_if(Keyword::On) {
        return Ok(None);
    }
    Ok(Some(p.ident()?).filter(|database| !database.is_empty()))
}

pub(super) fn required_database(p: &mut Parser<'_>) -> Result<String, ParseError> {
    p.expect_keyword(Keyword::On)?;
    p.ident()
}

pub(super) fn required_policy(p: &mut Parser<'_>) -> Result<(String, String), ParseError> {
    let database = required_database(p)?;
    let dot = p.scan();
    if dot.kind != TokenKind::Dot {
        return Err(super::parser::unexpected(&dot, &["."]));
    }
    Ok((database, p.ident()?))
}

pub(super) fn condition(p: &mut Parser<'_>) -> Result<Option<Expr>, ParseError> {
    if !p.keyword_if(Keyword::Where) {
        return Ok(None);
    }
    expr_parser::parse(p).map(Some)
}

/// Parses `[FROM …] [WHERE …]` with at least one of the clauses. `mistake` returns the error of an
/// invalid source. If several sources are invalid, 1.x reports the last invalid source.
pub(super) fn selection(
    p: &mut Parser<'_>,
    mistake: impl Fn(&Measurement) -> Option<ParseError>,
) -> Result<(Vec<Source>, Option<Expr>), ParseError> {
    let token = p.next();
    p.unscan();
    let sources = source::parse_measurements(p)?;
    let mistake = sources.iter().rev().find_map(|source| match source {
        Source::Measurement(measurement) => mistake(measurement),
        Source::Subquery(_) => None,
    });
    if let Some(mistake) = mistake {
        return Err(mistake);
    }
    let condition = condition(p)?;
    if sources.is_empty() && condition.is_none() {
        return Err(super::parser::unexpected(&token, &["FROM", "WHERE"]));
    }
    Ok((sources, condition))
}

/// Returns 0 for an absent clause. As in 1.x, an integer above `i64::MAX` becomes `i64::MAX`.
pub(super) fn count(p: &mut Parser<'_>, keyword: Keyword) -> Result<u64, ParseError> {
    if !p.keyword_if(keyword) {
        return Ok(0);
    }
    let token = p.expect(TokenKind::Integer, "integer")?;
    if token.text.starts_with('-') {
        let clause = keyword.as_str();
        return Err(ParseError::Negative { clause, position: token.position });
    }
    Ok(token.text.parse::<i64>().unwrap_or(i64::MAX).unsigned_abs())
}

pub(super) fn write_on(f: &mut fmt::Formatter<'_>, database: Option<&str>) -> fmt::Result {
    match database {
        Some(database) => write!(f, " ON {}", quote::ident(database)),
        None => Ok(()),
    }
}

pub(super) fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    keyword: &str,
    items: &[T],
) -> fmt::Result {
    if items.is_empty() { Ok(()) } else { write!(f, " {keyword} {}", List(items)) }
}

pub(super) fn write_from(f: &mut fmt::Formatter<'_>, sources: &[Source]) -> fmt::Result {
    write_list(f, "FROM", sources)
}

pub(super) fn write_where(f: &mut fmt::Formatter<'_>, condition: Option<&Expr>) -> fmt::Result {
    match condition {
        Some(condition) => write!(f, " WHERE {condition}"),
        None => Ok(()),
    }
}

pub(super) fn write_order(f: &mut fmt::Formatter<'_>, order: Option<OrderBy>) -> fmt::Result {
    match order {
        Some(order) => write!(f, " ORDER BY {order}"),
        None => Ok(()),
    }
}

/// Writes the counts of LIMIT, OFFSET, SLIMIT and SOFFSET, in this order. The last ones may be absent.
pub(super) fn write_counts(f: &mut fmt::Formatter<'_>, counts: &[u64]) -> fmt::Result {
    let keywords = [Keyword::Limit, Keyword::Offset, Keyword::Slimit, Keyword::Soffset];
    for (keyword, count) in keywords.iter().zip(counts).filter(|(_, count)| **count > 0) {
        write!(f, " {} {count}", keyword.as_str())?;
    }
    Ok(())
}
