//! Lists the functions of InfluxQL for the compiler, the executor and the console.
//!
//! A new function needs a row in the table of its kind. The computation of the function belongs in
//! one of these modules:
//! - `scan/` for aggregates and selectors,
//! - [`super::transforms`] for transformations,
//! - `scan/math.rs` for mathematical functions, which also run in shards.

use super::data_type::DataType;
use Execution::{Merged, Row, Streamed, WholeWindow};
use Output::{Always, Input};
use SupportedTypes::{Any, Numbers, NumbersAndBooleans};
use tidemark_engine::scan::request::AggregateFunction::{
    self, Count, First, Last, Max, Mean, Min, Spread, Stddev, Sum,
};

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
    /// This type, for every type of the input.
    Always(DataType),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Execution {
    /// Shards return partial states, which the edge merges.
    Merged(AggregateFunction),
    /// The edge applies the function to all values of a window together.
    WholeWindow,
    /// The edge applies the function to a series in order ([`crate::transforms`]).
    Streamed,
    /// The edge applies the function to the values of one row ([`tidemark_engine::scan::math`]).
    Row,
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

impl Function {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        all().find(|function| function.name == name)
    }

    /// Whether 1.x computes the function in an iterator and knows the type of the result without
    /// the type of the argument.
    pub(crate) fn has_fixed_type(&self) -> bool {
        self.kind != Kind::Mathematics && matches!(self.output, Always(_))
    }
}

/// Whether the function `name` accepts tags between its field and its limit, as `top` does.
pub fn takes_tags(name: &str) -> bool {
    Function::find(name).is_some_and(|found| found.arguments == Arguments::FieldTagsAndLimit)
}

/// Returns all functions, sorted by kind.
pub fn all() -> impl Iterator<Item = &'static Function> {
    [AGGREGATES, SELECTORS, TRANSFORMATIONS, TECHNICAL, MATHEMATICS].into_iter().flatten()
}

impl Arguments {
    /// Returns the parameters, as the console displays them.
    const fn parameters(self) -> &'static str {
        match self {
            Self::Field | Self::FieldOrDistinct | Self::NamedField | Self::Stream => "field",
            Self::FieldAndUnit | Self::StreamAndUnit => "field, unit",
            Self::FieldTagsAndLimit => "field, tag, n",
            Self::Forecast => "field, n, season",
            Self::Sketch => "sketch",
            Self::Numbers(_) => "x",
            _ => "field, n",
        }
    }
}

const FLOAT: Output = Always(DataType::Float);

const fn aggregate(
    name: &'static str,
    takes: SupportedTypes,
    output: Output,
    execution: Execution,
    explained: &'static str,
) -> Function {
    let (kind, fill, arguments) = (Kind::Aggregate, DefaultFill::Null, Arguments::Field);
    let parameters = arguments.parameters();
    Function { name, kind, parameters, explained, arguments, takes, output, execution, fill }
}

impl Function {
    const fn with(self, arguments: Arguments, fill: DefaultFill) -> Self {
        Self { arguments, parameters: arguments.parameters(), fill, ..self }
    }
}

/// The functions that compute one new value from all values of a window.
const AGGREGATES: &[Function] = &[
    aggregate("count", Any, Always(DataType::Integer), Merged(Count), "number of values")
        .with(Arguments::FieldOrDistinct, DefaultFill::Zero),
    aggregate("sum", Numbers, Input, Merged(Sum), "sum of the values"),
    aggregate("mean", Numbers, FLOAT, Merged(Mean), "mean of the values"),
    aggregate("median", Numbers, FLOAT, WholeWindow, "the middle value"),
    aggregate("mode", Any, Input, WholeWindow, "the most frequent value"),
    aggregate(
        "spread",
        Numbers,
        Input,
        Merged(Spread),
        "difference between the greatest and the least value",
    ),
    aggregate("stddev", Numbers, FLOAT, Merged(Stddev), "standard deviation"),
    aggregate("distinct", Any, Input, WholeWindow, "the distinct values")
        .with(Arguments::NamedField, DefaultFill::LeftOut),
    aggregate("integral", Numbers, FLOAT, Streamed, "area under the curve")
        .with(Arguments::FieldAndUnit, DefaultFill::Null),
    // 1.x estimates the number with a sketch.
    aggregate(
        "count_hll",
        Any,
        Always(DataType::Unsigned),
        WholeWindow,
        "exact number of distinct values",
    )
    .with(Arguments::Sketch, DefaultFill::Zero),
    // A sketch that is not the argument of a function has no result.
    aggregate(
        "sum_hll",
        Numbers,
        Always(DataType::String),
        WholeWindow,
        "the distinct values, for count_hll()",
    ),
];

const fn selector(
    name: &'static str,
    takes: SupportedTypes,
    execution: Execution,
    explained: &'static str,
) -> Function {
    Function { kind: Kind::Selector, ..aggregate(name, takes, Input, execution, explained) }
}

