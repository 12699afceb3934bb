//! Parses and prints `SHOW … [EXACT] CARDINALITY`. The five statements share one form.

use std::fmt;

use super::clause;
use super::dimension::{self, Dimension};
use super::error::ParseError;
use super::expr::Expr;
use super::parser::Parser;
use super::source::{self, Source};
use super::tag_key_filter::TagKeyFilter;
use super::token::Keyword;

/// The kind of item that a cardinality statement counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardinalityOf {
    /// `SHOW SERIES CARDINALITY`
    Series,
    /// `SHOW MEASUREMENT CARDINALITY`
    Measurement,
    /// `SHOW TAG KEY CARDINALITY`
    TagKey,
    /// `SHOW TAG VALUES CARDINALITY … WITH KEY …`
    TagValues(TagKeyFilter),
    /// `SHOW FIELD KEY CARDINALITY`
    FieldKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Series,
    Measurement,
    TagKey,
    TagValues,
    FieldKey,
}

/// `SHOW … [EXACT] CARDINALITY [ON db] [FROM …] [WHERE …] [GROUP BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct CardinalityStatement {
    /// The kind of item that the statement counts.
    pub of: CardinalityOf,
    /// Whether `EXACT` is present.
    pub exact: bool,
    /// `ON`, or `None` for the request's database.
    pub database: Option<String>,
    /// `FROM`, without subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `GROUP BY`. The list is empty if the clause is absent.
    pub dimensions: Vec<Dimension>,
    /// The maximum number of rows, or 0 for no limit.
    pub limit: u64,
    /// The number of rows to skip.
    pub offset: u64,
}

impl CardinalityStatement {
    pub(super) fn parse(
        p: &mut Parser<'_>,
        counted: Counted,
        exact: bool,
    ) -> Result<Self, ParseError> {
        let database = clause::on_database(p)?;
        let sources = source::parse_measurements(p)?;
        let of = match counted {
            Counted::Series => CardinalityOf::Series,
            Counted::Measurement => CardinalityOf::Measurement,
            Counted::TagKey => CardinalityOf::TagKey,
            Counted::TagValues => CardinalityOf::TagValues(TagKeyFilter::parse(p)?),
            Counted::FieldKey => CardinalityOf::FieldKey,
        };
        Ok(Self {
            of,
            exact,
            database,
            sources,
            condition: clause::condition(p)?,
            dimensions: dimension::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
        })
    }
}

impl fmt::Display for CardinalityStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counted, keys) = match &self.of {
            CardinalityOf::Series => ("SERIES", None),
            CardinalityOf::Measurement => ("MEASUREMENT", None),
            CardinalityOf::TagKey => ("TAG KEY", None),
            CardinalityOf::TagValues(keys) => ("TAG VALUES", Some(keys)),
            CardinalityOf::FieldKey => ("FIELD KEY", None),
        };
        let exact = if self.exact { " EXACT" } else { "" };
        write!(f, "SHOW {counted}{exact} CARDINALITY")?;
        clause::write_on(f, self.database.as_deref())?;
        clause::write_from(f, &self.sources)?;
        if let Some(keys) = keys {
            write!(f, "{keys}")?;
        }
        clause::write_where(f, self.condition.as_ref())?;
        clause::write_list(f, "GROUP BY", &self.dimensions)?;
        clause::write_counts(f, &[self.limit, self.offset])
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn cardinality_statements_share_clauses() {
        check::stays(&[
            "SHOW SERIES CARDINALITY",
            "SHOW SERIES EXACT CARDINALITY ON db FROM m WHERE host = 'a' GROUP BY host LIMIT 1 OFFSET 2",
            "SHOW MEASUREMENT CARDINALITY ON db",
            "SHOW MEASUREMENT EXACT CARDINALITY FROM /x/",
            "SHOW TAG KEY CARDINALITY FROM m",
            "SHOW TAG KEY EXACT CARDINALITY",
            "SHOW TAG VALUES CARDINALITY FROM m WITH KEY = host WHERE a = 'b'",
            "SHOW TAG VALUES EXACT CARDINALITY WITH KEY IN (a, b)",
            "SHOW FIELD KEY CARDINALITY",
            "SHOW FIELD KEY EXACT CARDINALITY FROM m",
        ]);
        check::prints(&[("SHOW SERIES EXACT", "SHOW SERIES")]);
        check::fails(&[
            ("SHOW MEASUREMENT x", "found x, expected EXACT, CARDINALITY at line 1, char 18"),
            ("SHOW MEASUREMENT EXACT x", "found x, expected CARDINALITY at line 1, char 24"),
            ("SHOW TAG KEY x", "found x, expected EXACT, CARDINALITY at line 1, char 14"),
            ("SHOW FIELD KEY EXACT x", "found x, expected CARDINALITY at line 1, char 22"),
            ("SHOW TAG VALUES EXACT x", "found x, expected CARDINALITY at line 1, char 23"),
            ("SHOW TAG VALUES CARDINALITY", "found EOF, expected WITH at line 1, char 29"),
        ]);
    }
}
