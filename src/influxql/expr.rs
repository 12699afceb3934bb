//! Expressions: the tree that fields, conditions and dimensions are made of.
//!
//! Trees are safe to walk recursively: the parser refuses any that is deeper than
//! [`EXPR_DEPTH_MAX`], and long `AND`/`OR` chains are built balanced.

use super::regex::Regex;

/// Levels of one expression tree. The nesting that the text shows is bounded by
/// `QUERY_DEPTH_MAX`; this also bounds what chains of operators add (`a + b + c + …` nests left).
pub const EXPR_DEPTH_MAX: usize = 512;

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
    /// `'…'`, unescaped. May be a time, see `time_literal.rs`.
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

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `&`
    BitwiseAnd,
    /// `|`
    BitwiseOr,
    /// `^`
    BitwiseXor,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `=`
    Eq,
    /// `!=`, also written `<>`
    Ne,
    /// `=~`
    EqRegex,
    /// `!~`
    NeRegex,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}
