//! The errors of the InfluxQL parser, with the texts of 1.x.

use tidemark_model::configurable_limits::Exceeded;
use tidemark_model::limits::{
    EXPR_DEPTH_MAX, QUERY_DEPTH_MAX, REGEXES_COMPILED_BYTES_MAX, REGEXES_PER_QUERY_MAX,
    SOURCES_WRITTEN_MAX,
};

use super::duration::InvalidDuration;
use super::operator::BinaryOp;
use tidemark_model::regex::InvalidRegex;

/// The position of a token. The fields count from 0. The printed numbers count from 1, as in 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// The number of preceding lines.
    pub line: u32,
    /// The number of preceding characters in the line.
    pub char: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, char {}", u64::from(self.line) + 1, u64::from(self.char) + 1)
    }
}

/// The reason why a text is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum ParseError {
    /// The grammar does not allow the token at this position.
    #[error("found {found}, expected {expected} at {position}")]
    Unexpected {
        found: String,
        /// The tokens that the grammar allows, in 1.x's order, separated by commas.
        expected: String,
        position: Position,
    },
    /// The text contains a NUL character, at which 1.x may ignore the rest of the text.
    #[error("query contains a NUL character: remove it")]
    Nul,
    /// The query exceeds a limit, such as the length of its text or the number of its statements.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// The query has more than [`REGEXES_PER_QUERY_MAX`] different regexes.
    #[error(
        "query has more than {REGEXES_PER_QUERY_MAX} different regular expressions at {position}: \
         combine some with |"
    )]
    TooManyRegexes {
        /// The position of the first regex above the limit.
        position: Position,
    },
    /// The query's regexes need more than [`REGEXES_COMPILED_BYTES_MAX`].
    #[error(
        "the compiled regular expressions of the query exceed {REGEXES_COMPILED_BYTES_MAX} bytes \
         at {position}: use fewer and shorter repetitions"
    )]
    RegexesTooLarge {
        /// The position of the first regex above the limit.
        position: Position,
    },
    /// The FROM clauses of the statement list more than [`SOURCES_WRITTEN_MAX`] sources.
    #[error(
        "the statement lists more than {SOURCES_WRITTEN_MAX} sources at {position}: use a regular \
        expression"
    )]
    TooManySources {
        /// The position of the first source above the limit.
        position: Position,
    },
    /// Parentheses, calls or subqueries are nested too deeply.
    #[error(
        "the query nests too deeply: current {QUERY_DEPTH_MAX}, requested {}, limit \
         {QUERY_DEPTH_MAX} (QUERY_DEPTH_MAX) at {position}", QUERY_DEPTH_MAX + 1
    )]
    TooDeep {
        /// The start of the first level above the limit.
        position: Position,
    },
    /// The height of an expression tree exceeds [`EXPR_DEPTH_MAX`].
    #[error(
        "expression chains more than {EXPR_DEPTH_MAX} operators at {position}: split it into \
        several fields or conditions"
    )]
    ChainTooLong {
        /// The end of the expression.
        position: Position,
    },
    /// A path consists of four or more names.
    #[error("too many segments in {path} at {}", Position::default())]
    TooManySegments { path: String },
    /// A field of SELECT contains a comparison, `AND` or `OR`.
    #[error(
        "invalid operator {op} in SELECT clause at {position}; operator is intended for \
        WHERE clause"
    )]
    OperatorInField {
        op: BinaryOp,
        /// The start of the field.
        position: Position,
    },
    /// `ORDER BY` has a column other than `time`, or several columns.
    #[error("only ORDER BY time supported at this time")]
    OrderBy,
    /// `fill` has no parentheses.
    #[error("fill must be a function call")]
    FillNotCall,
    /// `fill` has no argument or several arguments, as in `fill()` or `fill(1, 2)`.
    #[error("fill requires an argument, e.g.: 0, null, none, previous, linear")]
    FillArguments,
    /// The argument of `fill` is neither a number nor an option, as in `fill('x')`.
    #[error("expected number argument in fill()")]
    FillNotNumber,
    /// `tz` has no parentheses.
    #[error("tz must be a function call")]
    TimezoneNotCall,
    /// `tz` has no argument or several arguments, as in `tz()` or `tz('UTC', 'UTC')`.
    #[error("tz requires exactly one argument")]
    TimezoneArguments,
    /// The argument of `tz` is not a string, as in `tz(UTC)`.
    #[error("expected string argument in tz()")]
    TimezoneNotString,
    /// The time zone does not exist.
    #[error("unable to find time zone {name}")]
    UnknownTimezone { name: String },
    /// A number is too large for an `f64`.
    #[error("unable to parse number at {position}")]
    Number { position: Position },
    /// An integer is greater than `u64::MAX`.
    #[error("unable to parse integer at {position}")]
    Integer { position: Position },
    /// The integer of a clause does not fit into its type.
    #[error("strconv.{function}: parsing \"{text}\": value out of range at {position}")]
    IntegerRange {
        /// The name of the Go function that 1.x's error text contains.
        function: &'static str,
        text: String,
        position: Position,
    },
    /// An integer is less than `i64::MIN`.
    #[error("constant -{magnitude} underflows int64")]
    Underflow {
        /// The integer without its sign.
        magnitude: u64,
    },
    /// The integer of a clause is outside the allowed range.
    #[error("invalid value {value}: must be {min} <= n <= {max} at {position}")]
    OutOfRange { value: i64, min: i64, max: i64, position: Position },
    /// The integer of a clause such as LIMIT is negative. Only a bound parameter can be negative
    /// here.
    #[error("{clause} must be >= 0 at {position}")]
    Negative {
        /// `LIMIT`, `OFFSET`, `SLIMIT` or `SOFFSET`.
        clause: &'static str,
        position: Position,
    },
    /// A duration in an expression is invalid.
    #[error(transparent)]
    Duration(#[from] InvalidDuration),
    /// The duration of a clause is invalid.
    #[error("{error} at {position}")]
    ClauseDuration { error: InvalidDuration, position: Position },
    /// A retention policy has `SHARD DURATION INF`.
    #[error("invalid duration INF for shard duration at {position}")]
    InfiniteShard { position: Position },
    /// An option of ALTER RETENTION POLICY is repeated.
    #[error("found duplicate {option} option at {position}")]
    DuplicateOption {
        option: &'static str,
        /// The position of the repeated option.
        position: Position,
    },
    /// A regex has no closing `/` in its line.
    #[error("bad regex:  at {position}")]
    BadRegex { position: Position },
    /// A regex is invalid in Go, or its compiled form exceeds a limit.
    #[error("{error} at {position}")]
    Regex { error: InvalidRegex, position: Position },
    /// A `$` is not followed by a name.
    #[error("empty bound parameter")]
    EmptyParameter,
    /// A parameter `$name` has no value, or its value cannot be bound. In the second case, the
    /// error contains the reason instead of the name, as in 1.x.
    #[error("missing parameter: {name}")]
    MissingParameter {
        /// The parameter's name, or the reason why its value cannot be bound.
        name: String,
    },
    /// A source of `DELETE` or `DROP SERIES` has a database.
    #[error("database not supported at {}", Position::default())]
    DatabaseNotSupported,
    /// A source of `DROP SERIES` has a retention policy.
    #[error("retention policy not supported at {}", Position::default())]
    PolicyNotSupported,
    /// The `GROUP BY time(…)` of a continuous query has no valid interval.
    #[error(transparent)]
    Interval(#[from] InvalidInterval),
    /// `RESAMPLE FOR` is shorter than a window of the continuous query or than `RESAMPLE EVERY`.
    #[error(
        "FOR duration must be >= GROUP BY time duration: must be a minimum of {min}, got {got}"
    )]
    ResampleTooShort { min: String, got: String },
}

/// The reason why `GROUP BY time(…)` has no valid interval. The texts are those of 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInterval {
    /// `time(…)` has no arguments or more than two.
    #[error("time dimension expected 1 or 2 arguments")]
    Arguments,
    /// The interval is not a duration.
    #[error("time dimension must have duration argument")]
    NotDuration,
}
