//! Parses and prints the statements that contain a query: `SELECT` with its fields, `fill(…)` and
//! `tz('…')`, `EXPLAIN`, and `CREATE CONTINUOUS QUERY`.

use std::fmt;

use super::clause::{self, OrderBy, write_option};
use super::error::{InvalidInterval, ParseError};
use super::expr::{Expr, List, format_plain};
use super::operator::BinaryOp;
use super::parser::{Parser, unexpected};
use super::source::{Source, Target};
use super::token::{Keyword, TokenKind};
use super::{duration, expr_parser, quote};
use tidemark_model::zone;

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
    /// `GROUP BY` as written: tags, `*`, regexes and `time(interval[, offset])`. The list is empty
    /// if the clause is absent.
    pub dimensions: Vec<Expr>,
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
        let fields = fields(p)?;
        let token = p.next();
        let into = if token.kind == TokenKind::Keyword(Keyword::Into) {
            Some(Target::parse(p)?)
        } else if into == IntoClause::Required {
            return Err(unexpected(&token, "INTO"));
        } else {
            p.unscan();
            None
        };
        p.expect_keyword(Keyword::From)?;
        Ok(Self {
            fields,
            into,
            sources: p.list(Source::parse)?,
            condition: clause::condition(p)?,
            dimensions: clause::group_by(p)?,
            fill: Fill::parse(p)?,
            order: clause::order_by(p)?,
            limit: clause::count(p, Keyword::Limit)?,
            offset: clause::count(p, Keyword::Offset)?,
            slimit: clause::count(p, Keyword::Slimit)?,
            soffset: clause::count(p, Keyword::Soffset)?,
            timezone: timezone(p)?,
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
        let args = self.dimensions.iter().find_map(|dimension| match dimension {
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
        write_option(f, "INTO", self.into.as_ref())?;
        clause::write_list(f, "FROM", &self.sources)?;
        write_option(f, "WHERE", self.condition.as_ref())?;
        clause::write_list(f, "GROUP BY", &self.dimensions)?;
        write!(f, "{}", self.fill)?;
        write_option(f, "ORDER BY", self.order)?;
        clause::write_counts(f, &[self.limit, self.offset, self.slimit, self.soffset])?;
        match &self.timezone {
            Some(name) => write!(f, " TZ('{name}')"),
            None => Ok(()),
        }
    }
}

/// An entry of the SELECT clause. A wildcard or a regex expands to several columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The expression, which contains no comparison, `AND` or `OR`.
    pub expr: Expr,
    /// `AS …`, which is never empty.
    pub alias: Option<String>,
}

fn fields(p: &mut Parser<'_>) -> Result<Vec<Field>, ParseError> {
    let mut fields = vec![field(p)?];
    while p.scan_if(TokenKind::Comma) {
        fields.push(field(p)?);
    }
    Ok(fields)
}

fn field(p: &mut Parser<'_>) -> Result<Field, ParseError> {
    let expr = match p.regex_if()? {
        Some(regex) => Expr::Regex(regex),
        None => {
            let position = p.next().position;
            p.unscan();
            let expr = expr_parser::parse(p)?;
            if let Some(op) = condition_operator(&expr) {
                return Err(ParseError::OperatorInField { op, position });
            }
            expr
        }
    };
    let alias = p.after(Keyword::As, Parser::ident)?.filter(|alias| !alias.is_empty());
    p.skip_blank();
    Ok(Field { expr, alias })
}

/// Returns a comparison, `AND` or `OR` in a field, which must not contain one. If there are
/// several, 1.x reports the last of them.
fn condition_operator(expr: &Expr) -> Option<BinaryOp> {
    match expr {
        Expr::Binary { op, .. } if op.is_condition() => Some(*op),
        Expr::Binary { left, right, .. } => {
            condition_operator(right).or_else(|| condition_operator(left))
        }
        Expr::Paren(inner) => condition_operator(inner),
        Expr::Call { args, .. } => args.iter().rev().find_map(condition_operator),
        _ => None,
    }
}

impl Field {
    /// Returns the column's name before conflicts are resolved: the alias, or the names of
    /// functions and fields joined by `_`. The name may be empty.
    pub fn name(&self) -> String {
        self.alias.clone().unwrap_or_else(|| {
            let mut names = vec![];
            names_in(&self.expr, &mut names);
            names.join("_")
        })
    }
}

fn names_in<'a>(expr: &'a Expr, names: &mut Vec<&'a str>) {
    match expr {
        Expr::Call { name, .. } | Expr::VarRef { name, .. } => names.push(name),
        Expr::Paren(inner) => names_in(inner, names),
        Expr::Binary { left, right, .. } => {
            names_in(left, names);
            names_in(right, names);
        }
        _ => {}
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        write_option(f, "AS", self.alias.as_deref().map(quote::ident))
    }
}

