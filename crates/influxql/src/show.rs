//! Parses and prints `SHOW MEASUREMENTS`, `SHOW SERIES`, `SHOW TAG KEYS`, `SHOW TAG VALUES`,
//! `SHOW FIELD KEYS` and `SHOW … CARDINALITY`.

use std::fmt;

use super::clause::{self, OrderBy, write_option};
use super::error::ParseError;
use super::expr::{Expr, List};
use super::operator::BinaryOp;
use super::parser::{Parser, unexpected};
use super::quote;
use super::source::{self, Measurement, MeasurementName, Source};
use super::token::{Keyword, TokenKind};
use tidemark_model::regex::Regex;

/// The kind of item that a SHOW statement lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum ListOf {
    Series,
    TagKeys(Option<TagKeyFilter>),
    TagValues(TagKeyFilter),
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
    /// Parses the clauses after the keywords. `of` parses the clause `WITH KEY`, if the statement
    /// has one.
    pub(super) fn parse<'a>(
        p: &mut Parser<'a>,
        of: impl FnOnce(&mut Parser<'a>) -> Result<ListOf, ParseError>,
    ) -> Result<Self, ParseError> {
        let (database, sources) = (clause::on_database(p)?, source::from_measurements(p)?);
        let of = of(p)?;
        let condition = if of == ListOf::FieldKeys { None } else { clause::condition(p)? };
        let order = clause::order_by(p)?;
        let limit = clause::count(p, Keyword::Limit)?;
        let offset = clause::count(p, Keyword::Offset)?;
        let (slimit, soffset) = match of {
            ListOf::TagKeys(_) => {
                (clause::count(p, Keyword::Slimit)?, clause::count(p, Keyword::Soffset)?)
            }
            _ => (0, 0),
        };
        Ok(Self { of, database, sources, condition, order, limit, offset, slimit, soffset })
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
        write_option(f, "ON", self.database.as_deref().map(quote::ident))?;
        clause::write_list(f, "FROM", &self.sources)?;
        write_option(f, "WITH KEY", keys)?;
        write_option(f, "WHERE", self.condition.as_ref())?;
        write_option(f, "ORDER BY", self.order)?;
        clause::write_counts(f, &[self.limit, self.offset, self.slimit, self.soffset])
    }
}

/// The kind of item that a cardinality statement counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum CardinalityOf {
    Series,
    Measurement,
    TagKey,
    TagValues(TagKeyFilter),
    FieldKey,
}

/// `SHOW … [EXACT] CARDINALITY [ON db] [FROM …] [WHERE …] [GROUP BY …] [LIMIT n] [OFFSET n]`
#[derive(Clone, Debug, PartialEq)]
pub struct CardinalityStatement {
    /// The kind of item that the statement counts.
    pub of: CardinalityOf,
    /// Whether `EXACT` is present.
    pub exact: bool,
    /// `ON`, or `None` for the request's database.
    pub database: Option<String>,
    /// `FROM`, without subqueries. The list is empty if the clause is absent.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `GROUP BY`. The list is empty if the clause is absent.
    pub dimensions: Vec<Expr>,
    /// The maximum number of rows, or 0 for no limit.
    pub limit: u64,
    /// The number of rows to skip.
    pub offset: u64,
}

impl CardinalityStatement {
    /// Parses the clauses after the keywords. `of` parses the clause `WITH KEY`, if the statement
    /// has one.
    pub(super) fn parse<'a>(
        p: &mut Parser<'a>,
        exact: bool,
        of: impl FnOnce(&mut Parser<'a>) -> Result<CardinalityOf, ParseError>,
    ) -> Result<Self, ParseError> {
        let (database, sources) = (clause::on_database(p)?, source::from_measurements(p)?);
        Ok(Self {
            of: of(p)?,
            exact,
            database,
            sources,
            condition: clause::condition(p)?,
            dimensions: clause::group_by(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
        })
    }
}

impl fmt::Display for CardinalityStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counted, keys) = match &self.of {
            CardinalityOf::Series => ("SERIES", None),
            CardinalityOf::Measurement => ("MEASUREMENT", None),
            CardinalityOf::TagKey => ("TAG KEY", None),
            CardinalityOf::TagValues(keys) => ("TAG VALUES", Some(keys)),
            CardinalityOf::FieldKey => ("FIELD KEY", None),
        };
        let exact = if self.exact { " EXACT" } else { "" };
        write!(f, "SHOW {counted}{exact} CARDINALITY")?;
        write_option(f, "ON", self.database.as_deref().map(quote::ident))?;
        clause::write_list(f, "FROM", &self.sources)?;
        write_option(f, "WITH KEY", keys)?;
        write_option(f, "WHERE", self.condition.as_ref())?;
        clause::write_list(f, "GROUP BY", &self.dimensions)?;
        clause::write_counts(f, &[self.limit, self.offset])
    }
}

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
            measurement: p.after(Keyword::With, with_measurement)?,
            condition: clause::condition(p)?,
            order: clause::order_by(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
        })
    }
}

/// Parses `MEASUREMENT = name` or `MEASUREMENT =~ /…/` after `WITH`. As in 1.x, the operand
/// determines whether the filter is a name or a regex, and the operator has no effect.
fn with_measurement(p: &mut Parser<'_>) -> Result<Measurement, ParseError> {
    p.expect_keyword(Keyword::Measurement)?;
    let token = p.next();
    match token.kind {
        TokenKind::Operator(BinaryOp::Eq | BinaryOp::EqRegex) => Measurement::parse(p),
        _ => Err(unexpected(&token, "=, =~")),
    }
}

