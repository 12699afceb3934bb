//! Prints statements in 1.x's canonical form.

use std::fmt;

use super::ast::Statement;
use super::quote;
use super::token::Keyword;

impl fmt::Display for Statement {
    /// The text parses to an equal statement, except that passwords print as `[REDACTED]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Select(statement) => statement.fmt(f),
            Self::Explain(statement) => statement.fmt(f),
            Self::Delete(statement) => statement.fmt(f),
            Self::ShowDatabases => f.write_str("SHOW DATABASES"),
            Self::ShowRetentionPolicies { database } => {
                f.write_str("SHOW RETENTION POLICIES")?;
                super::clause::write_on(f, database.as_deref())
            }
            Self::ShowMeasurements(statement) => statement.fmt(f),
            Self::ShowList(statement) => statement.fmt(f),
            Self::ShowCardinality(statement) => statement.fmt(f),
            Self::ShowContinuousQueries => f.write_str("SHOW CONTINUOUS QUERIES"),
            Self::ShowDiagnostics { module } => {
                f.write_str("SHOW DIAGNOSTICS")?;
                write_module(f, module.as_deref())
            }
            Self::ShowGrants { user } => write!(f, "SHOW GRANTS FOR {}", quote::ident(user)),
            Self::ShowQueries => f.write_str("SHOW QUERIES"),
            Self::ShowShards => f.write_str("SHOW SHARDS"),
            Self::ShowShardGroups => f.write_str("SHOW SHARD GROUPS"),
            Self::ShowStats { database, module } => {
                f.write_str("SHOW STATS")?;
                super::clause::write_on(f, database.as_deref())?;
                write_module(f, module.as_deref())
            }
            Self::ShowSubscriptions => f.write_str("SHOW SUBSCRIPTIONS"),
            Self::ShowUsers => f.write_str("SHOW USERS"),
            Self::CreateDatabase(statement) => statement.fmt(f),
            Self::CreateRetentionPolicy(statement) => statement.fmt(f),
            Self::CreateContinuousQuery(statement) => statement.fmt(f),
            Self::CreateSubscription(statement) => statement.fmt(f),
            Self::CreateUser(statement) => statement.fmt(f),
            Self::AlterRetentionPolicy(statement) => statement.fmt(f),
            Self::SetPassword(statement) => statement.fmt(f),
            Self::Grant(statement) => statement.write(f, Keyword::Grant, Keyword::To),
            Self::Revoke(statement) => statement.write(f, Keyword::Revoke, Keyword::From),
            Self::DropDatabase { name } => write!(f, "DROP DATABASE {}", quote::ident(name)),
            Self::DropMeasurement { name } => write!(f, "DROP MEASUREMENT {}", quote::ident(name)),
            Self::DropRetentionPolicy(policy) => write!(f, "DROP RETENTION POLICY {policy}"),
            Self::DropContinuousQuery(query) => write!(f, "DROP CONTINUOUS QUERY {query}"),
            Self::DropSeries(statement) => statement.fmt(f),
            Self::DropShard { id } => write!(f, "DROP SHARD {id}"),
            Self::DropSubscription(name) => write!(f, "DROP SUBSCRIPTION {name}"),
            Self::DropUser { name } => write!(f, "DROP USER {}", quote::ident(name)),
            Self::KillQuery(statement) => statement.fmt(f),
        }
    }
}

fn write_module(f: &mut fmt::Formatter<'_>, module: Option<&str>) -> fmt::Result {
    match module {
        Some(module) => write!(f, " FOR {}", quote::string(module)),
        None => Ok(()),
    }
}
