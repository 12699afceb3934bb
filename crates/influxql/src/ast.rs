//! [`Statement`], the enum of all statements, and the types of their parts.

pub use super::alter_retention_policy::AlterRetentionPolicyStatement;
pub use super::cardinality::{CardinalityOf, CardinalityStatement};
pub use super::create_continuous_query::CreateContinuousQueryStatement;
pub use super::create_database::{CreateDatabaseStatement, DatabasePolicy};
pub use super::create_retention_policy::CreateRetentionPolicyStatement;
pub use super::create_subscription::{CreateSubscriptionStatement, DestinationMode};
pub use super::create_user::CreateUserStatement;
pub use super::delete::DeleteStatement;
pub use super::dimension::Dimension;
pub use super::drop::{NameOnDatabase, NameOnPolicy};
pub use super::drop_series::DropSeriesStatement;
pub use super::explain::ExplainStatement;
pub use super::expr::{Cast, Expr, WildcardKind};
pub use super::field::Field;
pub use super::fill::{Fill, FillNumber};
pub use super::grant::{GrantStatement, Privilege};
pub use super::into::{Target, TargetName};
pub use super::kill_query::KillQueryStatement;
pub use super::measurement::{Measurement, MeasurementName};
pub use super::operator::BinaryOp;
pub use super::order_by::OrderBy;
pub use super::select::SelectStatement;
pub use super::set_password::SetPasswordStatement;
pub use super::show_list::{ListOf, ShowListStatement};
pub use super::show_measurements::{NamePattern, ShowMeasurementsStatement};
pub use super::source::Source;
pub use super::tag_key_filter::TagKeyFilter;
pub use tidemark_model::regex::Regex;

/// A statement. Large variants are boxed to keep the enum small.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT`
    Select(Box<SelectStatement>),
    /// `EXPLAIN`
    Explain(ExplainStatement),
    /// `DELETE`
    Delete(DeleteStatement),
    /// `SHOW DATABASES`
    ShowDatabases,
    /// `SHOW RETENTION POLICIES [ON db]`
    ShowRetentionPolicies {
        /// `ON`, or `None` for the request's database.
        database: Option<String>,
    },
    /// `SHOW MEASUREMENTS`
    ShowMeasurements(Box<ShowMeasurementsStatement>),
    /// `SHOW SERIES`, `SHOW TAG KEYS`, `SHOW TAG VALUES` or `SHOW FIELD KEYS`
    ShowList(Box<ShowListStatement>),
    /// `SHOW … CARDINALITY`
    ShowCardinality(Box<CardinalityStatement>),
    /// `SHOW CONTINUOUS QUERIES`
    ShowContinuousQueries,
    /// `SHOW DIAGNOSTICS [FOR 'module']`
    ShowDiagnostics {
        /// `FOR`, which is never empty.
        module: Option<String>,
    },
    /// `SHOW GRANTS FOR user`
    ShowGrants {
        /// The user whose privileges are listed.
        user: String,
    },
    /// `SHOW QUERIES`
    ShowQueries,
    /// `SHOW SHARDS`
    ShowShards,
    /// `SHOW SHARD GROUPS`
    ShowShardGroups,
    /// `SHOW STATS [ON db] [FOR 'module']`. 1.x does not support `ON`.
    ShowStats {
        /// `ON`, or `None` for all databases.
        database: Option<String>,
        /// `FOR`, which is never empty.
        module: Option<String>,
    },
    /// `SHOW SUBSCRIPTIONS`
    ShowSubscriptions,
    /// `SHOW USERS`
    ShowUsers,
    /// `CREATE DATABASE`
    CreateDatabase(Box<CreateDatabaseStatement>),
    /// `CREATE RETENTION POLICY`
    CreateRetentionPolicy(Box<CreateRetentionPolicyStatement>),
    /// `CREATE CONTINUOUS QUERY`
    CreateContinuousQuery(Box<CreateContinuousQueryStatement>),
    /// `CREATE SUBSCRIPTION`
    CreateSubscription(Box<CreateSubscriptionStatement>),
    /// `CREATE USER`
    CreateUser(CreateUserStatement),
    /// `ALTER RETENTION POLICY`
    AlterRetentionPolicy(Box<AlterRetentionPolicyStatement>),
    /// `SET PASSWORD`
    SetPassword(SetPasswordStatement),
    /// `GRANT`
    Grant(GrantStatement),
    /// `REVOKE`
    Revoke(GrantStatement),
    /// `DROP DATABASE name`
    DropDatabase {
        /// The database's name.
        name: String,
    },
    /// `DROP MEASUREMENT name`
    DropMeasurement {
        /// The measurement's name.
        name: String,
    },
    /// `DROP RETENTION POLICY`
    DropRetentionPolicy(NameOnDatabase),
    /// `DROP CONTINUOUS QUERY`
    DropContinuousQuery(NameOnDatabase),
    /// `DROP SERIES`
    DropSeries(DropSeriesStatement),
    /// `DROP SHARD id`
    DropShard {
        /// The shard's number.
        id: u64,
    },
    /// `DROP SUBSCRIPTION`
    DropSubscription(NameOnPolicy),
    /// `DROP USER name`
    DropUser {
        /// The user's name.
        name: String,
    },
    /// `KILL QUERY`
    KillQuery(KillQueryStatement),
}
