//! A write's body to columns, and what became of them to a response.

use std::fmt::Write as _;

use super::action::Action;
use super::admission::Permit;
use super::error::{ApiError, RejectedLine};
use super::http::Response;
use super::intake::Parsed;
use super::params::{Dialect, WriteParams};
use super::settings::Settings;
use crate::line_protocol::Rejected;
use crate::model::grant::Right;
use crate::model::limits::REJECTED_LINES_NAMED_MAX;
use crate::model::sorted;
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::PolicySpec;
use crate::route::grants::Principal;
use crate::route::write::{Write, WriteOutcome, WriteRequest};
use crate::route::{Context, Machine};

/// Bytes of a bad line that InfluxDB 3 repeats.
const EXCERPT_BYTES_MAX: usize = 20;

/// What a write's head says.
#[derive(Debug)]
pub struct Asked {
    /// Which route it came by.
    pub dialect: Dialect,
    /// Its parameters.
    pub params: WriteParams,
}

/// A write in progress.
#[derive(Debug)]
pub struct Writing {
    machine: Write,
    rejected: Rejected,
    all_or_nothing: bool,
    text: Vec<u8>,
    points_written: u64,
    _permit: Permit,
}

impl Writing {
    /// Prepares the write of what was parsed; `None` when there was no line at all. Who may
    /// write everywhere may also write to databases that do not exist yet.
    ///
    /// # Errors
    /// [`ApiError::Rejected`] when no line is left to write.
    pub fn new(
        asked: Asked,
        parsed: Parsed,
        settings: &Settings,
        principal: &Principal,
    ) -> Result<Option<Self>, ApiError> {
        let Asked { dialect, params } = asked;
        let Parsed { batch, rejected, permit, text } = parsed;
        let all_or_nothing = dialect == Dialect::V3 && !params.accept_partial;
        if batch.measurements.is_empty() || (all_or_nothing && rejected.count > 0) {
            return match rejected.count {
                0 => Ok(None),
                _ => Err(refusal(&rejected, &WriteOutcome::default(), &text, all_or_nothing)),
            };
        }
        let creates = settings.auto_create_databases && principal.grants.covers_all(Right::Write);
        let auto_create = creates.then(|| CreateDatabase {
            name: params.database.clone(),
            policy: Some(PolicySpec {
                duration_ns: Some(settings.auto_create_retention_ns),
                ..PolicySpec::default()
            }),
            shards: settings.default_shards,
            location: None,
            jurisdiction: None,
        });
        let WriteParams { database, policy, .. } = params;
        let principal = principal.clone();
        let request =
            WriteRequest { database, policy, principal, batch, auto_create, all_or_nothing };
        let machine = Write::new(request);
        Ok(Some(Self {
            machine,
            rejected,
            all_or_nothing,
            text,
            points_written: 0,
            _permit: permit,
        }))
    }

    /// Points that are kept, once the answer is known.
    pub fn points_written(&self) -> u64 {
        self.points_written
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let step = self.machine.step(context, reply);
        if let Step::Done(Ok(outcome)) = &step {
            self.points_written = outcome.points_written;
        }
        match step {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Err(error)) => Err(error.into()),
            Step::Done(Ok(outcome)) if self.rejected.count + outcome.rejected.total == 0 => {
                Ok(Action::Respond(Response::empty(204)))
            }
            Step::Done(Ok(outcome)) => {
                Err(refusal(&self.rejected, &outcome, &self.text, self.all_or_nothing))
            }
        }
    }
}

/// Words the lines that were rejected while parsing and by the schema, in order of their lines.
fn refusal(
    parsing: &Rejected,
    outcome: &WriteOutcome,
    text: &[u8],
    all_or_nothing: bool,
) -> ApiError {
    let unparsed = parsing.named.iter().map(|e| (e.line, "parsing", e.to_string()));
    let unkept = &outcome.rejected.named;
    let unkept = unkept.iter().map(|refused| (refused.line, "writing", refused.cause.to_string()));
    let mut lines: Vec<_> = unparsed.chain(unkept).collect();
    sorted::sort_by_key(&mut lines, |(line, ..)| *line);
    lines.truncate(REJECTED_LINES_NAMED_MAX);
    let total = parsing.count + outcome.rejected.total;
    let written = outcome.points_written;
    let beginning = if written > 0 { "partial write has occurred" } else { "no data written" };
    let mut message = format!("{beginning}, errors encountered on line(s):");
    for (line, doing, cause) in &lines {
        // Writing to a string cannot fail.
        let _ = write!(message, "\nerror {doing} line {line} (1-based): {cause}");
    }
    let named = lines.len() as u64;
    if total > named {
        let _ = write!(message, "\nand {} more", total - named);
    }
    let _ = write!(message, "\n{written} points written, {total} lines rejected");
    let mut excerpts = Excerpts { rest: text, line: 1 };
    let lines = lines.into_iter().map(|(line, _, cause)| {
        let excerpt = excerpts.next(line);
        RejectedLine { line, excerpt, cause }
    });
    ApiError::Rejected {
        message,
        lines: lines.collect(),
        whole: all_or_nothing,
        retention: written == 0 && outcome.rejected.outside_retention == total,
    }
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

#[cfg(test)]
mod tests;
