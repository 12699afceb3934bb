//! Parses and prints `fill(…)`, which defines the values of empty windows.

use std::fmt;

use super::error::ParseError;
use super::expr::Expr;
use super::expr_parser;
use super::number;
use super::parser::Parser;

/// The values of empty windows.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Fill {
    /// `fill(null)`
    #[default]
    Null,
    /// `fill(none)`: the result omits empty windows.
    None,
    /// `fill(previous)`
    Previous,
    /// `fill(linear)`
    Linear,
    /// `fill(0)`, `fill(1.5)`
    Number(FillNumber),
}

/// The number of `fill(number)` as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FillNumber {
    /// A number without a decimal point.
    Integer(i64),
    /// A number with a decimal point.
    Float(f64),
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Fill, ParseError> {
    if !p.peek_word("fill") {
        return Ok(Fill::Null);
    }
    let Expr::Call { mut args, .. } = expr_parser::parse(p)? else {
        return Err(ParseError::FillNotCall);
    };
    let (Some(arg), true) = (args.pop(), args.is_empty()) else {
        return Err(ParseError::FillArguments);
    };
    // 1.x compares the printed argument, so the options are lower case and may be quoted.
    Ok(match &arg {
        Expr::VarRef { name, cast: None } => match name.as_str() {
            "null" => Fill::Null,
            "none" => Fill::None,
            "previous" => Fill::Previous,
            "linear" => Fill::Linear,
            _ => return Err(ParseError::FillNotNumber),
        },
        Expr::IntegerLiteral(value) => Fill::Number(FillNumber::Integer(*value)),
        Expr::NumberLiteral(value) => Fill::Number(FillNumber::Float(*value)),
        _ => return Err(ParseError::FillNotNumber),
    })
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::None => f.write_str(" fill(none)"),
            Self::Previous => f.write_str(" fill(previous)"),
            Self::Linear => f.write_str(" fill(linear)"),
            Self::Number(FillNumber::Integer(value)) => write!(f, " fill({value})"),
            // 1.x prints numbers of at least 1e21 with an exponent, which its own parser rejects.
            Self::Number(FillNumber::Float(value)) => {
                write!(f, " fill({})", number::format_plain(*value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn every_fill_option_parses() {
        check::stays(&[
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(none)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(previous)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(linear)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(-1)",
            "SELECT mean(a) FROM m GROUP BY time(1m) fill(0.00001)",
            "SELECT a FROM m fill(1.5)",
        ]);
        check::prints(&[
            ("SELECT a FROM m FILL(null)", "SELECT a FROM m"),
            ("SELECT a FROM m fill(\"linear\")", "SELECT a FROM m fill(linear)"),
        ]);
        check::fails(&[
            ("SELECT a FROM m fill", "fill must be a function call"),
            (
                "SELECT a FROM m fill()",
                "fill requires an argument, e.g.: 0, null, none, previous, linear",
            ),
            (
                "SELECT a FROM m fill(1, 2)",
                "fill requires an argument, e.g.: 0, null, none, previous, linear",
            ),
            ("SELECT a FROM m fill(NULL)", "expected number argument in fill()"),
            ("SELECT a FROM m fill('none')", "expected number argument in fill()"),
            ("SELECT a FROM m fill(1m)", "expected number argument in fill()"),
        ]);
    }
}