/// The values of empty windows.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Fill {
    /// `fill(null)`
    #[default]
    Null,
    /// `fill(none)`: the result omits empty windows.
    None,
    /// `fill(previous)`
    Previous,
    /// `fill(linear)`
    Linear,
    /// `fill(0)`, `fill(1.5)`
    Number(FillNumber),
}

/// The number of `fill(number)` as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FillNumber {
    /// A number without a decimal point.
    Integer(i64),
    /// A number with a decimal point.
    Float(f64),
}

impl Fill {
    fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let arg = argument(p, "fill", ParseError::FillNotCall, ParseError::FillArguments)?;
        let Some(arg) = arg else { return Ok(Self::Null) };
        // 1.x compares the printed argument, so the options are lower case and may be quoted.
        Ok(match &arg {
            Expr::VarRef { name, cast: None } => match name.as_str() {
                "null" => Self::Null,
                "none" => Self::None,
                "previous" => Self::Previous,
                "linear" => Self::Linear,
                _ => return Err(ParseError::FillNotNumber),
            },
            Expr::IntegerLiteral(value) => Self::Number(FillNumber::Integer(*value)),
            Expr::NumberLiteral(value) => Self::Number(FillNumber::Float(*value)),
            _ => return Err(ParseError::FillNotNumber),
        })
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::None => f.write_str(" fill(none)"),
            Self::Previous => f.write_str(" fill(previous)"),
            Self::Linear => f.write_str(" fill(linear)"),
            Self::Number(FillNumber::Integer(value)) => write!(f, " fill({value})"),
            // 1.x prints numbers of at least 1e21 with an exponent, which its own parser rejects.
            Self::Number(FillNumber::Float(value)) => {
                write!(f, " fill({})", format_plain(*value))
            }
        }
    }
}

/// Returns the argument of a call of `function`, or `None` if no such call follows.
fn argument(
    p: &mut Parser<'_>,
    function: &str,
    not_call: ParseError,
    several: ParseError,
) -> Result<Option<Expr>, ParseError> {
    if !p.peek_word(function) {
        return Ok(None);
    }
    let Expr::Call { args, .. } = expr_parser::parse(p)? else { return Err(not_call) };
    let [arg] = <[Expr; 1]>::try_from(args).map_err(|_| several)?;
    Ok(Some(arg))
}

/// Parses `tz('…')`. The name must be in the IANA time zone database. `''` and `Local` mean `UTC`.
/// In 1.x, `Local` is the server's zone.
fn timezone(p: &mut Parser<'_>) -> Result<Option<String>, ParseError> {
    let arg = argument(p, "tz", ParseError::TimezoneNotCall, ParseError::TimezoneArguments)?;
    let Some(arg) = arg else { return Ok(None) };
    let Expr::StringLiteral(name) = arg else { return Err(ParseError::TimezoneNotString) };
    match name.as_str() {
        "" | "Local" => Ok(Some("UTC".to_owned())),
        known if zone::exists(known) => Ok(Some(name)),
        _ => Err(ParseError::UnknownTimezone { name }),
    }
}

/// `EXPLAIN [ANALYZE] [VERBOSE] SELECT …`
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainStatement {
    /// The query to explain.
    pub select: Box<SelectStatement>,
    /// Whether `ANALYZE` is present. With `ANALYZE`, the query is also executed.
    pub analyze: bool,
    /// Whether `VERBOSE`, an option of the last 1.x versions without effect, is present.
    pub verbose: bool,
}

impl ExplainStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let analyze = p.keyword_if(Keyword::Analyze);
        let verbose = p.word_if("VERBOSE");
        p.expect_keyword(Keyword::Select)?;
        let select = Box::new(SelectStatement::parse(p, IntoClause::Optional)?);
        Ok(Self { select, analyze, verbose })
    }
}

impl fmt::Display for ExplainStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let analyze = if self.analyze { "ANALYZE " } else { "" };
        let verbose = if self.verbose { "VERBOSE " } else { "" };
        write!(f, "EXPLAIN {analyze}{verbose}{}", self.select)
    }
}

/// `CREATE CONTINUOUS QUERY name ON db [RESAMPLE [EVERY d] [FOR d]] BEGIN SELECT … INTO … END`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateContinuousQueryStatement {
    /// The query's name.
    pub name: String,
    /// `ON`
    pub database: String,
    /// The query. The query has a target. An aggregate query also has a `GROUP BY time(…)`.
    pub source: Box<SelectStatement>,
    /// `RESAMPLE EVERY` in nanoseconds, or 0 if it is absent.
    pub resample_every_ns: i64,
    /// `RESAMPLE FOR` in nanoseconds, or 0 if it is absent.
    pub resample_for_ns: i64,
}

