//! Computes functions on the ordered values of a series, in batches.

mod cumulative_sum_moving_average;
mod derivative_difference_elapsed;
mod holt_winters;
mod integral;
mod technical;

use super::error::Result;
use super::functions::{Function, Kind};
use super::result::{Column, Values};
use super::work::Work;
use cumulative_sum_moving_average::{CumulativeSum, MovingAverage};
use derivative_difference_elapsed::{Derivative, Difference, Elapsed, LastPoint};
use holt_winters::HoltWinters;
use integral::Integral;
use technical::Technical;
use tidemark_engine::batch::column::gather;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::request::Window;
use tidemark_influxql::ast::Expr;
use tidemark_model::time::{S_NS, TimeRange};
use tidemark_model::value::FieldType;

/// Values of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamBatch {
    pub(crate) times_ns: Vec<i64>,
    /// No value is null.
    pub(crate) values: Values,
}

impl StreamBatch {
    /// Skips rows without a value.
    pub(crate) fn new(times_ns: &[i64], column: &Column) -> Self {
        if column.validity.nulls(column.len()) == 0 {
            return Self { times_ns: times_ns.to_vec(), values: column.values.clone() };
        }
        // The positions of the rows in a page fit in u32.
        let rows: Vec<u32> =
            (0..column.len() as u32).filter(|&r| column.validity.is_valid(r as usize)).collect();
        Self { times_ns: gather(times_ns, &rows), values: column.values.gather(&rows) }
    }

    fn empty() -> Self {
        Self { times_ns: Vec::new(), values: Values::new(FieldType::Float) }
    }
}

/// A transformation and the state of its stream. The transformations of a plan are at the start of
/// the stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Transform {
    Derivative(Derivative),
    Difference(Difference),
    Elapsed(Elapsed),
    MovingAverage(MovingAverage),
    CumulativeSum(CumulativeSum),
    Technical(Technical),
    HoltWinters(HoltWinters),
    Integral(Integral),
}

/// Whether a function reads the window that precedes the range (1.x `buildCallIterator`).
pub(crate) fn reads_window_before(name: &str) -> bool {
    matches!(
        name,
        "derivative"
            | "non_negative_derivative"
            | "difference"
            | "non_negative_difference"
            | "elapsed"
            | "moving_average"
    ) || Function::find(name).is_some_and(|function| function.kind == Kind::Technical)
}

/// Converts a number of values. On WebAssembly, a `usize` has 32 bits, and no series has more
/// values in memory.
fn clamped(number: i64) -> usize {
    u32::try_from(number).unwrap_or(u32::MAX) as usize
}

impl Transform {
    pub(crate) fn find(
        name: &str,
        args: &[Expr],
        window: Option<&Window>,
        range: TimeRange,
        direction: Direction,
    ) -> Option<Self> {
        let unit = |default_ns: i64| match args.get(1) {
            Some(Expr::DurationLiteral(ns)) => *ns,
            _ => default_ns,
        };
        let (non_negative, last) = (name.starts_with("non_negative_"), LastPoint::default());
        Some(match name {
            "integral" => {
                Self::Integral(Integral::new(unit(S_NS), window.cloned(), range, direction))
            }
            "derivative" | "non_negative_derivative" => {
                let unit_ns = unit(window.map_or(S_NS, |window| window.every_ns));
                Self::Derivative(Derivative { unit_ns, non_negative, direction, last })
            }
            "difference" | "non_negative_difference" => {
                Self::Difference(Difference { non_negative, last })
            }
            "elapsed" => Self::Elapsed(Elapsed { unit_ns: unit(1), last_ns: None }),
            "moving_average" => match args.get(1) {
                Some(Expr::IntegerLiteral(window)) => {
                    Self::MovingAverage(MovingAverage::new(clamped(*window)))
                }
                _ => return None,
            },
            "cumulative_sum" => Self::CumulativeSum(CumulativeSum::default()),
            "holt_winters" | "holt_winters_with_fit" => {
                let [_, Expr::IntegerLiteral(ahead), Expr::IntegerLiteral(season)] = args else {
                    return None;
                };
                Self::HoltWinters(HoltWinters::new(
                    clamped(*ahead),
                    clamped(*season),
                    name == "holt_winters_with_fit",
                    window?.every_ns,
                ))
            }
            _ => Self::Technical(Technical::find(name, args)?),
        })
    }

    pub(crate) fn emits_at_end(&self) -> bool {
        matches!(self, Self::Integral(_) | Self::HoltWinters(_))
    }

    /// Adds the next values of the stream, and returns the next results.
    pub(crate) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        match self {
            Self::Derivative(derivative) => derivative.push(piece),
            Self::Difference(difference) => difference.push(piece),
            Self::Elapsed(elapsed) => elapsed.push(piece),
            Self::MovingAverage(average) => average.push(piece),
            Self::CumulativeSum(sum) => sum.push(piece),
            Self::Technical(technical) => technical.push(piece),
            Self::HoltWinters(forecast) => forecast.push(piece),
            Self::Integral(integral) => integral.push(piece),
        }
    }

    /// Returns the results of a function that returns its results at the end of the stream.
    async fn finish(&mut self, work: &Work) -> Result<Option<StreamBatch>> {
        match self {
            Self::Integral(integral) => Ok(integral.finish()),
            Self::HoltWinters(forecast) => forecast.finish(work).await,
            _ => Ok(None),
        }
    }
}

/// Returns the last results of successive transformations. Awaits only [`Work::spend`].
pub(crate) async fn finish(streams: Vec<Transform>, work: &Work) -> Result<Option<StreamBatch>> {
    let mut last: Option<StreamBatch> = None;
    for mut stream in streams {
        let through = last.map(|piece| stream.push(&piece));
        last = stream.finish(work).await?.or(through);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_values_have_32_bits() {
        let range = TimeRange::ALL;
        let window = Window { every_ns: 1, offset_ns: 0, zone: Vec::new() };
        let find = |name: &str, numbers: &[i64]| {
            let numbers = numbers.iter().map(|&number| Expr::IntegerLiteral(number));
            let args: Vec<Expr> =
                std::iter::once(Expr::BooleanLiteral(true)).chain(numbers).collect();
            Transform::find(name, &args, Some(&window), range, Direction::Ascending)
        };
        let most = u32::MAX as usize;
        let average = find("moving_average", &[1 << 32]);
        assert_eq!(average, Some(Transform::MovingAverage(MovingAverage::new(most))));
        let forecast = HoltWinters::new(most, most, false, 1);
        let found = find("holt_winters", &[1 << 32, i64::MAX]);
        assert_eq!(found, Some(Transform::HoltWinters(forecast)));
    }
}
