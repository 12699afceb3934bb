//! Parses and prints `DELETE`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::expr::Expr;
use super::parser::Parser;
use super::source::Source;

/// `DELETE [FROM …] [WHERE …]` with at least one of the clauses.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteStatement {
    /// `FROM`, without databases and subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
}

impl DeleteStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let (sources, condition) = clause::selection(p, |source| {
            source.database.is_some().then_some(ParseError::DatabaseNotSupported)
        })?;
        Ok(Self { sources, condition })
    }
}

impl fmt::Display for DeleteStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DELETE")?;
        clause::write_from(f, &self.sources)?;
        clause::write_where(f, self.condition.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

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
}
