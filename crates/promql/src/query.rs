//! A parsed query and the times at which it is evaluated.

use super::error::Error;
use super::expr::{At, Expr, TimeShift, Type};
use super::limits::STEPS_MAX;
use super::parse;
use super::selector::{self, Selector};

/// A parsed query.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) expr: Expr,
}

/// The times at which a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first time, in milliseconds since 1970.
    pub start_ms: i64,
    /// The last time, if it is a multiple of the step.
    pub end_ms: i64,
    /// The distance of two times. An instant query has 0, and `start_ms` equals `end_ms`.
    pub step_ms: i64,
}

impl Query {
    /// Parses and checks a query.
    ///
    /// # Errors
    /// [`Error::Parse`] with the position and the reason, in Prometheus' words.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let expr = parse::parse(text)?;
        Ok(Self { expr })
    }

    /// Returns the samples that the query needs, in the order in which [`crate::evaluate()`] takes
    /// them.
    pub fn selectors(&self, range: &Range) -> Vec<Selector> {
        selector::selectors(&self.expr, range)
    }

    /// Prints the query as Prometheus' `format_query` does.
    pub fn format(&self) -> String {
        self.expr.pretty(0)
    }

    /// Whether the query is only a selector. Such a query lists series.
    pub fn is_selector(&self) -> bool {
        matches!(self.expr, Expr::Vector(_))
    }
}

/// The times of the steps of a query or subquery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
}

impl Range {
    pub(crate) fn is_instant(&self) -> bool {
        self.step_ms == 0
    }

    /// Returns the steps of the query.
    pub(crate) fn steps(&self, expr: &Expr) -> Result<Steps, Error> {
        let result_type = expr.result_type();
        if !self.is_instant() && !matches!(result_type, Type::Scalar | Type::Vector) {
            return Err(Error::Parse(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                result_type.as_str()
            )));
        }
        Steps::new(self.start_ms, self.end_ms, self.step_ms)
    }

    /// Returns the time of `@`, or `time_ms`, minus the offset.
    pub(crate) fn shifted(&self, shift: &TimeShift, time_ms: i64) -> i64 {
        let time_ms = match shift.at {
            None => time_ms,
            Some(At::TimeMs(at_ms)) => at_ms,
            Some(At::Start) => self.start_ms,
            Some(At::End) => self.end_ms,
        };
        time_ms.saturating_sub(shift.offset_ms)
    }
}

impl Steps {
    /// Returns the steps from `start_ms` to at most `end_ms`.
    pub(crate) fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Self, Error> {
        let length_ms = i128::from(end_ms) - i128::from(start_ms);
        if length_ms < 0 {
            return Ok(Self { start_ms, step_ms, count: 0 });
        }
        let after_first = if step_ms <= 0 { 0 } else { length_ms / i128::from(step_ms) };
        let count = usize::try_from(after_first + 1).ok().filter(|count| *count <= STEPS_MAX);
        let count = count.ok_or_else(|| {
            let message = "a query or subquery has too many steps: use a longer step or a shorter";
            Error::TooMuch(format!("{message} range: limit {STEPS_MAX}"))
        })?;
        Ok(Self { start_ms, step_ms, count })
    }

    /// Returns the first step only.
    pub(crate) fn first(self) -> Self {
        Self { count: self.count.min(1), ..self }
    }

    pub(crate) fn time_ms(&self, step: usize) -> i64 {
        self.start_ms.saturating_add((step as i64).saturating_mul(self.step_ms))
    }

    pub(crate) fn end_ms(&self) -> i64 {
        self.time_ms(self.count.saturating_sub(1))
    }
}
