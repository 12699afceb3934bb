//! `ALTER RETENTION POLICY`.

/// `ALTER RETENTION POLICY name ON db …`: at least one of the options, in any order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AlterRetentionPolicyStatement {
    /// `DEFAULT` without quotes is the policy named `default`.
    pub name: String,
    /// `ON`
    pub database: String,
    /// `DURATION`, nanoseconds; 0 is `INF`.
    pub duration_ns: Option<i64>,
    /// `REPLICATION`
    pub replication: Option<u32>,
    /// `SHARD DURATION`, nanoseconds.
    pub shard_duration_ns: Option<i64>,
    /// `FUTURE LIMIT`, nanoseconds.
    pub future_limit_ns: Option<i64>,
    /// `PAST LIMIT`, nanoseconds.
    pub past_limit_ns: Option<i64>,
    /// Whether it becomes the database's default policy.
    pub default: bool,
}
