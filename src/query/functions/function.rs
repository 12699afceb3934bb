//! Describes the columns of the table of functions: what is said of each function, and in which
//! words.

use crate::query::data_type::DataType;
use crate::query::math::MathFunction;
use crate::scan::request::AggregateFunction;

/// One function.
#[derive(Debug)]
pub struct Function {
    /// As it is written, in lower case.
    pub name: &'static str,
    /// Which of 1.x's kinds it is of.
    pub kind: Kind,
    /// Its arguments, as the console shows them.
    pub parameters: &'static str,
    /// What it answers, as the console says it.
    pub explained: &'static str,
    /// What it must be called with.
    pub(crate) arguments: Arguments,
    /// Types of values that it can be applied to.
    pub(crate) takes: Takes,
    /// The type of what it answers.
    pub(crate) output: Output,
    /// Who computes it, and how.
    pub(crate) execution: Execution,
    /// What windows without a value show where the statement does not say.
    pub(crate) fill: DefaultFill,
    /// What 1.x calls its iterator in the error about a wrong type, where that is not its name.
    pub(crate) iterator: Option<&'static str>,
}

/// 1.x's kinds of functions (its manual's chapters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new value from all values of a window.
    Aggregate,
    /// Points of a window, with what stands beside them.
    Selector,
    /// A new value for each value of a series.
    Transformation,
    /// Transformations of technical analysis.
    Technical,
    /// A new value from the values of one row.
    Mathematics,
}

/// What a function must be called with; `compile/arguments.rs` checks it in 1.x's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// A field.
    Field,
    /// A field, or `distinct(field)`.
    FieldOrDistinct,
    /// Only a field by its name.
    NamedField,
    /// A field and a number.
    FieldAndNumber,
    /// A field and how many rows.
    FieldAndCount,
    /// A field, tags, and how many rows.
    FieldTagsAndLimit,
    /// A field and, or not, a unit of time.
    FieldAndUnit,
    /// A field, or any call over a sketch.
    Sketch,
    /// A stream: a field, or an aggregate by window.
    Stream,
    /// A stream and, or not, a unit of time.
    StreamAndUnit,
    /// A stream and over how many values.
    StreamAndWindow,
    /// An aggregate by window, how many values to predict, and the length of a season.
    Forecast,
    /// A stream, a period, and, or not, how many values to hold back and how averages start.
    Technical {
        /// The least number of values to hold back.
        hold_min: i64,
        /// How averages may start; empty: that cannot be said.
        warmups: &'static [&'static str],
    },
    /// So many numbers.
    Numbers(usize),
}

/// Types of values that a function can be applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Floats and integers of both kinds.
    Numbers,
    /// These, and booleans.
    NumbersAndBooleans,
    /// Every type.
    Any,
}

/// The type of what a function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// That of the values it is applied to.
    Input,
    /// Always this.
    Always(DataType),
}

/// Who computes a function, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Execution {
    /// Shards answer with partial states, which the edge merges.
    Merged(AggregateFunction),
    /// The edge gathers the values of a window and computes it over all of them.
    Gathered(Gathered),
    /// The edge applies it to the values of a series in order ([`crate::query::transforms`]).
    Streamed,
    /// The edge applies it to the values of a row.
    Row(MathFunction),
}

/// Functions of all values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// `median`
    Median,
    /// `mode`
    Mode,
    /// `distinct`
    Distinct,
    /// How many distinct values a sketch would have counted: exactly, where 1.x estimates.
    CountOfSketch,
    /// A sketch alone has no answer here.
    Sketch,
    /// `percentile`
    Percentile,
    /// `top`
    Top,
    /// `bottom`
    Bottom,
    /// `sample`
    Sample,
}

/// What windows without a value show where the statement has no `fill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultFill {
    /// Null.
    Null,
    /// The integer 0.
    Zero,
    /// They are left out, whatever the statement says.
    LeftOut,
}

impl Takes {
    /// Whether values of this type are among them.
    pub(crate) fn includes(self, data_type: DataType) -> bool {
        match self {
            Self::Any => true,
            Self::NumbersAndBooleans => data_type.is_number() || data_type == DataType::Boolean,
            Self::Numbers => data_type.is_number(),
        }
    }
}

impl Output {
    /// The type over values of `input`.
    pub(crate) fn over(self, input: DataType) -> DataType {
        match self {
            Self::Input => input,
            Self::Always(data_type) => data_type,
        }
    }
}
