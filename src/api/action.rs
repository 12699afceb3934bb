//! The actions that the HTTP contract requests from its host (the code that transfers a request's
//! bytes).

use super::http::Response;
use crate::protocol::call::Call;

/// The next action for the host of an exchange.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Read the body: announce each growth, hand over each piece, then hand over the rest. If the
    /// exchange returns an action for a piece, perform it and stop reading.
    ReadBody,
    /// Make these calls and hand in each reply. An empty list means that earlier calls have no
    /// reply yet.
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
