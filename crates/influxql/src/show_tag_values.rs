//! Parses and prints `SHOW TAG VALUES`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::expr::Expr;
use super::order_by::{self, OrderBy};
use super::parser::Parser;
use super::source::{self, Source};
use super::tag_key_filter::TagKeyFilter;
use super::token::Keyword;

/// `SHOW TAG VALUES [ON db] [FROM …] WITH KEY … [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowTagValuesStatement {
    /// `ON`, or `None` for the request's database.
    pub database: Option<String>,
    /// `FROM`, without subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WITH KEY`
    pub keys: TagKeyFilter,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// The maximum number of values per measurement, or 0 for no limit.
    pub limit: u64,
    /// The number of values to skip in each measurement.
    pub offset: u64,
}

impl ShowTagValuesStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            database: clause::on_database(p)?,
            sources: source::parse_measurements(p)?,
            keys: TagKeyFilter::parse(p)?,
            condition: clause::condition(p)?,
            order: order_by::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
        })
    }
}

impl fmt::Display for ShowTagValuesStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW TAG VALUES")?;
        clause::write_on(f, self.database.as_deref())?;
        clause::write_from(f, &self.sources)?;
        write!(f, "{}", self.keys)?;
        clause::write_where(f, self.condition.as_ref())?;
        clause::write_order(f, self.order)?;
        clause::write_counts(f, &[(Keyword::Limit, self.limit), (Keyword::Offset, self.offset)])
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn show_tag_values_requires_keys() {
        check::stays(&[
            "SHOW TAG VALUES WITH KEY = host",
            "SHOW TAG VALUES ON db FROM m, /x/ WITH KEY IN (a, b) WHERE host = 'a' ORDER BY ASC \
                LIMIT 1 OFFSET 2",
        ]);
        check::fails(&[
            ("SHOW TAG VALUES FROM m", "found EOF, expected WITH at line 1, char 24"),
            (
                "SHOW TAG VALUES FROM m WHERE a = 'b'",
                "found WHERE, expected WITH at line 1, char 24",
            ),
        ]);
    }
}
