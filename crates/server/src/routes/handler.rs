//! Defines the interface between the exchange and the implementation of a route.
//!
//! [`crate::exchange`] processes a request in the order below. The route's row defines the
//! permission and the body.
//!
//! ```text
//! PendingRequest: begin → locate → (permission) → (body) → start
//! Responder:      (permission for each statement) → step …
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::action::Action;
use crate::auth::AuthError;
use crate::body_parser::ParsedBody;
use crate::error::{ApiError, ApiResult, invalid};
use crate::http::{Parameters, RequestHead, Response};
use crate::isolate_state::Isolate;
use crate::params::Dialect;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::{Io, Machine, Task};
use tidemark_engine::protocol::call::{Call, Reply, Step};
use tidemark_line_protocol::TimestampUnit;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::PolicyId;
use tidemark_model::limits::{REPLY_PIECE_BYTES, WHOLE_REPLY_BYTES_MAX};
use tidemark_query::admission::QueryReservation;

/// The parts of a request that a route uses.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The method, path and headers.
    pub head: &'a RequestHead,
    /// The parameters of the request's URL.
    pub url: &'a Parameters,
    /// The value of `{id}` in the route's path.
    pub id: Option<&'a str>,
    /// The caller. On an open route, the caller has no permissions.
    pub caller: &'a Principal,
}

impl Incoming<'_> {
    /// Returns a parameter of the URL, or an error with the message `missing` if the parameter is
    /// empty.
    pub fn required(&self, name: &str, missing: &str) -> ApiResult<String> {
        let value = self.url.filled(name).map(str::to_owned);
        value.ok_or_else(|| ApiError::Invalid(missing.to_owned()))
    }
}

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

/// Parses a body, which must be a JSON object.
pub fn json_body<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    // Serde would read an array as the values of a struct.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return invalid("the body is not valid: expected a JSON object");
    }
    serde_json::from_slice(bytes)
        .or_else(|error| invalid(format!("the body is not valid: {error}")))
}

/// The outcome of a request for the log, in addition to its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The number of stored points.
    pub points: u64,
    /// The class of the error, if the status alone does not define it.
    pub refusal: Option<&'static str>,
}

