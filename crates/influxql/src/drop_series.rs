//! Parses and prints `DROP SERIES`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::expr::Expr;
use super::parser::Parser;
use super::source::Source;

/// `DROP SERIES [FROM …] [WHERE …]` with at least one of the clauses.
#[derive(Clone, Debug, PartialEq)]
pub struct DropSeriesStatement {
    /// `FROM`, without databases, policies and subqueries, or empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
}

impl DropSeriesStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let (sources, condition) = clause::selection(p, |source| match source {
            source if source.policy.is_some() => Some(ParseError::PolicyNotSupported),
            source if source.database.is_some() => Some(ParseError::DatabaseNotSupported),
            _ => None,
        })?;
        Ok(Self { sources, condition })
    }
}

impl fmt::Display for DropSeriesStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DROP SERIES")?;
        clause::write_from(f, &self.sources)?;
        clause::write_where(f, self.condition.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

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
}
