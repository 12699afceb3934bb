//! Lists the functions that compute one new value from all values of a window.

use super::function::{
    Arguments, DefaultFill, Execution, Function, Gathered, Kind, Output, SupportedTypes,
};
use crate::query::data_type::DataType;
use crate::scan::request::AggregateFunction;

const AGGREGATE: Function = Function {
    name: "",
    kind: Kind::Aggregate,
    parameters: "field",
    explained: "",
    arguments: Arguments::Field,
    takes: SupportedTypes::Numbers,
    output: Output::Always(DataType::Float),
    execution: Execution::Streamed,
    fill: DefaultFill::Null,
    iterator: None,
};

pub(super) const ROWS: &[Function] = &[
    Function {
        name: "count",
        arguments: Arguments::FieldOrDistinct,
        takes: SupportedTypes::Any,
        output: Output::Always(DataType::Integer),
        execution: Execution::Merged(AggregateFunction::Count),
        fill: DefaultFill::Zero,
        explained: "number of values",
        ..AGGREGATE
    },
    Function {
        name: "sum",
        output: Output::Input,
        execution: Execution::Merged(AggregateFunction::Sum),
        explained: "sum of the values",
        ..AGGREGATE
    },
    Function {
        name: "mean",
        execution: Execution::Merged(AggregateFunction::Mean),
        explained: "mean of the values",
        ..AGGREGATE
    },
    Function {
        name: "median",
        execution: Execution::Gathered(Gathered::Median),
        explained: "the middle value",
        ..AGGREGATE
    },
    Function {
        name: "mode",
        takes: SupportedTypes::Any,
        output: Output::Input,
        execution: Execution::Gathered(Gathered::Mode),
        explained: "the most frequent value",
        ..AGGREGATE
    },
    Function {
        name: "spread",
        output: Output::Input,
        execution: Execution::Merged(AggregateFunction::Spread),
        explained: "difference between the greatest and the least value",
        ..AGGREGATE
    },
    Function {
        name: "stddev",
        execution: Execution::Merged(AggregateFunction::Stddev),
        explained: "standard deviation",
        ..AGGREGATE
    },
    Function {
        name: "distinct",
        arguments: Arguments::NamedField,
        takes: SupportedTypes::Any,
        output: Output::Input,
        execution: Execution::Gathered(Gathered::Distinct),
        fill: DefaultFill::LeftOut,
        explained: "the distinct values",
        ..AGGREGATE
    },
    Function {
        name: "integral",
        arguments: Arguments::FieldAndUnit,
        parameters: "field, unit",
        explained: "area under the curve",
        ..AGGREGATE
    },
    Function {
        name: "count_hll",
        arguments: Arguments::Sketch,
        takes: SupportedTypes::Any,
        output: Output::Always(DataType::Unsigned),
        execution: Execution::Gathered(Gathered::CountOfSketch),
        fill: DefaultFill::Zero,
        parameters: "sketch",
        explained: "exact number of distinct values",
        ..AGGREGATE
    },
    Function {
        name: "sum_hll",
        output: Output::Always(DataType::String),
        execution: Execution::Gathered(Gathered::Sketch),
        explained: "the distinct values, for count_hll()",
        ..AGGREGATE
    },
];
