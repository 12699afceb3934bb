//! Parses and prints `CREATE DATABASE`.

use std::fmt;

use super::error::ParseError;
use super::parser::{Parser, unexpected};
use super::token::{Keyword, TokenKind};
use super::{duration, future_limit, quote};

/// `CREATE DATABASE name [WITH …]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDatabaseStatement {
    /// The name as written, not validated.
    pub name: String,
    /// `WITH …`: the default retention policy to create.
    pub policy: Option<DatabasePolicy>,
}

/// The options after `WITH`. At least one is present.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DatabasePolicy {
    /// `DURATION` in nanoseconds, or 0 for `INF`.
    pub duration_ns: Option<i64>,
    /// `REPLICATION`
    pub replication: Option<u32>,
    /// `SHARD DURATION` in nanoseconds, or 0 for the default.
    pub shard_duration_ns: i64,
    /// `FUTURE LIMIT` in nanoseconds.
    pub future_limit_ns: Option<i64>,
    /// `PAST LIMIT` in nanoseconds.
    pub past_limit_ns: Option<i64>,
    /// `NAME`, which is never empty.
    pub name: Option<String>,
}

impl CreateDatabaseStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        let policy =
            if p.keyword_if(Keyword::With) { Some(DatabasePolicy::parse(p)?) } else { None };
        Ok(Self { name, policy })
    }
}

impl DatabasePolicy {
    fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        if !future_limit::comes_next(p) {
            let token = p.next();
            let TokenKind::Keyword(
                Keyword::Duration | Keyword::Name | Keyword::Replication | Keyword::Shard,
            ) = token.kind
            else {
                let expected = ["DURATION", "NAME", "REPLICATION", "SHARD", "FUTURE", "PAST"];
                return Err(unexpected(&token, &expected));
            };
            p.unscan();
        }
        let mut policy = Self::default();
        if p.keyword_if(Keyword::Duration) {
            policy.duration_ns = Some(p.duration_ns()?);
        }
        if p.keyword_if(Keyword::Replication) {
            policy.replication = Some(p.replication()?);
        }
        if p.keyword_if(Keyword::Shard) {
            p.expect_keyword(Keyword::Duration)?;
            policy.shard_duration_ns = p.duration_ns()?;
        }
        policy.future_limit_ns = future_limit::parse(p, future_limit::FUTURE)?;
        policy.past_limit_ns = future_limit::parse(p, future_limit::PAST)?;
        if p.keyword_if(Keyword::Name) {
            policy.name = Some(p.ident()?).filter(|name| !name.is_empty());
        }
        Ok(policy)
    }
}

impl fmt::Display for CreateDatabaseStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE DATABASE {}", quote::ident(&self.name))?;
        let Some(policy) = &self.policy else { return Ok(()) };
        f.write_str(" WITH")?;
        // 1.12 prints `DURATION` and `SHARD DURATION` in Go's form, and others in InfluxQL's form.
        if let Some(ns) = policy.duration_ns {
            write!(f, " DURATION {}", duration::format_go(ns))?;
        }
        if let Some(replication) = policy.replication {
            write!(f, " REPLICATION {replication}")?;
        }
        // 1.x omits a shard duration of 0, so a text without other options does not parse again.
        let alone = *policy == DatabasePolicy::default();
        if policy.shard_duration_ns > 0 || alone {
            write!(f, " SHARD DURATION {}", duration::format_go(policy.shard_duration_ns))?;
        }
        future_limit::write(f, future_limit::FUTURE, policy.future_limit_ns)?;
        future_limit::write(f, future_limit::PAST, policy.past_limit_ns)?;
        match &policy.name {
            Some(name) => write!(f, " NAME {}", quote::ident(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn create_database_options_are_ordered() {
        check::stays(&[
            "CREATE DATABASE db",
            "CREATE DATABASE db WITH SHARD DURATION 0s",
            "CREATE DATABASE \"my db\" WITH NAME rp",
            "CREATE DATABASE db WITH DURATION 24h0m0s REPLICATION 2 SHARD DURATION 30m0s \
                FUTURE LIMIT 1h PAST LIMIT 2h NAME rp",
        ]);
        check::prints(&[
            ("CREATE DATABASE db WITH DURATION INF", "CREATE DATABASE db WITH DURATION 0s"),
            (
                "CREATE DATABASE db WITH SHARD DURATION 0s NAME rp",
                "CREATE DATABASE db WITH NAME rp",
            ),
            ("CREATE DATABASE db WITH past limit 1w", "CREATE DATABASE db WITH PAST LIMIT 1w"),
        ]);
        check::fails(&[
            ("CREATE DATABASE", "found EOF, expected identifier at line 1, char 17"),
            ("CREATE DATABASE 'db'", "found db, expected identifier at line 1, char 16"),
            (
                "CREATE DATABASE db WITH x",
                "found x, expected DURATION, NAME, REPLICATION, SHARD, FUTURE, PAST at line 1, char 25",
            ),
            ("CREATE DATABASE db WITH DURATION 1", "found 1, expected duration at line 1, char 34"),
            (
                "CREATE DATABASE db WITH NAME rp DURATION 1d",
                "found DURATION, expected ; at line 1, char 33",
            ),
            ("CREATE DATABASE db WITH FUTURE 1h", "found 1h, expected LIMIT at line 1, char 32"),
        ]);
    }
}
