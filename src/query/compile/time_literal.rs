//! Parses time literals in the statement's time zone.

use super::zone::Zone;
use crate::influxql::time_literal;
use crate::model::time::S_NS;
use crate::query::error::QueryError;

pub(crate) fn looks_like(text: &str) -> bool {
    time_literal::is_time(text)
}

/// Returns nanoseconds. A literal without an offset is local time in `zone`.
pub(crate) fn parse(text: &str, zone: Option<&Zone>) -> Result<i64, QueryError> {
    let offset = |local| zone.map_or(0, |zone| local - zone.to_utc_seconds(local));
    time_literal::parse(text, offset).map_err(|error| QueryError::Invalid(error.to_string()))
}

pub(crate) fn print_seconds(time_ns: i64) -> String {
    time_literal::format_utc(time_ns.saturating_sub(time_ns.rem_euclid(S_NS)))
}
