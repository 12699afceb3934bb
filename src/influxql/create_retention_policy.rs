//! `CREATE RETENTION POLICY`.

/// `CREATE RETENTION POLICY name ON db DURATION d REPLICATION n [SHARD DURATION d]
/// [FUTURE LIMIT d] [PAST LIMIT d] [DEFAULT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRetentionPolicyStatement {
    /// Not validated.
    pub name: String,
    /// `ON`
    pub database: String,
    /// Nanoseconds; 0 is `INF`.
    pub duration_ns: i64,
    /// At least 1.
    pub replication: u32,
    /// Nanoseconds; 0 means the default.
    pub shard_duration_ns: i64,
    /// `FUTURE LIMIT`, nanoseconds; 0 is none.
    pub future_limit_ns: i64,
    /// `PAST LIMIT`, nanoseconds; 0 is none.
    pub past_limit_ns: i64,
    /// Whether it becomes the database's default policy.
    pub default: bool,
}
