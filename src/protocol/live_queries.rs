//! Queries that run for longer than a page: what the Catalog knows of each.
//!
//! The Catalog keeps them because SHOW QUERIES and KILL QUERY name no database and a query may read
//! several. It keeps them in memory only: a report costs a call and no row. A report comes with the
//! second page, then with a page every `QUERY_REPORT_EVERY_NS`, and one at the end.

use serde::{Deserialize, Serialize};

use crate::model::ids::ObjectId;

/// A query as it is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveQuery {
    /// Drawn by the edge, never 0.
    pub id: u64,
    /// The statement.
    pub text: String,
    /// The request's database; "" without one.
    pub database: String,
    /// Who asks; "" for a token.
    pub user: String,
    /// When it began, nanoseconds.
    pub started_ns: i64,
    /// Whom it reads.
    pub shards: Vec<ObjectId>,
    /// The Catalog's own: it was told to stop.
    #[serde(default)]
    pub killed: bool,
}
