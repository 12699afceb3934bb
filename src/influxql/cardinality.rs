//! `SHOW … [EXACT] CARDINALITY`: what the five statements have in common.

use super::expr::Expr;
use super::select::Dimension;
use super::source::Source;
use super::tag_key_filter::TagKeyFilter;

/// What is counted.
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

/// `SHOW … [EXACT] CARDINALITY [ON db] [FROM …] [WHERE …] [GROUP BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct CardinalityStatement {
    /// What is counted.
    pub of: CardinalityOf,
    /// Whether `EXACT` was written.
    pub exact: bool,
    /// `ON`; None means the request's database.
    pub database: Option<String>,
    /// `FROM`; empty without the clause. Never subqueries.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `GROUP BY`; empty without the clause.
    pub dimensions: Vec<Dimension>,
    /// 0 is no limit.
    pub limit: u64,
    /// Rows to skip.
    pub offset: u64,
}
