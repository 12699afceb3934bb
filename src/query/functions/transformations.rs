//! Lists the functions that process a series in order.

use super::function::{Arguments, DefaultFill, Execution, Function, Kind, Output, SupportedTypes};
use crate::query::data_type::DataType;

/// By default, the argument is a stream of numbers, and the result consists of floats.
const TRANSFORMATION: Function = Function {
    name: "",
    kind: Kind::Transformation,
    parameters: "field",
    explained: "",
    arguments: Arguments::Stream,
    takes: SupportedTypes::Numbers,
    output: Output::Always(DataType::Float),
    execution: Execution::Streamed,
    fill: DefaultFill::LeftOut,
    iterator: None,
};

const FORECAST: Function =
    Function { arguments: Arguments::Forecast, parameters: "field, n, season", ..TRANSFORMATION };

pub(super) const ROWS: &[Function] = &[
    Function {
        name: "derivative",
        arguments: Arguments::StreamAndUnit,
        parameters: "field, unit",
        explained: "rate of change",
        ..TRANSFORMATION
    },
    Function {
        name: "non_negative_derivative",
        arguments: Arguments::StreamAndUnit,
        iterator: Some("derivative"),
        parameters: "field, unit",
        explained: "rate of growth",
        ..TRANSFORMATION
    },
    Function {
        name: "difference",
        output: Output::Input,
        explained: "change from one value to the next",
        ..TRANSFORMATION
    },
    Function {
        name: "non_negative_difference",
        output: Output::Input,
        iterator: Some("difference"),
        explained: "growth from one value to the next",
        ..TRANSFORMATION
    },
    Function {
        name: "elapsed",
        arguments: Arguments::StreamAndUnit,
        takes: SupportedTypes::Any,
        output: Output::Always(DataType::Integer),
        parameters: "field, unit",
        explained: "time between values",
        ..TRANSFORMATION
    },
    Function {
        name: "moving_average",
        arguments: Arguments::StreamAndWindow,
        iterator: Some("moving average"),
        parameters: "field, n",
        explained: "mean of the last n values",
        ..TRANSFORMATION
    },
    Function {
        name: "cumulative_sum",
        output: Output::Input,
        iterator: Some("cumulative sum"),
        explained: "running total",
        ..TRANSFORMATION
    },
    Function { name: "holt_winters", explained: "n predicted values", ..FORECAST },
    Function {
        name: "holt_winters_with_fit",
        explained: "the fit and n predicted values",
        ..FORECAST
    },
];
