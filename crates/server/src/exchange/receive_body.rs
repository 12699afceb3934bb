//! Receives a request's body: checks its size, reserves its memory, and drops the body if another
//! request needs the memory.

use std::ops::Deref;

use super::Exchange;
use crate::action::Action;
use crate::body_parser::{BodyParser, ParsedBody};
use crate::content_encoding::{self, Ceiling, Inflation};
use crate::error::{ApiError, ApiResult};
use crate::params::Dialect;
use crate::request::Request;
use crate::routes::Body;
use tidemark_line_protocol::TimestampUnit;
use tidemark_model::bug;
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::limits::{BODY_FIRST_ROOM_BYTES, QUERY_BODY_PER_TEXT};
use tidemark_query::admission::{Permit, PermitCounters, Upload};

fn ceiling(body: Body, limits: &Limits, is_compressed: bool) -> Ceiling {
    let (times, limit) = match body {
        Body::None => (0, Limit::BodyBytes),
        Body::Bytes(bytes) => return Ceiling { limit: Limit::BodyBytes, bytes },
        Body::Query => (QUERY_BODY_PER_TEXT, Limit::QueryTextBytes),
        Body::Lines | Body::Samples if is_compressed => (1, Limit::BodyCompressedBytes),
        Body::Lines | Body::Samples => (1, Limit::BodyBytes),
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
    fn counters(&self) -> PermitCounters {
        match self {
            Self::Bytes(permit) => permit.counters(),
            Self::Lines(body_parser) => body_parser.counters(),
        }
    }

    /// Reserves memory for `bytes` bytes in addition to the columns.
    fn reserve(&mut self, bytes: usize) -> ApiResult<()> {
        match self {
            Self::Bytes(permit) => Ok(permit.grow_to(bytes)?),
            Self::Lines(body_parser) => body_parser.reserve(bytes),
        }
    }
}

/// A body that is being received.
pub(crate) struct BodyReading {
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

/// The bytes of a body, and the memory that they use.
pub struct BodyBytes {
    bytes: Vec<u8>,
    /// `None` if the operation has no body.
    permit: Option<Permit>,
}

impl BodyBytes {
    /// Returns the bytes, and their memory reservation if the operation has a body.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Option<Permit>) {
        (self.bytes, self.permit)
    }
}

impl Deref for BodyBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Receives the whole body of a request.
pub(super) async fn read_bytes(request: &Request, body: Body) -> ApiResult<BodyBytes> {
    if body == Body::None {
        return Ok(BodyBytes { bytes: Vec::new(), permit: None });
    }
    let (bytes, sink) = receive(request, body, Sink::Bytes(permit(request))).await?;
    let Sink::Bytes(permit) = sink else { return Err(wrong_form()) };
    Ok(BodyBytes { bytes, permit: Some(permit) })
}

/// Receives a body of line protocol, and converts it into columns.
pub(super) async fn read_lines(
    request: &Request,
    dialect: Dialect,
    precision: TimestampUnit,
) -> ApiResult<ParsedBody> {
    let (permit, now_ns) = (permit(request), request.now_ns()?);
    let (seed, limits) = (request.isolate.hash_seed, request.settings()?.limits);
    let body_parser = BodyParser::new(dialect, precision, permit, now_ns, seed, limits);
    let sink = Sink::Lines(Box::new(body_parser));
    let (bytes, sink) = receive(request, Body::Lines, sink).await?;
    let Sink::Lines(body_parser) = sink else { return Err(wrong_form()) };
    body_parser.finish(bytes)
}

fn wrong_form() -> ApiError {
    ApiError::Internal("the body has the wrong form".to_owned())
}

/// Returns the permit for the body's memory. The memory of a body counts for the request's
/// database. The body of a query may contain the database's name, so the memory of this body counts
/// for the caller. The slash prevents a conflict with a database's name.
fn permit(request: &Request) -> Permit {
    let admission = &request.isolate.admission;
    match &request.record.borrow().database {
        Some(database) => admission.permit_for(database),
        None => admission.permit_for(&format!("/{}", request.caller().name)),
    }
}

/// Receives a body, and inflates a compressed body in steps. Returns the bytes that the sink has not
/// consumed.
async fn receive(request: &Request, body: Body, sink: Sink) -> ApiResult<(Vec<u8>, Sink)> {
    let limits = request.settings()?.limits;
    let is_compressed = content_encoding::is_gzip(request.head.header("content-encoding"));
    // Line protocol refuses an unknown encoding. All other routes read such a body as plain bytes,
    // which remote write decompresses itself.
    let is_compressed =
        if body == Body::Lines { is_compressed? } else { is_compressed.unwrap_or(false) };
    let inflated = is_compressed.then(|| ceiling(body, &limits, false));
    let ceiling = ceiling(body, &limits, is_compressed);
    let announced = request.head.header("content-length").and_then(|length| length.parse().ok());
    let expected_bytes: usize = announced.unwrap_or_default();
    ceiling.check(0, expected_bytes as u64)?;
    let counters = sink.counters();
    let reading = BodyReading { sink, ceiling, inflated, buffer: Vec::new(), expected_bytes };
    let upload = request.isolate.admission.upload(counters, reading, request.now_ns()?);
    request.body.replace(Some(upload));
    request.perform(Action::ReadBody).await;
    let upload = request.body.take().and_then(Upload::finish);
    let BodyReading { mut sink, inflated, buffer, .. } = upload.ok_or(ApiError::Displaced)?;
    // The caller was identified before the body arrived. The body may have taken long.
    request.doubt_caller();
    let Some(ceiling) = inflated else { return Ok((buffer, sink)) };
    let mut inflation = Box::new(Inflation::new(buffer, ceiling));
    while !inflation.step(&mut |waiting, expected, memory_bytes| match &mut sink {
        // The route needs the whole body.
        Sink::Bytes(permit) => permit.grow_to(memory_bytes).map(|()| 0).map_err(Into::into),
        Sink::Lines(body_parser) => body_parser.parse(waiting, expected, memory_bytes),
    })? {
        request.io.pause(0).await;
    }
    Ok((inflation.into_rest(), sink))
}

impl Exchange {
    /// Receives the next piece of the body: `append` copies `bytes` bytes to the end of the buffer.
    /// If the function returns a response, the host must stop reading and send the response.
    pub fn receive_piece(
        &mut self,
        bytes: usize,
        now_ns: i64,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Action> {
        let taken = {
            let upload = self.request.body.borrow();
            let upload = upload.as_ref()?;
            upload.record_activity(now_ns);
            let record = &mut *self.request.record.borrow_mut();
            let before = record.bytes_in;
            record.bytes_in += bytes as u64;
            let received = record.bytes_in;
            let receive = |reading: &mut BodyReading| {
                reading.ceiling.check(before, received)?;
                reading.receive(bytes, append)
            };
            bug::catch(|| upload.with(receive).unwrap_or(Err(ApiError::Displaced)))
        };
        let taken = taken.unwrap_or_else(|bug| Err(ApiError::Internal(bug.to_string())));
        Some(self.refuse(taken.err()?))
    }

    /// Returns the error response if the server has dropped the body to free memory. The host must
    /// call this function at intervals while no bytes arrive.
    pub fn displaced_response(&mut self) -> Option<Action> {
        let is_gone = self.request.body.borrow().as_ref()?.is_gone();
        is_gone.then(|| self.refuse(ApiError::Displaced))
    }
}
