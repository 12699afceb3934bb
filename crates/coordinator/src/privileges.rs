//! Lists the permissions that each statement needs: 1.x's `RequiredPrivileges`, database by
//! database.

use tidemark_influxql::ast::{NamePattern, SelectStatement, Statement};
use tidemark_model::grant::{PermissionKind, SortedGrants};
use tidemark_query::metadata;
use tidemark_query::source::{self, Defaults};

/// A permission that the caller of a statement needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequiredPermission {
    /// The admin permission.
    Admin,
    /// A permission on a database.
    OnDatabase {
        /// Read or write.
        permission: PermissionKind,
        /// The database.
        database: String,
        /// The policies on which the caller needs the permission.
        scope: PolicyScope,
    },
}

/// The policies of a database on which the caller of a statement needs a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyScope {
    /// The whole database.
    All,
    /// At least one policy, because the statement names none. The code that later selects the
    /// policies checks the permission on each of them.
    Any,
    /// The policy that the statement names.
    Named(String),
}

impl RequiredPermission {
    /// Requires a permission on `policy` or, if `policy` is `None`, on at least one policy of the
    /// database.
    fn some(permission: PermissionKind, database: &str, policy: Option<String>) -> Self {
        let scope = policy.map_or(PolicyScope::Any, PolicyScope::Named);
        Self::OnDatabase { permission, database: database.to_owned(), scope }
    }

    fn whole(permission: PermissionKind, database: &str) -> Self {
        Self::OnDatabase { permission, database: database.to_owned(), scope: PolicyScope::All }
    }

    /// Returns the database of the permission.
    pub fn database(&self) -> Option<&str> {
        match self {
            Self::Admin => None,
            Self::OnDatabase { database, .. } => Some(database),
        }
    }

    /// Whether `grants` may contain the permission. If the result depends on the default policy,
    /// the machine that loads the database makes the final check.
    pub fn is_satisfied(&self, grants: &SortedGrants<'_>) -> bool {
        match self {
            Self::Admin => grants.admin,
            Self::OnDatabase { permission, database, scope } => match scope {
                PolicyScope::All => grants.covers_all(*permission, database),
                PolicyScope::Any => grants.may_cover(*permission, database, None),
                PolicyScope::Named(policy) => grants.may_cover(*permission, database, Some(policy)),
            },
        }
    }

    /// Returns the missing permission in 1.x's words.
    pub fn requires(&self) -> String {
        match self {
            Self::Admin => "admin privilege".to_owned(),
            Self::OnDatabase { permission, database, .. } => {
                format!("{} on {database}", permission.as_str())
            }
        }
    }
}

/// Returns all permissions that `statement` needs. A statement without any database needs no
/// permission, because its execution fails.
pub fn required_permissions(
    statement: &Statement,
    defaults: Defaults<'_>,
) -> Vec<RequiredPermission> {
    use PermissionKind::{Read, Write};
    let read = |database: &Option<String>| {
        let name = database.as_deref().or(defaults.database);
        name.map(|name| RequiredPermission::some(Read, name, None)).into_iter().collect()
    };
    // The databases in FROM and ON may differ.
    let shown = || metadata::database(statement, defaults).and_then(Result::ok);
    let write_default = || {
        defaults.database.map(|name| RequiredPermission::whole(Write, name)).into_iter().collect()
    };
    match statement {
        Statement::Select(select) => of_select(select, defaults),
        Statement::Explain(explain) => of_select(&explain.select, defaults),
        // The result lists only objects that the caller may see.
        Statement::ShowDatabases | Statement::ShowContinuousQueries => Vec::new(),
        Statement::ShowRetentionPolicies { database } => read(database),
        Statement::ShowMeasurements(show) => match &show.database {
            NamePattern::Absent => read(&None),
            NamePattern::Name(name) => vec![RequiredPermission::some(Read, name, None)],
            NamePattern::All => Vec::new(),
        },
        Statement::ShowList(_) => {
            shown().map(|name| RequiredPermission::some(Read, &name, None)).into_iter().collect()
        }
        // Readers of a database may see its size, because they may also see its cardinalities.
        Statement::ShowStats { database: Some(name), .. } => {
            vec![RequiredPermission::whole(Read, name)]
        }
        Statement::ShowCardinality(_) => {
            shown().map(|name| RequiredPermission::whole(Read, &name)).into_iter().collect()
        }
        Statement::Delete(_) | Statement::DropSeries(_) => write_default(),
        Statement::DropRetentionPolicy(drop) => {
            vec![RequiredPermission::whole(Write, &drop.database)]
        }
        Statement::DropContinuousQuery(drop) => {
            vec![RequiredPermission::whole(Write, &drop.database)]
        }
        Statement::CreateContinuousQuery(create) => {
            let database = defaults.database.or(Some(&create.database));
            let defaults = Defaults { database, policy: defaults.policy };
            let mut required = vec![RequiredPermission::whole(Read, &create.database)];
            // Runs of the continuous query do not check its creator's permissions. The creator
            // therefore needs the permissions now.
            required.extend(
                of_select(&create.source, defaults).into_iter().map(RequiredPermission::widened),
            );
            required
        }
        Statement::ShowDiagnostics { .. }
        | Statement::ShowGrants { .. }
        | Statement::ShowQueries
        | Statement::ShowShards
        | Statement::ShowShardGroups
        | Statement::ShowStats { database: None, .. }
        | Statement::ShowSubscriptions
        | Statement::ShowUsers
        | Statement::CreateDatabase(_)
        | Statement::CreateRetentionPolicy(_)
        | Statement::CreateSubscription { .. }
        | Statement::CreateUser(_)
        | Statement::AlterRetentionPolicy(_)
        | Statement::SetPassword { .. }
        | Statement::Grant(_)
        | Statement::Revoke(_)
        | Statement::DropDatabase { .. }
        | Statement::DropMeasurement { .. }
        | Statement::DropShard { .. }
        | Statement::DropSubscription { .. }
        | Statement::DropUser { .. }
        | Statement::KillQuery { .. } => vec![RequiredPermission::Admin],
    }
}

