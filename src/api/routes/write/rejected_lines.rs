//! Reports the rejected lines of a write, with the reasons and with hints on how to correct the
//! lines.

use std::fmt::Write as _;

use crate::api::error::{ErrorShape, error_response};
use crate::api::headers::CREATED;
use crate::api::http::Response;
use crate::api::params::WritePrecision;
use crate::coordinator::write::rejections::LineRefusal;
use crate::coordinator::write::{Created, WriteOutcome};
use crate::influxql::time_literal::format_utc;
use crate::influxql::{duration, quote};
use crate::line_protocol::Rejected;
use crate::model::limits::{REJECTED_LINE_EXCERPT_BYTES_MAX, REJECTED_LINES_NAMED_MAX};
use crate::model::time::Precision;
use crate::protocol::database::RegisterRefusal;
use crate::response::emitter::Emitter;

#[derive(Clone, Copy, Debug)]
pub(super) struct Destination<'a> {
    pub database: &'a str,
    pub precision: WritePrecision,
    /// Whether one invalid line rejects all lines.
    pub all_or_nothing: bool,
}

/// A rejected line in InfluxDB 3's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RejectedLine {
    /// The 1-based number of the physical line on which the point starts.
    pub line: u32,
    /// The beginning of the line, if the body is still available.
    pub excerpt: Option<String>,
    pub cause: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RejectedLines {
    pub message: String,
    /// The reported lines, in ascending order.
    pub lines: Vec<RejectedLine>,
    /// Whether one invalid line rejects all lines (v3's `accept_partial=false`).
    pub all_or_nothing: bool,
    /// Whether every point is older than the retention policy allows.
    pub all_outside_retention: bool,
    /// The value of the header [`CREATED`], if the write created its database.
    pub created: Option<String>,
}

impl RejectedLines {
    /// Describes the lines that the parser or the schema rejected, in order of line numbers.
    pub(super) fn new(
        to: Destination<'_>,
        unparsed: &Rejected,
        outcome: &WriteOutcome,
        text: &[u8],
    ) -> Self {
        let mut causes = causes(unparsed, outcome);
        causes.truncate(REJECTED_LINES_NAMED_MAX);
        let all = unparsed.count + unparsed.without_time + outcome.rejected.total;
        let without_time = if to.all_or_nothing { 0 } else { unparsed.without_time };
        let rejected = all - without_time;
        let written = outcome.points_written;
        let beginning = if written > 0 { "partial write has occurred" } else { "no data written" };
        let mut message = format!("{beginning}, errors encountered on line(s):");
        for Cause { line, doing, text } in &causes {
            // Writing to a string cannot fail.
            let _ = write!(message, "\nerror {doing} line {line} (1-based): {text}");
        }
        let named = causes.len() as u64;
        if all > named {
            let _ = write!(message, "\nand {} more", all - named);
        }
        for advice in [retention(to, outcome), other_unit(to, outcome)].into_iter().flatten() {
            message = message + "\n" + &advice;
        }
        let _ = write!(message, "\n{written} points written, {rejected} lines rejected");
        if without_time > 0 {
            let _ = write!(message, ", {without_time} written without their field \"time\"");
        }
        let mut excerpts = Excerpts { rest: text, line: 1 };
        let lines = causes.into_iter().map(|Cause { line, text: cause, .. }| {
            let excerpt = excerpts.next(line);
            RejectedLine { line, excerpt, cause }
        });
        let outside_retention = outcome.rejected.outside_retention;
        Self {
            message,
            lines: lines.collect(),
            all_or_nothing: to.all_or_nothing,
            all_outside_retention: written == 0 && rejected > 0 && outside_retention == rejected,
            created: outcome.created.as_ref().map(|created| created_header(to.database, created)),
        }
    }

    /// Returns 422 if all points are too old, so that a client does not retry the write.
    pub(super) fn status(&self) -> u16 {
        if self.all_outside_retention { 422 } else { 400 }
    }

    pub(super) fn class(&self) -> &'static str {
        if self.all_outside_retention { "retention" } else { "rejected lines" }
    }

    pub(super) fn response(&self, shape: ErrorShape, pretty: bool) -> Response {
        let status = self.status();
        let response = error_response(shape, status, &self.message, pretty, |out| {
            match shape {
                ErrorShape::WriteV3 => self.list(out),
                ErrorShape::WriteV2 => {}
                _ => {
                    out.key("error");
                    out.string(&self.message);
                }
            }
            if let Some(first) = self.lines.first() {
                out.key("line");
                out.out().extend_from_slice(first.line.to_string().as_bytes());
            }
        });
        match &self.created {
            Some(created) => response.with_header(CREATED, created),
            None => response,
        }
    }

    /// Writes the rejected lines as InfluxDB 3 does: as a list, or only the first line if one
    /// invalid line rejects all lines.
    fn list(&self, out: &mut Emitter) {
        let alone = self.all_or_nothing;
        out.key("error");
        out.string(match alone {
            true => "parsing failed for write_lp endpoint",
            false => "partial write of line protocol occurred",
        });
        out.key("data");
        if !alone {
            out.open(b'[');
        }
        for line in self.lines.iter().take(if alone { 1 } else { self.lines.len() }) {
            if !alone {
                out.next();
            }
            out.open(b'{');
            if let Some(excerpt) = &line.excerpt {
                out.key("original_line");
                out.string(excerpt);
            }
            out.key("line_number");
            out.out().extend_from_slice(line.line.to_string().as_bytes());
            out.key("error_message");
            out.string(&line.cause);
            out.close(b'}');
        }
        if !alone {
            out.close(b']');
        }
    }
}

