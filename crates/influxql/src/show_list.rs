//! Parses and prints `SHOW SERIES`, `SHOW TAG KEYS`, `SHOW TAG VALUES` and `SHOW FIELD KEYS`.

use std::fmt;

use super::clause;
use super::error::ParseError;
use super::expr::Expr;
use super::order_by::{self, OrderBy};
use super::parser::Parser;
use super::source::{self, Source};
use super::tag_key_filter::TagKeyFilter;
use super::token::{Keyword, TokenKind};

/// The kind of item that a SHOW statement lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListOf {
    /// `SHOW SERIES`
    Series,
    /// `SHOW TAG KEYS … [WITH KEY …]`
    TagKeys(Option<TagKeyFilter>),
    /// `SHOW TAG VALUES … WITH KEY …`
    TagValues(TagKeyFilter),
    /// `SHOW FIELD KEYS`
    FieldKeys,
}

/// `SHOW … [ON db] [FROM …] [WITH KEY …] [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n] [SLIMIT n]
/// [SOFFSET n]`. Field keys have no `WHERE`, and only tag keys have `SLIMIT` and `SOFFSET`.
#[derive(Clone, Debug, PartialEq)]
pub struct ShowListStatement {
    /// The kind of item that the statement lists.
    pub of: ListOf,
    /// `ON`, or `None` for the request's database.
    pub database: Option<String>,
    /// `FROM`, without subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `ORDER BY`
    pub order: Option<OrderBy>,
    /// The maximum number of series, or of items per measurement; 0 for no limit.
    pub limit: u64,
    /// The number of series, or of items in each measurement, to skip.
    pub offset: u64,
    /// The maximum number of series, or 0 for no limit.
    pub slimit: u64,
    /// The number of series to skip.
    pub soffset: u64,
}

impl ShowListStatement {
    pub(super) fn series(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Self::parse(p, |_| Ok(ListOf::Series))
    }

    pub(super) fn tag_keys(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let mut statement = Self::parse(p, |p| {
            let has_keys = p.peek_is(TokenKind::Keyword(Keyword::With));
            Ok(ListOf::TagKeys(has_keys.then(|| TagKeyFilter::parse(p)).transpose()?))
        })?;
        statement.slimit = clause::count(p, Keyword::Slimit)?;
        statement.soffset = clause::count(p, Keyword::Soffset)?;
        Ok(statement)
    }

    pub(super) fn tag_values(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Self::parse(p, |p| TagKeyFilter::parse(p).map(ListOf::TagValues))
    }

    pub(super) fn field_keys(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        Self::parse(p, |_| Ok(ListOf::FieldKeys))
    }

    fn parse(
        p: &mut Parser<'_>,
        of: impl FnOnce(&mut Parser<'_>) -> Result<ListOf, ParseError>,
    ) -> Result<Self, ParseError> {
        let (database, sources) = (clause::on_database(p)?, source::parse_measurements(p)?);
        let of = of(p)?;
        let condition = if of == ListOf::FieldKeys { None } else { clause::condition(p)? };
        Ok(Self {
            of,
            database,
            sources,
            condition,
            order: order_by::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
            slimit: 0,
            soffset: 0,
        })
    }
}

impl fmt::Display for ShowListStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (items, keys) = match &self.of {
            ListOf::Series => ("SERIES", None),
            ListOf::TagKeys(keys) => ("TAG KEYS", keys.as_ref()),
            ListOf::TagValues(keys) => ("TAG VALUES", Some(keys)),
            ListOf::FieldKeys => ("FIELD KEYS", None),
        };
        write!(f, "SHOW {items}")?;
        clause::write_on(f, self.database.as_deref())?;
        clause::write_from(f, &self.sources)?;
        if let Some(keys) = keys {
            write!(f, "{keys}")?;
        }
        clause::write_where(f, self.condition.as_ref())?;
        clause::write_order(f, self.order)?;
        clause::write_counts(f, &[self.limit, self.offset, self.slimit, self.soffset])
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn show_series_clauses_are_optional() {
        check::stays(&[
            "SHOW SERIES",
            "SHOW SERIES ON \"my db\" FROM m, /x/ WHERE host = 'a' ORDER BY DESC LIMIT 1 OFFSET 2",
        ]);
        check::fails(&[
            ("SHOW SERIES ON", "found EOF, expected identifier at line 1, char 16"),
            ("SHOW SERIES m", "found m, expected ; at line 1, char 13"),
        ]);
    }

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

    #[test]
    fn show_tag_values_requires_keys() {
        check::stays(&[
            "SHOW TAG VALUES WITH KEY = host",
            "SHOW TAG VALUES ON db FROM m, /x/ WITH KEY IN (a, b) WHERE host = 'a' ORDER BY ASC \
                LIMIT 1 OFFSET 2",
        ]);
        check::fails(&[
            ("SHOW TAG VALUES FROM m", "found EOF, expected WITH at line 1, char 24"),
            (
                "SHOW TAG VALUES FROM m WHERE a = 'b'",
                "found WHERE, expected WITH at line 1, char 24",
            ),
        ]);
    }

    #[test]
    fn show_field_keys_clauses_are_optional() {
        check::stays(&[
            "SHOW FIELD KEYS",
            "SHOW FIELD KEYS ON db FROM m, /x/ ORDER BY ASC LIMIT 1 OFFSET 2",
        ]);
        check::fails(&[
            ("SHOW FIELD x", "found x, expected KEY, KEYS at line 1, char 12"),
            ("SHOW FIELD KEYS ON 1", "found 1, expected identifier at line 1, char 20"),
            ("SHOW FIELD KEYS WHERE a = 1", "found WHERE, expected ; at line 1, char 17"),
        ]);
    }
}
