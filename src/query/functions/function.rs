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
    /// The description of the result, as the console displays it.
    pub explained: &'static str,
    pub(crate) arguments: Arguments,
    pub(crate) takes: SupportedTypes,
    pub(crate) output: Output,
    pub(crate) execution: Execution,
    /// The value for empty windows if the statement has no `fill` clause.
    pub(crate) fill: DefaultFill,
    /// The name that 1.x's error about an unsupported type contains, if it differs from `name`.
    pub(crate) iterator: Option<&'static str>,
}

/// The kinds of functions, which are the chapters of 1.x's manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function that computes a new value from all values of a window.
    Aggregate,
    /// A function that selects points of a window, together with the points' other fields and tags.
    Selector,
    /// A function that computes a new value for each value of a series.
    Transformation,
    /// A transformation from technical analysis.
    Technical,
    /// A function that computes a new value from the values in the same row.
    Mathematics,
}

/// The parameters of a function. `compile/arguments.rs` checks the arguments and returns 1.x's
/// errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    Field,
    FieldOrDistinct,
    /// A field that is specified by name, not by a wildcard or regex.
    NamedField,
    FieldAndNumber,
    /// A field and a number of rows.
    FieldAndCount,
    /// A field, tags, and a number of rows.
    FieldTagsAndLimit,
    /// A field and an optional unit of time.
    FieldAndUnit,
    /// A field, or a call that returns a sketch.
    Sketch,
    /// A stream: a field, or an aggregate for each window.
    Stream,
    /// A stream and an optional unit of time.
    StreamAndUnit,
    /// A stream and a number of values.
    StreamAndWindow,
    /// An aggregate for each window, the number of values to predict, and the length of a season.
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
    /// Numeric arguments. The value is the number of arguments.
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
    /// The type of the input values.
    Input,
    /// The specified type, for every input type.
    Always(DataType),
}

/// Specifies where and how a function is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Execution {
    /// Shards return partial states, and the edge merges these states.
    Merged(AggregateFunction),
    /// The edge collects all values of a window and applies the function to all of them together.
    Gathered(Gathered),
    /// The edge applies the function to the values of a series in order
    /// ([`crate::query::transforms`]).
    Streamed,
    /// The edge applies the function to the values of a row.
    Row(MathFunction),
}

/// A function that needs all values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    Median,
    Mode,
    Distinct,
    /// The exact number of distinct values. 1.x estimates this number with a sketch.
    CountOfSketch,
    /// A sketch that is not the argument of a function. A sketch by itself has no result in this
    /// implementation.
    Sketch,
    Percentile,
    Top,
    Bottom,
    Sample,
}

/// The value for empty windows in statements without a `fill` clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultFill {
    Null,
    Zero,
    /// The result omits empty windows for every `fill`.
    LeftOut,
}

impl SupportedTypes {
    /// Whether a function that takes these types supports `data_type`.
    pub(crate) fn includes(self, data_type: DataType) -> bool {
        match self {
            Self::Any => true,
            Self::NumbersAndBooleans => data_type.is_number() || data_type == DataType::Boolean,
            Self::Numbers => data_type.is_number(),
        }
    }
}

impl Output {
    /// Returns the type of a function's result if its input values have type `input`.
    pub(crate) fn over(self, input: DataType) -> DataType {
        match self {
            Self::Input => input,
            Self::Always(data_type) => data_type,
        }
    }
}
