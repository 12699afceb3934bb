//! Parses and prints `KILL QUERY`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::parser::Parser;

/// `KILL QUERY id [ON host]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillQueryStatement {
    /// The query's number: `qid` in the result of SHOW QUERIES.
    pub id: u64,
    /// `ON`, which is never empty.
    pub host: Option<String>,
}

impl KillQueryStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self { id: p.u64()?, host: clause::on_database(p)? })
    }
}

impl fmt::Display for KillQueryStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KILL QUERY {}", self.id)?;
        clause::write_on(f, self.host.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn kill_query_takes_number() {
        check::stays(&["KILL QUERY 4", "KILL QUERY 18446744073709551615 ON \"host:8088\""]);
        check::fails(&[
            ("KILL 4", "found 4, expected QUERY at line 1, char 6"),
            ("KILL QUERY a", "found a, expected integer at line 1, char 12"),
            (
                "KILL QUERY 18446744073709551616",
                "strconv.ParseUint: parsing \"18446744073709551616\": value out of range \
                    at line 1, char 12",
            ),
        ]);
    }
}
