//! Defines the errors of planning and executing a statement. If 1.x has the same error, both texts
//! are identical. [`tidemark_influxql::error`] contains the parser's errors.

use crate::admission::OutOfMemory;
use tidemark_influxql::time_literal::format_utc;
use tidemark_model::configurable_limits::{Exceeded, Limit};
use tidemark_model::limits::{
    PLAN_ENTRIES_MAX, POLICIES_PER_QUERY_MAX, SOURCES_PER_MEASUREMENT_MAX, SUBQUERY_PARTS_MAX,
};
use tidemark_model::regex::InvalidRegex;
use tidemark_model::time::S_NS;

/// The result of a step of a statement.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;

/// The reason why a statement failed. The text of this error becomes the statement's `error`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum QueryError {
    /// No database is specified in the statement, in `db` or in the session.
    #[error("database name required")]
    DatabaseRequired,
    /// The statement names an unknown database.
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    /// The statement names an unknown retention policy.
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// The statement breaks a rule of 1.x's compiler. The error text is identical to the text in
    /// 1.x.
    #[error("{0}")]
    Invalid(String),
    /// The parser accepts the statement, but the engine does not support it yet.
    #[error("not supported yet: {0}")]
    Unsupported(String),
    /// The query has more windows than the limit allows.
    #[error(
        "max-select-buckets limit exceeded: ({requested}/{limit}) (BUCKETS_PER_QUERY_MAX): narrow the \
         time range, or use longer windows"
    )]
    Buckets { requested: u64, limit: u64 },
    /// The statement has no lower time bound, and one early point causes nearly all of the windows
    /// to be empty.
    #[error(
        "nearly all of the {requested} windows are empty, because the statement has no lower time \
         bound and its first point is at {}{}: add WHERE time >= …, or omit empty windows with \
         fill(none)",
        second(*first_ns),
        next_ns.map_or_else(String::new, |next| format!(", the next point at {}", second(next)))
    )]
    StrayPoint {
        requested: u64,
        /// The start of the first point's window, in nanoseconds.
        first_ns: i64,
        /// The start of the next point's window, in nanoseconds.
        next_ns: Option<i64>,
    },
    /// The query reads more series or points than the limit allows.
    #[error(
        "max-select-{what} limit exceeded: ({requested}/{limit}) ({}): narrow the time range or the \
         WHERE clause",
        if *what == "series" { Limit::Series } else { Limit::Points }.settable().name
    )]
    Select {
        /// `series` or `point`.
        what: &'static str,
        /// The number of series or points in the query, or the number that was found before the
        /// query stopped.
        requested: u64,
        limit: u64,
    },
    /// A result is too large. The result must be complete in memory before its first row is sent.
    #[error("{what} has more than {limit} {unit}: narrow the time range or select fewer series")]
    TooLarge { what: &'static str, limit: u64, unit: &'static str },
    /// Too many nested subqueries combine functions that read the previous window with other
    /// functions.
    #[error(
        "the server would read a subquery more than {limit} times, because several nested levels \
         combine functions of the previous window with other functions: use separate statements \
         for the two kinds of function"
    )]
    Readings { limit: u32 },
    /// The subqueries that are read several times have too many sources and fields.
    #[error(
        "the subqueries have more than {SUBQUERY_PARTS_MAX} sources, operands and operators, counted \
         once for each time that the server would read a subquery: use fewer sources or fields, or \
         separate statements for functions of the previous window and other functions"
    )]
    SubqueriesTooLarge,
    /// A subquery's rows or the outer statement's partial states need too much memory.
    #[error(
        "the rows of a subquery need more than {limit} bytes: narrow its time range, aggregate in \
         the subquery, or group the outer statement by all tags of the subquery's GROUP BY"
    )]
    Subquery { limit: u64 },
    /// A list is too large. Lists are sorted in memory before the first row is sent.
    #[error(
        "{what} has more than {limit} {unit}: reduce the list with WHERE, FROM or LIMIT, or count \
         its entries with CARDINALITY"
    )]
    TooManyNames { what: &'static str, limit: u64, unit: &'static str },
    /// The statement exceeds a configured limit.
    #[error("{error}: {advice}")]
    Exceeded { error: Exceeded, advice: &'static str },
    /// FROM names one measurement too many times.
    #[error(
        "FROM names measurement \"{name}\" more than {SOURCES_PER_MEASUREMENT_MAX} times: name the \
         measurement once"
    )]
    SourceRepeated { name: String },
    /// FROM names too many databases and retention policies.
    #[error(
        "FROM names more than {POLICIES_PER_QUERY_MAX} databases and retention policies: split the \
         statement"
    )]
    TooManyPolicies,
    /// The plan of the statement is too large.
    #[error(
        "the statement has more than {PLAN_ENTRIES_MAX} columns, dimensions, conditions and calls, \
         counted for each measurement in FROM: name fewer measurements or fields"
    )]
    PlanTooLarge,
    /// The query memory is exhausted.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// A shard returned a page whose shape differs from the requested shape.
    #[error("a shard's response does not match the request: {0}")]
    Page(&'static str),
}

/// Formats RFC 3339 without a fraction.
pub(crate) fn second(time_ns: impl Into<i128>) -> String {
    let time_ns = time_ns.into();
    format_utc(time_ns.saturating_sub(time_ns.rem_euclid(S_NS.into())))
}

impl QueryError {
    /// Whether the statement might succeed with a shorter time range.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Buckets { .. }
                | Self::Select { .. }
                | Self::TooLarge { .. }
                | Self::Subquery { .. }
                | Self::Exceeded { .. }
                | Self::OutOfMemory(OutOfMemory::Ever { .. })
        )
    }
}

/// Returns [`QueryError::Invalid`].
pub(crate) fn invalid<T>(text: impl Into<String>) -> Result<T> {
    Err(QueryError::Invalid(text.into()))
}

impl From<InvalidRegex> for QueryError {
    fn from(error: InvalidRegex) -> Self {
        Self::Invalid(error.to_string())
    }
}
