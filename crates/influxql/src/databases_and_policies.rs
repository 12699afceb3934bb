//! Parses and prints `CREATE DATABASE`, `CREATE RETENTION POLICY` and `ALTER RETENTION POLICY`.
//!
//! `FUTURE LIMIT` and `PAST LIMIT` are options of 1.12. They limit the distance of a point's time
//! from the current time.

use std::fmt;

use super::clause::{self, write_option};
use super::duration::{format, format_go};
use super::error::{ParseError, Position};
use super::parser::{Parser, unexpected};
use super::quote;
use super::token::{Keyword, TokenKind};

const FUTURE: &str = "FUTURE";
const PAST: &str = "PAST";

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

/// `ALTER RETENTION POLICY name ON db …` with at least one option. The options can be in any order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AlterRetentionPolicyStatement {
    /// The policy's name. The keyword `DEFAULT` without quotes means the policy named `default`.
    pub name: String,
    /// `ON`
    pub database: String,
    /// `DURATION` in nanoseconds, or 0 for `INF`.
    pub duration_ns: Option<i64>,
    /// `REPLICATION`
    pub replication: Option<u32>,
    /// `SHARD DURATION` in nanoseconds.
    pub shard_duration_ns: Option<i64>,
    /// `FUTURE LIMIT` in nanoseconds.
    pub future_limit_ns: Option<i64>,
    /// `PAST LIMIT` in nanoseconds.
    pub past_limit_ns: Option<i64>,
    /// Whether the policy becomes the database's default policy.
    pub default: bool,
}

impl CreateDatabaseStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self { name: p.ident()?, policy: p.after(Keyword::With, DatabasePolicy::parse)? })
    }
}

impl DatabasePolicy {
    fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        if !p.peek_word(FUTURE) && !p.peek_word(PAST) {
            let token = p.next();
            let TokenKind::Keyword(
                Keyword::Duration | Keyword::Name | Keyword::Replication | Keyword::Shard,
            ) = token.kind
            else {
                return Err(unexpected(&token, "DURATION, NAME, REPLICATION, SHARD, FUTURE, PAST"));
            };
            p.unscan();
        }
        let shard_duration_ns = |p: &mut Parser<'_>| {
            p.expect_keyword(Keyword::Duration)?;
            p.duration_ns()
        };
        Ok(Self {
            duration_ns: p.after(Keyword::Duration, Parser::duration_ns)?,
            replication: p.after(Keyword::Replication, Parser::replication)?,
            shard_duration_ns: p.after(Keyword::Shard, shard_duration_ns)?.unwrap_or(0),
            future_limit_ns: point_limit_ns(p, FUTURE)?,
            past_limit_ns: point_limit_ns(p, PAST)?,
            name: p.after(Keyword::Name, Parser::ident)?.filter(|name| !name.is_empty()),
        })
    }
}

