//! Defines the interface between the exchange and the implementation of a route.
//!
//! A route has two parts. Its first function parses the URL, and returns a [`PendingRequest`] with
//! the target, on which [`crate::exchange`] checks the permission. The pending request contains the
//! second function, an async function that receives the body and returns the response.

use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::action::Action;
use crate::body_parser::ParsedBody;
use crate::error::{ApiResult, invalid};
pub use crate::exchange::receive_body::BodyBytes;
use crate::http::Response;
use crate::params::Dialect;
pub use crate::request::Request;
use tidemark_coordinator::Io;
use tidemark_line_protocol::TimestampUnit;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::PolicyId;
use tidemark_model::limits::{REPLY_PIECE_BYTES, WHOLE_REPLY_BYTES_MAX};

/// A database and a policy, as named by the client. The policy `None` means the default policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestTarget {
    /// The database's name.
    pub database: String,
    /// The policy's name.
    pub policy: Option<String>,
    /// The policy's id, if the client named a bucket by its id.
    pub policy_id: Option<PolicyId>,
}

impl BodyBytes {
    /// Parses the body, which must be a JSON object.
    pub fn json<T: DeserializeOwned>(self) -> ApiResult<T> {
        json_body(&self)
    }
}

/// Parses a body, which must be a JSON object.
pub fn json_body<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    // Serde would read an array as the values of a struct.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return invalid("the body is not valid: expected a JSON object");
    }
    serde_json::from_slice(bytes)
        .or_else(|error| invalid(format!("the body is not valid: {error}")))
}

/// A function that parses the parameters of the URL.
pub type Begin = fn(&Request) -> ApiResult<PendingRequest>;

/// A request whose permission and body have not been checked yet.
pub struct PendingRequest {
    /// The database for the log and for the memory of the body. If the route's row requires a
    /// permission on a database or policy, the exchange checks the permission on this target.
    pub target: Option<RequestTarget>,
    /// The id of the bucket, if the database in `target` has the form of such an id. The exchange
    /// then replaces `target`.
    pub bucket_id: Option<PolicyId>,
    /// Creates the response from the body.
    pub start: Start,
}

/// The async function that receives the target and the body. It returns the last action.
pub enum Start {
    /// Receives the bytes of the body, which are empty if the route reads no body.
    Bytes(Box<StartWith<BodyBytes>>),
    /// Receives the body as columns.
    Lines {
        /// The route's dialect of line protocol.
        dialect: Dialect,
        /// The precision of the timestamps.
        precision: TimestampUnit,
        /// The function.
        start: Box<StartWith<ParsedBody>>,
    },
}

type StartWith<B> = dyn FnOnce(Request, RequestTarget, B) -> RunningRoute;
type RunningRoute = Pin<Box<dyn Future<Output = ApiResult<Action>>>>;

impl PendingRequest {
    /// Creates a request that runs `route`, which returns the last action. The names in the target
    /// are empty if the request has no target.
    pub fn stream<F>(route: impl FnOnce(Request, RequestTarget, BodyBytes) -> F + 'static) -> Self
    where
        F: Future<Output = ApiResult<Action>> + 'static,
    {
        let start =
            Start::Bytes(Box::new(|request, target, body| Box::pin(route(request, target, body))));
        Self { target: None, bucket_id: None, start }
    }

    /// Creates a request that runs `route`, which receives line protocol as columns.
    pub fn lines<F>(
        dialect: Dialect,
        precision: TimestampUnit,
        route: impl FnOnce(Request, RequestTarget, ParsedBody) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = ApiResult<Action>> + 'static,
    {
        let start = Box::new(|request, target, body| -> RunningRoute {
            Box::pin(route(request, target, body))
        });
        let start = Start::Lines { dialect, precision, start };
        Self { target: None, bucket_id: None, start }
    }

    /// Creates a request whose response is known in advance.
    pub fn respond(response: Response) -> Self {
        Self::run(|_| async { Ok(response) })
    }

    /// Creates a request that runs `route`, which needs only calls.
    pub fn run<F>(route: impl FnOnce(Io) -> F + 'static) -> Self
    where
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        Self::with_body(|request, _| route(request.io))
    }

    /// Creates a request that runs `route`, which receives the body.
    pub fn with_body<F>(route: impl FnOnce(Request, BodyBytes) -> F + 'static) -> Self
    where
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        Self::stream(|request, _, body| {
            let response = route(request, body);
            async { Ok(Action::Respond(response.await?)) }
        })
    }

    /// Sets the target.
    pub fn on(self, database: &str, policy: Option<&str>) -> Self {
        let target = RequestTarget {
            database: database.to_owned(),
            policy: policy.map(str::to_owned),
            policy_id: None,
        };
        Self { target: Some(target), ..self }
    }
}

/// Returns a JSON response that ends with a newline.
pub fn json_line(status: u16, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).ok().or_bug();
    Response::json(status, body + "\n")
}

/// The delivery of a body: sends a short response as a whole, and a long response in pieces.
pub(super) struct Delivery {
    request: Request,
    content_type: &'static str,
    is_streaming: bool,
}

impl Delivery {
    pub(super) fn new(request: &Request, content_type: &'static str) -> Self {
        Self { request: request.clone(), content_type, is_streaming: false }
    }

    /// Whether the status was sent. A later error can only truncate the body.
    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// Returns the number of bytes at which a piece is sent. The first bytes wait longer, because
    /// the status cannot change afterwards.
    pub(super) fn piece_bytes_min(&self) -> usize {
        if self.is_streaming { REPLY_PIECE_BYTES } else { WHOLE_REPLY_BYTES_MAX }
    }

    /// Sends a piece, and waits until the host requests the next piece.
    pub(super) async fn send(&mut self, bytes: Vec<u8>) {
        let action = match std::mem::replace(&mut self.is_streaming, true) {
            true => Action::Bytes(bytes),
            false => Action::Stream(Response::ok(self.content_type, bytes)),
        };
        self.request.perform(action).await;
    }

    /// Sends the last bytes, and returns the last action.
    pub(super) async fn end(mut self, bytes: Vec<u8>) -> Action {
        match (self.is_streaming, bytes.is_empty()) {
            (false, _) => Action::Respond(Response::ok(self.content_type, bytes)),
            (true, true) => Action::End,
            (true, false) => {
                self.send(bytes).await;
                Action::End
            }
        }
    }
}
