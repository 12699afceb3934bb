//! A write's body to columns, and what became of them to a response.

use std::fmt::Write as _;

use super::admission::Permit;
use super::body::{self, Encoding};
use super::error::ApiError;
use super::exchange::Action;
use super::http::Response;
use super::params::{Dialect, WriteParams, WritePrecision};
use super::settings::Settings;
use crate::batch::Batch;
use crate::batch::from_lines::from_lines;
use crate::line_protocol::{Options, Rejected, TimestampUnit};
use crate::model::limits::{BODY_BYTES_MAX, REJECTED_LINES_NAMED_MAX};
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::PolicySpec;
use crate::route::write::{Write, WriteOutcome, WriteRequest};
use crate::route::{Context, Machine};

/// A parsed body: the good lines, the bad ones, and the bytes that it still holds.
#[derive(Debug)]
pub struct Parsed {
    batch: Batch,
    rejected: Rejected,
    permit: Permit,
}

/// Inflates and parses a body.
///
/// # Errors
/// [`ApiError`] when the body is unusable as a whole; single bad lines are in the result.
pub fn parse(
    raw: Vec<u8>,
    encoding: Encoding,
    params: &WriteParams,
    mut permit: Permit,
    now_ns: i64,
    hash_seed: u64,
) -> Result<Parsed, ApiError> {
    let text = match encoding {
        Encoding::Identity => raw,
        Encoding::Gzip => body::inflate(&raw, BODY_BYTES_MAX, &mut permit)?,
    };
    let unit = match params.precision {
        WritePrecision::Fixed(precision) => TimestampUnit::Fixed(precision),
        WritePrecision::Auto => TimestampUnit::Auto,
    };
    let (batch, rejected) = from_lines(&text, Options { unit, now_ns }, hash_seed)
        .map_err(|error| ApiError::Invalid(error.to_string()))?;
    Ok(Parsed { batch, rejected, permit })
}

/// A write in progress.
#[derive(Debug)]
pub struct Writing {
    machine: Write,
    rejected: Rejected,
    _permit: Permit,
}

impl Writing {
    /// Prepares the write of what was parsed; `None` when there was no line at all.
    ///
    /// # Errors
    /// [`ApiError::Rejected`] when no line is left to write.
    pub fn new(
        dialect: Dialect,
        params: WriteParams,
        parsed: Parsed,
        settings: &Settings,
    ) -> Result<Option<Self>, ApiError> {
        let Parsed { batch, rejected, permit } = parsed;
        let whole_or_nothing = dialect == Dialect::V3 && !params.accept_partial;
        if batch.measurements.is_empty() || (whole_or_nothing && rejected.count > 0) {
            return match rejected.count {
                0 => Ok(None),
                _ => Err(refusal(&rejected, &WriteOutcome::default())),
            };
        }
        let auto_create = settings.auto_create_databases.then(|| CreateDatabase {
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
        let machine = Write::new(WriteRequest { database, policy, batch, auto_create });
        Ok(Some(Self { machine, rejected, _permit: permit }))
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        match self.machine.step(context, reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Err(error)) => Err(error.into()),
            Step::Done(Ok(outcome)) if self.rejected.count + outcome.rejected.total == 0 => {
                Ok(Action::Respond(Response::empty(204)))
            }
            Step::Done(Ok(outcome)) => Err(refusal(&self.rejected, &outcome)),
        }
    }
}

/// Words the lines that were rejected while parsing and by the schema, in order of their lines.
fn refusal(parsing: &Rejected, outcome: &WriteOutcome) -> ApiError {
    let unparsed =
        parsing.named.iter().map(|e| (e.line, format!("parsing line {}", e.line), e.to_string()));
    let unkept = outcome.rejected.named.iter().map(|refused| {
        (refused.line, format!("writing line {}", refused.line), refused.cause.to_string())
    });
    let mut lines: Vec<_> = unparsed.chain(unkept).collect();
    lines.sort_by_key(|(line, ..)| *line);
    let total = parsing.count + outcome.rejected.total;
    let written = outcome.points_written;
    let beginning = if written > 0 { "partial write has occurred" } else { "no data written" };
    let mut message = format!("{beginning}, errors encountered on line(s):");
    let named = lines.len().min(REJECTED_LINES_NAMED_MAX);
    for (_, place, cause) in lines.iter().take(named) {
        // Writing to a string cannot fail.
        let _ = write!(message, "\nerror {place} (1-based): {cause}");
    }
    if total > named as u64 {
        let _ = write!(message, "\nand {} more", total - named as u64);
    }
    let _ = write!(message, "\n{written} points written, {total} lines rejected");
    ApiError::Rejected {
        message,
        line: lines.first().map_or(0, |(line, ..)| *line),
        retention: written == 0 && outcome.rejected.outside_retention == total,
    }
}

#[cfg(test)]
mod tests;
