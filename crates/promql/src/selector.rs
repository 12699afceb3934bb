//! The samples that a query needs.

use super::expr::{Expr, Subquery, VectorSelector};
use super::limits::LOOKBACK_MS;
use super::matcher::Matcher;
use super::query::Range;

/// The series and samples that a selector of a query needs.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The conditions on the labels, of which one may be on `__name__`. Every condition must hold.
    pub matchers: Vec<Matcher>,
    /// The time before the first sample.
    pub start_ms: i64,
    /// The time of the last sample: `start_ms < time <= end_ms`.
    pub end_ms: i64,
}

/// The times at which an expression is evaluated.
#[derive(Clone, Copy)]
struct Times {
    first_ms: i64,
    last_ms: i64,
}

/// Returns the selectors of `expr` in the order of the query's text.
pub(crate) fn selectors(expr: &Expr, range: &Range) -> Vec<Selector> {
    let mut found = vec![];
    let times = Times { first_ms: range.start_ms, last_ms: range.end_ms };
    visit(expr, range, times, &mut found);
    found
}

fn visit(expr: &Expr, range: &Range, times: Times, found: &mut Vec<Selector>) {
    let mut add = |selector: &VectorSelector, range_ms: i64| {
        let first_ms = range.shifted(&selector.time, times.first_ms);
        let last_ms = range.shifted(&selector.time, times.last_ms);
        let start_ms = first_ms.saturating_sub(range_ms);
        found.push(Selector { matchers: selector.matchers.clone(), start_ms, end_ms: last_ms });
    };
    match expr {
        Expr::Vector(selector) => add(selector, LOOKBACK_MS),
        Expr::Matrix { selector, range_ms } => add(selector, *range_ms),
        Expr::Subquery(subquery) => {
            visit(&subquery.expr, range, subquery_times(subquery, range, times), found);
        }
        _ => {
            for child in expr.children() {
                visit(child, range, times, found);
            }
        }
    }
}

fn subquery_times(subquery: &Subquery, range: &Range, times: Times) -> Times {
    let first_ms = range.shifted(&subquery.time, times.first_ms);
    Times {
        first_ms: first_ms.saturating_sub(subquery.range_ms),
        last_ms: range.shifted(&subquery.time, times.last_ms),
    }
}
