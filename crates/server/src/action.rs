//! Defines the actions of a host.

use super::http::Response;
use tidemark_engine::protocol::call::Call;

/// The next action for the host of an exchange.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Read the body and pass each piece to the exchange. If the exchange returns an action for a
    /// piece, stop reading and perform this action.
    ReadBody,
    /// Make these calls, and pass each reply to the exchange. If the list is empty, wait for the
    /// replies to earlier calls.
    Calls(Vec<Call>),
    /// Send this complete response.
    Respond(Response),
    /// Send this response's head and body, then request the next action.
    Stream(Response),
    /// Send these bytes of the body, then request the next action.
    Bytes(Vec<u8>),
    /// The body is complete.
    End,
}
