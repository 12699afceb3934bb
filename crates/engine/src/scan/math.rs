//! Lists the mathematical functions of InfluxQL (1.x `query/math.go`).

/// A function of the numbers in one row.
#[derive(Clone, Copy, Debug)]
pub enum MathFunction {
    /// The absolute value, which is an integer if the argument is an integer.
    Abs,
    /// A function that rounds a float. An integer remains unchanged.
    Rounding(fn(f64) -> f64),
    /// A function of one number that returns a float.
    Unary(fn(f64) -> f64),
    /// A function of two numbers that returns a float.
    Binary(fn(f64, f64) -> f64),
}

impl MathFunction {
    /// Returns the function with this name, which must be in lower case.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "floor" => Self::Rounding(f64::floor),
            "ceil" => Self::Rounding(f64::ceil),
            // Rust rounds half away from zero, like Go's `math.Round`.
            "round" => Self::Rounding(f64::round),
            "sin" => Self::Unary(f64::sin),
            "cos" => Self::Unary(f64::cos),
            "tan" => Self::Unary(f64::tan),
            "asin" => Self::Unary(f64::asin),
            "acos" => Self::Unary(f64::acos),
            "atan" => Self::Unary(f64::atan),
            "exp" => Self::Unary(f64::exp),
            "ln" => Self::Unary(f64::ln),
            "log2" => Self::Unary(f64::log2),
            "log10" => Self::Unary(f64::log10),
            "sqrt" => Self::Unary(f64::sqrt),
            "atan2" => Self::Binary(f64::atan2),
            "pow" => Self::Binary(f64::powf),
            "log" => Self::Binary(|value, base| value.ln() / base.ln()),
            _ => return None,
        })
    }

    /// Returns the number of arguments.
    pub(super) fn arguments(self) -> usize {
        if matches!(self, Self::Binary(_)) { 2 } else { 1 }
    }
}
