//! `DELETE`.

use super::expr::Expr;
use super::source::Source;

/// `DELETE [FROM …] [WHERE …]`: at least one of the clauses.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteStatement {
    /// `FROM`; empty without the clause. Without database, never subqueries.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
}
