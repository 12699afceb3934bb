//! Parses and prints the clauses that several statements share: `ON`, `WHERE`, `GROUP BY`,
//! `ORDER BY`, `LIMIT`, `OFFSET`, `SLIMIT` and `SOFFSET`.

use std::fmt;

use super::error::ParseError;
use super::expr::{Expr, List};
use super::expr_parser;
use super::parser::{Parser, unexpected};
use super::token::{Keyword, TokenKind};

/// `ORDER BY time [ASC|DESC]`, or `ORDER BY ASC|DESC`. As in 1.x, no other column is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// Whether the clause names `time`. The name affects only the printed text.
    pub named: bool,
    /// Whether the latest row comes first.
    pub descending: bool,
}

pub(super) fn on_database(p: &mut Parser<'_>) -> Result<Option<String>, ParseError> {
    Ok(p.after(Keyword::On, Parser::ident)?.filter(|database| !database.is_empty()))
}

pub(super) fn required_database(p: &mut Parser<'_>) -> Result<String, ParseError> {
    p.expect_keyword(Keyword::On)?;
    p.ident()
}

pub(super) fn required_policy(p: &mut Parser<'_>) -> Result<(String, String), ParseError> {
    let database = required_database(p)?;
    let dot = p.scan();
    if dot.kind != TokenKind::Dot {
        return Err(unexpected(&dot, "."));
    }
    Ok((database, p.ident()?))
}

pub(super) fn condition(p: &mut Parser<'_>) -> Result<Option<Expr>, ParseError> {
    p.after(Keyword::Where, expr_parser::parse)
}

pub(super) fn group_by(p: &mut Parser<'_>) -> Result<Vec<Expr>, ParseError> {
    if !p.keyword_if(Keyword::Group) {
        return Ok(vec![]);
    }
    p.expect_keyword(Keyword::By)?;
    let mut dimensions = vec![dimension(p)?];
    while p.scan_if(TokenKind::Comma) {
        dimensions.push(dimension(p)?);
    }
    Ok(dimensions)
}

fn dimension(p: &mut Parser<'_>) -> Result<Expr, ParseError> {
    if let Some(regex) = p.regex_if()? {
        return Ok(Expr::Regex(regex));
    }
    let expr = expr_parser::parse(p)?;
    p.skip_blank();
    Ok(expr)
}

pub(super) fn order_by(p: &mut Parser<'_>) -> Result<Option<OrderBy>, ParseError> {
    if !p.keyword_if(Keyword::Order) {
        return Ok(None);
    }
    p.expect_keyword(Keyword::By)?;
    let token = p.next();
    let order = match token.kind {
        TokenKind::Keyword(Keyword::Asc) => OrderBy { named: false, descending: false },
        TokenKind::Keyword(Keyword::Desc) => OrderBy { named: false, descending: true },
        TokenKind::Ident => {
            let descending = direction(p);
            if token.text != "time" {
                return Err(ParseError::OrderBy);
            }
            OrderBy { named: true, descending }
        }
        _ => return Err(unexpected(&token, "identifier, ASC, DESC")),
    };
    let mut several = false;
    while p.next_if(TokenKind::Comma) {
        p.ident()?;
        direction(p);
        several = true;
    }
    if several { Err(ParseError::OrderBy) } else { Ok(Some(order)) }
}

fn direction(p: &mut Parser<'_>) -> bool {
    let descending = p.keyword_if(Keyword::Desc);
    if !descending {
        p.keyword_if(Keyword::Asc);
    }
    descending
}

/// Parses the keyword and the count of a clause such as LIMIT. Returns 0 for an absent clause. As
/// in 1.x, an integer above `i64::MAX` becomes `i64::MAX`.
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

/// Writes the keyword and the value, or nothing if there is no value.
pub(super) fn write_option(
    f: &mut fmt::Formatter<'_>,
    keyword: &str,
    value: Option<impl fmt::Display>,
) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {keyword} {value}"),
        None => Ok(()),
    }
}

pub(super) fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    keyword: &str,
    items: &[T],
) -> fmt::Result {
    write_option(f, keyword, (!items.is_empty()).then_some(List(items)))
}

/// Writes the counts of LIMIT, OFFSET, SLIMIT and SOFFSET, in this order. `counts` may be shorter,
/// without the last counts.
pub(super) fn write_counts(f: &mut fmt::Formatter<'_>, counts: &[u64]) -> fmt::Result {
    let keywords = [Keyword::Limit, Keyword::Offset, Keyword::Slimit, Keyword::Soffset];
    for (keyword, count) in keywords.iter().zip(counts).filter(|(_, count)| **count > 0) {
        write!(f, " {} {count}", keyword.as_str())?;
    }
    Ok(())
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = if self.named { "time " } else { "" };
        let direction = if self.descending { "DESC" } else { "ASC" };
        write!(f, "{column}{direction}")
    }
}

#[cfg(test)]
mod tests {
    use crate::tests as check;

    #[test]
    fn parser_accepts_any_dimension() {
        check::stays(&[
            "SELECT mean(a) FROM m GROUP BY *",
            "SELECT mean(a) FROM m GROUP BY host, /x/, time(1m, -10s), a + 1",
            "SELECT mean(a) FROM m GROUP BY time(1m, now()), *::tag",
        ]);
        check::fails(&[
            ("SELECT a FROM m GROUP host", "found host, expected BY at line 1, char 23"),
            (
                "SELECT a FROM m GROUP BY host,",
                "found EOF, expected identifier, string, number, bool at line 1, char 32",
            ),
        ]);
    }

    #[test]
    fn order_by_accepts_only_time() {
        check::stays(&["SELECT a FROM m ORDER BY DESC", "SELECT a FROM m ORDER BY time DESC"]);
        check::prints(&[
            ("SELECT a FROM m ORDER BY time", "SELECT a FROM m ORDER BY time ASC"),
            ("SHOW SERIES ORDER BY asc", "SHOW SERIES ORDER BY ASC"),
        ]);
        check::fails(&[
            ("SELECT a FROM m ORDER BY a", "only ORDER BY time supported at this time"),
            ("SELECT a FROM m ORDER BY TIME", "only ORDER BY time supported at this time"),
            ("SELECT a FROM m ORDER BY time, a DESC", "only ORDER BY time supported at this time"),
            (
                "SELECT a FROM m ORDER BY 1",
                "found 1, expected identifier, ASC, DESC at line 1, char 26",
            ),
            ("SELECT a FROM m ORDER time", "found time, expected BY at line 1, char 23"),
        ]);
    }
}
