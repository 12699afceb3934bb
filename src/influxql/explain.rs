//! `EXPLAIN`.

use super::select::SelectStatement;

/// `EXPLAIN [ANALYZE] [VERBOSE] SELECT …`
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainStatement {
    /// The query to explain.
    pub select: Box<SelectStatement>,
    /// Whether it runs.
    pub analyze: bool,
}
