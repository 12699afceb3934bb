//! `KILL QUERY`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::parser::Parser;

/// `KILL QUERY id [ON host]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillQueryStatement {
    /// `qid` of SHOW QUERIES.
    pub id: u64,
    /// `ON`; never empty.
    pub host: Option<String>,
}

impl KillQueryStatement {
    /// Parses what stands after `KILL QUERY`.
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        // A host is named like a database.
        Ok(Self { id: p.u64()?, host: clause::on_database(p)? })
    }
}

impl fmt::Display for KillQueryStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KILL QUERY {}", self.id)?;
        clause::write_on(f, self.host.as_deref())
    }
}
