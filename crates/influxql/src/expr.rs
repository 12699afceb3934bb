//! Expressions. Fields, conditions and dimensions are expressions. The parser
//! limits the depth of an expression, so recursive walks are safe.

use std::fmt;

use super::operator::BinaryOp;
use super::{duration, quote, time_literal};
use tidemark_model::regex::Regex;

/// An expression. The variants have the names of 1.x, because its error texts contain them.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `left op right`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand, which is always [`Expr::Regex`] after `=~` and `!~`.
        right: Box<Expr>,
    },
    /// `( … )`. The tree contains parentheses because 1.x prints them.
    Paren(Box<Expr>),
    /// A function call.
    Call {
        /// The function's name in lower case, independent of its spelling in the text.
        name: String,
        /// The arguments in order, possibly none.
        args: Vec<Expr>,
    },
    /// A reference to a field, a tag, a subquery's column or `time`.
    VarRef {
        /// The name. Dotted segments are joined with `.`.
        name: String,
        /// The type after `::`.
        cast: Option<Cast>,
    },
    /// `*`, `*::field` or `*::tag`.
    Wildcard(WildcardKind),
    /// `/…/`
    Regex(Regex),
    /// `DISTINCT name` (the form without parentheses).
    Distinct(String),
    /// `'…'`, unescaped. The string can be a time (see [`time_literal`]).
    StringLiteral(String),
    /// A number with a decimal point.
    NumberLiteral(f64),
    /// A number without a decimal point that fits into an `i64`.
    IntegerLiteral(i64),
    /// A number without a decimal point that is greater than `i64::MAX`.
    UnsignedLiteral(u64),
    /// A duration in nanoseconds.
    DurationLiteral(i64),
    /// `true` or `false`.
    BooleanLiteral(bool),
    /// A time in nanoseconds, with which the query compiler replaces `now()` and time strings. The
    /// results of time arithmetic may be outside the valid times.
    TimeLiteral(i128),
    /// A missing value. Parsed expressions never contain this variant.
    NilLiteral,
}

/// A type or a column kind after `::`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// `::float`
    Float,
    /// `::integer`
    Integer,
    /// `::unsigned`
    Unsigned,
    /// `::string`
    String,
    /// `::boolean`
    Boolean,
    /// `::field`: the field with this name, of any type.
    Field,
    /// `::tag`
    Tag,
}

/// The columns that a wildcard selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WildcardKind {
    /// `*`
    All,
    /// `*::field`
    Field,
    /// `*::tag`
    Tag,
}

impl Cast {
    /// Returns the keyword in lower case, without the colons.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Field => "field",
            Self::Tag => "tag",
        }
    }
}

impl Expr {
    /// Creates a reference without a cast.
    pub fn var_ref(name: &str) -> Self {
        Self::VarRef { name: name.to_owned(), cast: None }
    }

    /// Creates `left op right`.
    pub fn binary(op: BinaryOp, left: Self, right: Self) -> Self {
        Self::Binary { op, left: Box::new(left), right: Box::new(right) }
    }

