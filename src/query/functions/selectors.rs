//! Lists the functions that choose points of a window.

use super::function::{
    Arguments, DefaultFill, Execution, Function, Gathered, Kind, Output, SupportedTypes,
};
use crate::scan::request::AggregateFunction;

/// The defaults of a selector of one point. The edge merges the points that shards selected.
const MERGED: Function = Function {
    name: "",
    kind: Kind::Selector,
    parameters: "field",
    explained: "",
    arguments: Arguments::Field,
    takes: SupportedTypes::Any,
    output: Output::Input,
    execution: Execution::Merged(AggregateFunction::First),
    fill: DefaultFill::Null,
    iterator: None,
};

const SEVERAL: Function = Function {
    arguments: Arguments::FieldTagsAndLimit,
    takes: SupportedTypes::Numbers,
    fill: DefaultFill::LeftOut,
    ..MERGED
};

pub(super) const ROWS: &[Function] = &[
    Function {
        name: "min",
        takes: SupportedTypes::NumbersAndBooleans,
        execution: Execution::Merged(AggregateFunction::Min),
        explained: "the least value",
        ..MERGED
    },
    Function {
        name: "max",
        takes: SupportedTypes::NumbersAndBooleans,
        execution: Execution::Merged(AggregateFunction::Max),
        explained: "the greatest value",
        ..MERGED
    },
    Function {
        name: "first",
        execution: Execution::Merged(AggregateFunction::First),
        explained: "the oldest value",
        ..MERGED
    },
    Function {
        name: "last",
        execution: Execution::Merged(AggregateFunction::Last),
        explained: "the newest value",
        ..MERGED
    },
    Function {
        name: "percentile",
        arguments: Arguments::FieldAndNumber,
        takes: SupportedTypes::Numbers,
        execution: Execution::Gathered(Gathered::Percentile),
        parameters: "field, n",
        explained: "the value that n percent of the values do not exceed",
        ..MERGED
    },
    Function {
        name: "top",
        execution: Execution::Gathered(Gathered::Top),
        parameters: "field, tag, n",
        explained: "the n greatest values",
        ..SEVERAL
    },
    Function {
        name: "bottom",
        execution: Execution::Gathered(Gathered::Bottom),
        parameters: "field, tag, n",
        explained: "the n least values",
        ..SEVERAL
    },
    Function {
        name: "sample",
        arguments: Arguments::FieldAndCount,
        takes: SupportedTypes::Any,
        execution: Execution::Gathered(Gathered::Sample),
        parameters: "field, n",
        explained: "n random values",
        ..SEVERAL
    },
];
