//! Parses and prints `CREATE RETENTION POLICY`.

use std::fmt;

use super::error::ParseError;
use super::parser::Parser;
use super::token::{Keyword, TokenKind};
use super::{clause, duration, future_limit, quote};

/// `CREATE RETENTION POLICY name ON db DURATION d REPLICATION n [SHARD DURATION d]
/// [FUTURE LIMIT d] [PAST LIMIT d] [DEFAULT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRetentionPolicyStatement {
    /// The name as written, not validated.
    pub name: String,
    /// `ON`
    pub database: String,
    /// `DURATION` in nanoseconds, or 0 for `INF`.
    pub duration_ns: i64,
    /// `REPLICATION`, at least 1.
    pub replication: u32,
    /// `SHARD DURATION` in nanoseconds, or 0 for the default.
    pub shard_duration_ns: i64,
    /// `FUTURE LIMIT` in nanoseconds, or 0 for no limit.
    pub future_limit_ns: i64,
    /// `PAST LIMIT` in nanoseconds, or 0 for no limit.
    pub past_limit_ns: i64,
    /// Whether the policy becomes the database's default policy.
    pub default: bool,
}

impl CreateRetentionPolicyStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        let database = clause::required_database(p)?;
        p.expect_keyword(Keyword::Duration)?;
        let duration_ns = p.duration_ns()?;
        p.expect_keyword(Keyword::Replication)?;
        let replication = p.replication()?;
        let shard_duration_ns =
            if p.keyword_if(Keyword::Shard) { shard_duration_ns(p)? } else { 0 };
        // Some 1.12 releases print the limits before DEFAULT, and others after DEFAULT.
        let mut future_limit_ns = future_limit::parse(p, future_limit::FUTURE)?;
        let mut past_limit_ns = future_limit::parse(p, future_limit::PAST)?;
        let default = p.keyword_if(Keyword::Default);
        if future_limit_ns.is_none() {
            future_limit_ns = future_limit::parse(p, future_limit::FUTURE)?;
        }
        if past_limit_ns.is_none() {
            past_limit_ns = future_limit::parse(p, future_limit::PAST)?;
        }
        Ok(Self {
            name,
            database,
            duration_ns,
            replication,
            shard_duration_ns,
            future_limit_ns: future_limit_ns.unwrap_or(0),
            past_limit_ns: past_limit_ns.unwrap_or(0),
            default,
        })
    }
}

pub(super) fn shard_duration_ns(p: &mut Parser<'_>) -> Result<i64, ParseError> {
    p.expect_keyword(Keyword::Duration)?;
    let token = p.next();
    if token.kind == TokenKind::Keyword(Keyword::Inf) {
        return Err(ParseError::InfiniteShard { position: token.position });
    }
    p.unscan();
    p.duration_ns()
}

impl fmt::Display for CreateRetentionPolicyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "CREATE RETENTION POLICY {name} ON {database}")?;
        write!(f, " DURATION {}", duration::format(self.duration_ns))?;
        write!(f, " REPLICATION {}", self.replication)?;
        if self.shard_duration_ns > 0 {
            write!(f, " SHARD DURATION {}", duration::format(self.shard_duration_ns))?;
        }
        let written = |ns: i64| Some(ns).filter(|ns| *ns > 0);
        future_limit::write(f, future_limit::FUTURE, written(self.future_limit_ns))?;
        future_limit::write(f, future_limit::PAST, written(self.past_limit_ns))?;
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn duration_and_replication_are_required() {
        check::stays(&[
            "CREATE RETENTION POLICY rp ON db DURATION 1w REPLICATION 1",
            "CREATE RETENTION POLICY rp ON db DURATION 1h REPLICATION 2 SHARD DURATION 30m \
                FUTURE LIMIT 1h PAST LIMIT 2h DEFAULT",
        ]);
        check::prints(&[(
            "CREATE RETENTION POLICY rp ON db DURATION INF REPLICATION 1 DEFAULT PAST LIMIT 60s",
            "CREATE RETENTION POLICY rp ON db DURATION 0s REPLICATION 1 PAST LIMIT 1m DEFAULT",
        )]);
        check::fails(&[
            (
                "CREATE RETENTION POLICY rp ON db REPLICATION 1",
                "found REPLICATION, expected DURATION at line 1, char 34",
            ),
            (
                "CREATE RETENTION POLICY rp ON db DURATION 1h REPLICATION 2147483648",
                "invalid value 2147483648: must be 1 <= n <= 2147483647 at line 1, char 58",
            ),
            (
                "CREATE RETENTION POLICY rp ON db DURATION 1h REPLICATION 99999999999999999999",
                "strconv.Atoi: parsing \"99999999999999999999\": value out of range at line 1, char 58",
            ),
            (
                "CREATE RETENTION POLICY rp ON db DURATION 1x REPLICATION 1",
                "invalid duration at line 1, char 43",
            ),
            (
                "CREATE RETENTION POLICY rp ON db DURATION 1h REPLICATION 1 SHARD DURATION INF",
                "invalid duration INF for shard duration at line 1, char 75",
            ),
        ]);
    }
}
