//! Sends an answer whole, or piece by piece once it is long.

use crate::api::action::Action;
use crate::api::http::Response;

/// How far an answer has gone out.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    is_streaming: bool,
}

impl Delivery {
    /// Whether the status has gone out: what fails from then on cuts the body.
    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// A piece, of which the first goes out in the response that `head` makes of it.
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

    /// The last bytes, unless there are `more`; when all have gone out, the end.
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
