//! Parses and prints `SHOW MEASUREMENTS`.

use std::fmt;

use super::error::ParseError;
use super::expr::Expr;
use super::measurement::{self, Measurement, MeasurementName};
use super::operator::BinaryOp;
use super::order_by::{self, OrderBy};
use super::parser::{Parser, unexpected};
use super::token::{Keyword, TokenKind};
use super::{clause, quote};

/// `SHOW MEASUREMENTS [ON db[.policy]] [WITH MEASUREMENT =|=~ …] [WHERE …] [ORDER BY …]
/// [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowMeasurementsStatement {
    /// The database in `ON`.
    pub database: NamePattern,
    /// The policy in `ON`. [`NamePattern::Absent`] means all policies, merged into one list.
    pub policy: NamePattern,
    /// `WITH MEASUREMENT`
    pub measurement: Option<Measurement>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// The maximum number of rows, or 0 for no limit.
    pub limit: u64,
    /// The number of rows to skip.
    pub offset: u64,
}

/// A database or policy in `SHOW MEASUREMENTS ON`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// The name is not present.
    Absent,
    /// Exactly this name.
    Name(String),
    /// `*`
    All,
}

impl ShowMeasurementsStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let (mut database, mut policy) = (NamePattern::Absent, NamePattern::Absent);
        if p.keyword_if(Keyword::On) {
            database = NamePattern::parse(p)?;
            if p.next_if(TokenKind::Dot) {
                policy = NamePattern::parse(p)?;
            }
        }
        Ok(Self {
            database,
            policy,
            measurement: with_measurement(p)?,
            condition: clause::condition(p)?,
            order: order_by::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
        })
    }
}

/// As in 1.x, the operand, and not `=` or `=~`, determines the filter.
fn with_measurement(p: &mut Parser<'_>) -> Result<Option<Measurement>, ParseError> {
    if !p.keyword_if(Keyword::With) {
        return Ok(None);
    }
    p.expect_keyword(Keyword::Measurement)?;
    let token = p.next();
    match token.kind {
        TokenKind::Operator(BinaryOp::Eq) | TokenKind::Operator(BinaryOp::EqRegex) => {
            measurement::parse(p).map(Some)
        }
        _ => Err(unexpected(&token, &["=", "=~"])),
    }
}

impl NamePattern {
    fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let token = p.next();
        match token.kind {
            TokenKind::Ident if token.text.is_empty() => Ok(Self::Absent),
            TokenKind::Ident => Ok(Self::Name(token.text.into_owned())),
            TokenKind::Operator(BinaryOp::Mul) => Ok(Self::All),
            _ => Err(unexpected(&token, &["identifier or *"])),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, before: &str) -> fmt::Result {
        match self {
            Self::Absent => Ok(()),
            // 1.x omits the quotes, so its text possibly does not parse again.
            Self::Name(name) => write!(f, "{before}{}", quote::ident(name)),
            Self::All => write!(f, "{before}*"),
        }
    }
}

impl fmt::Display for ShowMeasurementsStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW MEASUREMENTS")?;
        if self.database != NamePattern::Absent {
            self.database.write(f, " ON ")?;
            self.policy.write(f, ".")?;
        }
        if let Some(measurement) = &self.measurement {
            let op = match measurement.name {
                MeasurementName::Name(_) => "=",
                MeasurementName::Regex(_) => "=~",
            };
            write!(f, " WITH MEASUREMENT {op} {measurement}")?;
        }
        clause::write_where(f, self.condition.as_ref())?;
        clause::write_order(f, self.order)?;
        clause::write_counts(f, &[self.limit, self.offset])
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn databases_and_policies_may_be_patterns() {
        check::stays(&[
            "SHOW MEASUREMENTS",
            "SHOW MEASUREMENTS ON db WITH MEASUREMENT =~ /x/ WHERE host = 'a' ORDER BY ASC LIMIT 1 OFFSET 2",
            "SHOW MEASUREMENTS ON \"my db\".rp",
            "SHOW MEASUREMENTS ON *.*",
            "SHOW MEASUREMENTS ON * WITH MEASUREMENT = m",
        ]);
        check::prints(&[(
            "SHOW MEASUREMENTS WITH MEASUREMENT = /x/",
            "SHOW MEASUREMENTS WITH MEASUREMENT =~ /x/",
        )]);
        check::fails(&[
            ("SHOW MEASUREMENTS ON 1", "found 1, expected identifier or * at line 1, char 22"),
            (
                "SHOW MEASUREMENTS ON db.'rp'",
                "found rp, expected identifier or * at line 1, char 24",
            ),
            ("SHOW MEASUREMENTS WITH m", "found m, expected MEASUREMENT at line 1, char 24"),
            ("SHOW MEASUREMENTS WITH MEASUREMENT m", "found m, expected =, =~ at line 1, char 36"),
        ]);
    }
}
