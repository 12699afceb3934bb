//! Parses and prints the sources and the target of a statement: measurements by name or regex,
//! subqueries, and `INTO`.

use std::fmt;

use super::error::ParseError;
use super::parser::Parser;
use super::quote;
use super::select::{IntoClause, SelectStatement};
use super::token::{Keyword, TokenKind};
use tidemark_model::regex::Regex;

/// An entry of FROM.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A measurement, or all measurements that match a regex.
    Measurement(Measurement),
    /// `(SELECT …)`, allowed only in SELECT.
    Subquery(Box<SelectStatement>),
}

/// `[database.][policy.]name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The database, which is never empty, or `None` for the request's database.
    pub database: Option<String>,
    /// The retention policy, which is never empty, or `None` for the default policy.
    pub policy: Option<String>,
    /// The measurement's name or a pattern.
    pub name: MeasurementName,
}

/// The name of a measurement, or a pattern for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementName {
    /// Exactly this name. An empty name means every measurement in lists such as SHOW SERIES, and
    /// is an error elsewhere, as in 1.x.
    Name(String),
    /// All measurements that match the regex.
    Regex(Regex),
}

/// The target of SELECT INTO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The database, which is never empty, or `None` for the request's database.
    pub database: Option<String>,
    /// The retention policy, which is never empty, or `None` for the default policy.
    pub policy: Option<String>,
    /// The measurement, which is never empty. `None` means `:MEASUREMENT`, the measurement that
    /// each row comes from.
    pub name: Option<String>,
}

impl Source {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        p.count_source()?;
        // As in 1.x, the parser first checks for a regex. This check reads the character after the
        // last token.
        if let Some(regex) = p.regex_if()? {
            return Ok(Self::Measurement(Measurement::matching(regex)));
        }
        let token = p.next();
        if token.kind != TokenKind::LeftParen {
            p.unscan();
            return Measurement::named(p).map(Self::Measurement);
        }
        p.enter(token.position)?;
        p.expect_keyword(Keyword::Select)?;
        let select = SelectStatement::parse(p, IntoClause::Optional)?;
        p.expect(TokenKind::RightParen, ")")?;
        p.leave();
        Ok(Self::Subquery(Box::new(select)))
    }
}

/// Parses `[FROM …]` without subqueries.
pub(super) fn from_measurements(p: &mut Parser<'_>) -> Result<Vec<Source>, ParseError> {
    let measurement = |p: &mut Parser<'_>| {
        p.count_source()?;
        Measurement::parse(p).map(Source::Measurement)
    };
    Ok(p.after(Keyword::From, |p| p.list(measurement))?.unwrap_or_default())
}

impl Measurement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        match p.regex_if()? {
            Some(regex) => Ok(Self::matching(regex)),
            None => Self::named(p),
        }
    }

    fn matching(regex: Regex) -> Self {
        Self { database: None, policy: None, name: MeasurementName::Regex(regex) }
    }

    fn named(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let mut segments = p.segments()?;
        let regex = if segments.len() == 3 { None } else { p.regex_if()? };
        let name = match regex {
            Some(regex) => MeasurementName::Regex(regex),
            None => MeasurementName::Name(segments.pop().unwrap_or_default()),
        };
        let (database, policy) = qualifier(segments);
        Ok(Self { database, policy, name })
    }
}

impl Target {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let mut segments = p.segments()?;
        if segments.len() < 3 && p.peek_char() == ':' {
            p.expect(TokenKind::Colon, ":")?;
            p.expect_keyword(Keyword::Measurement)?;
            segments.push(String::new());
        }
        // 1.x represents `:MEASUREMENT` as an empty name.
        let name = segments.pop().filter(|name| !name.is_empty());
        let (database, policy) = qualifier(segments);
        Ok(Self { database, policy, name })
    }
}

/// Returns the database and the policy, if they are not empty.
fn qualifier(mut segments: Vec<String>) -> (Option<String>, Option<String>) {
    let policy = segments.pop().filter(|policy| !policy.is_empty());
    (segments.pop().filter(|database| !database.is_empty()), policy)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measurement(measurement) => write!(f, "{measurement}"),
            Self::Subquery(select) => write!(f, "({select})"),
        }
    }
}

/// Prints `[database.][policy.]`, with an empty text between the dots for the default policy.
fn write_qualifier(
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

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_qualifier(f, self.database.as_deref(), self.policy.as_deref())?;
        match &self.name {
            Some(name) => f.write_str(&quote::ident(name)),
            None => f.write_str(":MEASUREMENT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests as check;

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

    #[test]
    fn into_targets_may_be_qualified() {
        check::stays(&[
            "SELECT a INTO t FROM m",
            "SELECT a INTO rp.t FROM m",
            "SELECT a INTO db.rp.t FROM m",
            "SELECT a INTO db..t FROM m",
            "SELECT a INTO db.rp.:MEASUREMENT FROM m",
        ]);
        check::prints(&[
            ("SELECT a INTO rp.:measurement FROM m", "SELECT a INTO rp.:MEASUREMENT FROM m"),
            ("SELECT a INTO rp :MEASUREMENT FROM m", "SELECT a INTO rp.:MEASUREMENT FROM m"),
        ]);
        check::fails(&[
            ("SELECT a INTO FROM m", "found FROM, expected identifier at line 1, char 15"),
            (
                "SELECT a INTO :MEASUREMENT FROM m",
                "found :, expected identifier at line 1, char 15",
            ),
            ("SELECT a INTO db.rp.:x FROM m", "found x, expected MEASUREMENT at line 1, char 22"),
        ]);
    }
}
