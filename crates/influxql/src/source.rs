//! Parses and prints the sources of a statement: measurements by name or regex, and subqueries.

use std::fmt;

use super::error::ParseError;
use super::measurement::{self, Measurement};
use super::parser::Parser;
use super::select::{IntoClause, SelectStatement};
use super::token::{Keyword, TokenKind};

/// An entry of FROM.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A measurement, or all measurements that match a regex.
    Measurement(Measurement),
    /// `(SELECT …)`, allowed only in SELECT.
    Subquery(Box<SelectStatement>),
}

pub(super) fn parse_list(p: &mut Parser<'_>) -> Result<Vec<Source>, ParseError> {
    let mut sources = vec![parse(p)?];
    while p.next_if(TokenKind::Comma) {
        sources.push(parse(p)?);
    }
    Ok(sources)
}

pub(super) fn parse_measurements(p: &mut Parser<'_>) -> Result<Vec<Source>, ParseError> {
    if !p.keyword_if(Keyword::From) {
        return Ok(vec![]);
    }
    p.count_source()?;
    let mut sources = vec![Source::Measurement(measurement::parse(p)?)];
    while p.next_if(TokenKind::Comma) {
        p.count_source()?;
        sources.push(Source::Measurement(measurement::parse(p)?));
    }
    Ok(sources)
}

fn parse(p: &mut Parser<'_>) -> Result<Source, ParseError> {
    p.count_source()?;
    // As in 1.x, the regex check comes first. It reads the character after the last token.
    if let Some(regex) = p.regex_if()? {
        return Ok(Source::Measurement(measurement::matching(regex)));
    }
    let token = p.next();
    if token.kind != TokenKind::LeftParen {
        p.unscan();
        return measurement::named(p).map(Source::Measurement);
    }
    p.enter(token.position)?;
    p.expect_keyword(Keyword::Select)?;
    let select = SelectStatement::parse(p, IntoClause::Optional)?;
    p.expect(TokenKind::RightParen, ")")?;
    p.leave();
    Ok(Source::Subquery(Box::new(select)))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measurement(measurement) => write!(f, "{measurement}"),
            Self::Subquery(select) => write!(f, "({select})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn measurements_may_be_qualified_and_matched() {
        check::stays(&[
            "SELECT a FROM db.rp.m, rp.m, db..m, m",
            "SELECT a FROM /x/, rp./x\\/y/, db.rp./x/, db../x/",
            "SELECT a FROM (SELECT b FROM (SELECT c FROM m)), n",
            "SELECT a FROM \"\"",
        ]);
        check::prints(&[
            ("SELECT a FROM \"db\".\"\".\"m\"", "SELECT a FROM db..m"),
            ("SELECT a FROM \"\".rp.m", "SELECT a FROM rp.m"),
        ]);
        check::fails(&[
            ("SELECT a FROM a.b.c.d", "too many segments in \"a\".\"b\".\"c\".d at line 1, char 1"),
            ("SELECT a FROM 'm'", "found m, expected identifier at line 1, char 14"),
            ("SELECT a FROM (m)", "found m, expected SELECT at line 1, char 16"),
            ("SELECT a FROM (SELECT b FROM m", "found EOF, expected ) at line 1, char 32"),
            (
                "SHOW SERIES FROM (SELECT a FROM m)",
                "found (, expected identifier at line 1, char 18",
            ),
            ("SELECT a FROM /x", "bad regex:  at line 1, char 14"),
            ("SELECT a FROM m /x/", "found  , expected regex at line 1, char 16"),
            (
                "SELECT a FROM /[/",
                "error parsing regexp: missing closing ]: `[` at line 1, char 14",
            ),
        ]);
    }
}
