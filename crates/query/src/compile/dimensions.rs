//! Checks the interval and the dimensions in GROUP BY.

use super::fold::{self, FoldContext};
use super::local_time::{Zone, parse_time};
use crate::error::{Result, invalid};
use tidemark_influxql::ast::{Expr, SelectStatement};
use tidemark_influxql::time_literal;
use tidemark_model::time::past_truncated_ns;

/// The arguments of `time(every, offset)`. If `every_ns` is 0, the statement does not group by
/// time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) every_ns: i64,
    /// The offset from the epoch, less than `every_ns`.
    pub(crate) offset_ns: i64,
}

impl Interval {
    pub(crate) fn is_zero(&self) -> bool {
        self.every_ns == 0
    }
}

/// Checks GROUP BY and returns its interval (1.x `compileDimensions`).
pub(crate) fn check(
    select: &SelectStatement,
    now_ns: i64,
    zone: Option<&Zone>,
) -> Result<Interval> {
    let mut interval = Interval::default();
    for dimension in &select.dimensions {
        match fold::fold(dimension, FoldContext::default()) {
            Expr::VarRef { name, .. } if name.eq_ignore_ascii_case("time") => {
                return invalid("time() is a function and expects at least one argument");
            }
            Expr::VarRef { .. } | Expr::Wildcard(_) | Expr::Regex(_) => {}
            Expr::Call { name, args } => {
                if name != "time" {
                    return invalid("only time() calls allowed in dimensions");
                }
                let (first, offset) = match args.as_slice() {
                    [first] => (first, None),
                    [first, offset] => (first, Some(offset)),
                    _ => return invalid("time dimension expected 1 or 2 arguments"),
                };
                let Expr::DurationLiteral(every_ns) = *first else {
                    return invalid("time dimension must have duration argument");
                };
                if interval.every_ns != 0 {
                    return invalid("multiple time dimensions not allowed");
                }
                interval.every_ns = every_ns;
                if let Some(offset) = offset {
                    interval.offset_ns = offset_ns(offset, every_ns, now_ns, zone)?;
                }
            }
            _ => return invalid("only time and tag dimensions allowed"),
        }
    }
    // 1.x does not group by time if the width is 0 or less (`Interval.IsZero`, `Window`).
    if interval.every_ns < 0 {
        interval = Interval::default();
    }
    Ok(interval)
}

fn offset_ns(offset: &Expr, every_ns: i64, now_ns: i64, zone: Option<&Zone>) -> Result<i64> {
    let past = |time_ns: i128| time_ns.checked_rem_euclid(every_ns.into()).unwrap_or(0) as i64;
    match offset {
        Expr::DurationLiteral(ns) => Ok(ns.checked_rem(every_ns).unwrap_or(0)),
        Expr::TimeLiteral(ns) => Ok(past(*ns)),
        Expr::Call { name, .. } if name != "now" => {
            invalid("time dimension offset function must be now()")
        }
        Expr::Call { args, .. } if !args.is_empty() => {
            invalid("time dimension offset now() function requires no arguments")
        }
        Expr::Call { .. } => Ok(past_truncated_ns(now_ns, every_ns)),
        Expr::StringLiteral(text) if time_literal::is_time(text) => {
            Ok(past(parse_time(text, zone)?.into()))
        }
        _ => invalid("time dimension offset must be duration or now()"),
    }
}
