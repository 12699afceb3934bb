//! A request's body while it comes in: measured, charged, and given up when others need its room.

use super::{Ceiling, Exchange, Service, State, Target};
use crate::api::action::Action;
use crate::api::admission::Permit;
use crate::api::body::Encoding;
use crate::api::error::ApiError;
use crate::protocol::call::Platform;

/// Room for the first pieces of a body.
const FIRST_HELD_BYTES: usize = 512 << 10;

/// What has come of a body.
#[derive(Debug)]
pub(super) struct Reading {
    target: Target,
    ceiling: Ceiling,
    /// What has come and waits.
    held: Vec<u8>,
    /// How long it will be, as far as that was announced.
    expected_bytes: usize,
}

impl Reading {
    /// What the body is charged to.
    fn charge(&mut self, bytes: usize) -> Result<(), ApiError> {
        match &mut self.target {
            Target::Write { intake, .. } => intake.charge(bytes),
            Target::Query(permit)
            | Target::Configure(permit)
            | Target::Manage(permit)
            | Target::Token(permit)
            | Target::Delete(permit, _)
            | Target::Verify(permit) => Ok(permit.grow_to(bytes)?),
        }
    }

    /// Makes room for a piece: never more than twice what has come, whatever was announced.
    fn make_room(&mut self, piece_bytes: usize) {
        let needed = self.held.len() + piece_bytes;
        if needed <= self.held.capacity() {
            return;
        }
        let ample = needed.max(2 * self.held.len()).max(FIRST_HELD_BYTES);
        let target = ample.min(self.expected_bytes.max(needed));
        self.held.reserve_exact(target - self.held.len());
    }

    /// Takes what `append` copies behind what is held.
    fn take(
        &mut self,
        piece_bytes: usize,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ApiError> {
        self.make_room(piece_bytes);
        let room_bytes = self.held.capacity();
        let Target::Write { encoding: Encoding::Identity, intake, .. } = &mut self.target else {
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
    /// Has the body read, about which nothing is believed before it has come.
    pub(super) fn read_body(
        &mut self,
        service: &Service,
        platform: &dyn Platform,
        ceiling: Ceiling,
        target: impl FnOnce(Permit) -> Target,
    ) -> Result<Action, ApiError> {
        let announced = self.head.header("content-length").and_then(|length| length.parse().ok());
        let expected_bytes = announced.unwrap_or_default();
        ceiling.check(0, expected_bytes)?;
        let database = self.record.database.as_deref().or_else(|| self.url.get("db"));
        let permit = service.admission.enter(database.unwrap_or_default());
        let tag = permit.tag();
        let reading = Reading { target: target(permit), ceiling, held: Vec::new(), expected_bytes };
        self.state = State::Body(service.admission.upload(tag, reading, platform.now_ns()));
        Ok(Action::ReadBody)
    }

    /// Says how many bytes of the body there are at `now_ns`; a response means: stop reading, send
    /// it.
    pub fn body_grew(&mut self, bytes: usize, now_ns: i64) -> Option<Action> {
        let State::Body(upload) = &self.state else { return None };
        upload.heard(now_ns);
        let before = std::mem::replace(&mut self.record.bytes_in, bytes as u64);
        let checked = upload.with(|reading| -> Result<(), ApiError> {
            reading.ceiling.check(before, bytes)?;
            match &reading.target {
                Target::Write { encoding: Encoding::Identity, .. } => Ok(()),
                _ => reading.charge(bytes),
            }
        });
        self.refusal(checked.unwrap_or(Err(ApiError::Displaced)).err()?)
    }

    /// Takes the next piece of the body, of `bytes`, which `append` copies behind what is held of
    /// it; a response means: stop reading, send it. The rest comes with [`Self::body`].
    pub fn piece(&mut self, bytes: usize, append: impl FnOnce(&mut Vec<u8>)) -> Option<Action> {
        let State::Body(upload) = &self.state else { return None };
        let taken = upload.with(|reading| reading.take(bytes, append));
        self.refusal(taken.unwrap_or(Err(ApiError::Displaced)).err()?)
    }

    /// The answer to a body that was given up meanwhile; to be asked for while nothing comes.
    pub fn displaced(&mut self) -> Option<Action> {
        match &self.state {
            State::Body(upload) if upload.is_gone() => self.refusal(ApiError::Displaced),
            _ => None,
        }
    }

    /// Takes the body: the whole of it, or what came after the last piece.
    pub fn body(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        rest: Vec<u8>,
    ) -> Action {
        let state = std::mem::replace(&mut self.state, State::Finished);
        let State::Body(upload) = state else { return Action::End };
        let Some(Reading { target, mut held, .. }) = upload.finish() else {
            return self.worded(Err(ApiError::Displaced));
        };
        if held.is_empty() {
            held = rest;
        } else {
            held.extend_from_slice(&rest);
        }
        self.record.bytes_in = self.record.bytes_in.max(held.len() as u64);
        let action = self.act_on_body(service, platform, target, held);
        self.worded(action)
    }
}
