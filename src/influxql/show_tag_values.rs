//! `SHOW TAG VALUES`.

use super::expr::Expr;
use super::order_by::OrderBy;
use super::source::Source;
use super::tag_key_filter::TagKeyFilter;

/// `SHOW TAG VALUES [ON db] [FROM …] WITH KEY … [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowTagValuesStatement {
    /// `ON`; None means the request's database.
    pub database: Option<String>,
    /// `FROM`; empty without the clause. Never subqueries.
    pub sources: Vec<Source>,
    /// `WITH KEY`
    pub keys: TagKeyFilter,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// Values of each measurement; 0 is no limit.
    pub limit: u64,
    /// Values of each measurement to skip.
    pub offset: u64,
}
