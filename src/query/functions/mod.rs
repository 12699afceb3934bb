//! Lists the functions of InfluxQL, one row each, with everything that the compiler, the executor
//! and the console's completion have to know of it.
//!
//! A new function is a row of the file of its kind, and its computation: of an aggregate or a
//! selector in `scan/`, of a transformation in [`super::transforms`], of mathematics in
//! [`super::math`].

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
    /// The function of that lower-case name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        all().find(|function| function.name == name)
    }

    /// The mathematical function of that lower-case name.
    pub(crate) fn mathematics(name: &str) -> Option<MathFunction> {
        match Self::find(name)?.execution {
            Execution::Row(function) => Some(function),
            _ => None,
        }
    }
}

/// Whether `name` takes tags between its field and its limit, as `top` does.
pub fn takes_tags(name: &str) -> bool {
    Function::find(name).is_some_and(|found| found.arguments == Arguments::FieldTagsAndLimit)
}

/// All functions, kind by kind.
pub fn all() -> impl Iterator<Item = &'static Function> {
    [aggregates::ROWS, selectors::ROWS, transformations::ROWS, technical::ROWS, mathematics::ROWS]
        .into_iter()
        .flatten()
}
