//! Sends a short response as a whole, and a long response in pieces.

use crate::api::action::Action;
use crate::api::http::Response;

#[derive(Debug, Default)]
pub(super) struct Delivery {
    is_streaming: bool,
}

impl Delivery {
    /// Whether the status was sent. A later error can only truncate the body.
    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// Returns the action that sends a piece. `head` creates the response for the first piece.
    pub(super) fn piece(
        &mut self,
        bytes: Vec<u8>,
        head: impl FnOnce(Vec<u8>) -> Response,
    ) -> Action {
        match std::mem::replace(&mut self.is_streaming, true) {
            true => Action::Bytes(bytes),
            false => Action::Stream(head(bytes)),
        }
    }

    /// Returns the action that sends the last bytes, or a further piece if `more` is true. Returns
    /// the end after all bytes were sent.
    pub(super) fn rest(
        &mut self,
        bytes: Vec<u8>,
        more: bool,
        head: impl FnOnce(Vec<u8>) -> Response,
    ) -> Action {
        match (self.is_streaming, bytes.is_empty()) {
            (false, _) if !more => Action::Respond(head(bytes)),
            (true, true) => Action::End,
            _ => self.piece(bytes, head),
        }
    }
}
