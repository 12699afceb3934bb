//! Converts the body of a write into columns piece by piece, and accounts for the memory.
//!
//! The lines of a large body are never in memory as a whole. Complete lines are converted into
//! columns when enough bytes have arrived, and only the remaining bytes wait for the next piece.
//! The part of the body that is already parsed determines the estimated capacities of the columns.
//! Growing the columns by doubling would temporarily need up to three times their size.

use super::error::{ApiError, ApiResult};
use super::params::{Dialect, WritePrecision};
use crate::admission::Permit;
use crate::batch::Batch;
use crate::batch::from_lines::BatchBuilder;
use crate::line_protocol::{NotUtf8, Options, Parser, Rejected, TimestampUnit};
use crate::model::configurable_limits::Limits;
use crate::model::limits::{KEPT_TEXT_BYTES_MAX, PARSED_PIECE_BYTES};

/// The context that the parser of lines needs.
#[derive(Clone, Copy, Debug)]
pub struct LineReading {
    /// The time of points without a timestamp.
    pub now_ns: i64,
    /// The seed of the hash maps.
    pub seed: u64,
    /// The limits for each line.
    pub limits: Limits,
}

/// A parsed body with its batch, rejected lines and memory reservation.
#[derive(Debug)]
pub struct Parsed {
    pub(super) batch: Batch,
    pub(super) rejected: Rejected,
    pub(super) permit: Permit,
    /// The body, if the response may have to quote lines.
    pub(super) text: Vec<u8>,
}

/// The state of a partially parsed body.
#[derive(Debug)]
pub struct Intake {
    parser: Parser,
    builder: BatchBuilder,
    permit: Permit,
    keeps_text: bool,
    used_bytes: usize,
    /// Lines are converted into columns when this number of bytes is waiting.
    piece_bytes: usize,
}

impl Intake {
    /// Creates an empty intake. `permit` is the body's memory reservation.
    pub fn new(
        dialect: Dialect,
        precision: WritePrecision,
        permit: Permit,
        reading: LineReading,
    ) -> Self {
        let unit = match precision {
            WritePrecision::Fixed(precision) => TimestampUnit::Fixed(precision),
            WritePrecision::Auto => TimestampUnit::Auto,
        };
        let LineReading { now_ns, seed, limits } = reading;
        let keeps_text = dialect == Dialect::V3;
        let reports_time_fields = dialect == Dialect::V3;
        Self {
            parser: Parser::new(Options { unit, now_ns, limits, reports_time_fields }),
            builder: BatchBuilder::new(seed, limits),
            permit,
            keeps_text,
            used_bytes: 0,
            piece_bytes: if keeps_text { KEPT_TEXT_BYTES_MAX + 1 } else { PARSED_PIECE_BYTES },
        }
    }

    /// Reserves memory for the columns and for `held_bytes`.
    pub fn charge(&mut self, held_bytes: usize) -> ApiResult<()> {
        Ok(self.permit.grow_to(self.builder.bytes() + held_bytes)?)
    }

    /// Converts the complete lines at the beginning of `waiting` and returns the number of consumed
    /// bytes. `expected_bytes` is the estimated size of the body. The function also reserves
    /// `held_bytes` bytes of memory for the body's other buffers.
    pub fn take(
        &mut self,
        waiting: &[u8],
        expected_bytes: usize,
        held_bytes: usize,
    ) -> ApiResult<usize> {
        if waiting.len() < self.piece_bytes {
            self.charge(held_bytes)?;
            return Ok(0);
        }
        let used = self.parser.feed(waiting, false, &mut self.builder).map_err(refused)?;
        self.used_bytes += used;
        // A line longer than a piece must not be scanned again for every piece, so the threshold
        // grows with the line.
        self.piece_bytes = PARSED_PIECE_BYTES.max(2 * (waiting.len() - used));
        self.builder.make_room(self.used_bytes, expected_bytes, 2 * self.piece_bytes);
        self.charge(held_bytes)?;
        Ok(used)
    }

    /// Parses the remaining bytes `left`. If only some lines are invalid, the result lists these
    /// lines.
    pub fn finish(mut self, left: Vec<u8>) -> ApiResult<Parsed> {
        self.parser.feed(&left, true, &mut self.builder).map_err(refused)?;
        let keeps_text = self.keeps_text && self.used_bytes == 0;
        let text = if keeps_text { left } else { Vec::new() };
        let batch = self.builder.finish();
        // From here on the request needs only the columns, so the rest of the reservation is
        // returned.
        self.permit.shrink_to(batch.bytes() + text.len());
        self.permit.grow_to(batch.bytes() + text.len())?;
        Ok(Parsed { batch, rejected: self.parser.into_rejected(), permit: self.permit, text })
    }
}

fn refused(error: NotUtf8) -> ApiError {
    ApiError::Invalid(error.to_string())
}
