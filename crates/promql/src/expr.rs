//! The syntax tree of PromQL.

use super::function::Function;
use super::matcher::Matcher;

/// The types of expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Scalar,
    String,
    Vector,
    Matrix,
}

impl Type {
    /// Returns the name in Prometheus' messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    /// A number, or a duration such as `5m`, which is a number of seconds.
    Number {
        value: f64,
        is_duration: bool,
    },
    String(String),
    Paren(Box<Expr>),
    /// `-expr` or `+expr`.
    Unary {
        is_minus: bool,
        expr: Box<Expr>,
    },
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call {
        function: Function,
        args: Vec<Expr>,
    },
    Vector(VectorSelector),
    /// A selector with a range, such as `up[5m]`.
    Matrix {
        selector: VectorSelector,
        range_ms: i64,
    },
    Subquery(Box<Subquery>),
}

#[derive(Clone, Debug)]
pub(crate) struct VectorSelector {
    /// The position of the selector among the selectors of the query.
    pub(crate) index: usize,
    /// The name before the braces, or an empty text.
    pub(crate) name: String,
    /// The matchers in the braces, and then a matcher for `name`.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) time: TimeShift,
}

/// `expr[range:step]`
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub(crate) expr: Expr,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: Option<i64>,
    pub(crate) time: TimeShift,
}

/// The modifiers `@` and `offset` of a selector or subquery.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeShift {
    pub(crate) at: Option<At>,
    pub(crate) offset_ms: i64,
}

/// The time of `@`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    TimeMs(i64),
    Start,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    pub(crate) fn is_comparison(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Greater | Less | GreaterOrEqual | LessOrEqual)
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterOrEqual => ">=",
            Self::LessOrEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) op: BinaryOp,
    pub(crate) left: Expr,
    pub(crate) right: Expr,
    pub(crate) returns_bool: bool,
    pub(crate) matching: Matching,
}

/// The labels by which the operands' series match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matching {
    /// `on` rather than `ignoring`.
    pub(crate) is_on: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) group: Option<Group>,
}

/// `group_left` or `group_right`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Whether the left operand may have several series for a series of the right operand.
    pub(crate) is_left: bool,
    /// The labels that the result takes from the operand with one series.
    pub(crate) include: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
}

impl AggregateOp {
    pub(crate) const ALL: [Self; 12] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
        }
    }

    /// Returns the type of the first of two arguments, or `None` for one argument.
    pub(crate) fn param_type(self) -> Option<Type> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile => Some(Type::Scalar),
            Self::CountValues => Some(Type::String),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) param: Option<Expr>,
    pub(crate) expr: Expr,
    /// `without` rather than `by`.
    pub(crate) is_without: bool,
    pub(crate) labels: Vec<String>,
}

impl Expr {
    pub(crate) fn result_type(&self) -> Type {
        match self {
            Self::Number { .. } => Type::Scalar,
            Self::String(_) => Type::String,
            Self::Paren(expr) | Self::Unary { expr, .. } => expr.result_type(),
            Self::Binary(binary) => {
                let is_scalar = binary.left.result_type() == Type::Scalar
                    && binary.right.result_type() == Type::Scalar;
                if is_scalar { Type::Scalar } else { Type::Vector }
            }
            Self::Aggregate(_) | Self::Vector(_) => Type::Vector,
            Self::Call { function, .. } => function.signature().result,
            Self::Matrix { .. } | Self::Subquery(_) => Type::Matrix,
        }
    }

    /// Returns the expression without the parentheses around it.
    pub(crate) fn without_parens(&self) -> &Self {
        match self {
            Self::Paren(expr) => expr.without_parens(),
            _ => self,
        }
    }

    pub(crate) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number { .. } | Self::String(_) | Self::Vector(_) | Self::Matrix { .. } => vec![],
            Self::Paren(expr) | Self::Unary { expr, .. } => vec![expr],
            Self::Binary(binary) => vec![&binary.left, &binary.right],
            Self::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.expr]).collect(),
            Self::Call { args, .. } => args.iter().collect(),
            Self::Subquery(subquery) => vec![&subquery.expr],
        }
    }

    /// Whether the value is the same at all steps of a range query, because each selector has an
    /// `@`.
    pub(crate) fn is_step_invariant(&self) -> bool {
        match self {
            Self::Vector(selector) | Self::Matrix { selector, .. } => selector.time.at.is_some(),
            Self::Subquery(subquery) => subquery.time.at.is_some(),
            Self::Call { function, args } if function.reads_time(args.len()) => false,
            _ => self.children().into_iter().all(Self::is_step_invariant),
        }
    }
}
