//! `SHOW TAG KEYS`.

use super::expr::Expr;
use super::order_by::OrderBy;
use super::source::Source;
use super::tag_key_filter::TagKeyFilter;

/// `SHOW TAG KEYS [ON db] [FROM …] [WITH KEY …] [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]
/// [SLIMIT n] [SOFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowTagKeysStatement {
    /// `ON`; None means the request's database.
    pub database: Option<String>,
    /// `FROM`; empty without the clause. Never subqueries.
    pub sources: Vec<Source>,
    /// `WITH KEY`
    pub keys: Option<TagKeyFilter>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// Keys of each measurement; 0 is no limit.
    pub limit: u64,
    /// Keys of each measurement to skip.
    pub offset: u64,
    /// 0 is no limit.
    pub slimit: u64,
    /// Series to skip.
    pub soffset: u64,
}
