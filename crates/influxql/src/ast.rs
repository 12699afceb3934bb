//! [`Statement`], the enum of all statements, and the types of their parts.

use std::fmt;

pub use super::clause::OrderBy;
pub use super::databases_and_policies::{
    AlterRetentionPolicyStatement, CreateDatabaseStatement, CreateRetentionPolicyStatement,
    DatabasePolicy,
};
pub use super::delete_and_drop::{DeleteStatement, NameOnDatabase};
pub use super::expr::{Cast, Expr, WildcardKind};
pub use super::operator::BinaryOp;
pub use super::select::{
    CreateContinuousQueryStatement, ExplainStatement, Field, Fill, FillNumber, SelectStatement,
};
pub use super::show::{
    CardinalityOf, CardinalityStatement, ListOf, NamePattern, ShowListStatement,
    ShowMeasurementsStatement, TagKeyFilter,
};
pub use super::source::{Measurement, MeasurementName, Source, Target};
pub use super::users::{CreateUserStatement, GrantStatement, Password, Privilege};
pub use tidemark_model::regex::Regex;

use super::clause::write_option;
use super::expr::List;
use super::quote;
use super::token::Keyword;

/// A statement. Large variants are boxed to keep the enum small.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum Statement {
    Select(Box<SelectStatement>),
    Explain(ExplainStatement),
    Delete(DeleteStatement),
    ShowDatabases,
    ShowRetentionPolicies {
        /// `ON`, or `None` for the request's database.
        database: Option<String>,
    },
    ShowMeasurements(Box<ShowMeasurementsStatement>),
    /// `SHOW SERIES`, `SHOW TAG KEYS`, `SHOW TAG VALUES` or `SHOW FIELD KEYS`
    ShowList(Box<ShowListStatement>),
    ShowCardinality(Box<CardinalityStatement>),
    ShowContinuousQueries,
    /// `SHOW DIAGNOSTICS [FOR 'module']`
    ShowDiagnostics {
        /// `FOR`, which is never empty.
        module: Option<String>,
    },
    ShowGrants {
        user: String,
    },
    ShowQueries,
    ShowShards,
    ShowShardGroups,
    /// `SHOW STATS [ON db] [FOR 'module']`. 1.x does not support `ON`.
    ShowStats {
        /// `ON`, or `None` for all databases.
        database: Option<String>,
        /// `FOR`, which is never empty.
        module: Option<String>,
    },
    ShowSubscriptions,
    ShowUsers,
    CreateDatabase(Box<CreateDatabaseStatement>),
    CreateRetentionPolicy(Box<CreateRetentionPolicyStatement>),
    CreateContinuousQuery(Box<CreateContinuousQueryStatement>),
    /// `CREATE SUBSCRIPTION name ON db.policy DESTINATIONS ALL|ANY 'host' [, 'host' …]`
    CreateSubscription {
        name: String,
        database: String,
        policy: String,
        /// `ALL`: each write goes to every destination. `ANY`: each write goes to one destination.
        mode: Keyword,
        /// The URLs of the destinations, at least one.
        destinations: Vec<String>,
    },
    CreateUser(CreateUserStatement),
    AlterRetentionPolicy(Box<AlterRetentionPolicyStatement>),
    /// `SET PASSWORD FOR name = '…'`
    SetPassword {
        name: String,
        password: Password,
    },
    Grant(GrantStatement),
    Revoke(GrantStatement),
    DropDatabase {
        name: String,
    },
    DropMeasurement {
        name: String,
    },
    DropRetentionPolicy(NameOnDatabase),
    DropContinuousQuery(NameOnDatabase),
    DropSeries(DeleteStatement),
    DropShard {
        id: u64,
    },
    /// `DROP SUBSCRIPTION name ON db.policy`
    DropSubscription {
        name: String,
        database: String,
        policy: String,
    },
    DropUser {
        name: String,
    },
    /// `KILL QUERY id [ON host]`
    KillQuery {
        /// The query's number: `qid` in the result of SHOW QUERIES.
        id: u64,
        /// `ON`, which is never empty.
        host: Option<String>,
    },
}

