//! `CREATE DATABASE`.

/// `CREATE DATABASE name [WITH …]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDatabaseStatement {
    /// Not validated.
    pub name: String,
    /// `WITH …`: the default policy to create.
    pub policy: Option<DatabasePolicy>,
}

/// The options after `WITH`, at least one of them written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DatabasePolicy {
    /// `DURATION`, nanoseconds; 0 is `INF`.
    pub duration_ns: Option<i64>,
    /// `REPLICATION`
    pub replication: Option<u32>,
    /// `SHARD DURATION`, nanoseconds; 0 means the default.
    pub shard_duration_ns: i64,
    /// `FUTURE LIMIT`, nanoseconds.
    pub future_limit_ns: Option<i64>,
    /// `PAST LIMIT`, nanoseconds.
    pub past_limit_ns: Option<i64>,
    /// `NAME`; never empty.
    pub name: Option<String>,
}
