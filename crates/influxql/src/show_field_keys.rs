//! Parses and prints `SHOW FIELD KEYS`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::order_by::{self, OrderBy};
use super::parser::Parser;
use super::source::{self, Source};
use super::token::Keyword;

/// `SHOW FIELD KEYS [ON db] [FROM …] [ORDER BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowFieldKeysStatement {
    /// `ON`, or `None` for the request's database.
    pub database: Option<String>,
    /// `FROM`, without subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// The maximum number of keys per measurement, or 0 for no limit.
    pub limit: u64,
    /// The number of keys to skip in each measurement.
    pub offset: u64,
}

impl ShowFieldKeysStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            database: clause::on_database(p)?,
            sources: source::parse_measurements(p)?,
            order: order_by::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
        })
    }
}

impl fmt::Display for ShowFieldKeysStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW FIELD KEYS")?;
        clause::write_on(f, self.database.as_deref())?;
        clause::write_from(f, &self.sources)?;
        clause::write_order(f, self.order)?;
        clause::write_counts(f, &[(Keyword::Limit, self.limit), (Keyword::Offset, self.offset)])
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn show_field_keys_clauses_are_optional() {
        check::stays(&[
            "SHOW FIELD KEYS",
            "SHOW FIELD KEYS ON db FROM m, /x/ ORDER BY ASC LIMIT 1 OFFSET 2",
        ]);
        check::fails(&[
            ("SHOW FIELD x", "found x, expected KEY, KEYS at line 1, char 12"),
            ("SHOW FIELD KEYS ON 1", "found 1, expected identifier at line 1, char 20"),
            ("SHOW FIELD KEYS WHERE a = 1", "found WHERE, expected ; at line 1, char 17"),
        ]);
    }
}
