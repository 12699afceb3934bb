//! Parses and prints `INTO`, the target of a SELECT.

use std::fmt;

use super::error::ParseError;
use super::expr_parser::segments;
use super::measurement::write_qualifier;
use super::parser::Parser;
use super::quote;
use super::token::{Keyword, TokenKind};

/// The target of SELECT INTO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The database, which is never empty, or `None` for the request's database.
    pub database: Option<String>,
    /// The retention policy, which is never empty, or `None` for the default policy.
    pub policy: Option<String>,
    /// The measurement.
    pub name: TargetName,
}

/// The measurement that SELECT INTO writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetName {
    /// A measurement's name, never empty.
    Name(String),
    /// `:MEASUREMENT`: the measurement that each row comes from.
    SameAsSource,
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Target, ParseError> {
    let mut segments = segments(p)?;
    if segments.len() < 3 && p.peek_char() == ':' {
        p.expect(TokenKind::Colon, ":")?;
        p.expect_keyword(Keyword::Measurement)?;
        segments.push(String::new());
    }
    // 1.x represents `:MEASUREMENT` as an empty name.
    let name = match segments.pop() {
        Some(name) if !name.is_empty() => TargetName::Name(name),
        _ => TargetName::SameAsSource,
    };
    let policy = segments.pop().filter(|policy| !policy.is_empty());
    let database = segments.pop().filter(|database| !database.is_empty());
    Ok(Target { database, policy, name })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_qualifier(f, self.database.as_deref(), self.policy.as_deref())?;
        match &self.name {
            TargetName::Name(name) => f.write_str(&quote::ident(name)),
            TargetName::SameAsSource => f.write_str(":MEASUREMENT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn into_targets_may_be_qualified() {
        check::stays(&[
            "SELECT a INTO t FROM m",
            "SELECT a INTO rp.t FROM m",
            "SELECT a INTO db.rp.t FROM m",
            "SELECT a INTO db..t FROM m",
            "SELECT a INTO db.rp.:MEASUREMENT FROM m",
        ]);
        check::prints(&[
            ("SELECT a INTO rp.:measurement FROM m", "SELECT a INTO rp.:MEASUREMENT FROM m"),
            ("SELECT a INTO rp :MEASUREMENT FROM m", "SELECT a INTO rp.:MEASUREMENT FROM m"),
        ]);
        check::fails(&[
            ("SELECT a INTO FROM m", "found FROM, expected identifier at line 1, char 15"),
            (
                "SELECT a INTO :MEASUREMENT FROM m",
                "found :, expected identifier at line 1, char 15",
            ),
            ("SELECT a INTO db.rp.:x FROM m", "found x, expected MEASUREMENT at line 1, char 22"),
        ]);
    }
}