impl CreateContinuousQueryStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        let database = clause::required_database(p)?;
        let (resample_every_ns, resample_for_ns) =
            p.after(Keyword::Resample, resample)?.unwrap_or((0, 0));
        p.expect_keyword(Keyword::Begin)?;
        p.expect_keyword(Keyword::Select)?;
        let source = SelectStatement::parse(p, IntoClause::Required)?;
        let interval = source.group_by_interval_ns();
        if !source.is_raw() && (interval.is_err() || interval == Ok(0)) {
            // In this error, 1.x reports the last token of the SELECT.
            p.unscan();
            p.unscan();
            let reason = interval.err().map_or_else(String::new, |error| format!(", {error}"));
            return Err(unexpected(&p.next(), &format!("GROUP BY time(...){reason}")));
        }
        p.expect_keyword(Keyword::End)?;
        check_resample(interval?, resample_every_ns, resample_for_ns)?;
        let source = Box::new(source);
        Ok(Self { name, database, source, resample_every_ns, resample_for_ns })
    }
}

/// Returns `EVERY` and `FOR` in nanoseconds, or 0 for an absent option.
fn resample(p: &mut Parser<'_>) -> Result<(i64, i64), ParseError> {
    let every_ns = p.after(Keyword::Every, resample_duration_ns)?.unwrap_or(0);
    let for_ns = p.after(Keyword::For, resample_duration_ns)?.unwrap_or(0);
    if every_ns == 0 && for_ns == 0 {
        return Err(unexpected(&p.next(), "EVERY, FOR"));
    }
    Ok((every_ns, for_ns))
}

fn resample_duration_ns(p: &mut Parser<'_>) -> Result<i64, ParseError> {
    let token = p.next();
    if token.kind != TokenKind::Duration {
        return Err(unexpected(&token, "duration"));
    }
    p.unscan();
    p.duration_ns()
}

/// Checks that `FOR` covers at least one window and one `EVERY` interval.
fn check_resample(interval_ns: i64, every_ns: i64, for_ns: i64) -> Result<(), ParseError> {
    let min_ns = interval_ns.max(every_ns);
    if for_ns == 0 || min_ns <= for_ns {
        return Ok(());
    }
    let (min, got) = (duration::format(min_ns), duration::format(for_ns));
    Err(ParseError::ResampleTooShort { min, got })
}

