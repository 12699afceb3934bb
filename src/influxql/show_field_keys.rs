//! `SHOW FIELD KEYS`.

use super::order_by::OrderBy;
use super::source::Source;

/// `SHOW FIELD KEYS [ON db] [FROM …] [ORDER BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowFieldKeysStatement {
    /// `ON`; None means the request's database.
    pub database: Option<String>,
    /// `FROM`; empty without the clause. Never subqueries.
    pub sources: Vec<Source>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// Keys of each measurement; 0 is no limit.
    pub limit: u64,
    /// Keys of each measurement to skip.
    pub offset: u64,
}