impl fmt::Display for Statement {
    /// Prints the statement. The text parses to an equal statement, except that passwords print as
    /// `[REDACTED]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Select(statement) => statement.fmt(f),
            Self::Explain(statement) => statement.fmt(f),
            Self::Delete(statement) => statement.write(f, "DELETE"),
            Self::ShowDatabases => f.write_str("SHOW DATABASES"),
            Self::ShowRetentionPolicies { database } => {
                f.write_str("SHOW RETENTION POLICIES")?;
                write_option(f, "ON", database.as_deref().map(quote::ident))
            }
            Self::ShowMeasurements(statement) => statement.fmt(f),
            Self::ShowList(statement) => statement.fmt(f),
            Self::ShowCardinality(statement) => statement.fmt(f),
            Self::ShowContinuousQueries => f.write_str("SHOW CONTINUOUS QUERIES"),
            Self::ShowDiagnostics { module } => {
                f.write_str("SHOW DIAGNOSTICS")?;
                write_option(f, "FOR", module.as_deref().map(quote::string))
            }
            Self::ShowGrants { user } => write!(f, "SHOW GRANTS FOR {}", quote::ident(user)),
            Self::ShowQueries => f.write_str("SHOW QUERIES"),
            Self::ShowShards => f.write_str("SHOW SHARDS"),
            Self::ShowShardGroups => f.write_str("SHOW SHARD GROUPS"),
            Self::ShowStats { database, module } => {
                f.write_str("SHOW STATS")?;
                write_option(f, "ON", database.as_deref().map(quote::ident))?;
                write_option(f, "FOR", module.as_deref().map(quote::string))
            }
            Self::ShowSubscriptions => f.write_str("SHOW SUBSCRIPTIONS"),
            Self::ShowUsers => f.write_str("SHOW USERS"),
            Self::CreateDatabase(statement) => statement.fmt(f),
            Self::CreateRetentionPolicy(statement) => statement.fmt(f),
            Self::CreateContinuousQuery(statement) => statement.fmt(f),
            Self::CreateSubscription { name, database, policy, mode, destinations } => {
                let (name, database) = (quote::ident(name), quote::ident(database));
                write!(f, "CREATE SUBSCRIPTION {name} ON {database}.{}", quote::ident(policy))?;
                let hosts: Vec<_> = destinations.iter().map(|host| quote::string(host)).collect();
                write!(f, " DESTINATIONS {} {}", mode.as_str(), List(&hosts))
            }
            Self::CreateUser(statement) => statement.fmt(f),
            Self::AlterRetentionPolicy(statement) => statement.fmt(f),
            Self::SetPassword { name, .. } => {
                write!(f, "SET PASSWORD FOR {} = [REDACTED]", quote::ident(name))
            }
            Self::Grant(statement) => statement.write(f, Keyword::Grant, Keyword::To),
            Self::Revoke(statement) => statement.write(f, Keyword::Revoke, Keyword::From),
            Self::DropDatabase { name } => write!(f, "DROP DATABASE {}", quote::ident(name)),
            Self::DropMeasurement { name } => write!(f, "DROP MEASUREMENT {}", quote::ident(name)),
            Self::DropRetentionPolicy(policy) => write!(f, "DROP RETENTION POLICY {policy}"),
            Self::DropContinuousQuery(query) => write!(f, "DROP CONTINUOUS QUERY {query}"),
            Self::DropSeries(statement) => statement.write(f, "DROP SERIES"),
            Self::DropShard { id } => write!(f, "DROP SHARD {id}"),
            Self::DropSubscription { name, database, policy } => {
                let (name, database) = (quote::ident(name), quote::ident(database));
                write!(f, "DROP SUBSCRIPTION {name} ON {database}.{}", quote::ident(policy))
            }
            Self::DropUser { name } => write!(f, "DROP USER {}", quote::ident(name)),
            Self::KillQuery { id, host } => {
                write!(f, "KILL QUERY {id}")?;
                write_option(f, "ON", host.as_deref().map(quote::ident))
            }
        }
    }
}

/// The effect of a statement or a whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The statement selects points and changes no data.
    Selects,
    /// The statement reads other data or metadata and changes no data.
    Reads,
    /// The statement changes data, metadata or a running query.
    Writes,
}

impl Effect {
    /// Returns the effect of `statement`. The effect of statements that this function does not list
    /// is [`Self::Writes`].
    pub fn new(statement: &Statement) -> Self {
        match statement {
            Statement::Select(select) if select.into.is_none() => Self::Selects,
            // EXPLAIN ANALYZE ignores INTO.
            Statement::Explain(_)
            | Statement::ShowDatabases
            | Statement::ShowRetentionPolicies { .. }
            | Statement::ShowMeasurements(_)
            | Statement::ShowList(_)
            | Statement::ShowCardinality(_)
            | Statement::ShowContinuousQueries
            | Statement::ShowDiagnostics { .. }
            | Statement::ShowGrants { .. }
            | Statement::ShowQueries
            | Statement::ShowShards
            | Statement::ShowShardGroups
            | Statement::ShowStats { .. }
            | Statement::ShowSubscriptions
            | Statement::ShowUsers => Self::Reads,
            _ => Self::Writes,
        }
    }

    /// Whether the statement can change anything.
    pub fn writes(self) -> bool {
        self == Self::Writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound_params::Params;
    use crate::parse_statement;

    #[test]
    fn select_into_counts_as_write() {
        for (text, effect) in [
            ("SELECT v FROM m", Effect::Selects),
            ("SELECT v INTO n FROM m", Effect::Writes),
            ("EXPLAIN SELECT v INTO n FROM m", Effect::Reads),
            ("EXPLAIN ANALYZE SELECT v FROM m", Effect::Reads),
            ("EXPLAIN ANALYZE SELECT v INTO n FROM m", Effect::Reads),
            ("SHOW STATS", Effect::Reads),
            ("KILL QUERY 1", Effect::Writes),
        ] {
            let statement = parse_statement(text, &Params::default()).unwrap();
            assert_eq!(Effect::new(&statement), effect, "{text}");
        }
    }
}
