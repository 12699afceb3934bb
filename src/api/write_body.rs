//! Turns the body of a write into columns piece by piece, and accounts for the memory in between.
//!
//! No body is held whole: whole lines become columns as soon as enough bytes have come, and only
//! what is left waits for the next piece. Columns are sized from the share of the body that was
//! read, for doubling them would have them in memory up to three times.

use super::content_encoding::TakeInflated;
use super::error::ApiError;
use super::params::{Dialect, WriteParams, WritePrecision};
use crate::admission::Permit;
use crate::batch::Batch;
use crate::batch::from_lines::BatchBuilder;
use crate::line_protocol::{NotUtf8, Options, Parser, Rejected, TimestampUnit};
use crate::model::configurable_limits::Limits;
use crate::model::limits::{KEPT_TEXT_BYTES_MAX, PARSED_PIECE_BYTES};

/// What reading lines depends on beside them.
#[derive(Clone, Copy, Debug)]
pub struct LineReading {
    /// The time of points without one.
    pub now_ns: i64,
    /// The seed of the hash maps.
    pub seed: u64,
    /// The limits that each line is held to.
    pub limits: Limits,
}

/// A parsed body: the good lines, the bad ones, and the bytes that it still holds.
#[derive(Debug)]
pub struct Parsed {
    pub(super) batch: Batch,
    pub(super) rejected: Rejected,
    pub(super) permit: Permit,
    /// The body, if the answer may have to repeat parts of it.
    pub(super) text: Vec<u8>,
}

/// Lines that are being read.
#[derive(Debug)]
pub struct Intake {
    parser: Parser,
    builder: BatchBuilder,
    permit: Permit,
    keeps_text: bool,
    /// Bytes of lines that are columns now.
    used_bytes: usize,
    /// Waiting bytes from which on lines become columns.
    piece_bytes: usize,
}

impl Intake {
    /// Nothing read yet; `permit` is what was reserved for the body.
    pub fn new(
        dialect: Dialect,
        params: &WriteParams,
        permit: Permit,
        reading: LineReading,
    ) -> Self {
        let unit = match params.precision {
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

    /// Makes sure that the columns and `held_bytes` are reserved.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`]
    pub fn charge(&mut self, held_bytes: usize) -> Result<(), ApiError> {
        Ok(self.permit.grow_to(self.builder.bytes() + held_bytes)?)
    }

    /// Reads what is `left`, all other lines having been used.
    ///
    /// # Errors
    /// [`ApiError`] when the body is unusable as a whole; single bad lines are in the result.
    pub fn finish(mut self, left: Vec<u8>) -> Result<Parsed, ApiError> {
        self.parser.feed(&left, true, &mut self.builder).map_err(refused)?;
        let keeps_text = self.keeps_text && self.used_bytes == 0;
        let text = if keeps_text { left } else { Vec::new() };
        let batch = self.builder.finish();
        // Of what was reserved only the columns are held from here on.
        self.permit.shrink_to(batch.bytes() + text.len());
        self.permit.grow_to(batch.bytes() + text.len())?;
        Ok(Parsed { batch, rejected: self.parser.into_rejected(), permit: self.permit, text })
    }
}

impl TakeInflated for Intake {
    /// Makes columns of the whole lines at the beginning of `waiting` if that is enough to be
    /// worth it; answers how many bytes were used. `expected_bytes` is how long the body will be,
    /// as far as one can tell; `held_bytes` is what else it holds now.
    ///
    /// # Errors
    /// [`ApiError`] when the body cannot be text, or takes more memory than there is.
    fn take(
        &mut self,
        waiting: &[u8],
        expected_bytes: usize,
        held_bytes: usize,
    ) -> Result<usize, ApiError> {
        if waiting.len() < self.piece_bytes {
            self.charge(held_bytes)?;
            return Ok(0);
        }
        let used = self.parser.feed(waiting, false, &mut self.builder).map_err(refused)?;
        self.used_bytes += used;
        // A line that is longer than a piece is not read again for every piece of it.
        self.piece_bytes = PARSED_PIECE_BYTES.max(2 * (waiting.len() - used));
        self.builder.make_room(self.used_bytes, expected_bytes, 2 * self.piece_bytes);
        self.charge(held_bytes)?;
        Ok(used)
    }
}

fn refused(error: NotUtf8) -> ApiError {
    ApiError::Invalid(error.to_string())
}
