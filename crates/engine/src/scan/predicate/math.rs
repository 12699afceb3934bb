//! Implements mathematical functions in conditions (1.x `query/math.go`).

use super::expr::{Data, floats, map, zip};

#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    /// The result for an integer is an integer.
    Abs,
    /// A rounding function. Integers remain unchanged.
    Whole(fn(f64) -> f64),
    Real(fn(f64) -> f64),
    Real2(fn(f64, f64) -> f64),
}

impl Function {
    /// `name` must be in lower case.
    pub(super) fn named(name: &str, arguments: usize) -> Option<Self> {
        Some(match (name, arguments) {
            ("abs", 1) => Self::Abs,
            ("floor", 1) => Self::Whole(f64::floor),
            ("ceil", 1) => Self::Whole(f64::ceil),
            ("round", 1) => Self::Whole(f64::round),
            ("sin", 1) => Self::Real(f64::sin),
            ("cos", 1) => Self::Real(f64::cos),
            ("tan", 1) => Self::Real(f64::tan),
            ("asin", 1) => Self::Real(f64::asin),
            ("acos", 1) => Self::Real(f64::acos),
            ("atan", 1) => Self::Real(f64::atan),
            ("exp", 1) => Self::Real(f64::exp),
            ("ln", 1) => Self::Real(f64::ln),
            ("log2", 1) => Self::Real(f64::log2),
            ("log10", 1) => Self::Real(f64::log10),
            ("sqrt", 1) => Self::Real(f64::sqrt),
            ("atan2", 2) => Self::Real2(f64::atan2),
            ("pow", 2) => Self::Real2(f64::powf),
            ("log", 2) => Self::Real2(|value, base| value.ln() / base.ln()),
            _ => return None,
        })
    }
}

/// Strings and booleans have no result.
pub(super) fn call<'a>(function: Function, arguments: Vec<Data<'a>>) -> Data<'a> {
    let float = |position: usize| arguments.get(position).and_then(floats);
    let answer = match (function, arguments.first()) {
        (Function::Abs, Some(Data::Integer(values))) => {
            return Data::Integer(map(values, i64::wrapping_abs));
        }
        (Function::Whole(_), Some(Data::Integer(values))) => {
            return Data::Integer(values.clone());
        }
        (Function::Abs | Function::Whole(_), Some(Data::Unsigned(values))) => {
            return Data::Unsigned(values.clone());
        }
        (Function::Abs, _) => float(0).map(|values| map(&values, f64::abs)),
        (Function::Whole(f) | Function::Real(f), _) => float(0).map(|values| map(&values, f)),
        (Function::Real2(f), _) => float(0).zip(float(1)).map(|(a, b)| zip(&a, &b, f)),
    };
    answer.map_or(Data::Nothing, Data::Float)
}