/// A function that parses the parameters of the URL.
pub type Begin = fn(&Incoming<'_>) -> ApiResult<PendingRequest>;

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

/// The function that receives the body and creates the responder.
pub enum Start {
    /// Receives the bytes of the body, which are empty if the route reads no body.
    Bytes(Box<StartWith<Vec<u8>>>),
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

type StartWith<B> = dyn FnOnce(Admitted<'_>, &mut Isolate<'_>, B) -> StartResult;

/// The result of the start of a response.
pub type StartResult = ApiResult<Box<dyn Responder>>;

/// A request that passed the check of its target.
pub struct Admitted<'a> {
    /// The request's head, with the identified caller.
    pub request: Incoming<'a>,
    /// The target that `begin` has set, in which the exchange has replaced a bucket's id. The
    /// names are empty if `begin` has set no target.
    pub target: RequestTarget,
    /// The database for the log.
    pub log_database: &'a mut Option<String>,
}

impl PendingRequest {
    /// Creates a request without a target.
    pub fn new(
        start: impl FnOnce(Admitted<'_>, &mut Isolate<'_>, Vec<u8>) -> StartResult + 'static,
    ) -> Self {
        Self { target: None, bucket_id: None, start: Start::Bytes(Box::new(start)) }
    }

    /// Creates a request whose response is known in advance.
    pub fn respond(response: Response) -> Self {
        Self::run(|_| async { Ok(response) })
    }

    /// Creates a request that runs one async function.
    pub fn run<F>(route: impl FnOnce(Io) -> F) -> Self
    where
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        let responder = run(route);
        Self::new(|_, _, _| Ok(responder))
    }

    /// Creates a request from `start`, which receives the body and returns the function to run.
    pub fn with_body<R, F>(
        start: impl FnOnce(&mut Isolate<'_>, Vec<u8>) -> ApiResult<R> + 'static,
    ) -> Self
    where
        R: FnOnce(Io) -> F + 'static,
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        Self::new(|_, isolate, body| Ok(run(start(isolate, body)?)))
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

/// A response in progress.
pub trait Responder {
    /// Continues until the host must perform an action. The reply is `None` for the first step and
    /// after a piece of the response was sent.
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action>;

    /// Returns the outcome for the log. The exchange calls this function after the response was
    /// sent.
    fn outcome(&self) -> Outcome {
        Outcome::default()
    }

    /// Checks that `caller` may run every statement of a query.
    fn check_statements(&mut self, _caller: &Principal) -> Result<(), AuthError> {
        Ok(())
    }

    /// Returns the databases on which the statements need a permission. The list is empty if the
    /// Catalog must check the caller.
    fn databases(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the memory account of a query.
    fn reservation(&mut self) -> Option<&QueryReservation> {
        None
    }

    /// Stops after the client disconnected. Returns the calls that release the request's resources.
    fn abandon(&mut self) -> Vec<Call> {
        Vec::new()
    }

    /// Ends a response that has begun, after an error in the responder or in the exchange. A
    /// responder may append the error to the body. By default, the body is truncated.
    fn fail(&mut self, error: ApiError) -> ApiResult<Action> {
        Err(error)
    }
}

/// A response that one async function creates.
struct RunningRoute {
    task: Task<ApiResult<(Response, Outcome)>>,
    outcome: Outcome,
}

impl Responder for RunningRoute {
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        match self.task.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(done) => {
                let (response, outcome) = done??;
                self.outcome = outcome;
                Ok(Action::Respond(response))
            }
        }
    }

    fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// Creates a responder that runs one async function.
pub fn run<F>(route: impl FnOnce(Io) -> F) -> Box<dyn Responder>
where
    F: Future<Output = ApiResult<Response>> + 'static,
{
    run_with_outcome(|io| {
        let response = route(io);
        async move { Ok((response.await?, Outcome::default())) }
    })
}

/// Creates a responder that runs one async function, which also returns the outcome for the log.
pub fn run_with_outcome<F>(route: impl FnOnce(Io) -> F) -> Box<dyn Responder>
where
    F: Future<Output = ApiResult<(Response, Outcome)>> + 'static,
{
    let task = Task::new(|io| {
        let response = route(io);
        async move { Ok(response.await) }
    });
    Box::new(RunningRoute { task, outcome: Outcome::default() })
}

/// Returns a JSON response that ends with a newline.
pub fn json_line(status: u16, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).ok().or_bug();
    Response::json(status, body + "\n")
}

/// The delivery of a body: sends a short response as a whole, and a long response in pieces.
pub(super) struct Delivery {
    content_type: &'static str,
    is_streaming: bool,
}

impl Delivery {
    pub(super) fn new(content_type: &'static str) -> Self {
        Self { content_type, is_streaming: false }
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

    /// Returns the action that sends a piece.
    pub(super) fn piece(&mut self, bytes: Vec<u8>) -> Action {
        match std::mem::replace(&mut self.is_streaming, true) {
            true => Action::Bytes(bytes),
            false => Action::Stream(Response::ok(self.content_type, bytes)),
        }
    }

    /// Returns the action that sends the last bytes, or a further piece if `more` is true. Returns
    /// the end after all bytes were sent.
    pub(super) fn rest(&mut self, bytes: Vec<u8>, more: bool) -> Action {
        match (self.is_streaming, bytes.is_empty()) {
            (false, _) if !more => Action::Respond(Response::ok(self.content_type, bytes)),
            (true, true) => Action::End,
            _ => self.piece(bytes),
        }
    }

    /// Returns the action for a step of a query that streams the bytes of its response.
    pub(super) fn stream(
        &mut self,
        step: Step<Result<Option<Vec<u8>>, Error>>,
    ) -> ApiResult<Action> {
        match step {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(Some(piece))) => Ok(self.piece(piece)),
            Step::Done(Ok(None)) => Ok(Action::End),
            Step::Done(Err(error)) => Err(error.into()),
        }
    }
}
