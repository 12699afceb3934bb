//! Defines the properties that each function has in the table of functions.

use crate::query::data_type::DataType;
use crate::query::math::MathFunction;
use crate::scan::request::AggregateFunction;

/// A function of InfluxQL.
#[derive(Debug)]
pub struct Function {
    /// The name, in lower case.
    pub name: &'static str,
    /// The kind of the function, as in 1.x.
    pub kind: Kind,
    /// The parameters, as the console displays them.
    pub parameters: &'static str,
    /// The console's description of the result.
    pub explained: &'static str,
    pub(crate) arguments: Arguments,
    pub(crate) takes: SupportedTypes,
    pub(crate) output: Output,
    pub(crate) execution: Execution,
    pub(crate) fill: DefaultFill,
    /// The name in 1.x's error about an unsupported type, if the name differs from `name`.
    pub(crate) iterator: Option<&'static str>,
}

/// The kinds of functions, which are the chapters of 1.x's manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function that computes a new value from all values of a window.
    Aggregate,
    /// A function that selects points of a window, with the points' other fields and tags.
    Selector,
    /// A function that computes a new value for each value of a series.
    Transformation,
    /// A transformation from technical analysis.
    Technical,
    /// A function that computes a new value from the values in the same row.
    Mathematics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    Field,
    FieldOrDistinct,
    /// A field name, not a wildcard or regex.
    NamedField,
    FieldAndNumber,
    FieldAndCount,
    FieldTagsAndLimit,
    FieldAndUnit,
    /// A field, or a call that returns a sketch.
    Sketch,
    /// A field, or an aggregate for each window.
    Stream,
    StreamAndUnit,
    StreamAndWindow,
    /// An aggregate for each window, the number of values to predict, and a season's length.
    Forecast,
    /// A stream, a period, and two optional arguments: the number of values to hold back, and the
    /// method that starts the averages.
    Technical {
        /// The minimum number of values to hold back.
        hold_min: i64,
        /// The supported methods that start the averages; empty if the function has no such
        /// argument.
        warmups: &'static [&'static str],
    },
    Numbers(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupportedTypes {
    Numbers,
    NumbersAndBooleans,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Input,
    /// The same type for every input type.
    Always(DataType),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Execution {
    /// Shards return partial states, which the edge merges.
    Merged(AggregateFunction),
    /// The edge applies the function to all values of a window together.
    Gathered(Gathered),
    /// The edge applies the function to a series in order ([`crate::query::transforms`]).
    Streamed,
    /// The edge applies the function to the values of one row.
    Row(MathFunction),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    Median,
    Mode,
    Distinct,
    /// The exact number of distinct values, which 1.x estimates with a sketch.
    CountOfSketch,
    /// A sketch that is not the argument of a function. Such a call has no result.
    Sketch,
    Percentile,
    Top,
    Bottom,
    Sample,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultFill {
    Null,
    Zero,
    /// The result omits empty windows for every `fill`.
    LeftOut,
}

impl SupportedTypes {
    pub(crate) fn includes(self, data_type: DataType) -> bool {
        match self {
            Self::Any => true,
            Self::NumbersAndBooleans => data_type.is_number() || data_type == DataType::Boolean,
            Self::Numbers => data_type.is_number(),
        }
    }
}

impl Output {
    pub(crate) fn over(self, input: DataType) -> DataType {
        match self {
            Self::Input => input,
            Self::Always(data_type) => data_type,
        }
    }
}
