//! Receives a request's body: checks its size, accounts for its memory, and drops the body if
//! another request needs the memory.

use super::{Exchange, ExchangeStage, Received, catch};
use crate::admission::Permit;
use crate::api::action::Action;
use crate::api::content_encoding::{self, Ceiling, Encoding};
use crate::api::error::{ApiError, ApiResult};
use crate::api::isolate_state::{Isolate, Service};
use crate::api::routes::Body;
use crate::api::routes::handler::Start;
use crate::api::write_body::{Intake, LineReading};
use crate::model::configurable_limits::{Limit, Limits};
use crate::model::limits::BODY_FIRST_ROOM_BYTES;
use crate::protocol::call::Platform;

fn ceiling(body: Body, limits: &Limits, is_packed: bool) -> Ceiling {
    let (times, limit) = match body {
        Body::None => (0, Limit::BodyBytes),
        Body::Bytes(bytes) => return Ceiling { limit: Limit::BodyBytes, bytes },
        Body::Times(times, limit) => (times, limit),
        Body::Lines if is_packed => (1, Limit::BodyCompressedBytes),
        Body::Lines => (1, Limit::BodyBytes),
    };
    Ceiling { limit, bytes: times * limits.get(limit) }
}

#[derive(Debug)]
enum Sink {
    Bytes(Permit),
    Lines(Box<Intake>),
}

impl Sink {
    /// Reserves memory for `bytes` bytes in addition to the columns.
    fn charge(&mut self, bytes: usize) -> ApiResult<()> {
        match self {
            Self::Bytes(permit) => Ok(permit.grow_to(bytes)?),
            Self::Lines(intake) => intake.charge(bytes),
        }
    }
}

#[derive(Debug)]
pub(super) struct BodyReading {
    sink: Sink,
    ceiling: Ceiling,
    /// The maximum size of the inflated body, if the body is compressed. Inflation starts after the
    /// last byte.
    inflated: Option<Ceiling>,
    held: Vec<u8>,
    /// The announced size of the body in bytes, or 0.
    expected_bytes: usize,
}

impl BodyReading {
    /// After the first allocation the buffer grows at most to twice the received bytes, regardless
    /// of the announced size.
    fn make_room(&mut self, piece_bytes: usize) {
        let needed = self.held.len() + piece_bytes;
        if needed <= self.held.capacity() {
            return;
        }
        let ample = needed.max(2 * self.held.len()).max(BODY_FIRST_ROOM_BYTES);
        let target = ample.min(self.expected_bytes.max(needed));
        self.held.reserve_exact(target - self.held.len());
    }

    fn take(&mut self, piece_bytes: usize, append: impl FnOnce(&mut Vec<u8>)) -> ApiResult<()> {
        self.make_room(piece_bytes);
        let room_bytes = self.held.capacity();
        match &mut self.sink {
            Sink::Lines(intake) if self.inflated.is_none() => {
                append(&mut self.held);
                let used = intake.take(&self.held, self.expected_bytes, room_bytes)?;
                self.held.drain(..used);
            }
            sink => {
                sink.charge(room_bytes)?;
                append(&mut self.held);
            }
        }
        Ok(())
    }
}

impl Exchange {
    pub(super) fn read_body(&mut self, isolate: &mut Isolate<'_>, body: Body) -> ApiResult<Action> {
        let limits = isolate.settings()?.limits;
        let encoding = match (Encoding::from_header(self.head.header("content-encoding")), body) {
            (encoding, Body::Lines) => encoding?,
            // Other routes ignore an unknown encoding, as in earlier releases.
            (encoding, _) => encoding.unwrap_or(Encoding::Identity),
        };
        let is_packed = encoding == Encoding::Gzip;
        let inflated = is_packed.then(|| ceiling(body, &limits, false));
        let ceiling = ceiling(body, &limits, is_packed);
        let announced = self.head.header("content-length").and_then(|length| length.parse().ok());
        let expected_bytes = announced.unwrap_or_default();
        ceiling.check(0, expected_bytes)?;
        let database = self.record.database.as_deref().or_else(|| self.url.get("db"));
        let permit = isolate.service.admission.enter(database.unwrap_or_default());
        let (tag, now_ns) = (permit.tag(), isolate.now_ns());
        let sink = match self.pending.as_ref().map(|pending| &pending.start) {
            Some(&Start::Lines { dialect, precision, .. }) => {
                let reading = LineReading { now_ns, seed: isolate.service.hash_seed, limits };
                Sink::Lines(Box::new(Intake::new(dialect, precision, permit, reading)))
            }
            _ => Sink::Bytes(permit),
        };
        let reading = BodyReading { sink, ceiling, inflated, held: Vec::new(), expected_bytes };
        let upload = isolate.service.admission.upload(tag, reading, now_ns);
        self.stage = ExchangeStage::Body(upload);
        Ok(Action::ReadBody)
    }

