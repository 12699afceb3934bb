//! What a statement reads: measurements by name or regex, and subqueries.

use std::fmt;

use super::error::ParseError;
use super::expr_parser::segments;
use super::parser::Parser;
use super::quote;
use super::select::{IntoClause, SelectStatement};
use super::token::{Keyword, TokenKind};
use crate::model::regex::Regex;

/// One entry of FROM.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A measurement, or all that match a regex.
    Measurement(Measurement),
    /// `(SELECT …)`; SELECT only.
    Subquery(Box<SelectStatement>),
}

/// `[database.][policy.]name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// None means the request's database; never empty.
    pub database: Option<String>,
    /// None means the default policy; never empty.
    pub policy: Option<String>,
    /// Which measurements.
    pub name: MeasurementName,
}

/// One name, or a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementName {
    /// Exactly this; 1.x takes an empty name for every measurement.
    Name(String),
    /// All that match.
    Regex(Regex),
}

/// Parses sources separated by commas, at least one, with subqueries.
pub(super) fn parse_list(p: &mut Parser<'_>) -> Result<Vec<Source>, ParseError> {
    let mut sources = vec![parse(p)?];
    while p.next_if(TokenKind::Comma) {
        sources.push(parse(p)?);
    }
    Ok(sources)
}

/// Parses `FROM` and its measurements if it comes next; without it, none.
pub(super) fn parse_measurements(p: &mut Parser<'_>) -> Result<Vec<Source>, ParseError> {
    if !p.keyword_if(Keyword::From) {
        return Ok(vec![]);
    }
    let mut sources = vec![Source::Measurement(measurement(p)?)];
    while p.next_if(TokenKind::Comma) {
        sources.push(Source::Measurement(measurement(p)?));
    }
    Ok(sources)
}

fn parse(p: &mut Parser<'_>) -> Result<Source, ParseError> {
    // A regex is looked for first, as 1.x does: it looks behind a token that was put back.
    if let Some(regex) = p.regex_if()? {
        return Ok(Source::Measurement(matching(regex)));
    }
    let token = p.next();
    if token.kind != TokenKind::LeftParen {
        p.unscan();
        return named(p).map(Source::Measurement);
    }
    p.enter(token.position)?;
    p.expect_keyword(Keyword::Select)?;
    let select = SelectStatement::parse(p, IntoClause::Optional)?;
    p.expect(TokenKind::RightParen, ")")?;
    p.leave();
    Ok(Source::Subquery(Box::new(select)))
}

/// Parses one measurement.
pub(super) fn measurement(p: &mut Parser<'_>) -> Result<Measurement, ParseError> {
    match p.regex_if()? {
        Some(regex) => Ok(matching(regex)),
        None => named(p),
    }
}

fn matching(regex: Regex) -> Measurement {
    Measurement { database: None, policy: None, name: MeasurementName::Regex(regex) }
}

/// `[database.][policy.]name`, where the name may be a regex.
fn named(p: &mut Parser<'_>) -> Result<Measurement, ParseError> {
    let mut segments = segments(p)?;
    let regex = if segments.len() == 3 { None } else { p.regex_if()? };
    let name = match regex {
        Some(regex) => MeasurementName::Regex(regex),
        None => MeasurementName::Name(segments.pop().unwrap_or_default()),
    };
    let policy = segments.pop().filter(|policy| !policy.is_empty());
    let database = segments.pop().filter(|database| !database.is_empty());
    Ok(Measurement { database, policy, name })
}

/// `[database.][policy.]` with its dots; the default policy of a named database leaves nothing
/// between two dots.
pub(super) fn write_qualifier(
    f: &mut fmt::Formatter<'_>,
    database: Option<&str>,
    policy: Option<&str>,
) -> fmt::Result {
    if let Some(database) = database {
        write!(f, "{}.", quote::ident(database))?;
    }
    if let Some(policy) = policy {
        f.write_str(&quote::ident(policy))?;
    }
    if database.is_some() || policy.is_some() { f.write_str(".") } else { Ok(()) }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_qualifier(f, self.database.as_deref(), self.policy.as_deref())?;
        match &self.name {
            MeasurementName::Name(name) => f.write_str(&quote::ident(name)),
            MeasurementName::Regex(regex) => write!(f, "{regex}"),
        }
    }
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
    use crate::influxql::check;

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
