//! Receives a request's body: checks its size, reserves its memory, and drops the body if another
//! request needs the memory.

use super::{Exchange, ExchangeStage, catch};
use crate::action::Action;
use crate::body_parser::BodyParser;
use crate::content_encoding::{self, Ceiling, Inflation};
use crate::error::{ApiError, ApiResult};
use crate::isolate_state::{Isolate, Service};
use crate::routes::Body;
use crate::routes::handler::Start;
use tidemark_engine::protocol::call::Platform;
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::limits::{BODY_FIRST_ROOM_BYTES, QUERY_BODY_PER_TEXT};
use tidemark_query::admission::Permit;

fn ceiling(body: Body, limits: &Limits, is_compressed: bool) -> Ceiling {
    let (times, limit) = match body {
        Body::None => (0, Limit::BodyBytes),
        Body::Bytes(bytes) => return Ceiling { limit: Limit::BodyBytes, bytes },
        Body::Query => (QUERY_BODY_PER_TEXT, Limit::QueryTextBytes),
        Body::Lines if is_compressed => (1, Limit::BodyCompressedBytes),
        Body::Lines => (1, Limit::BodyBytes),
    };
    Ceiling { limit, bytes: times * limits.get(limit) }
}

/// The consumer of a body.
enum Sink {
    /// Keeps the bytes.
    Bytes(Permit),
    /// Converts the lines into columns.
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
        let is_compressed = content_encoding::is_gzip(self.head.header("content-encoding"));
        // Only writes refuse an unknown encoding. All other routes read such a body as plain bytes.
        let is_compressed =
            if body == Body::Lines { is_compressed? } else { is_compressed.unwrap_or(false) };
        let inflated = is_compressed.then(|| ceiling(body, &limits, false));
        let ceiling = ceiling(body, &limits, is_compressed);
        let announced = self.head.header("content-length").and_then(|length| length.parse().ok());
        let expected_bytes: usize = announced.unwrap_or_default();
        ceiling.check(0, expected_bytes as u64)?;
        // The memory of a body counts for the request's database. The body of a query may contain
        // the database's name, so the memory of this body counts for the caller. The slash prevents
        // a conflict with a database's name.
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
    pub fn receive_piece(
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
    pub fn displaced_response(&mut self) -> Option<Action> {
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
        Ok(Action::Pause)
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
