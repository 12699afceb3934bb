//! `SHOW MEASUREMENTS`.

use super::expr::Expr;
use super::order_by::OrderBy;
use super::source::Measurement;

/// `SHOW MEASUREMENTS [ON db[.policy]] [WITH MEASUREMENT =|=~ …] [WHERE …] [ORDER BY …]
/// [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowMeasurementsStatement {
    /// `ON`: the database.
    pub database: NamePattern,
    /// `ON`: the policy; [`NamePattern::Absent`] means all of them, as one list.
    pub policy: NamePattern,
    /// `WITH MEASUREMENT`
    pub measurement: Option<Measurement>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// 0 is no limit.
    pub limit: u64,
    /// Rows to skip.
    pub offset: u64,
}

/// A database or policy of `SHOW MEASUREMENTS ON`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// Not written.
    Absent,
    /// This one.
    Name(String),
    /// `*`
    All,
}
