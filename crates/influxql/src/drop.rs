//! Parses and prints `DROP` of retention policies, continuous queries and subscriptions.

use std::fmt;

use super::error::ParseError;
use super::parser::Parser;
use super::{clause, quote};

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
    /// The database in `ON database.policy`.
    pub database: String,
    /// The policy in `ON database.policy`.
    pub policy: String,
}

impl DropContinuousQueryStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self { name: p.ident()?, database: clause::required_database(p)? })
    }
}

impl fmt::Display for DropContinuousQueryStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "DROP CONTINUOUS QUERY {name} ON {database}")
    }
}

impl DropRetentionPolicyStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self { name: p.ident()?, database: clause::required_database(p)? })
    }
}

impl fmt::Display for DropRetentionPolicyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "DROP RETENTION POLICY {name} ON {database}")
    }
}

impl DropSubscriptionStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        let (database, policy) = clause::required_policy(p)?;
        Ok(Self { name, database, policy })
    }
}

impl fmt::Display for DropSubscriptionStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "DROP SUBSCRIPTION {name} ON {database}.{}", quote::ident(&self.policy))
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn drop_statements_name_their_database() {
        check::stays(&[
            "DROP CONTINUOUS QUERY cq ON db",
            "DROP RETENTION POLICY \"1h.x\" ON db",
            "DROP SUBSCRIPTION s ON db.rp",
        ]);
        check::fails(&[
            ("DROP CONTINUOUS x", "found x, expected QUERY at line 1, char 17"),
            ("DROP RETENTION POLICY rp", "found EOF, expected ON at line 1, char 26"),
            ("DROP SUBSCRIPTION s ON db rp", "found  , expected . at line 1, char 26"),
        ]);
    }
}