impl CreateRetentionPolicyStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        let database = clause::required_database(p)?;
        p.expect_keyword(Keyword::Duration)?;
        let duration_ns = p.duration_ns()?;
        p.expect_keyword(Keyword::Replication)?;
        let replication = p.replication()?;
        let shard_duration_ns = p.after(Keyword::Shard, finite_shard_duration_ns)?.unwrap_or(0);
        // Some 1.12 releases print the limits before DEFAULT, and others after DEFAULT.
        let mut future_limit_ns = point_limit_ns(p, FUTURE)?;
        let mut past_limit_ns = point_limit_ns(p, PAST)?;
        let default = p.keyword_if(Keyword::Default);
        if future_limit_ns.is_none() {
            future_limit_ns = point_limit_ns(p, FUTURE)?;
        }
        if past_limit_ns.is_none() {
            past_limit_ns = point_limit_ns(p, PAST)?;
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

impl AlterRetentionPolicyStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = if p.keyword_if(Keyword::Default) { "default".to_owned() } else { p.ident()? };
        let database = clause::required_database(p)?;
        let mut statement = Self { name, database, ..Self::default() };
        let mut options = 0;
        while statement.option(p)? {
            options += 1;
        }
        if options == 0 {
            let expected = "DURATION, REPLICATION, SHARD, DEFAULT, FUTURE, PAST";
            return Err(unexpected(&p.next(), expected));
        }
        Ok(statement)
    }

    /// Parses the next option. Returns `false` if no option follows.
    fn option(&mut self, p: &mut Parser<'_>) -> Result<bool, ParseError> {
        let token = p.next();
        let at = token.position;
        match token.kind {
            TokenKind::Keyword(Keyword::Duration) => {
                set(&mut self.duration_ns, "DURATION", at, || p.duration_ns())?;
            }
            TokenKind::Keyword(Keyword::Replication) => {
                set(&mut self.replication, "REPLICATION", at, || p.replication())?;
            }
            TokenKind::Keyword(Keyword::Shard) => {
                set(&mut self.shard_duration_ns, "SHARD", at, || finite_shard_duration_ns(p))?;
            }
            TokenKind::Keyword(Keyword::Default) if self.default => {
                return Err(ParseError::DuplicateOption { option: "DEFAULT", position: at });
            }
            TokenKind::Keyword(Keyword::Default) => self.default = true,
            TokenKind::Ident if token.text.eq_ignore_ascii_case(FUTURE) => {
                set(&mut self.future_limit_ns, FUTURE, at, || limit_ns(p))?;
            }
            TokenKind::Ident if token.text.eq_ignore_ascii_case(PAST) => {
                set(&mut self.past_limit_ns, PAST, at, || limit_ns(p))?;
            }
            _ => {
                p.unscan();
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Sets `slot` to the option's value. `at` is the position of the option's keyword.
fn set<T>(
    slot: &mut Option<T>,
    option: &'static str,
    at: Position,
    parse: impl FnOnce() -> Result<T, ParseError>,
) -> Result<(), ParseError> {
    if slot.is_some() {
        return Err(ParseError::DuplicateOption { option, position: at });
    }
    *slot = Some(parse()?);
    Ok(())
}

fn finite_shard_duration_ns(p: &mut Parser<'_>) -> Result<i64, ParseError> {
    p.expect_keyword(Keyword::Duration)?;
    let token = p.next();
    if token.kind == TokenKind::Keyword(Keyword::Inf) {
        return Err(ParseError::InfiniteShard { position: token.position });
    }
    p.unscan();
    p.duration_ns()
}

/// Parses `FUTURE LIMIT d` or `PAST LIMIT d`.
fn point_limit_ns(p: &mut Parser<'_>, word: &str) -> Result<Option<i64>, ParseError> {
    if p.word_if(word) { limit_ns(p).map(Some) } else { Ok(None) }
}

fn limit_ns(p: &mut Parser<'_>) -> Result<i64, ParseError> {
    p.expect_keyword(Keyword::Limit)?;
    p.duration_ns()
}

impl fmt::Display for CreateDatabaseStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE DATABASE {}", quote::ident(&self.name))?;
        let Some(policy) = &self.policy else { return Ok(()) };
        f.write_str(" WITH")?;
        // 1.12 prints `DURATION` and `SHARD DURATION` in Go's form, and the limits in InfluxQL's
        // form.
        write_option(f, "DURATION", policy.duration_ns.map(format_go))?;
        write_option(f, "REPLICATION", policy.replication)?;
        // 1.x omits a shard duration of 0, so a text without other options does not parse again.
        if policy.shard_duration_ns > 0 || *policy == DatabasePolicy::default() {
            write!(f, " SHARD DURATION {}", format_go(policy.shard_duration_ns))?;
        }
        write_option(f, "FUTURE LIMIT", policy.future_limit_ns.map(format))?;
        write_option(f, "PAST LIMIT", policy.past_limit_ns.map(format))?;
        write_option(f, "NAME", policy.name.as_deref().map(quote::ident))
    }
}

impl fmt::Display for CreateRetentionPolicyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "CREATE RETENTION POLICY {name} ON {database}")?;
        write!(f, " DURATION {}", format(self.duration_ns))?;
        write!(f, " REPLICATION {}", self.replication)?;
        let written = |ns: i64| (ns > 0).then(|| format(ns));
        write_option(f, "SHARD DURATION", written(self.shard_duration_ns))?;
        write_option(f, "FUTURE LIMIT", written(self.future_limit_ns))?;
        write_option(f, "PAST LIMIT", written(self.past_limit_ns))?;
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

impl fmt::Display for AlterRetentionPolicyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "ALTER RETENTION POLICY {name} ON {database}")?;
        write_option(f, "DURATION", self.duration_ns.map(format))?;
        write_option(f, "REPLICATION", self.replication)?;
        write_option(f, "SHARD DURATION", self.shard_duration_ns.map(format))?;
        write_option(f, "FUTURE LIMIT", self.future_limit_ns.map(format))?;
        write_option(f, "PAST LIMIT", self.past_limit_ns.map(format))?;
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use crate::tests as check;

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

    #[test]
    fn alter_policy_options_have_any_order() {
        check::stays(&[
            "ALTER RETENTION POLICY rp ON db DURATION 1d REPLICATION 2 SHARD DURATION 1h DEFAULT",
        ]);
        check::prints(&[(
            "ALTER RETENTION POLICY default ON db DEFAULT PAST LIMIT 1h REPLICATION 4 FUTURE LIMIT 2h",
            "ALTER RETENTION POLICY \"default\" ON db REPLICATION 4 FUTURE LIMIT 2h PAST LIMIT 1h DEFAULT",
        )]);
        check::fails(&[
            (
                "ALTER RETENTION POLICY rp ON db x",
                "found x, expected DURATION, REPLICATION, SHARD, DEFAULT, FUTURE, PAST at line 1, char 33",
            ),
            (
                "ALTER RETENTION POLICY rp ON db DEFAULT DEFAULT",
                "found duplicate DEFAULT option at line 1, char 41",
            ),
            (
                "ALTER RETENTION POLICY rp ON db PAST LIMIT 1h PAST LIMIT 1h",
                "found duplicate PAST option at line 1, char 47",
            ),
            (
                "ALTER RETENTION POLICY rp ON db SHARD 1h",
                "found 1h, expected DURATION at line 1, char 39",
            ),
            ("ALTER RETENTION POLICY rp ON db DEFAULT x", "found x, expected ; at line 1, char 41"),
        ]);
    }
}