impl NamePattern {
    fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let token = p.next();
        match token.kind {
            TokenKind::Ident if token.text.is_empty() => Ok(Self::Absent),
            TokenKind::Ident => Ok(Self::Name(token.text.into_owned())),
            TokenKind::Operator(BinaryOp::Mul) => Ok(Self::All),
            _ => Err(unexpected(&token, "identifier or *")),
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
        write_option(f, "WHERE", self.condition.as_ref())?;
        write_option(f, "ORDER BY", self.order)?;
        clause::write_counts(f, &[self.limit, self.offset])
    }
}

/// The filter after `WITH KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagKeyFilter {
    /// `= key`
    Equal(String),
    /// `!= key`
    NotEqual(String),
    /// `=~ /…/`
    Match(Regex),
    /// `!~ /…/`
    NotMatch(Regex),
    /// `IN (key, …)` with at least one key.
    In(Vec<String>),
}

impl TagKeyFilter {
    /// Parses `WITH KEY …`.
    pub(super) fn required(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        p.expect_keyword(Keyword::With)?;
        Self::after_with(p)
    }

    pub(super) fn after_with(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        p.expect_keyword(Keyword::Key)?;
        let token = p.next();
        match token.kind {
            TokenKind::Keyword(Keyword::In) => {
                p.expect(TokenKind::LeftParen, "(")?;
                let keys = p.list(Parser::ident)?;
                p.expect(TokenKind::RightParen, ")")?;
                Ok(Self::In(keys))
            }
            TokenKind::Operator(BinaryOp::Eq) => p.ident().map(Self::Equal),
            TokenKind::Operator(BinaryOp::Ne) => p.ident().map(Self::NotEqual),
            TokenKind::Operator(BinaryOp::EqRegex) => p.regex().map(Self::Match),
            TokenKind::Operator(BinaryOp::NeRegex) => p.regex().map(Self::NotMatch),
            _ => Err(unexpected(&token, "IN, =, =~")),
        }
    }
}

impl fmt::Display for TagKeyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(key) => write!(f, "= {}", quote::ident(key)),
            Self::NotEqual(key) => write!(f, "!= {}", quote::ident(key)),
            Self::Match(regex) => write!(f, "=~ {regex}"),
            Self::NotMatch(regex) => write!(f, "!~ {regex}"),
            Self::In(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| quote::ident(key)).collect();
                write!(f, "IN ({})", List(&keys))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests as check;

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

    #[test]
    fn cardinality_statements_share_clauses() {
        check::stays(&[
            "SHOW SERIES CARDINALITY",
            "SHOW SERIES EXACT CARDINALITY ON db FROM m WHERE host = 'a' GROUP BY host LIMIT 1 OFFSET 2",
            "SHOW MEASUREMENT CARDINALITY ON db",
            "SHOW MEASUREMENT EXACT CARDINALITY FROM /x/",
            "SHOW TAG KEY CARDINALITY FROM m",
            "SHOW TAG KEY EXACT CARDINALITY",
            "SHOW TAG VALUES CARDINALITY FROM m WITH KEY = host WHERE a = 'b'",
            "SHOW TAG VALUES EXACT CARDINALITY WITH KEY IN (a, b)",
            "SHOW FIELD KEY CARDINALITY",
            "SHOW FIELD KEY EXACT CARDINALITY FROM m",
        ]);
        check::prints(&[("SHOW SERIES EXACT", "SHOW SERIES")]);
        check::fails(&[
            ("SHOW MEASUREMENT x", "found x, expected EXACT, CARDINALITY at line 1, char 18"),
            ("SHOW MEASUREMENT EXACT x", "found x, expected CARDINALITY at line 1, char 24"),
            ("SHOW TAG KEY x", "found x, expected EXACT, CARDINALITY at line 1, char 14"),
            ("SHOW FIELD KEY EXACT x", "found x, expected CARDINALITY at line 1, char 22"),
            ("SHOW TAG VALUES EXACT x", "found x, expected CARDINALITY at line 1, char 23"),
            ("SHOW TAG VALUES CARDINALITY", "found EOF, expected WITH at line 1, char 29"),
        ]);
    }

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

    #[test]
    fn tag_key_filters_compare_or_list() {
        check::stays(&[
            "SHOW TAG VALUES WITH KEY = host",
            "SHOW TAG VALUES WITH KEY != \"a b\"",
            "SHOW TAG VALUES WITH KEY =~ /x/",
            "SHOW TAG VALUES WITH KEY !~ /x/",
            "SHOW TAG VALUES WITH KEY IN (a, \"b c\")",
        ]);
        check::fails(&[
            ("SHOW TAG VALUES", "found EOF, expected WITH at line 1, char 17"),
            ("SHOW TAG VALUES WITH a", "found a, expected KEY at line 1, char 22"),
            ("SHOW TAG VALUES WITH KEY > a", "found >, expected IN, =, =~ at line 1, char 26"),
            ("SHOW TAG VALUES WITH KEY = 'a'", "found a, expected identifier at line 1, char 27"),
            ("SHOW TAG VALUES WITH KEY =~ a", "found a, expected regex at line 1, char 29"),
            ("SHOW TAG VALUES WITH KEY IN a", "found a, expected ( at line 1, char 29"),
            ("SHOW TAG VALUES WITH KEY IN (a b)", "found b, expected ) at line 1, char 32"),
        ]);
    }
}
