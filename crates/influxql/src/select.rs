//! Parses and prints `SELECT`.

use std::fmt;

use super::dimension::{self, Dimension};
use super::error::{InvalidInterval, ParseError};
use super::expr::{Expr, List};
use super::field::{self, Field};
use super::fill::{self, Fill};
use super::into::{self, Target};
use super::order_by::{self, OrderBy};
use super::parser::{Parser, unexpected};
use super::source::{self, Source};
use super::token::{Keyword, TokenKind};
use super::{clause, timezone};

/// `SELECT fields [INTO target] FROM sources [WHERE …] [GROUP BY …] [fill(…)] [ORDER BY …]
/// [LIMIT n] [OFFSET n] [SLIMIT n] [SOFFSET n] [tz('…')]`
#[derive(Clone, Debug, PartialEq)]
pub struct SelectStatement {
    /// The fields as written, at least one.
    pub fields: Vec<Field>,
    /// `INTO`, which 1.x ignores in a subquery.
    pub into: Option<Target>,
    /// The sources, at least one.
    pub sources: Vec<Source>,
    /// `WHERE`, including conditions on time.
    pub condition: Option<Expr>,
    /// `GROUP BY` as written. The list is empty if the clause is absent.
    pub dimensions: Vec<Dimension>,
    /// `fill(…)`, or [`Fill::Null`] if the clause is absent.
    pub fill: Fill,
    /// `ORDER BY` (see [`SelectStatement::descending`]).
    pub order: Option<OrderBy>,
    /// The maximum number of rows per series, or 0 for no limit.
    pub limit: u64,
    /// The number of rows to skip in each series.
    pub offset: u64,
    /// The maximum number of series, or 0 for no limit.
    pub slimit: u64,
    /// The number of series to skip.
    pub soffset: u64,
    /// `tz('…')`: an existing name of the IANA time zone database.
    pub timezone: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntoClause {
    Required,
    Optional,
}

impl SelectStatement {
    pub(super) fn parse(p: &mut Parser<'_>, into: IntoClause) -> Result<Self, ParseError> {
        let fields = field::parse_list(p)?;
        let token = p.next();
        let into = if token.kind == TokenKind::Keyword(Keyword::Into) {
            Some(into::parse(p)?)
        } else if into == IntoClause::Required {
            return Err(unexpected(&token, &["INTO"]));
        } else {
            p.unscan();
            None
        };
        p.expect_keyword(Keyword::From)?;
        Ok(Self {
            fields,
            into,
            sources: source::parse_list(p)?,
            condition: clause::condition(p)?,
            dimensions: dimension::parse_clause(p)?,
            fill: fill::parse(p)?,
            order: order_by::parse_clause(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
            slimit: clause::count(p, Keyword::Slimit)?,
            soffset: clause::count(p, Keyword::Soffset)?,
            timezone: timezone::parse(p)?,
        })
    }

    /// Whether rows are ordered from the latest to the earliest.
    pub fn descending(&self) -> bool {
        self.order.is_some_and(|order| order.descending)
    }

    /// Whether the fields contain no function calls. `DISTINCT name` does not count as a call.
    pub fn is_raw(&self) -> bool {
        let mut calls = false;
        for field in &self.fields {
            field.expr.walk(&mut |expr| calls |= matches!(expr, Expr::Call { .. }));
        }
        !calls
    }

    /// Returns the interval of the first `time(…)` in GROUP BY in nanoseconds, or 0.
    ///
    /// # Errors
    /// Returns [`InvalidInterval`] if this call does not have the form `time(duration[, offset])`.
    pub fn group_by_interval_ns(&self) -> Result<i64, InvalidInterval> {
        let args = self.dimensions.iter().find_map(|dimension| match &dimension.expr {
            Expr::Call { name, args } if name == "time" => Some(args.as_slice()),
            _ => None,
        });
        match args {
            None => Ok(0),
            Some([Expr::DurationLiteral(ns)] | [Expr::DurationLiteral(ns), _]) => Ok(*ns),
            Some([_] | [_, _]) => Err(InvalidInterval::NotDuration),
            Some(_) => Err(InvalidInterval::Arguments),
        }
    }
}

impl fmt::Display for SelectStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT {}", List(&self.fields))?;
        if let Some(target) = &self.into {
            write!(f, " INTO {target}")?;
        }
        clause::write_from(f, &self.sources)?;
        clause::write_where(f, self.condition.as_ref())?;
        clause::write_list(f, "GROUP BY", &self.dimensions)?;
        write!(f, "{}", self.fill)?;
        clause::write_order(f, self.order)?;
        clause::write_counts(f, &[self.limit, self.offset, self.slimit, self.soffset])?;
        match &self.timezone {
            Some(name) => write!(f, " TZ('{name}')"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Statement;
    use crate::bound_params::Params;
    use crate::check;

    #[test]
    fn select_clauses_are_ordered() {
        check::stays(&[
            "SELECT a FROM m",
            "SELECT a, b AS c INTO t FROM m, n WHERE a > 1 GROUP BY host fill(0) ORDER BY time DESC \
                LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 TZ('Europe/Berlin')",
            "SELECT mean FROM (SELECT mean(a) FROM m GROUP BY host) WHERE mean > 1.5",
        ]);
        check::prints(&[
            ("select a from m limit 0 offset 0", "SELECT a FROM m"),
            (" SELECT a FROM m ; ;", "SELECT a FROM m"),
            ("SELECT a -- why\nFROM m", "SELECT a FROM m"),
            (
                "SELECT a FROM m LIMIT 99999999999999999999",
                "SELECT a FROM m LIMIT 9223372036854775807",
            ),
        ]);
        check::fails(&[
            ("SELECT a", "found EOF, expected FROM at line 1, char 10"),
            (
                "SELECT FROM m",
                "found FROM, expected identifier, string, number, bool at line 1, char 8",
            ),
            ("SELECT a FROM m LIMIT 1 WHERE a > 1", "found WHERE, expected ; at line 1, char 25"),
            ("SELECT a FROM m LIMIT -1", "found -, expected integer at line 1, char 23"),
            ("SELECT a FROM m;\nSELECT b FORM m", "found FORM, expected FROM at line 2, char 10"),
        ]);
    }

    fn select(text: &str) -> SelectStatement {
        match crate::parse_statement(text, &Params::default()) {
            Ok(Statement::Select(select)) => *select,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn queries_without_calls_are_raw() {
        assert!(select("SELECT a, DISTINCT b FROM m").is_raw());
        assert!(!select("SELECT a, 2 * (1 + mean(b)) FROM m").is_raw());
    }

    #[test]
    fn group_interval_comes_from_first_time() {
        let interval = |dimensions: &str| {
            select(&format!("SELECT mean(a) FROM m{dimensions}")).group_by_interval_ns()
        };
        assert_eq!(interval(""), Ok(0));
        assert_eq!(interval(" GROUP BY host, *"), Ok(0));
        assert_eq!(interval(" GROUP BY host, time(1ns), time(2ns)"), Ok(1));
        assert_eq!(interval(" GROUP BY time(2u, now())"), Ok(2_000));
        assert_eq!(interval(" GROUP BY time(5)"), Err(InvalidInterval::NotDuration));
        assert_eq!(interval(" GROUP BY time()"), Err(InvalidInterval::Arguments));
    }
}
