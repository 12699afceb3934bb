//! `DROP SERIES`.

use super::expr::Expr;
use super::source::Source;

/// `DROP SERIES [FROM …] [WHERE …]`: at least one of the clauses.
#[derive(Clone, Debug, PartialEq)]
pub struct DropSeriesStatement {
    /// `FROM`; empty without the clause. Without database and policy, never subqueries.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
}