/// Whether each database that the statement uses checks the caller itself. For all other
/// statements, each request looks up the caller in the Catalog.
pub fn databases_check_caller(statement: &Statement) -> bool {
    match statement {
        Statement::Select(_) | Statement::Explain(_) => true,
        Statement::ShowRetentionPolicies { .. }
        | Statement::ShowList(_)
        | Statement::ShowCardinality(_) => true,
        Statement::ShowMeasurements(show) => show.database != NamePattern::All,
        _ => false,
    }
}

impl RequiredPermission {
    fn widened(self) -> Self {
        match self {
            Self::Admin => Self::Admin,
            Self::OnDatabase { permission, database, .. } => {
                Self::OnDatabase { permission, database, scope: PolicyScope::All }
            }
        }
    }
}

/// Returns the permissions that a SELECT requires: read permission on every source, including
/// subqueries, and write permission on the target.
fn of_select(select: &SelectStatement, defaults: Defaults<'_>) -> Vec<RequiredPermission> {
    let mut required = Vec::new();
    for name in source::sources(select, defaults).unwrap_or_default() {
        required.push(RequiredPermission::some(PermissionKind::Read, &name.database, name.policy));
    }
    if let Some(target) = &select.into
        && let Ok(name) = defaults.resolve(target.database.as_deref(), target.policy.as_deref())
    {
        required.push(RequiredPermission::some(PermissionKind::Write, &name.database, name.policy));
    }
    required
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the statement's required permissions in 1.x's words; the default database is `d`.
    fn needed(text: &str) -> Vec<String> {
        let statement = tidemark_influxql::parse(text, &Default::default()).unwrap().remove(0);
        let defaults = Defaults { database: Some("d"), policy: None };
        required_permissions(&statement, defaults)
            .iter()
            .map(RequiredPermission::requires)
            .collect()
    }

    #[test]
    fn statement_privileges_match_influxdb_1() {
        for (text, expected) in [
            ("SELECT * FROM m", &["READ on d"][..]),
            ("SELECT * FROM a..m, b.p.m, m", &["READ on a", "READ on b", "READ on d"]),
            ("SELECT * FROM (SELECT * FROM (SELECT * FROM e..m))", &["READ on e"]),
            ("SELECT * INTO x..t FROM m", &["READ on d", "WRITE on x"]),
            ("SELECT * INTO t FROM x..m", &["READ on x", "WRITE on d"]),
            ("EXPLAIN SELECT * FROM a..m", &["READ on a"]),
            ("SHOW DATABASES", &[]),
            ("SHOW RETENTION POLICIES ON e", &["READ on e"]),
            ("SHOW MEASUREMENTS", &["READ on d"]),
            ("SHOW MEASUREMENTS ON e", &["READ on e"]),
            ("SHOW MEASUREMENTS ON *", &[]),
            ("SHOW CONTINUOUS QUERIES", &[]),
            ("SHOW SERIES ON e", &["READ on e"]),
            ("SHOW SERIES ON e FROM x..m", &["READ on x"]),
            ("SHOW FIELD KEY CARDINALITY FROM x..m", &["READ on x"]),
            ("SHOW TAG KEYS ON e", &["READ on e"]),
            ("SHOW TAG VALUES ON e WITH KEY = k", &["READ on e"]),
            ("SHOW FIELD KEYS ON e", &["READ on e"]),
            ("SHOW SERIES CARDINALITY ON e", &["READ on e"]),
            ("SHOW STATS ON e", &["READ on e"]),
            ("SHOW STATS ON e FOR 'shard'", &["READ on e"]),
            ("DELETE FROM m", &["WRITE on d"]),
            ("DROP SERIES FROM m", &["WRITE on d"]),
            ("DROP RETENTION POLICY p ON e", &["WRITE on e"]),
            ("DROP CONTINUOUS QUERY c ON e", &["WRITE on e"]),
            (
                "CREATE CONTINUOUS QUERY c ON e BEGIN SELECT mean(v) INTO x..t FROM y..m GROUP BY \
                 time(1m) END",
                &["READ on e", "READ on y", "WRITE on x"],
            ),
            (
                "CREATE CONTINUOUS QUERY c ON e BEGIN SELECT mean(v) INTO t FROM m GROUP BY \
                 time(1m) END",
                &["READ on e", "READ on d", "WRITE on d"],
            ),
        ] {
            assert_eq!(needed(text), expected, "{text}");
        }
        for text in [
            "DROP MEASUREMENT m",
            "CREATE DATABASE e",
            "DROP DATABASE e",
            "CREATE RETENTION POLICY p ON d DURATION 1d REPLICATION 1",
            "ALTER RETENTION POLICY p ON d DEFAULT",
            "CREATE USER u WITH PASSWORD 'p'",
            "SET PASSWORD FOR u = 'p'",
            "GRANT READ ON d TO u",
            "REVOKE READ ON d FROM u",
            "DROP USER u",
            "SHOW USERS",
            "SHOW GRANTS FOR u",
            "SHOW QUERIES",
            "SHOW STATS",
            "SHOW DIAGNOSTICS",
            "SHOW SHARDS",
            "SHOW SHARD GROUPS",
            "SHOW SUBSCRIPTIONS",
            "KILL QUERY 1",
        ] {
            assert_eq!(needed(text), ["admin privilege"], "{text}");
        }
    }
}
