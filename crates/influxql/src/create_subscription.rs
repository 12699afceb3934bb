//! Parses and prints `CREATE SUBSCRIPTION`.

use std::fmt;

use super::error::ParseError;
use super::expr::List;
use super::parser::{Parser, unexpected};
use super::token::{Keyword, TokenKind};
use super::{clause, quote};

/// `CREATE SUBSCRIPTION name ON db.policy DESTINATIONS ALL|ANY 'host' [, 'host' …]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSubscriptionStatement {
    /// The subscription's name.
    pub name: String,
    /// The database in `ON database.policy`.
    pub database: String,
    /// The policy in `ON database.policy`.
    pub policy: String,
    /// `ALL` or `ANY`.
    pub mode: DestinationMode,
    pub(crate) destinations: Vec<String>,
}

/// The selection of destinations for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationMode {
    /// Each write goes to every destination.
    All,
    /// Each write goes to one destination.
    Any,
}

impl CreateSubscriptionStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        let (database, policy) = clause::required_policy(p)?;
        p.expect_keyword(Keyword::Destinations)?;
        let token = p.next();
        let mode = match token.kind {
            TokenKind::Keyword(Keyword::All) => DestinationMode::All,
            TokenKind::Keyword(Keyword::Any) => DestinationMode::Any,
            _ => return Err(unexpected(&token, &["ALL", "ANY"])),
        };
        Ok(Self { name, database, policy, mode, destinations: p.list(Parser::string)? })
    }
}

impl DestinationMode {
    /// Returns the keyword in upper case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Any => "ANY",
        }
    }
}

impl fmt::Display for CreateSubscriptionStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        let (policy, mode) = (quote::ident(&self.policy), self.mode.as_str());
        let hosts: Vec<_> = self.destinations.iter().map(|host| quote::string(host)).collect();
        write!(f, "CREATE SUBSCRIPTION {name} ON {database}.{policy}")?;
        write!(f, " DESTINATIONS {mode} {}", List(&hosts))
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn subscriptions_list_destinations() {
        check::stays(&[
            "CREATE SUBSCRIPTION s ON db.rp DESTINATIONS ALL 'http://a:1'",
            "CREATE SUBSCRIPTION s ON db.\"r p\" DESTINATIONS ANY 'udp://a:1', 'udp://b:2'",
        ]);
        check::fails(&[
            (
                "CREATE SUBSCRIPTION s ON db DESTINATIONS ALL 'a'",
                "found  , expected . at line 1, char 28",
            ),
            (
                "CREATE SUBSCRIPTION s ON db.rp DESTINATIONS 'a'",
                "found a, expected ALL, ANY at line 1, char 44",
            ),
            (
                "CREATE SUBSCRIPTION s ON db.rp DESTINATIONS ALL 'a', b",
                "found b, expected string at line 1, char 54",
            ),
        ]);
    }
}