    /// Reports that the body has `bytes` bytes at `now_ns`. If the function returns a response, the
    /// host must stop reading and send the response.
    pub fn body_grew(&mut self, bytes: usize, now_ns: i64) -> Option<Action> {
        let ExchangeStage::Body(upload) = &self.stage else { return None };
        upload.record_activity(now_ns);
        let before = std::mem::replace(&mut self.record.bytes_in, bytes as u64);
        let checked = upload.with(|reading| -> ApiResult<()> {
            reading.ceiling.check(before, bytes)?;
            match &mut reading.sink {
                Sink::Lines(_) if reading.inflated.is_none() => Ok(()),
                sink => sink.charge(bytes),
            }
        });
        Some(self.refuse(checked.unwrap_or(Err(ApiError::Displaced)).err()?))
    }

    /// Refuses a request whose body stalled, and frees the request's memory.
    pub fn body_stalled(&mut self) -> Action {
        self.refuse(ApiError::Stalled)
    }

    fn refuse(&mut self, error: ApiError) -> Action {
        self.complete_response(Err(error))
    }

    /// Receives the next piece of the body: `append` copies `bytes` bytes to the end of the buffer.
    /// If the function returns a response, the host must stop reading and send the response.
    pub fn piece(&mut self, bytes: usize, append: impl FnOnce(&mut Vec<u8>)) -> Option<Action> {
        let ExchangeStage::Body(upload) = &self.stage else { return None };
        let taken = upload.with(|reading| catch(|| reading.take(bytes, append)));
        Some(self.refuse(taken.unwrap_or(Err(ApiError::Displaced)).err()?))
    }

    /// Returns the response if the server dropped the body. The host must poll this function while
    /// no bytes arrive.
    pub fn displaced(&mut self) -> Option<Action> {
        match &self.stage {
            ExchangeStage::Body(upload) if upload.is_gone() => {
                Some(self.refuse(ApiError::Displaced))
            }
            _ => None,
        }
    }

    /// Receives the whole body, or the rest of the body after the last piece.
    pub fn body(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        rest: Vec<u8>,
    ) -> Action {
        self.spans.end_wait(platform.now_ns());
        self.run(service, platform, |exchange, isolate| exchange.take_body(isolate, rest))
    }

    fn take_body(&mut self, isolate: &mut Isolate<'_>, rest: Vec<u8>) -> ApiResult<Action> {
        let stage = std::mem::replace(&mut self.stage, ExchangeStage::Finished);
        let ExchangeStage::Body(upload) = stage else { return Ok(Action::End) };
        let BodyReading { mut sink, inflated, mut held, .. } =
            upload.finish().ok_or(ApiError::Displaced)?;
        if held.is_empty() {
            held = rest;
        } else {
            held.extend_from_slice(&rest);
        }
        self.record.bytes_in = self.record.bytes_in.max(held.len() as u64);
        if let Some(ceiling) = inflated {
            held = content_encoding::inflate(&held, ceiling, &mut |waiting, expected, held| {
                match &mut sink {
                    // The route needs the whole body.
                    Sink::Bytes(permit) => permit.grow_to(held).map(|()| 0).map_err(Into::into),
                    Sink::Lines(intake) => intake.take(waiting, expected, held),
                }
            })?;
        }
        match sink {
            // The permit must live until the responder has converted the bytes.
            Sink::Bytes(_permit) => self.act(isolate, Received::Bytes(held)),
            Sink::Lines(intake) => {
                let parsed = intake.finish(held)?;
                self.act(isolate, Received::Lines(parsed))
            }
        }
    }
}
