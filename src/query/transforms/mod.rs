//! Computes functions on the ordered values of a series, in batches.

mod cumulative_sum;
mod derivative;
mod difference;
mod elapsed;
mod holt_winters;
mod integral;
mod moving_average;
mod stream_batch;
mod technical;

use super::functions::{Function, Kind};
use crate::influxql::ast::Expr;
use crate::model::time::{S_NS, TimeRange};
use crate::scan::request::Window;
use holt_winters::Forecast;
use technical::Technical;

pub(crate) use stream_batch::{Finish, StreamBatch, Transformation};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Transform {
    Derivative {
        unit_ns: i64,
        non_negative: bool,
        descending: bool,
    },
    Difference {
        non_negative: bool,
    },
    Elapsed {
        /// The unit of the result, in nanoseconds.
        unit_ns: i64,
    },
    MovingAverage {
        /// At least 2.
        window: usize,
    },
    CumulativeSum,
    Technical(Technical),
    HoltWinters(Forecast),
    Integral {
        unit_ns: i64,
        window: Option<Window>,
        range: TimeRange,
        descending: bool,
    },
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

/// Converts a number of values. On WebAssembly, a `usize` has 32 bits, and no series has more values
/// in memory.
fn clamped(number: i64) -> usize {
    u32::try_from(number).unwrap_or(u32::MAX) as usize
}

impl Transform {
    pub(crate) fn find(
        name: &str,
        args: &[Expr],
        window: Option<&Window>,
        range: TimeRange,
        descending: bool,
    ) -> Option<Self> {
        let unit = |default_ns: i64| match args.get(1) {
            Some(Expr::DurationLiteral(ns)) => *ns,
            _ => default_ns,
        };
        Some(match name {
            "integral" => {
                Self::Integral { unit_ns: unit(S_NS), window: window.cloned(), range, descending }
            }
            "derivative" | "non_negative_derivative" => Self::Derivative {
                unit_ns: unit(window.map_or(S_NS, |window| window.every_ns)),
                non_negative: name == "non_negative_derivative",
                descending,
            },
            "difference" | "non_negative_difference" => {
                Self::Difference { non_negative: name == "non_negative_difference" }
            }
            "elapsed" => Self::Elapsed { unit_ns: unit(1) },
            "moving_average" => match args.get(1) {
                Some(Expr::IntegerLiteral(window)) => {
                    Self::MovingAverage { window: clamped(*window) }
                }
                _ => return None,
            },
            "cumulative_sum" => Self::CumulativeSum,
            "holt_winters" | "holt_winters_with_fit" => {
                let [_, Expr::IntegerLiteral(ahead), Expr::IntegerLiteral(season)] = args else {
                    return None;
                };
                Self::HoltWinters(Forecast {
                    ahead: clamped(*ahead),
                    season: clamped(*season),
                    with_fit: name == "holt_winters_with_fit",
                    every_ns: window?.every_ns,
                })
            }
            _ => Self::Technical(Technical::find(name, args)?),
        })
    }

    /// Whether the transformation reads the window before the range (1.x `buildCallIterator`).
    pub(crate) fn reads_window_before(&self) -> bool {
        !matches!(self, Self::CumulativeSum | Self::Integral { .. } | Self::HoltWinters(_))
    }

    /// Whether the transformation returns nothing in a statement with windows but no lower time
    /// bound (observed in 1.6.7).
    pub(crate) fn reads_nothing_unbounded(&self) -> bool {
        !matches!(self, Self::Integral { .. } | Self::HoltWinters(_))
    }

    pub(crate) fn emits_at_end(&self) -> bool {
        matches!(self, Self::Integral { .. } | Self::HoltWinters(_))
    }

    pub(crate) fn start(&self) -> Box<dyn Transformation> {
        match *self {
            Self::Technical(ref technical) => technical.start(),
            Self::HoltWinters(ref forecast) => {
                Box::new(holt_winters::HoltWinters::new(forecast.clone()))
            }
            Self::Integral { unit_ns, ref window, range, descending } => {
                let window = window.clone();
                Box::new(integral::Integral::new(unit_ns, window, range, descending))
            }
            Self::Derivative { unit_ns, non_negative, descending } => {
                Box::new(derivative::Derivative::new(unit_ns, non_negative, descending))
            }
            Self::Difference { non_negative } => {
                Box::new(difference::Difference::new(non_negative))
            }
            Self::Elapsed { unit_ns } => Box::new(elapsed::Elapsed::new(unit_ns)),
            Self::MovingAverage { window } => Box::new(moving_average::MovingAverage::new(window)),
            Self::CumulativeSum => Box::new(cumulative_sum::CumulativeSum::default()),
        }
    }
}

#[cfg(test)]
mod tests;
