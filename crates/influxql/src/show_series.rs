//! Parses and prints `SHOW SERIES`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::expr::Expr;
use super::order_by::{self, OrderBy};
use super::parser::Parser;
use super::source::{self, Source};
use super::token::Keyword;

/// `SHOW SERIES [ON db] [FROM …] [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowSeriesStatement {
    /// `ON`, or `None` for the request's database.
    pub database: Option<String>,
    /// `FROM`, without subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// The maximum number of rows, or 0 for no limit.
    pub limit: u64,
    /// The number of rows to skip.
    pub offset: u64,
}

impl ShowSeriesStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            database: clause::on_database(p)?,
            sources: source::parse_measurements(p)?,
            condition: clause::condition(p)?,
            order: order_by::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
        })
    }
}

impl fmt::Display for ShowSeriesStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW SERIES")?;
        clause::write_on(f, self.database.as_deref())?;
        clause::write_from(f, &self.sources)?;
        clause::write_where(f, self.condition.as_ref())?;
        clause::write_order(f, self.order)?;
        clause::write_counts(f, &[(Keyword::Limit, self.limit), (Keyword::Offset, self.offset)])
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn show_series_clauses_are_optional() {
        check::stays(&[
            "SHOW SERIES",
            "SHOW SERIES ON \"my db\" FROM m, /x/ WHERE host = 'a' ORDER BY DESC LIMIT 1 OFFSET 2",
        ]);
        check::fails(&[
            ("SHOW SERIES ON", "found EOF, expected identifier at line 1, char 16"),
            ("SHOW SERIES m", "found m, expected ; at line 1, char 13"),
        ]);
    }
}
