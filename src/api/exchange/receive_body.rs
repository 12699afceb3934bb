//! Receives a request's body: checks its size, accounts for its memory, and drops the body if
//! another request needs the memory.

use super::{Exchange, ExchangeStage, Received, catch};
use crate::admission::Permit;
use crate::api::action::Action;
use crate::api::content_encoding::{self, Ceiling, Encoding, TakeInflated};
use crate::api::error::{ApiError, ApiResult};
use crate::api::isolate_state::{Isolate, Service};
use crate::api::routes::Body;
use crate::api::routes::handler::{BodyBytes, Start};
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
    /// Compressed bytes, and the maximum size of the inflated body. Inflation starts after the last
    /// byte.
    PackedBytes(Permit, Ceiling),
    Lines(Box<Intake>),
    PackedLines(Box<Intake>, Ceiling),
}

#[derive(Debug)]
pub(super) struct BodyReading {
    sink: Sink,
    ceiling: Ceiling,
    held: Vec<u8>,
    /// The announced size of the body in bytes, or 0.
    expected_bytes: usize,
}

impl BodyReading {
    /// Reserves memory for `bytes` bytes in addition to the columns.
    fn charge(&mut self, bytes: usize) -> ApiResult<()> {
        match &mut self.sink {
            Sink::Bytes(permit) | Sink::PackedBytes(permit, _) => Ok(permit.grow_to(bytes)?),
            Sink::Lines(intake) | Sink::PackedLines(intake, _) => intake.charge(bytes),
        }
    }

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
        let Sink::Lines(intake) = &mut self.sink else {
            self.charge(room_bytes)?;
            append(&mut self.held);
            return Ok(());
        };
        append(&mut self.held);
        let used = intake.take(&self.held, self.expected_bytes, room_bytes)?;
        if used > 0 {
            self.held.drain(..used);
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
        let inflated = ceiling(body, &limits, false);
        let ceiling = ceiling(body, &limits, encoding == Encoding::Gzip);
        let announced = self.head.header("content-length").and_then(|length| length.parse().ok());
        let expected_bytes = announced.unwrap_or_default();
        ceiling.check(0, expected_bytes)?;
        let database = self.record.database.as_deref().or_else(|| self.url.get("db"));
        let permit = isolate.service.admission.enter(database.unwrap_or_default());
        let (tag, now_ns) = (permit.tag(), isolate.now_ns());
        let sink = match self.pending.as_ref().map(|pending| &pending.start) {
            Some(&Start::Lines { dialect, precision, .. }) => {
                let reading = LineReading { now_ns, seed: isolate.service.hash_seed, limits };
                let intake = Box::new(Intake::new(dialect, precision, permit, reading));
                match encoding {
                    Encoding::Identity => Sink::Lines(intake),
                    Encoding::Gzip => Sink::PackedLines(intake, inflated),
                }
            }
            _ => match encoding {
                Encoding::Identity => Sink::Bytes(permit),
                Encoding::Gzip => Sink::PackedBytes(permit, inflated),
            },
        };
        let reading = BodyReading { sink, ceiling, held: Vec::new(), expected_bytes };
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
            match reading.sink {
                Sink::Lines(_) => Ok(()),
                _ => reading.charge(bytes),
            }
        });
        Some(self.refuse(checked.unwrap_or(Err(ApiError::Displaced)).err()?))
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
        let calls = self.calls;
        let isolate = &mut Isolate { service, platform, calls };
        let action = catch(|| self.take_body(isolate, rest));
        let action = self.within_calls(platform, action);
        self.complete_response(action)
    }

    fn take_body(&mut self, isolate: &mut Isolate<'_>, rest: Vec<u8>) -> ApiResult<Action> {
        let stage = std::mem::replace(&mut self.stage, ExchangeStage::Finished);
        let ExchangeStage::Body(upload) = stage else { return Ok(Action::End) };
        let BodyReading { sink, mut held, .. } = upload.finish().ok_or(ApiError::Displaced)?;
        if held.is_empty() {
            held = rest;
        } else {
            held.extend_from_slice(&rest);
        }
        self.record.bytes_in = self.record.bytes_in.max(held.len() as u64);
        match sink {
            // The permit must live until the responder has converted the bytes.
            Sink::Bytes(_permit) => self.act(isolate, Received::Bytes(BodyBytes(held))),
            Sink::Lines(intake) => {
                let parsed = intake.finish(held)?;
                self.act(isolate, Received::Lines(parsed))
            }
            Sink::PackedBytes(mut permit, inflated) => {
                let plain = content_encoding::inflate(&held, inflated, &mut permit)?;
                drop(held);
                self.act(isolate, Received::Bytes(BodyBytes(plain)))
            }
            Sink::PackedLines(mut intake, inflated) => {
                let left = content_encoding::inflate(&held, inflated, &mut *intake)?;
                drop(held);
                let parsed = intake.finish(left)?;
                self.act(isolate, Received::Lines(parsed))
            }
        }
    }
}
