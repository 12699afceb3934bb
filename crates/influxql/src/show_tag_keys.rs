//! Parses and prints `SHOW TAG KEYS`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::expr::Expr;
use super::order_by::{self, OrderBy};
use super::parser::Parser;
use super::source::{self, Source};
use super::tag_key_filter::TagKeyFilter;
use super::token::{Keyword, TokenKind};

/// `SHOW TAG KEYS [ON db] [FROM …] [WITH KEY …] [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]
/// [SLIMIT n] [SOFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct ShowTagKeysStatement {
    /// `ON`, or `None` for the request's database.
    pub database: Option<String>,
    /// `FROM`, without subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WITH KEY`
    pub keys: Option<TagKeyFilter>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// The maximum number of keys per measurement, or 0 for no limit.
    pub limit: u64,
    /// The number of keys to skip in each measurement.
    pub offset: u64,
    /// The maximum number of series, or 0 for no limit.
    pub slimit: u64,
    /// The number of series to skip.
    pub soffset: u64,
}

impl ShowTagKeysStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            database: clause::on_database(p)?,
            sources: source::parse_measurements(p)?,
            keys: if p.peek_is(TokenKind::Keyword(Keyword::With)) {
                Some(TagKeyFilter::parse(p)?)
            } else {
                None
            },
            condition: clause::condition(p)?,
            order: order_by::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
            slimit: clause::count(p, Keyword::Slimit)?,
            soffset: clause::count(p, Keyword::Soffset)?,
        })
    }
}

impl fmt::Display for ShowTagKeysStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW TAG KEYS")?;
        clause::write_on(f, self.database.as_deref())?;
        clause::write_from(f, &self.sources)?;
        if let Some(keys) = &self.keys {
            write!(f, "{keys}")?;
        }
        clause::write_where(f, self.condition.as_ref())?;
        clause::write_order(f, self.order)?;
        let counts = [
            (Keyword::Limit, self.limit),
            (Keyword::Offset, self.offset),
            (Keyword::Slimit, self.slimit),
            (Keyword::Soffset, self.soffset),
        ];
        clause::write_counts(f, &counts)
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn show_tag_keys_clauses_are_optional() {
        check::stays(&[
            "SHOW TAG KEYS",
            "SHOW TAG KEYS ON db FROM m WITH KEY =~ /x/ WHERE host = 'a' ORDER BY ASC LIMIT 1 \
                OFFSET 2 SLIMIT 3 SOFFSET 4",
        ]);
        check::fails(&[
            ("SHOW TAG x", "found x, expected KEY, KEYS, VALUES at line 1, char 10"),
            ("SHOW TAG KEYS WITH x", "found x, expected KEY at line 1, char 20"),
        ]);
    }
}