impl fmt::Display for CreateContinuousQueryStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, database) = (quote::ident(&self.name), quote::ident(&self.database));
        write!(f, "CREATE CONTINUOUS QUERY {name} ON {database} ")?;
        if self.resample_every_ns > 0 || self.resample_for_ns > 0 {
            f.write_str("RESAMPLE ")?;
        }
        if self.resample_every_ns > 0 {
            write!(f, "EVERY {} ", duration::format(self.resample_every_ns))?;
        }
        if self.resample_for_ns > 0 {
            write!(f, "FOR {} ", duration::format(self.resample_for_ns))?;
        }
        write!(f, "BEGIN {} END", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Statement;
    use crate::bound_params::Params;
    use crate::tests as check;
    use tidemark_model::configurable_limits::Limits;

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

    #[test]
    fn fields_are_expressions_with_names() {
        check::stays(&[
            "SELECT a AS b, \"a b\" AS \"c d\", /x/, *, *::tag, a::float FROM m",
            "SELECT top(a, host, 3) AS t, DISTINCT a, 1 FROM m",
        ]);
        check::prints(&[("SELECT a AS \"\" FROM m", "SELECT a FROM m")]);
        check::fails(&[
            ("SELECT a AS FROM m", "found FROM, expected identifier at line 1, char 13"),
            (
                "SELECT a, FROM m",
                "found FROM, expected identifier, string, number, bool at line 1, char 11",
            ),
            (
                "SELECT a, (b = 1) + f(c > 2) FROM m",
                "invalid operator > in SELECT clause at line 1, char 11; \
                    operator is intended for WHERE clause",
            ),
            (
                "SELECT (a OR b = 1) FROM m",
                "invalid operator OR in SELECT clause at line 1, char 8; \
                    operator is intended for WHERE clause",
            ),
        ]);
    }

    #[test]
    fn field_names_derive_from_expressions() {
        for (text, name) in [
            ("a AS b", "b"),
            ("a::float", "a"),
            ("MEAN(a)", "mean"),
            ("(((a)))", "a"),
            ("a + 2 * (max(b) - c)", "a_max_c"),
            ("-a", "a"),
            ("*", ""),
            ("1", ""),
        ] {
            let params = Params::default();
            let mut p = Parser::new(text, &params, Limits::default());
            assert_eq!(field(&mut p).map(|field| field.name()), Ok(name.to_owned()), "{text}");
        }
    }

    #[test]
    fn every_fill_option_parses() {
        check::stays(&[
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(none)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(previous)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(linear)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(-1)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(0.00001)",
            "SELECT a FROM m fill(1.5)",
        ]);
        check::prints(&[
            ("SELECT a FROM m FILL(null)", "SELECT a FROM m"),
            ("SELECT a FROM m fill(\"linear\")", "SELECT a FROM m fill(linear)"),
        ]);
        check::fails(&[
            ("SELECT a FROM m fill", "fill must be a function call"),
            (
                "SELECT a FROM m fill()",
                "fill requires an argument, e.g.: 0, null, none, previous, linear",
            ),
            (
                "SELECT a FROM m fill(1, 2)",
                "fill requires an argument, e.g.: 0, null, none, previous, linear",
            ),
            ("SELECT a FROM m fill(NULL)", "expected number argument in fill()"),
            ("SELECT a FROM m fill('none')", "expected number argument in fill()"),
            ("SELECT a FROM m fill(1m)", "expected number argument in fill()"),
        ]);
    }

    #[test]
    fn time_zone_names_must_exist() {
        check::prints(&[
            ("SELECT a FROM m tz('')", "SELECT a FROM m TZ('UTC')"),
            ("SELECT a FROM m TZ('Local')", "SELECT a FROM m TZ('UTC')"),
            ("SELECT a FROM m Tz('America/New_York')", "SELECT a FROM m TZ('America/New_York')"),
        ]);
        check::fails(&[
            ("SELECT a FROM m tz('america/new_york')", "unable to find time zone america/new_york"),
            ("SELECT a FROM m tz('../UTC')", "unable to find time zone ../UTC"),
            ("SELECT a FROM m tz", "tz must be a function call"),
            ("SELECT a FROM m tz()", "tz requires exactly one argument"),
            ("SELECT a FROM m tz('UTC', 'UTC')", "tz requires exactly one argument"),
            ("SELECT a FROM m tz(UTC)", "expected string argument in tz()"),
        ]);
    }

    #[test]
    fn explain_accepts_only_select() {
        check::stays(&[
            "EXPLAIN SELECT a FROM m",
            "EXPLAIN ANALYZE SELECT a FROM m",
            "EXPLAIN ANALYZE VERBOSE SELECT a FROM m",
        ]);
        check::fails(&[
            ("EXPLAIN", "found EOF, expected SELECT at line 1, char 9"),
            ("EXPLAIN SHOW SERIES", "found SHOW, expected SELECT at line 1, char 9"),
        ]);
    }

    #[test]
    fn continuous_queries_parse_and_print() {
        check::stays(&[
            "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(a) INTO t FROM m GROUP BY time(1m) END",
            "CREATE CONTINUOUS QUERY cq ON db RESAMPLE EVERY 1m FOR 1h BEGIN SELECT mean(a) \
                INTO rp.:MEASUREMENT FROM /x/ GROUP BY time(5m), * END",
            "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT a INTO t FROM m END",
        ]);
        check::fails(&[
            (
                "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT a FROM m END",
                "found FROM, expected INTO at line 1, char 49",
            ),
            (
                "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(a) INTO t FROM m END",
                "found m, expected GROUP BY time(...) at line 1, char 67",
            ),
            (
                "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(a) INTO t FROM m GROUP BY time() END",
                "found ), expected GROUP BY time(...), time dimension expected 1 or 2 arguments \
                    at line 1, char 83",
            ),
            (
                "CREATE CONTINUOUS QUERY cq ON db RESAMPLE BEGIN SELECT a INTO t FROM m END",
                "found BEGIN, expected EVERY, FOR at line 1, char 43",
            ),
            (
                "CREATE CONTINUOUS QUERY cq ON db RESAMPLE EVERY INF BEGIN SELECT a INTO t FROM m END",
                "found INF, expected duration at line 1, char 49",
            ),
            (
                "CREATE CONTINUOUS QUERY cq ON db RESAMPLE EVERY 2m FOR 90s BEGIN SELECT mean(a) \
                    INTO t FROM m GROUP BY time(1m) END",
                "FOR duration must be >= GROUP BY time duration: must be a minimum of 2m, got 90s",
            ),
        ]);
    }
}
