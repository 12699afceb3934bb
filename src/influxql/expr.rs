//! Defines expressions, of which fields, conditions and dimensions are made.
//!
//! It is safe to walk them recursively: the parser refuses one that is deeper than
//! [`EXPR_DEPTH_MAX`](crate::model::limits::EXPR_DEPTH_MAX), and builds long `AND`/`OR` chains
//! balanced.

use std::fmt;

use super::operator::BinaryOp;
use super::{duration, number, quote, time_literal};
use crate::model::regex::Regex;

/// An expression. Variants are named as in 1.x, whose error texts quote those names
/// ([`Expr::go_type_name`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `left op right`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand; always [`Expr::Regex`] after `=~` and `!~`.
        right: Box<Expr>,
    },
    /// `( … )`, kept because 1.x prints it.
    Paren(Box<Expr>),
    /// A function call. The name is lower case whatever was written.
    Call {
        /// Function name, lower case.
        name: String,
        /// Arguments in order, possibly none.
        args: Vec<Expr>,
    },
    /// A field, tag, column of a subquery, or `time`.
    VarRef {
        /// Dotted segments are joined with `.`.
        name: String,
        /// What stands after `::`.
        cast: Option<Cast>,
    },
    /// `*`, `*::field` or `*::tag`.
    Wildcard(WildcardKind),
    /// `/…/`
    Regex(Regex),
    /// `DISTINCT name` (the form without parentheses).
    Distinct(String),
    /// `'…'`, unescaped. May be a time, see [`time_literal`].
    StringLiteral(String),
    /// A number with a point.
    NumberLiteral(f64),
    /// A number without a point that fits an `i64`.
    IntegerLiteral(i64),
    /// A number without a point above `i64::MAX`.
    UnsignedLiteral(u64),
    /// A duration, nanoseconds.
    DurationLiteral(i64),
    /// `true` or `false`.
    BooleanLiteral(bool),
    /// A time, nanoseconds. Never parsed; made by whoever folds expressions.
    TimeLiteral(i64),
    /// Nothing. Never parsed; made by whoever folds expressions.
    NilLiteral,
}

/// A type or column kind after `::`.
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
    /// `::field`: the field of that name, of whatever type.
    Field,
    /// `::tag`
    Tag,
}

/// What a wildcard stands for.
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
    /// Lower case, without the colons.
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
    /// A reference without cast.
    pub fn var_ref(name: &str) -> Self {
        Self::VarRef { name: name.to_owned(), cast: None }
    }

    /// `left op right`.
    pub fn binary(op: BinaryOp, left: Self, right: Self) -> Self {
        Self::Binary { op, left: Box::new(left), right: Box::new(right) }
    }

    /// The Go type that 1.x's error texts name, `*influxql.VarRef` and the like.
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

    /// Calls `visit` with this expression and all inside it, parents first, from left to right.
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
            Self::Binary { op, left, right } => write!(f, "{left} {op} {right}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Call { name, args } if name == "distinct" => {
                write!(f, "distinct({})", List(args))
            }
            // 1.x forgets the quotes, which no function that exists needs.
            Self::Call { name, args } => write!(f, "{}({})", quote::ident(name), List(args)),
            Self::VarRef { name, cast: None } => f.write_str(&quote::ident(name)),
            Self::VarRef { name, cast: Some(cast) } => {
                write!(f, "{}::{}", quote::ident(name), cast.as_str())
            }
            Self::Wildcard(WildcardKind::All) => f.write_str("*"),
            Self::Wildcard(WildcardKind::Field) => f.write_str("*::field"),
            Self::Wildcard(WildcardKind::Tag) => f.write_str("*::tag"),
            Self::Regex(regex) => write!(f, "{regex}"),
            // 1.x forgets the quotes, so that what it prints may not read back.
            Self::Distinct(name) => write!(f, "DISTINCT {}", quote::ident(name)),
            Self::StringLiteral(text) => f.write_str(&quote::string(text)),
            Self::NumberLiteral(value) => f.write_str(&number::format_literal(*value)),
            Self::IntegerLiteral(value) => write!(f, "{value}"),
            Self::UnsignedLiteral(value) => write!(f, "{value}"),
            Self::DurationLiteral(ns) => f.write_str(&duration::format(*ns)),
            Self::BooleanLiteral(value) => write!(f, "{value}"),
            Self::TimeLiteral(ns) => write!(f, "'{}'", time_literal::format_utc(*ns)),
            Self::NilLiteral => f.write_str("nil"),
        }
    }
}

/// Things separated by commas.
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