struct Cause {
    line: u32,
    doing: &'static str,
    text: String,
}

fn causes(unparsed: &Rejected, outcome: &WriteOutcome) -> Vec<Cause> {
    let parsing = unparsed.named.iter().map(|error| Cause {
        line: error.line,
        doing: "parsing",
        text: error.to_string(),
    });
    let writing = outcome.rejected.named.iter().map(|refused| Cause {
        line: refused.line,
        doing: "writing",
        text: cause(&refused.cause),
    });
    let mut causes: Vec<Cause> = parsing.chain(writing).collect();
    causes.sort_by_key(|cause| cause.line);
    causes
}

/// Returns the percent-encoded database and policy, and the policy's retention period.
pub(super) fn created_header(database: &str, created: &Created) -> String {
    let encoded = |name: &str| -> String {
        form_urlencoded::byte_serialize(name.as_bytes())
            .map(|part| part.replace('+', "%20"))
            .collect()
    };
    let Created { policy, duration_ns } = created;
    format!(
        "{}/{}; retention={}",
        encoded(database),
        encoded(policy),
        format_retention(*duration_ns)
    )
}

fn format_retention(duration_ns: i64) -> String {
    if duration_ns == 0 { "INF".to_owned() } else { duration::format(duration_ns) }
}

fn cause(refusal: &LineRefusal) -> String {
    match refusal {
        LineRefusal::Columns(RegisterRefusal::TypeConflict { existing, requested, .. }) => {
            format!("{refusal}: {}", requested.hint(*existing))
        }
        LineRefusal::Columns(_) | LineRefusal::Stored(_) | LineRefusal::Series(_) => {
            refusal.to_string()
        }
        LineRefusal::Retention { oldest_kept_ns, time_ns, .. } => {
            format!("{refusal}: {} is before {}", format_utc(*time_ns), format_utc(*oldest_kept_ns))
        }
    }
}

fn retention(to: Destination<'_>, outcome: &WriteOutcome) -> Option<String> {
    let rejected = &outcome.rejected;
    let retention = rejected.retention.as_ref().filter(|_| rejected.outside_retention > 0)?;
    let older = match rejected.outside_retention {
        1 => "1 line is".to_owned(),
        lines => format!("{lines} lines are"),
    };
    let (since, kept) =
        (format_utc(retention.oldest_kept_ns), format_retention(retention.duration_ns));
    let (database, policy) = (quote::ident(to.database), quote::ident(&retention.policy));
    Some(if retention.absent {
        let with = if policy == "autogen" { String::new() } else { format!(" WITH NAME {policy}") };
        format!(
            "{older} older than {since}: database \"{}\" does not exist yet, and a database that a \
             write creates keeps points for {kept} (AUTO_CREATE_RETENTION); to keep points \
             permanently, first run CREATE DATABASE {database}{with}, or set AUTO_CREATE_RETENTION \
             to INF",
            to.database
        )
    } else {
        format!(
            "{older} older than {since}: retention policy \"{}\" of database \"{}\" keeps points for \
             {kept}; to keep them: ALTER RETENTION POLICY {policy} ON {database} DURATION INF",
            retention.policy, to.database
        )
    })
}

/// Returns a hint on the likely unit, if the rejected timestamps are too small for the requested
/// unit.
fn other_unit(to: Destination<'_>, outcome: &WriteOutcome) -> Option<String> {
    let WritePrecision::Fixed(given) = to.precision else { return None };
    let meant = outcome.rejected.named.iter().find_map(|line| {
        let LineRefusal::Retention { time_ns, .. } = line.cause else { return None };
        let unit = Precision::of_magnitude(time_ns / given.unit_ns())?;
        (unit.unit_ns() > given.unit_ns()).then_some(unit)
    })?;
    Some(format!("these look like {}: `precision={}`", meant.plural(), meant.parameter()))
}

/// The caller must request the lines' beginnings in ascending order.
struct Excerpts<'a> {
    rest: &'a [u8],
    line: u32,
}

impl Excerpts<'_> {
    /// Returns the first [`REJECTED_LINE_EXCERPT_BYTES_MAX`] bytes of a physical line, or `None` if
    /// the body is no longer available.
    fn next(&mut self, line: u32) -> Option<String> {
        while self.line < line {
            let end = memchr::memchr(b'\n', self.rest)?;
            self.rest = self.rest.get(end + 1..)?;
            self.line += 1;
        }
        let found =
            self.rest.split(|&byte| byte == b'\n').next().filter(|line| !line.is_empty())?;
        let beginning = found.get(..REJECTED_LINE_EXCERPT_BYTES_MAX).unwrap_or(found);
        Some(String::from_utf8_lossy(beginning).trim_end_matches(['\r', '\u{fffd}']).to_owned())
    }
}
