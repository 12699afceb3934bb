//! Receives a request's body: checks its size, reserves its memory, and drops the body if another
//! request needs the memory.
//!
//! [`BodyParser`] converts the body of a write into columns piece by piece, so that the lines of a
//! large body are never all in memory. Complete lines are converted when enough bytes have arrived,
//! and only the remaining bytes wait for the next piece. The capacities of the columns are
//! estimated from the size of the body and from the lines parsed so far. If growing columns were
//! doubled instead, they would temporarily need up to three times their size.

use super::{Action, Exchange, ExchangeStage, catch};
use crate::admission::Permit;
use crate::api::content_encoding::{self, Ceiling, Inflation};
use crate::api::error::{ApiError, ApiResult};
use crate::api::isolate_state::{Isolate, Service};
use crate::api::params::Dialect;
use crate::api::routes::Body;
use crate::api::routes::handler::Start;
use crate::batch::Batch;
use crate::batch::from_lines::BatchBuilder;
use crate::line_protocol::{Options, Parser, Rejected, TimestampUnit};
use crate::model::bug::OrBug;
use crate::model::configurable_limits::{Limit, Limits};
use crate::model::limits::{
    BODY_FIRST_ROOM_BYTES, PARSED_PIECE_BYTES, QUERY_BODY_PER_TEXT, RETAINED_TEXT_BYTES_MAX,
};
use crate::protocol::call::{Call, Platform};
use crate::protocol::round::Request;

fn ceiling(body: Body, limits: &Limits, is_packed: bool) -> Ceiling {
    let (times, limit) = match body {
        Body::None => (0, Limit::BodyBytes),
        Body::Bytes(bytes) => return Ceiling { limit: Limit::BodyBytes, bytes },
        Body::Query => (QUERY_BODY_PER_TEXT, Limit::QueryTextBytes),
        Body::Lines if is_packed => (1, Limit::BodyCompressedBytes),
        Body::Lines => (1, Limit::BodyBytes),
    };
    Ceiling { limit, bytes: times * limits.get(limit) }
}

/// The consumer of a body: its bytes are kept, or its lines are converted into columns.
enum Sink {
    Bytes(Permit),
    Lines(Box<BodyParser>),
}

impl Sink {
    /// Reserves memory for `bytes` bytes in addition to the columns.
    fn reserve(&mut self, bytes: usize) -> ApiResult<()> {
        match self {
            Self::Bytes(permit) => Ok(permit.grow_to(bytes)?),
            Self::Lines(body_parser) => body_parser.reserve(bytes),
        }
    }
}

/// A body that is being received.
pub(super) struct BodyReading {
    sink: Sink,
    ceiling: Ceiling,
    /// The maximum size of the inflated body, if the body is compressed. Inflation starts after the
    /// last byte.
    inflated: Option<Ceiling>,
    /// The received bytes that are not parsed yet.
    buffer: Vec<u8>,
    /// The announced size of the body in bytes, or 0.
    expected_bytes: usize,
}

/// A compressed body whose last byte has arrived.
pub(super) struct InflatingBody {
    inflation: Inflation,
    sink: Sink,
}

impl BodyReading {
    /// Returns the capacity of the buffer for a further piece. After the first allocation, the
    /// buffer grows at most to twice the received bytes, because the client may announce a size
    /// that it does not send.
    fn capacity_for(&self, piece_bytes: usize) -> usize {
        let needed = self.buffer.len() + piece_bytes;
        if needed <= self.buffer.capacity() {
            return self.buffer.capacity();
        }
        let ample = needed.max(2 * self.buffer.len()).max(BODY_FIRST_ROOM_BYTES);
        ample.min(self.expected_bytes.max(needed))
    }

    fn receive(&mut self, piece_bytes: usize, append: impl FnOnce(&mut Vec<u8>)) -> ApiResult<()> {
        let capacity = self.capacity_for(piece_bytes);
        self.sink.reserve(capacity)?;
        self.buffer.reserve_exact(capacity - self.buffer.len());
        append(&mut self.buffer);
        if let Sink::Lines(body_parser) = &mut self.sink
            && self.inflated.is_none()
        {
            let used = body_parser.parse(&self.buffer, self.expected_bytes, capacity)?;
            self.buffer.drain(..used);
        }
        Ok(())
    }
}