/// The functions that choose points of a window. The edge merges the single points that shards
/// selected.
const SELECTORS: &[Function] = &[
    selector("min", NumbersAndBooleans, Merged(Min), "the least value"),
    selector("max", NumbersAndBooleans, Merged(Max), "the greatest value"),
    selector("first", Any, Merged(First), "the oldest value"),
    selector("last", Any, Merged(Last), "the newest value"),
    selector(
        "percentile",
        Numbers,
        WholeWindow,
        "the value that n percent of the values do not exceed",
    )
    .with(Arguments::FieldAndNumber, DefaultFill::Null),
    selector("top", Numbers, WholeWindow, "the n greatest values")
        .with(Arguments::FieldTagsAndLimit, DefaultFill::LeftOut),
    selector("bottom", Numbers, WholeWindow, "the n least values")
        .with(Arguments::FieldTagsAndLimit, DefaultFill::LeftOut),
    selector("sample", Any, WholeWindow, "n random values")
        .with(Arguments::FieldAndCount, DefaultFill::LeftOut),
];

/// Creates a function that processes a series of numbers in order.
const fn streamed(
    name: &'static str,
    arguments: Arguments,
    output: Output,
    explained: &'static str,
) -> Function {
    let function = aggregate(name, Numbers, output, Streamed, explained);
    Function { kind: Kind::Transformation, ..function.with(arguments, DefaultFill::LeftOut) }
}

/// The functions that process a series in order.
const TRANSFORMATIONS: &[Function] = &[
    streamed("derivative", Arguments::StreamAndUnit, FLOAT, "rate of change"),
    streamed("non_negative_derivative", Arguments::StreamAndUnit, FLOAT, "rate of growth"),
    streamed("difference", STREAM, Input, "change from one value to the next"),
    streamed("non_negative_difference", STREAM, Input, "growth from one value to the next"),
    Function {
        takes: Any,
        output: Always(DataType::Integer),
        ..streamed("elapsed", Arguments::StreamAndUnit, FLOAT, "time between values")
    },
    streamed("moving_average", Arguments::StreamAndWindow, FLOAT, "mean of the last n values"),
    streamed("cumulative_sum", STREAM, Input, "running total"),
    streamed("holt_winters", Arguments::Forecast, FLOAT, "n predicted values"),
    streamed("holt_winters_with_fit", Arguments::Forecast, FLOAT, "the fit and n predicted values"),
];

const STREAM: Arguments = Arguments::Stream;

/// Creates a function of technical analysis: a moving average or an oscillator.
const fn technical(
    name: &'static str,
    hold_min: i64,
    warmups: &'static [&'static str],
    explained: &'static str,
) -> Function {
    let arguments = Arguments::Technical { hold_min, warmups };
    Function { kind: Kind::Technical, ..streamed(name, arguments, FLOAT, explained) }
}

const WARMUPS: &[&str] = &["exponential", "simple"];

const TECHNICAL: &[Function] = &[
    technical(
        "exponential_moving_average",
        0,
        WARMUPS,
        "moving average in which newer values count more",
    ),
    technical("double_exponential_moving_average", 0, WARMUPS, "moving average with less lag"),
    technical(
        "triple_exponential_moving_average",
        0,
        WARMUPS,
        "moving average with still less lag",
    ),
    technical(
        "triple_exponential_derivative",
        1,
        WARMUPS,
        "change of the triple average, in percent",
    ),
    technical(
        "kaufmans_efficiency_ratio",
        0,
        &[],
        "ratio of the net change to the sum of all changes",
    ),
    technical("kaufmans_adaptive_moving_average", 0, &[], "moving average that adapts to noise"),
    technical("relative_strength_index", 0, WARMUPS, "momentum from 0 to 100"),
    technical(
        "chande_momentum_oscillator",
        0,
        &["none", "exponential", "simple"],
        "momentum from -100 to 100",
    ),
];

/// Creates a function of the numbers in the same row. The rounding functions keep integers.
const fn unary(name: &'static str, output: Output, explained: &'static str) -> Function {
    let function = aggregate(name, Numbers, output, Row, explained);
    let function = function.with(Arguments::Numbers(1), DefaultFill::LeftOut);
    Function { kind: Kind::Mathematics, ..function }
}

const fn binary(name: &'static str, parameters: &'static str, explained: &'static str) -> Function {
    let arguments = Arguments::Numbers(2);
    Function { parameters, arguments, ..unary(name, FLOAT, explained) }
}

const MATHEMATICS: &[Function] = &[
    unary("abs", Input, "absolute value"),
    unary("ceil", Input, "rounded up"),
    unary("floor", Input, "rounded down"),
    unary("round", Input, "rounded"),
    unary("sqrt", FLOAT, "square root"),
    binary("pow", "x, n", "x to the power of n"),
    unary("exp", FLOAT, "e to the power of x"),
    unary("ln", FLOAT, "natural logarithm"),
    binary("log", "x, base", "logarithm"),
    unary("log2", FLOAT, "logarithm to base 2"),
    unary("log10", FLOAT, "logarithm to base 10"),
    unary("sin", FLOAT, "sine"),
    unary("cos", FLOAT, "cosine"),
    unary("tan", FLOAT, "tangent"),
    unary("asin", FLOAT, "arcsine"),
    unary("acos", FLOAT, "arccosine"),
    unary("atan", FLOAT, "arctangent"),
    binary("atan2", "y, x", "angle of a point"),
];
