//! Defines the properties of a function in the table of functions.

use crate::query::data_type::DataType;
use crate::query::math::MathFunction;
use crate::scan::request::AggregateFunction;

/// One function of InfluxQL.
#[derive(Debug)]
pub struct Function {
    /// The name, in lower case.
    pub name: &'static str,
    /// The kind, as in 1.x.
    pub kind: Kind,
    /// The arguments, as the console displays them.
    pub parameters: &'static str,
    /// The description of the result, as the console displays it.
    pub explained: &'static str,
    pub(crate) arguments: Arguments,
    pub(crate) takes: SupportedTypes,
    pub(crate) output: Output,
    pub(crate) execution: Execution,
    /// The value of empty windows if the statement has no `fill`.
    pub(crate) fill: DefaultFill,
    /// The name of 1.x's iterator in the error about a wrong type, if it differs from `name`.
    pub(crate) iterator: Option<&'static str>,
}

/// The kinds of functions: the chapters of 1.x's manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function that computes a new value from all values of a window.
    Aggregate,
    /// A function that chooses points of a window, with their other fields and tags.
    Selector,
    /// A function that computes a new value for each value of a series.
    Transformation,
    /// A transformation from technical analysis.
    Technical,
    /// A function that computes a new value from the values in the same row.
    Mathematics,
}

/// The required arguments of a function. `compile/arguments.rs` checks them and reports 1.x's
/// errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    Field,
    FieldOrDistinct,
    /// A field given by its name, not by a wildcard or regex.
    NamedField,
    FieldAndNumber,
    /// A field and a number of rows.
    FieldAndCount,
    /// A field, tags, and a number of rows.
    FieldTagsAndLimit,
    /// A field and an optional unit of time.
    FieldAndUnit,
    /// A field, or any call over a sketch.
    Sketch,
    /// A stream: a field, or an aggregate by window.
    Stream,
    /// A stream and an optional unit of time.
    StreamAndUnit,
    /// A stream and a number of values.
    StreamAndWindow,
    /// An aggregate by window, the number of values to predict, and the length of a season.
    Forecast,
    /// A stream and a period. Two arguments are optional: the number of values to hold back, and
    /// the start of the averages.
    Technical {
        /// The minimum number of values to hold back.
        hold_min: i64,
        /// The supported starts of averages; empty if the function has no such argument.
        warmups: &'static [&'static str],
    },
    /// Numbers, with the given count.
    Numbers(usize),
}

/// The types of values that a function supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupportedTypes {
    /// Floats, integers and unsigned integers.
    Numbers,
    /// Numbers and booleans.
    NumbersAndBooleans,
    Any,
}

/// The type of a function's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The type of the function's values.
    Input,
    /// The given type for any values.
    Always(DataType),
}

/// The place and the method of a function's computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Execution {
    /// Shards return partial states, which the edge merges.
    Merged(AggregateFunction),
    /// The edge collects all values of a window and computes the function over them.
    Gathered(Gathered),
    /// The edge applies the function to the values of a series in order
    /// ([`crate::query::transforms`]).
    Streamed,
    /// The edge applies the function to the values of a row.
    Row(MathFunction),
}

/// A function of all values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    Median,
    Mode,
    Distinct,
    /// The exact number of distinct values. 1.x estimates it with a sketch.
    CountOfSketch,
    /// A sketch without a function over it, which has no result here.
    Sketch,
    Percentile,
    Top,
    Bottom,
    Sample,
}

/// The value of empty windows in statements without `fill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultFill {
    Null,
    Zero,
    /// The result omits empty windows for every `fill`.
    LeftOut,
}

impl SupportedTypes {
    /// Whether the function supports values of this type.
    pub(crate) fn includes(self, data_type: DataType) -> bool {
        match self {
            Self::Any => true,
            Self::NumbersAndBooleans => data_type.is_number() || data_type == DataType::Boolean,
            Self::Numbers => data_type.is_number(),
        }
    }
}

impl Output {
    /// Returns the type of the result over values of type `input`.
    pub(crate) fn over(self, input: DataType) -> DataType {
        match self {
            Self::Input => input,
            Self::Always(data_type) => data_type,
        }
    }
}
