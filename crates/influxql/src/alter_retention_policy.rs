//! Parses and prints `ALTER RETENTION POLICY`.

use std::fmt;

use super::create_retention_policy::shard_duration_ns;
use super::error::ParseError;
use super::parser::{Parser, unexpected};
use super::token::{Keyword, TokenKind};
use super::{clause, duration, future_limit, quote};

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
            let expected = ["DURATION", "REPLICATION", "SHARD", "DEFAULT", "FUTURE", "PAST"];
            return Err(unexpected(&p.next(), &expected));
        }
        Ok(statement)
    }

    fn option(&mut self, p: &mut Parser<'_>) -> Result<bool, ParseError> {
        let token = p.next();
        let (option, seen) = match token.kind {
            TokenKind::Keyword(Keyword::Duration) => ("DURATION", self.duration_ns.is_some()),
            TokenKind::Keyword(Keyword::Replication) => ("REPLICATION", self.replication.is_some()),
            TokenKind::Keyword(Keyword::Shard) => ("SHARD", self.shard_duration_ns.is_some()),
            TokenKind::Keyword(Keyword::Default) => ("DEFAULT", self.default),
            TokenKind::Ident if token.text.eq_ignore_ascii_case(future_limit::FUTURE) => {
                (future_limit::FUTURE, self.future_limit_ns.is_some())
            }
            TokenKind::Ident if token.text.eq_ignore_ascii_case(future_limit::PAST) => {
                (future_limit::PAST, self.past_limit_ns.is_some())
            }
            _ => {
                p.unscan();
                return Ok(false);
            }
        };
        if seen {
            return Err(ParseError::DuplicateOption { option, position: token.position });
        }
        match token.kind {
            TokenKind::Keyword(Keyword::Duration) => self.duration_ns = Some(p.duration_ns()?),
            TokenKind::Keyword(Keyword::Replication) => self.replication = Some(p.replication()?),
            TokenKind::Keyword(Keyword::Shard) => {
                self.shard_duration_ns = Some(shard_duration_ns(p)?);
            }
            TokenKind::Keyword(Keyword::Default) => self.default = true,
            _ => {
                p.unscan();
                let limit_ns = future_limit::parse(p, option)?;
                match option {
                    future_limit::FUTURE => self.future_limit_ns = limit_ns,
                    _ => self.past_limit_ns = limit_ns,
                }
            }
        }
        Ok(true)
    }
}

impl fmt::Display for AlterRetentionPolicyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "ALTER RETENTION POLICY {name} ON {database}")?;
        if let Some(ns) = self.duration_ns {
            write!(f, " DURATION {}", duration::format(ns))?;
        }
        if let Some(replication) = self.replication {
            write!(f, " REPLICATION {replication}")?;
        }
        if let Some(ns) = self.shard_duration_ns {
            write!(f, " SHARD DURATION {}", duration::format(ns))?;
        }
        future_limit::write(f, future_limit::FUTURE, self.future_limit_ns)?;
        future_limit::write(f, future_limit::PAST, self.past_limit_ns)?;
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

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
