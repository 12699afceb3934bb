//! Lists the functions of InfluxQL for the compiler, the executor and the console.
//!
//! A new function needs a row in the file of its kind. The computation of the function belongs in
//! one of these modules:
//! - `scan/` for aggregates and selectors,
//! - [`super::transforms`] for transformations,
//! - [`super::math`] for mathematical functions.

mod aggregates;
mod function;
mod mathematics;
mod selectors;
mod technical;
mod transformations;

use super::math::MathFunction;

pub(crate) use function::{Arguments, DefaultFill, Execution, Gathered, Output};
pub use function::{Function, Kind};

impl Function {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        all().find(|function| function.name == name)
    }

    pub(crate) fn mathematics(name: &str) -> Option<MathFunction> {
        match Self::find(name)?.execution {
            Execution::Row(function) => Some(function),
            _ => None,
        }
    }
}

/// Whether the function `name` accepts tags between its field and its limit, as `top` does.
pub fn takes_tags(name: &str) -> bool {
    Function::find(name).is_some_and(|found| found.arguments == Arguments::FieldTagsAndLimit)
}

/// Returns all functions, sorted by kind.
pub fn all() -> impl Iterator<Item = &'static Function> {
    [aggregates::ROWS, selectors::ROWS, transformations::ROWS, technical::ROWS, mathematics::ROWS]
        .into_iter()
        .flatten()
}
