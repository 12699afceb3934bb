//! `DROP` of what belongs to a database and is called by its name.

/// `DROP CONTINUOUS QUERY name ON db`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropContinuousQueryStatement {
    /// The query's name.
    pub name: String,
    /// `ON`
    pub database: String,
}

/// `DROP RETENTION POLICY name ON db`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRetentionPolicyStatement {
    /// The policy's name.
    pub name: String,
    /// `ON`
    pub database: String,
}

/// `DROP SUBSCRIPTION name ON db.policy`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSubscriptionStatement {
    /// The subscription's name.
    pub name: String,
    /// `ON`
    pub database: String,
    /// `ON`
    pub policy: String,
}
