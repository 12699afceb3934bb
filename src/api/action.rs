//! Lists what a request in progress may want done next by whoever carries its bytes.

use super::http::Response;
use crate::protocol::call::Call;

/// What whoever carries the bytes of an exchange has to do next.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Read the body: announce each growth and hand over each piece, then the rest. What is
    /// answered to a piece ends the reading.
    ReadBody,
    /// Make these calls and hand in each reply. Empty: replies are still outstanding.
    Calls(Vec<Call>),
    /// Send this response; nothing follows.
    Respond(Response),
    /// Send this response's head and body, then ask for the next action.
    Stream(Response),
    /// Send these bytes of the body, then ask for the next action.
    Bytes(Vec<u8>),
    /// The body is complete.
    End,
}
