//! Converts the body of a write into columns piece by piece, so that the lines of a large body are
//! never all in memory.
//!
//! Complete lines are converted when enough bytes have arrived, and only the remaining bytes wait
//! for the next piece. The capacities of the columns are estimated from the size of the body and
//! from the lines parsed so far. If growing columns were doubled instead, they would temporarily
//! need up to three times their size.

use crate::error::{ApiError, ApiResult};
use crate::params::Dialect;
use tidemark_engine::batch::Batch;
use tidemark_engine::batch::from_lines::BatchBuilder;
use tidemark_line_protocol::{Options, Parser, Rejected, TimestampUnit};
use tidemark_model::bug::OrBug;
use tidemark_model::configurable_limits::Limits;
use tidemark_model::limits::{PARSED_PIECE_BYTES, RETAINED_TEXT_BYTES_MAX};
use tidemark_query::admission::{Permit, PermitCounters};

/// A parsed body with its batch, rejected lines and memory reservation.
pub struct ParsedBody {
    pub(crate) batch: Batch,
    pub(crate) rejected: Rejected,
    pub(crate) permit: Permit,
    /// The body, if the response may have to quote lines.
    pub(crate) text: Vec<u8>,
}

/// The state of a partially parsed body.
pub struct BodyParser {
    parser: Parser,
    builder: BatchBuilder,
    /// The memory of `builder`, in bytes. Counting visits every column, so the memory is counted
    /// only after lines were added.
    builder_bytes: usize,
    permit: Permit,
    /// Whether the buffer keeps parsed bytes, because the response may have to quote lines.
    keeps_text: bool,
    /// The number of parsed bytes that the buffer keeps.
    kept_bytes: usize,
    used_bytes: usize,
    /// The number of unparsed bytes at which lines are converted into columns.
    piece_bytes: usize,
}

impl BodyParser {
    /// Creates an empty parser. `permit` is the body's memory reservation, `now_ns` is the time of
    /// points without a timestamp, and `seed` is the seed of the hash maps.
    pub fn new(
        dialect: Dialect,
        unit: TimestampUnit,
        permit: Permit,
        now_ns: i64,
        seed: u64,
        limits: Limits,
    ) -> Self {
        let keeps_text = dialect == Dialect::V3;
        Self {
            parser: Parser::new(Options { unit, now_ns, limits, reports_time_fields: keeps_text }),
            builder: BatchBuilder::new(seed, limits),
            builder_bytes: 0,
            permit,
            keeps_text,
            kept_bytes: 0,
            used_bytes: 0,
            piece_bytes: PARSED_PIECE_BYTES,
        }
    }

    /// Returns the counters of the body's memory reservation.
    pub fn counters(&self) -> PermitCounters {
        self.permit.counters()
    }

    /// Reserves memory for the columns and for `buffer_bytes`.
    pub fn reserve(&mut self, buffer_bytes: usize) -> ApiResult<()> {
        Ok(self.permit.grow_to(self.builder_bytes + buffer_bytes)?)
    }

    /// Converts the complete lines at the beginning of `waiting` and returns the number of consumed
    /// bytes, which is 0 while the text is kept. `expected_bytes` is the estimated size of the
    /// body. The function also reserves `buffer_bytes` bytes of memory for the body's other
    /// buffers.
    pub fn parse(
        &mut self,
        waiting: &[u8],
        expected_bytes: usize,
        buffer_bytes: usize,
    ) -> ApiResult<usize> {
        let unparsed = waiting.get(self.kept_bytes..).or_bug();
        if unparsed.len() < self.piece_bytes {
            self.reserve(buffer_bytes)?;
            return Ok(0);
        }
        let used = self
            .parser
            .feed(unparsed, false, &mut self.builder)
            .map_err(|error| ApiError::Invalid(error.to_string()))?;
        self.used_bytes += used;
        // A line longer than a piece must not be scanned again for every piece, so the threshold
        // grows with the line.
        self.piece_bytes = PARSED_PIECE_BYTES.max(2 * (unparsed.len() - used));
        self.builder.make_room(self.used_bytes, expected_bytes, 2 * self.piece_bytes);
        self.builder_bytes = self.builder.bytes();
        self.reserve(buffer_bytes)?;
        self.kept_bytes += used;
        self.keeps_text &= waiting.len() <= RETAINED_TEXT_BYTES_MAX;
        Ok(if self.keeps_text { 0 } else { std::mem::take(&mut self.kept_bytes) })
    }

    /// Parses the remaining bytes `left`. If only some lines are invalid, the result lists these
    /// lines.
    pub fn finish(mut self, left: Vec<u8>) -> ApiResult<ParsedBody> {
        self.parser
            .feed(left.get(self.kept_bytes..).or_bug(), true, &mut self.builder)
            .map_err(|error| ApiError::Invalid(error.to_string()))?;
        self.builder_bytes = self.builder.bytes();
        self.reserve(left.len())?;
        let keeps_text = self.keeps_text && left.len() <= RETAINED_TEXT_BYTES_MAX;
        let text = if keeps_text { left } else { Vec::new() };
        let batch = self.builder.finish();
        // After parsing, the request needs only the columns and the kept text, so the rest of the
        // reservation is returned.
        self.permit.shrink_to(batch.bytes() + text.len());
        self.permit.grow_to(batch.bytes() + text.len())?;
        Ok(ParsedBody { batch, rejected: self.parser.into_rejected(), permit: self.permit, text })
    }
}
