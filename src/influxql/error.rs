//! Names every reason why a text is not InfluxQL, and has the words of each error, which are those
//! of 1.x.

use crate::model::configurable_limits::Exceeded;
use crate::model::limits::{EXPR_DEPTH_MAX, REGEXES_PER_QUERY_MAX};

use super::duration::InvalidDuration;
use super::operator::BinaryOp;
use crate::model::regex::InvalidRegex;

/// Where a token starts. Printed counting from one, as 1.x does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Lines before it.
    pub line: u32,
    /// Characters before it on its line.
    pub char: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, char {}", u64::from(self.line) + 1, u64::from(self.char) + 1)
    }
}

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Another token stands there than the grammar wants.
    #[error("found {found}, expected {} at {position}", .expected.join(", "))]
    Unexpected {
        /// The token as written.
        found: String,
        /// What the grammar wants, in 1.x's order.
        expected: Vec<&'static str>,
        /// Where.
        position: Position,
    },
    /// More text or statements than a query may have.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// More different regexes than [`REGEXES_PER_QUERY_MAX`].
    #[error(
        "query has more than {REGEXES_PER_QUERY_MAX} different regular expressions at \
        {position}: join some with |"
    )]
    TooManyRegexes {
        /// Where the one too many starts.
        position: Position,
    },
    /// Parentheses, calls or subqueries nest too deeply.
    #[error("{exceeded} at {position}")]
    TooDeep {
        /// Which of the limits it exceeds.
        exceeded: Exceeded,
        /// Where the level too many starts.
        position: Position,
    },
    /// An expression tree is higher than [`EXPR_DEPTH_MAX`].
    #[error(
        "expression chains more than {EXPR_DEPTH_MAX} operators at {position}: split it into \
        several fields or conditions"
    )]
    ChainTooLong {
        /// Where the expression ends.
        position: Position,
    },
    /// Four or more names joined by dots.
    #[error("too many segments in {path} at {}", Position::default())]
    TooManySegments {
        /// The names, quoted.
        path: String,
    },
    /// A comparison, `AND` or `OR` in a field of SELECT.
    #[error(
        "invalid operator {op} in SELECT clause at {position}; operator is intended for \
        WHERE clause"
    )]
    OperatorInField {
        /// The operator.
        op: BinaryOp,
        /// Where the field starts.
        position: Position,
    },
    /// `ORDER BY` something else than time, or several columns.
    #[error("only ORDER BY time supported at this time")]
    OrderBy,
    /// `fill` without parentheses.
    #[error("fill must be a function call")]
    FillNotCall,
    /// `fill()` or `fill(1, 2)`.
    #[error("fill requires an argument, e.g.: 0, null, none, previous, linear")]
    FillArguments,
    /// `fill('x')`.
    #[error("expected number argument in fill()")]
    FillNotNumber,
    /// `tz` without parentheses.
    #[error("tz must be a function call")]
    TimezoneNotCall,
    /// `tz()` or `tz('UTC', 'UTC')`.
    #[error("tz requires exactly one argument")]
    TimezoneArguments,
    /// `tz(UTC)`.
    #[error("expected string argument in tz()")]
    TimezoneNotString,
    /// No such zone.
    #[error("unable to find time zone {name}")]
    UnknownTimezone {
        /// As written.
        name: String,
    },
    /// A number that is not representable.
    #[error("unable to parse number at {position}")]
    Number {
        /// Where.
        position: Position,
    },
    /// An integer above `u64::MAX`.
    #[error("unable to parse integer at {position}")]
    Integer {
        /// Where.
        position: Position,
    },
    /// An integer of a clause that does not fit.
    #[error("strconv.{function}: parsing \"{text}\": value out of range at {position}")]
    IntegerRange {
        /// Go's function, part of 1.x's text.
        function: &'static str,
        /// As written.
        text: String,
        /// Where.
        position: Position,
    },
    /// An integer below `i64::MIN`.
    #[error("constant -{magnitude} underflows int64")]
    Underflow {
        /// Without the sign.
        magnitude: u64,
    },
    /// An integer outside what the clause takes.
    #[error("invalid value {value}: must be {min} <= n <= {max} at {position}")]
    OutOfRange {
        /// As written.
        value: i64,
        /// Smallest valid value.
        min: i64,
        /// Largest valid value.
        max: i64,
        /// Where.
        position: Position,
    },
    /// A negative LIMIT or the like, which only a bound parameter can be.
    #[error("{clause} must be >= 0 at {position}")]
    Negative {
        /// `LIMIT`, `OFFSET`, `SLIMIT` or `SOFFSET`.
        clause: &'static str,
        /// Where.
        position: Position,
    },
    /// A duration inside an expression.
    #[error("{error}")]
    Duration {
        /// Why.
        error: InvalidDuration,
    },
    /// A duration of a clause.
    #[error("{error} at {position}")]
    ClauseDuration {
        /// Why.
        error: InvalidDuration,
        /// Where.
        position: Position,
    },
    /// `SHARD DURATION INF`.
    #[error("invalid duration INF for shard duration at {position}")]
    InfiniteShard {
        /// Where.
        position: Position,
    },
    /// An option of ALTER RETENTION POLICY twice.
    #[error("found duplicate {option} option at {position}")]
    DuplicateOption {
        /// Its keyword.
        option: &'static str,
        /// Where its second one stands.
        position: Position,
    },
    /// A regex without end.
    #[error("bad regex:  at {position}")]
    BadRegex {
        /// Where.
        position: Position,
    },
    /// A regex that Go refuses, or that compiles to more than we run.
    #[error("{error} at {position}")]
    Regex {
        /// Why.
        error: InvalidRegex,
        /// Where.
        position: Position,
    },
    /// `$` without a name.
    #[error("empty bound parameter")]
    EmptyParameter,
    /// A `$name` without value, or with a value that binds to nothing; then 1.x prints why instead
    /// of the name.
    #[error("missing parameter: {name}")]
    MissingParameter {
        /// The name, or why its value does not bind.
        name: String,
    },
    /// `DELETE` or `DROP SERIES` from a qualified measurement.
    #[error("database not supported at {}", Position::default())]
    DatabaseNotSupported,
    /// `DROP SERIES` from a qualified measurement.
    #[error("retention policy not supported at {}", Position::default())]
    PolicyNotSupported,
    /// `GROUP BY time(…)` of a continuous query has no interval.
    #[error("{error}")]
    Interval {
        /// Why.
        error: InvalidInterval,
    },
    /// `RESAMPLE FOR` less than one window of a continuous query.
    #[error(
        "FOR duration must be >= GROUP BY time duration: must be a minimum of {min}, got {got}"
    )]
    ResampleTooShort {
        /// The least duration.
        min: String,
        /// As written.
        got: String,
    },
}

/// Why `GROUP BY time(…)` has no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum InvalidInterval {
    /// `time()`, or more than an interval and an offset.
    Arguments,
    /// The interval is no duration.
    NotDuration,
}

impl InvalidInterval {
    /// 1.x's words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "time dimension expected 1 or 2 arguments",
            Self::NotDuration => "time dimension must have duration argument",
        }
    }
}
