//! Parses and prints `DELETE`, `DROP SERIES` and `DROP … name ON db`.

use std::fmt;

use super::error::ParseError;
use super::expr::Expr;
use super::parser::{Parser, unexpected};
use super::source::{self, Measurement, Source};
use super::{clause, quote};

/// `DELETE` or `DROP SERIES`, followed by `[FROM …] [WHERE …]` with at least one of the clauses.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteStatement {
    /// `FROM`, without databases and subqueries, or empty if the clause is absent. Only `DELETE`
    /// allows policies.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
}

/// `name ON db`: the object that `DROP CONTINUOUS QUERY` or `DROP RETENTION POLICY` removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameOnDatabase {
    /// The name of the continuous query or of the policy.
    pub name: String,
    /// `ON`
    pub database: String,
}

impl DeleteStatement {
    pub(super) fn parse_delete(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Self::parse(p, |source| {
            source.database.is_some().then_some(ParseError::DatabaseNotSupported)
        })
    }

    pub(super) fn parse_drop_series(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Self::parse(p, |source| match source {
            source if source.policy.is_some() => Some(ParseError::PolicyNotSupported),
            source if source.database.is_some() => Some(ParseError::DatabaseNotSupported),
            _ => None,
        })
    }

    /// Parses the clauses after the keywords. `mistake` returns the error of a source, or `None` if
    /// the source is valid. If several sources are invalid, 1.x reports the last of them.
    fn parse(
        p: &mut Parser<'_>,
        mistake: impl Fn(&Measurement) -> Option<ParseError>,
    ) -> Result<Self, ParseError> {
        let token = p.next();
        p.unscan();
        let sources = source::from_measurements(p)?;
        let mistake = sources.iter().rev().find_map(|source| match source {
            Source::Measurement(measurement) => mistake(measurement),
            Source::Subquery(_) => None,
        });
        if let Some(mistake) = mistake {
            return Err(mistake);
        }
        let condition = clause::condition(p)?;
        if sources.is_empty() && condition.is_none() {
            return Err(unexpected(&token, "FROM, WHERE"));
        }
        Ok(Self { sources, condition })
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, verb: &str) -> fmt::Result {
        f.write_str(verb)?;
        clause::write_list(f, "FROM", &self.sources)?;
        clause::write_option(f, "WHERE", self.condition.as_ref())
    }
}

impl NameOnDatabase {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self { name: p.ident()?, database: clause::required_database(p)? })
    }
}

impl fmt::Display for NameOnDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ON {}", quote::ident(&self.name), quote::ident(&self.database))
    }
}

#[cfg(test)]
mod tests {
    use crate::tests as check;

    #[test]
    fn delete_needs_source_or_condition() {
        check::stays(&[
            "DELETE FROM m",
            "DELETE FROM rp.m, /x/ WHERE time < now() - 1d AND host = 'a'",
            "DELETE WHERE host = 'a'",
        ]);
        check::fails(&[
            ("DELETE", "found EOF, expected FROM, WHERE at line 1, char 8"),
            ("DELETE m", "found m, expected FROM, WHERE at line 1, char 8"),
            ("DELETE FROM db.rp.m", "database not supported at line 1, char 1"),
        ]);
    }

    #[test]
    fn drop_series_needs_source_or_condition() {
        check::stays(&[
            "DROP SERIES FROM m, /x/",
            "DROP SERIES FROM m WHERE host = 'a'",
            "DROP SERIES WHERE host = 'a'",
        ]);
        check::fails(&[
            ("DROP SERIES", "found EOF, expected FROM, WHERE at line 1, char 13"),
            ("DROP SERIES FROM db..m", "database not supported at line 1, char 1"),
            ("DROP SERIES FROM db.rp.m", "retention policy not supported at line 1, char 1"),
            ("DROP SERIES FROM rp.m, db..m", "database not supported at line 1, char 1"),
        ]);
    }

    #[test]
    fn drop_statements_name_their_database() {
        check::stays(&[
            "DROP CONTINUOUS QUERY cq ON db",
            "DROP RETENTION POLICY \"1h.x\" ON db",
            "DROP SUBSCRIPTION s ON db.rp",
        ]);
        check::fails(&[
            ("DROP CONTINUOUS x", "found x, expected QUERY at line 1, char 17"),
            ("DROP RETENTION POLICY rp", "found EOF, expected ON at line 1, char 26"),
            ("DROP SUBSCRIPTION s ON db rp", "found  , expected . at line 1, char 26"),
        ]);
    }
}
