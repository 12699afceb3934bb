//! Lists the functions that compute a new value from the numbers in the same row.

use super::function::{Arguments, DefaultFill, Execution, Function, Kind, Output, SupportedTypes};
use crate::query::data_type::DataType;
use crate::query::math::{Binary, MathFunction, Unary};

const fn unary(name: &'static str, function: Unary, explained: &'static str) -> Function {
    Function {
        name,
        kind: Kind::Mathematics,
        parameters: "x",
        explained,
        arguments: Arguments::Numbers(1),
        takes: SupportedTypes::Numbers,
        output: Output::Always(DataType::Float),
        execution: Execution::Row(MathFunction::Unary(function)),
        fill: DefaultFill::LeftOut,
        iterator: None,
    }
}

const fn rounding(name: &'static str, function: Unary, explained: &'static str) -> Function {
    Function { output: Output::Input, ..unary(name, function, explained) }
}

const fn binary(
    name: &'static str,
    function: Binary,
    parameters: &'static str,
    explained: &'static str,
) -> Function {
    Function {
        parameters,
        arguments: Arguments::Numbers(2),
        execution: Execution::Row(MathFunction::Binary(function)),
        ..unary(name, Unary::Abs, explained)
    }
}

pub(super) const ROWS: &[Function] = &[
    rounding("abs", Unary::Abs, "absolute value"),
    rounding("ceil", Unary::Ceil, "rounded up"),
    rounding("floor", Unary::Floor, "rounded down"),
    rounding("round", Unary::Round, "rounded"),
    unary("sqrt", Unary::Sqrt, "square root"),
    binary("pow", Binary::Pow, "x, n", "x to the power of n"),
    unary("exp", Unary::Exp, "e to the power of x"),
    unary("ln", Unary::Ln, "natural logarithm"),
    binary("log", Binary::Log, "x, base", "logarithm"),
    unary("log2", Unary::Log2, "logarithm to base 2"),
    unary("log10", Unary::Log10, "logarithm to base 10"),
    unary("sin", Unary::Sin, "sine"),
    unary("cos", Unary::Cos, "cosine"),
    unary("tan", Unary::Tan, "tangent"),
    unary("asin", Unary::Asin, "arcsine"),
    unary("acos", Unary::Acos, "arccosine"),
    unary("atan", Unary::Atan, "arctangent"),
    binary("atan2", Binary::Atan2, "y, x", "angle of a point"),
];
