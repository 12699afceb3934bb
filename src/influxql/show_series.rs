//! `SHOW SERIES`.

use super::expr::Expr;
use super::order_by::OrderBy;
use super::source::Source;

/// `SHOW SERIES [ON db] [FROM …] [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowSeriesStatement {
    /// `ON`; None means the request's database.
    pub database: Option<String>,
    /// `FROM`; empty without the clause. Never subqueries.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// 0 is no limit.
    pub limit: u64,
    /// Rows to skip.
    pub offset: u64,
}
