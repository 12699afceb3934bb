//! `KILL QUERY`.

/// `KILL QUERY id [ON host]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillQueryStatement {
    /// `qid` of SHOW QUERIES.
    pub id: u64,
    /// `ON`; never empty.
    pub host: Option<String>,
}