impl Exchange {
    pub(super) fn read_body(&mut self, isolate: &mut Isolate<'_>, body: Body) -> ApiResult<Action> {
        let limits = isolate.settings()?.limits;
        let is_packed = content_encoding::is_gzip(self.head.header("content-encoding"));
        // Only writes refuse an unknown encoding. Other routes read the body as if it were not
        // encoded.
        let is_packed = if body == Body::Lines { is_packed? } else { is_packed.unwrap_or(false) };
        let inflated = is_packed.then(|| ceiling(body, &limits, false));
        let ceiling = ceiling(body, &limits, is_packed);
        let announced = self.head.header("content-length").and_then(|length| length.parse().ok());
        let expected_bytes: usize = announced.unwrap_or_default();
        ceiling.check(0, expected_bytes as u64)?;
        // The memory of a body counts for a database. The database of a query is known only after
        // the body was read. The body of a query therefore counts for the caller, under a name that
        // no database can have.
        let permit = match &self.record.database {
            Some(database) => isolate.service.admission.permit_for(database),
            None => isolate.service.admission.permit_for(&format!("/{}", self.caller.name)),
        };
        let (counters, now_ns) = (permit.counters(), isolate.now_ns());
        let sink = match self.pending.as_ref().map(|pending| &pending.start) {
            Some(&Start::Lines { dialect, precision, .. }) => {
                let seed = isolate.service.hash_seed;
                let body_parser = BodyParser::new(dialect, precision, permit, now_ns, seed, limits);
                Sink::Lines(Box::new(body_parser))
            }
            _ => Sink::Bytes(permit),
        };
        let reading = BodyReading { sink, ceiling, inflated, buffer: Vec::new(), expected_bytes };
        let upload = isolate.service.admission.upload(counters, reading, now_ns);
        self.stage = ExchangeStage::Body(upload);
        Ok(Action::ReadBody)
    }

    /// Refuses a request with an unusable body, and frees the request's memory.
    pub fn refuse(&mut self, error: ApiError) -> Action {
        self.complete_response(Err(error))
    }

    /// Receives the next piece of the body: `append` copies `bytes` bytes to the end of the buffer.
    /// If the function returns a response, the host must stop reading and send the response.
    pub fn piece(
        &mut self,
        bytes: usize,
        now_ns: i64,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Action> {
        let ExchangeStage::Body(upload) = &self.stage else { return None };
        upload.record_activity(now_ns);
        let before = self.record.bytes_in;
        self.record.bytes_in += bytes as u64;
        let received = self.record.bytes_in;
        let taken = upload.with(|reading| {
            reading.ceiling.check(before, received)?;
            catch(|| reading.receive(bytes, append))
        });
        Some(self.refuse(taken.unwrap_or(Err(ApiError::Displaced)).err()?))
    }

    /// Returns the error response if the server has dropped the body to free memory. The host must
    /// call this function at intervals while no bytes arrive.
    pub fn displaced(&mut self) -> Option<Action> {
        match &self.stage {
            ExchangeStage::Body(upload) if upload.is_gone() => {
                Some(self.refuse(ApiError::Displaced))
            }
            _ => None,
        }
    }

    /// Returns the next action after the last piece of the body.
    pub fn end_body(&mut self, service: &mut Service, platform: &dyn Platform) -> Action {
        self.spans.end_wait(platform.now_ns());
        self.run(service, platform, Self::finish_body)
    }

    fn finish_body(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        let stage = std::mem::replace(&mut self.stage, ExchangeStage::Finished);
        let ExchangeStage::Body(upload) = stage else { return Ok(Action::End) };
        let BodyReading { sink, inflated, buffer, .. } =
            upload.finish().ok_or(ApiError::Displaced)?;
        let Some(ceiling) = inflated else { return self.use_body(isolate, buffer, sink) };
        let inflation = Inflation::new(buffer, ceiling);
        self.stage = ExchangeStage::Inflate(Box::new(InflatingBody { inflation, sink }));
        self.inflate(isolate)
    }

    /// Inflates the next bytes, and pauses if more bytes follow.
    pub(super) fn inflate(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        let stage = std::mem::replace(&mut self.stage, ExchangeStage::Finished);
        let ExchangeStage::Inflate(mut body) = stage else { return Ok(Action::End) };
        let InflatingBody { inflation, sink } = &mut *body;
        let is_done = inflation.step(&mut |waiting, expected, memory_bytes| match sink {
            // The route needs the whole body.
            Sink::Bytes(permit) => permit.grow_to(memory_bytes).map(|()| 0).map_err(Into::into),
            Sink::Lines(body_parser) => body_parser.parse(waiting, expected, memory_bytes),
        })?;
        if is_done {
            return self.use_body(isolate, body.inflation.into_rest(), body.sink);
        }
        self.stage = ExchangeStage::Inflate(body);
        let Request { to, message, .. } = Request::pause(0);
        Ok(Action::Calls(vec![Call { id: 0, to, location: None, message }]))
    }

    fn use_body(
        &mut self,
        isolate: &mut Isolate<'_>,
        bytes: Vec<u8>,
        sink: Sink,
    ) -> ApiResult<Action> {
        match sink {
            // The permit reserves the memory of `bytes` until the responder has read them.
            Sink::Bytes(_permit) => self.start_response(isolate, bytes, None),
            Sink::Lines(body_parser) => {
                let parsed = body_parser.finish(bytes)?;
                self.start_response(isolate, Vec::new(), Some(parsed))
            }
        }
    }
}

/// A parsed body with its batch, rejected lines and memory reservation.
pub struct Parsed {
    pub(in crate::api) batch: Batch,
    pub(in crate::api) rejected: Rejected,
    pub(in crate::api) permit: Permit,
    /// The body, if the response may have to quote lines.
    pub(in crate::api) text: Vec<u8>,
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
    pub fn finish(mut self, left: Vec<u8>) -> ApiResult<Parsed> {
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
        Ok(Parsed { batch, rejected: self.parser.into_rejected(), permit: self.permit, text })
    }
}
