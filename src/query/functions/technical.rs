//! Lists the functions of technical analysis: moving averages and oscillators.

use super::function::{Arguments, DefaultFill, Execution, Function, Kind, Output, SupportedTypes};
use crate::query::data_type::DataType;

const AVERAGE: Function = Function {
    name: "",
    kind: Kind::Technical,
    parameters: "field, n",
    explained: "",
    arguments: Arguments::Technical { hold_min: 0, warmups: &["exponential", "simple"] },
    takes: SupportedTypes::Numbers,
    output: Output::Always(DataType::Float),
    execution: Execution::Streamed,
    fill: DefaultFill::LeftOut,
    iterator: None,
};

const KAUFMAN: Function =
    Function { arguments: Arguments::Technical { hold_min: 0, warmups: &[] }, ..AVERAGE };

pub(super) const ROWS: &[Function] = &[
    Function {
        name: "exponential_moving_average",
        explained: "moving average in which newer values count more",
        ..AVERAGE
    },
    Function {
        name: "double_exponential_moving_average",
        explained: "moving average with less lag",
        ..AVERAGE
    },
    Function {
        name: "triple_exponential_moving_average",
        explained: "moving average with still less lag",
        ..AVERAGE
    },
    Function {
        name: "triple_exponential_derivative",
        arguments: Arguments::Technical { hold_min: 1, warmups: &["exponential", "simple"] },
        explained: "change of the triple average, in percent",
        ..AVERAGE
    },
    Function {
        name: "kaufmans_efficiency_ratio",
        explained: "ratio of the net change to the sum of all changes",
        ..KAUFMAN
    },
    Function {
        name: "kaufmans_adaptive_moving_average",
        explained: "moving average that adapts to noise",
        ..KAUFMAN
    },
    Function { name: "relative_strength_index", explained: "momentum from 0 to 100", ..AVERAGE },
    Function {
        name: "chande_momentum_oscillator",
        arguments: Arguments::Technical {
            hold_min: 0,
            warmups: &["none", "exponential", "simple"],
        },
        explained: "momentum from -100 to 100",
        ..AVERAGE
    },
];
