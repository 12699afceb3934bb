//! What a client is told of the lines that were not kept: which, why, and what to do about it.

use std::fmt::Write as _;

use crate::api::error::{ApiError, RejectedLine};
use crate::api::params::WritePrecision;
use crate::influxql::{duration, quote};
use crate::line_protocol::Rejected;
use crate::model::limits::REJECTED_LINES_NAMED_MAX;
use crate::model::sorted;
use crate::model::time::Precision;
use crate::protocol::database::RegisterRefusal;
use crate::response::time::rfc3339;
use crate::route::write::rejections::LineRefusal;
use crate::route::write::{Created, WriteOutcome};

/// Bytes of a bad line that InfluxDB 3 repeats.
const EXCERPT_BYTES_MAX: usize = 20;

/// What the words depend on beside the lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The database's name.
    pub database: &'a str,
    /// Unit of the timestamps.
    pub precision: WritePrecision,
    /// One bad line rejects all.
    pub all_or_nothing: bool,
}

/// Words the lines that were rejected while parsing and by the schema, in order of their lines.
pub(super) fn refusal(
    asked: Asked<'_>,
    parsing: &Rejected,
    outcome: &WriteOutcome,
    text: &[u8],
) -> ApiError {
    let unparsed = parsing.named.iter().map(|e| (e.line, "parsing", e.to_string()));
    let unkept = &outcome.rejected.named;
    let unkept = unkept.iter().map(|refused| (refused.line, "writing", cause(&refused.cause)));
    let mut lines: Vec<_> = unparsed.chain(unkept).collect();
    sorted::sort_by_key(&mut lines, |(line, ..)| *line);
    lines.truncate(REJECTED_LINES_NAMED_MAX);
    let told = parsing.count + parsing.without_time + outcome.rejected.total;
    let without_time = if asked.all_or_nothing { 0 } else { parsing.without_time };
    let total = told - without_time;
    let written = outcome.points_written;
    let beginning = if written > 0 { "partial write has occurred" } else { "no data written" };
    let mut message = format!("{beginning}, errors encountered on line(s):");
    for (line, doing, cause) in &lines {
        // Writing to a string cannot fail.
        let _ = write!(message, "\nerror {doing} line {line} (1-based): {cause}");
    }
    let named = lines.len() as u64;
    if told > named {
        let _ = write!(message, "\nand {} more", told - named);
    }
    for advice in [retention(asked, outcome), other_unit(asked, outcome)].into_iter().flatten() {
        message = message + "\n" + &advice;
    }
    let _ = write!(message, "\n{written} points written, {total} lines rejected");
    if without_time > 0 {
        let _ = write!(message, ", {without_time} written without their field \"time\"");
    }
    let mut excerpts = Excerpts { rest: text, line: 1 };
    let lines = lines.into_iter().map(|(line, _, cause)| {
        let excerpt = excerpts.next(line);
        RejectedLine { line, excerpt, cause }
    });
    ApiError::Rejected {
        message,
        lines: lines.collect(),
        whole: asked.all_or_nothing,
        retention: written == 0 && total > 0 && outcome.rejected.outside_retention == total,
        created: outcome.created.as_ref().map(|created| created_header(asked.database, created)),
    }
}

/// The value of the header `X-Tidemark-Created`: the database and its policy, percent-encoded, and
/// how long that keeps points.
pub(super) fn created_header(database: &str, created: &Created) -> String {
    let encoded = |name: &str| -> String {
        form_urlencoded::byte_serialize(name.as_bytes())
            .map(|part| part.replace('+', "%20"))
            .collect()
    };
    let Created { policy, duration_ns } = created;
    format!("{}/{}; retention={}", encoded(database), encoded(policy), kept(*duration_ns))
}

/// How long points are kept, as statements spell it.
fn kept(duration_ns: i64) -> String {
    if duration_ns == 0 { "INF".to_owned() } else { duration::format(duration_ns) }
}

/// Why one line was not kept.
fn cause(refusal: &LineRefusal) -> String {
    match refusal {
        LineRefusal::Columns(RegisterRefusal::TypeConflict { existing, requested, .. }) => {
            format!("{refusal}: {}", requested.cure(*existing))
        }
        LineRefusal::Columns(_) => refusal.to_string(),
        LineRefusal::Retention { oldest_kept_ns, time_ns, .. } => {
            format!("{refusal}: {} is before {}", date(*time_ns), date(*oldest_kept_ns))
        }
    }
}

/// How many lines retention cost, which policy that was, and the statement that changes it.
fn retention(asked: Asked<'_>, outcome: &WriteOutcome) -> Option<String> {
    let rejected = &outcome.rejected;
    let retention = rejected.retention.as_ref().filter(|_| rejected.outside_retention > 0)?;
    let older = match rejected.outside_retention {
        1 => "1 line is".to_owned(),
        lines => format!("{lines} lines are"),
    };
    let (since, kept) = (date(retention.oldest_kept_ns), kept(retention.duration_ns));
    let (database, policy) = (quote::ident(asked.database), quote::ident(&retention.policy));
    Some(if retention.absent {
        let with = if policy == "autogen" { String::new() } else { format!(" WITH NAME {policy}") };
        format!(
            "{older} older than {since}: database \"{}\" does not exist yet, and one that a write \
             creates keeps points for {kept} (AUTO_CREATE_RETENTION); create it first, to keep \
             points for ever: CREATE DATABASE {database}{with}, or set AUTO_CREATE_RETENTION to \
             as long as you need (INF is for ever)",
            asked.database
        )
    } else {
        format!(
            "{older} older than {since}: retention policy \"{}\" of database \"{}\" keeps points for \
             {kept}; to keep them: ALTER RETENTION POLICY {policy} ON {database} DURATION INF",
            retention.policy, asked.database
        )
    })
}

/// Which unit the times have most likely, if those outside retention are too small for theirs.
fn other_unit(asked: Asked<'_>, outcome: &WriteOutcome) -> Option<String> {
    let WritePrecision::Fixed(said) = asked.precision else { return None };
    let meant = outcome.rejected.named.iter().find_map(|line| {
        let LineRefusal::Retention { time_ns, .. } = line.cause else { return None };
        let unit = Precision::of_magnitude(time_ns / said.unit_ns())?;
        (unit.unit_ns() > said.unit_ns()).then_some(unit)
    })?;
    Some(format!("these look like {}: `precision={}`", meant.plural(), meant.parameter()))
}

/// RFC 3339.
fn date(time_ns: i64) -> String {
    let mut text = Vec::new();
    rfc3339(time_ns, 0, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Beginnings of a body's lines, asked for in ascending order.
struct Excerpts<'a> {
    rest: &'a [u8],
    line: u32,
}

impl Excerpts<'_> {
    /// The first [`EXCERPT_BYTES_MAX`] bytes of a physical line; none when the body is gone.
    fn next(&mut self, line: u32) -> Option<String> {
        while self.line < line {
            let end = memchr::memchr(b'\n', self.rest)?;
            self.rest = self.rest.get(end + 1..)?;
            self.line += 1;
        }
        let found =
            self.rest.split(|&byte| byte == b'\n').next().filter(|line| !line.is_empty())?;
        let beginning = found.get(..EXCERPT_BYTES_MAX).unwrap_or(found);
        Some(String::from_utf8_lossy(beginning).trim_end_matches(['\r', '\u{fffd}']).to_owned())
    }
}