    /// Returns the Go type in 1.x's error texts, such as `*influxql.VarRef`.
    pub const fn go_type_name(&self) -> &'static str {
        match self {
            Self::Binary { .. } => "*influxql.BinaryExpr",
            Self::Paren(_) => "*influxql.ParenExpr",
            Self::Call { .. } => "*influxql.Call",
            Self::VarRef { .. } => "*influxql.VarRef",
            Self::Wildcard(_) => "*influxql.Wildcard",
            Self::Regex(_) => "*influxql.RegexLiteral",
            Self::Distinct(_) => "*influxql.Distinct",
            Self::StringLiteral(_) => "*influxql.StringLiteral",
            Self::NumberLiteral(_) => "*influxql.NumberLiteral",
            Self::IntegerLiteral(_) => "*influxql.IntegerLiteral",
            Self::UnsignedLiteral(_) => "*influxql.UnsignedLiteral",
            Self::DurationLiteral(_) => "*influxql.DurationLiteral",
            Self::BooleanLiteral(_) => "*influxql.BooleanLiteral",
            Self::TimeLiteral(_) => "*influxql.TimeLiteral",
            Self::NilLiteral => "*influxql.NilLiteral",
        }
    }

    /// Calls `visit` with this and all nested expressions, parents first, from left to right.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::Binary { left, right, .. } => {
                left.walk(visit);
                right.walk(visit);
            }
            Self::Paren(inner) => inner.walk(visit),
            Self::Call { args, .. } => args.iter().for_each(|arg| arg.walk(visit)),
            _ => {}
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // In 1.x, `a / -b` becomes the text `a / -1 * b`, which has another meaning.
            Self::Binary { op, left, right } if needs_parentheses(*op, right) => {
                write!(f, "{left} {op} ({right})")
            }
            Self::Binary { op, left, right } => write!(f, "{left} {op} {right}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Call { name, args } if name == "distinct" => {
                write!(f, "distinct({})", List(args))
            }
            // 1.x omits the quotes. No existing function has a name that needs quotes.
            Self::Call { name, args } => write!(f, "{}({})", quote::ident(name), List(args)),
            Self::VarRef { name, cast: None } => f.write_str(&quote::ident(name)),
            Self::VarRef { name, cast: Some(cast) } => {
                write!(f, "{}::{}", quote::ident(name), cast.as_str())
            }
            Self::Wildcard(WildcardKind::All) => f.write_str("*"),
            Self::Wildcard(WildcardKind::Field) => f.write_str("*::field"),
            Self::Wildcard(WildcardKind::Tag) => f.write_str("*::tag"),
            Self::Regex(regex) => write!(f, "{regex}"),
            // 1.x omits the quotes, so its text possibly does not parse again.
            Self::Distinct(name) => write!(f, "DISTINCT {}", quote::ident(name)),
            Self::StringLiteral(text) => f.write_str(&quote::string(text)),
            Self::NumberLiteral(value) => f.write_str(&format_literal(*value)),
            Self::IntegerLiteral(value) => write!(f, "{value}"),
            Self::UnsignedLiteral(value) => write!(f, "{value}"),
            Self::DurationLiteral(ns) => f.write_str(&duration::format(*ns)),
            Self::BooleanLiteral(value) => write!(f, "{value}"),
            Self::TimeLiteral(ns) => write!(f, "'{}'", time_literal::format_utc(*ns)),
            Self::NilLiteral => f.write_str("nil"),
        }
    }
}

pub(super) struct List<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{item}")?;
        }
        Ok(())
    }
}

/// Whether the right operand of `op` needs parentheses, because the printed text would otherwise
/// parse as another expression. A chain of AND or OR has the same meaning with and without
/// parentheses.
fn needs_parentheses(op: BinaryOp, right: &Expr) -> bool {
    let Expr::Binary { op: inner, .. } = right else { return false };
    !matches!(op, BinaryOp::And | BinaryOp::Or) && inner.precedence() <= op.precedence()
}

/// Formats a number without an exponent, like Go's `FormatFloat(v, 'f', -1, 64)`.
pub(crate) fn format_plain(value: f64) -> String {
    format!("{value}")
}

/// Adds `.0` to [`format_plain`] if the text would otherwise parse as an integer.
pub(crate) fn format_literal(value: f64) -> String {
    let mut text = format_plain(value);
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_literals_print_without_exponent() {
        for (value, plain, literal) in [
            (2.0, "2", "2.0"),
            (0.23, "0.23", "0.23"),
            (-0.0, "-0", "-0.0"),
            (1e-7, "0.0000001", "0.0000001"),
            (1e21, "1000000000000000000000", "1000000000000000000000.0"),
        ] {
            assert_eq!(format_plain(value), plain);
            assert_eq!(format_literal(value), literal);
        }
    }
}
