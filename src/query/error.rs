//! Names every reason why a statement cannot be planned or answered, with the words of each error.
//! They are those of 1.x where 1.x has any. A text that is no InfluxQL at all is refused before, in
//! [`crate::influxql::error`].

use crate::admission::NoRoom;
use crate::influxql::error::ParseError;
use crate::influxql::time_literal::format_utc;
use crate::model::configurable_limits::{Exceeded, Limit};
use crate::model::limits::{PLAN_ENTRIES_MAX, POLICIES_PER_QUERY_MAX, SOURCES_PER_MEASUREMENT_MAX};
use crate::model::regex::InvalidRegex;
use crate::model::time::S_NS;

/// Why a statement has no answer. Its text goes into the statement's `error`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// No database in the statement, in `db=`, or in the session.
    #[error("database name required")]
    DatabaseRequired,
    /// A name in the statement means nothing.
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    /// A policy in the statement means nothing.
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// The statement breaks a rule of 1.x's compiler; the text is 1.x's.
    #[error("{0}")]
    Invalid(String),
    /// A literal that looks like a time is none.
    #[error(transparent)]
    Literal(#[from] ParseError),
    /// Parses, but is not carried out yet.
    #[error("not supported yet: {0}")]
    Unsupported(String),
    /// More windows than one query may have.
    #[error(
        "max-select-buckets limit exceeded: ({asked}/{limit}) (BUCKETS_PER_QUERY_MAX): narrow the \
         time range, or ask for longer windows"
    )]
    Buckets {
        /// Windows asked for.
        asked: u64,
        /// `limits::BUCKETS_PER_QUERY_MAX`
        limit: u64,
    },
    /// The windows of a statement without a lower bound of time, nearly all of them empty because
    /// of one point.
    #[error(
        "{asked} windows, nearly all of them empty: the statement has no lower bound of time, and \
         its first point is at {}{}: add WHERE time >= …, or leave empty windows out with fill(none)",
        second(*first_ns),
        next_ns.map_or_else(String::new, |next| format!(", the next one at {}", second(next)))
    )]
    StrayPoint {
        /// Windows asked for.
        asked: u64,
        /// The window of the first point, nanoseconds.
        first_ns: i64,
        /// That of the next one, if there is one.
        next_ns: Option<i64>,
    },
    /// More series, or points, than one query may read.
    #[error(
        "max-select-{what} limit exceeded: ({asked}/{limit}) ({}): narrow the time range or WHERE",
        if *what == "series" { Limit::Series } else { Limit::Points }.settable().name
    )]
    Select {
        /// `series` or `point`.
        what: &'static str,
        /// How many there are, or were met by then.
        asked: u64,
        /// `SERIES_PER_QUERY_MAX` or `POINTS_PER_QUERY_MAX`, as set.
        limit: u64,
    },
    /// A result that must be held whole before its first row is known is too large.
    #[error("{what} holds more than {limit} {unit}: narrow the time range or select fewer series")]
    TooLarge {
        /// What is held.
        what: &'static str,
        /// How much of it may be.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Functions that look back and others stand together at too many depths.
    #[error(
        "a subquery would be read more than {limit} times, since functions that look back one \
         window and others stand together at many depths: ask for them in statements of their own"
    )]
    Readings {
        /// How often it may be read.
        limit: u32,
    },
    /// A subquery's rows, or the states of what is asked of them, are too many to be held.
    #[error(
        "a subquery holds more than {limit} bytes for the statement around it: narrow its time \
         range, compute in it what can be, or group the statement by all tags that it is grouped by"
    )]
    Subquery {
        /// How many bytes it may hold.
        limit: u64,
    },
    /// A list that must be sorted whole is too large.
    #[error(
        "{what} takes more than {limit} {unit}: ask for fewer with WHERE, FROM or LIMIT, or for \
         their number with CARDINALITY"
    )]
    TooManyNames {
        /// What is listed.
        what: &'static str,
        /// How much it may take.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// A limit of the operator does not allow the statement.
    #[error("{error}: {advice}")]
    Exceeded {
        /// Which limit.
        error: Exceeded,
        /// What the caller can do.
        advice: &'static str,
    },
    /// FROM names one measurement too often.
    #[error(
        "FROM names measurement \"{name}\" more than {SOURCES_PER_MEASUREMENT_MAX} times: name it \
         once"
    )]
    SourceRepeated {
        /// The measurement.
        name: String,
    },
    /// FROM names too many databases and policies.
    #[error(
        "FROM names more than {POLICIES_PER_QUERY_MAX} databases and retention policies: read \
         fewer in one statement"
    )]
    TooManyPolicies,
    /// The plan of a statement is too large.
    #[error(
        "the columns, dimensions and conditions of the statement, once for each measurement that \
         it reads, are more than {PLAN_ENTRIES_MAX}: name fewer measurements or fields"
    )]
    PlanTooLarge,
    /// More memory than there is for it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// A shard's page does not have the shape that was asked for.
    #[error("a shard's answer does not fit its request: {0}")]
    Page(&'static str),
}

/// RFC 3339 without a fraction.
fn second(time_ns: i64) -> String {
    format_utc(time_ns.saturating_sub(time_ns.rem_euclid(S_NS)))
}

impl From<InvalidRegex> for QueryError {
    fn from(error: InvalidRegex) -> Self {
        Self::Invalid(error.to_string())
    }
}
