//! Parses and prints `DROP` of retention policies, continuous queries and subscriptions.

use std::fmt;

use super::error::ParseError;
use super::parser::Parser;
use super::{clause, quote};

/// `name ON db`: the object that `DROP CONTINUOUS QUERY` or `DROP RETENTION POLICY` removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameOnDatabase {
    /// The name of the continuous query or of the policy.
    pub name: String,
    /// `ON`
    pub database: String,
}

/// `name ON db.policy`: the object that `DROP SUBSCRIPTION` removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameOnPolicy {
    /// The name of the subscription.
    pub name: String,
    /// The database in `ON`.
    pub database: String,
    /// The policy in `ON`.
    pub policy: String,
}

impl NameOnDatabase {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self { name: p.ident()?, database: clause::required_database(p)? })
    }
}

impl fmt::Display for NameOnDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ON {}", quote::ident(&self.name), quote::ident(&self.database))
    }
}

impl NameOnPolicy {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        let (database, policy) = clause::required_policy(p)?;
        Ok(Self { name, database, policy })
    }
}

impl fmt::Display for NameOnPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "{name} ON {database}.{}", quote::ident(&self.policy))
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
