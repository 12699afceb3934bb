//! Parses and prints `CREATE CONTINUOUS QUERY`.

use std::fmt;

use super::error::ParseError;
use super::parser::{Parser, unexpected};
use super::select::{IntoClause, SelectStatement};
use super::token::{Keyword, TokenKind};
use super::{clause, duration, quote};

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
            if p.keyword_if(Keyword::Resample) { resample(p)? } else { (0, 0) };
        p.expect_keyword(Keyword::Begin)?;
        p.expect_keyword(Keyword::Select)?;
        let source = SelectStatement::parse(p, IntoClause::Required)?;
        let interval = source.group_by_interval_ns();
        if !source.is_raw() && interval.is_err() | (interval == Ok(0)) {
            // In this error, 1.x reports the last token of the SELECT.
            p.unscan();
            p.unscan();
            let mut expected = vec!["GROUP BY time(...)"];
            expected.extend(interval.err().map(|error| error.as_str()));
            return Err(unexpected(&p.next(), &expected));
        }
        p.expect_keyword(Keyword::End)?;
        let interval_ns = interval.map_err(|error| ParseError::Interval { error })?;
        check_resample(interval_ns, resample_every_ns, resample_for_ns)?;
        let source = Box::new(source);
        Ok(Self { name, database, source, resample_every_ns, resample_for_ns })
    }
}

/// Returns `EVERY` and `FOR` in nanoseconds, or 0 for an absent option.
fn resample(p: &mut Parser<'_>) -> Result<(i64, i64), ParseError> {
    let every_ns = resample_duration_ns(p, Keyword::Every)?;
    let for_ns = resample_duration_ns(p, Keyword::For)?;
    if every_ns == 0 && for_ns == 0 {
        return Err(unexpected(&p.next(), &["EVERY", "FOR"]));
    }
    Ok((every_ns, for_ns))
}

fn resample_duration_ns(p: &mut Parser<'_>, keyword: Keyword) -> Result<i64, ParseError> {
    if !p.keyword_if(keyword) {
        return Ok(0);
    }
    let token = p.next();
    if token.kind != TokenKind::Duration {
        return Err(unexpected(&token, &["duration"]));
    }
    p.unscan();
    p.duration_ns()
}

/// Checks that `FOR` covers at least one window and one `EVERY` interval.
fn check_resample(interval_ns: i64, every_ns: i64, for_ns: i64) -> Result<(), ParseError> {
    let min_ns = if every_ns != 0 { interval_ns.max(every_ns) } else { interval_ns };
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
    use crate::check;

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
