//! Defines the interface between the exchange and the implementation of a route.
//!
//! [`crate::api::exchange`] processes a request in the order below. The route's row defines the
//! permission and the body.
//!
//! ```text
//! PendingRequest: begin → locate → (permission) → (body) → start
//! Responder:      (permission for each statement) → step …
//! ```

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::QueryReservation;
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::{ApiError, ApiResult};
use crate::api::http::{Parameters, RequestHead, Response};
use crate::api::isolate_state::Isolate;
use crate::api::params::{Dialect, WritePrecision};
use crate::api::routes::bucket_lookup::BucketLookup;
use crate::api::write_body::Parsed;
use crate::coordinator::grants::Principal;
use crate::coordinator::{Io, Machine, Task};
use crate::protocol::call::{Call, Reply, Step};

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
    /// Returns a parameter of the URL that must not be empty.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] with the message `missing`.
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
}

/// The bytes of a request's body, empty if the route reads no body.
#[derive(Debug, Default)]
pub struct BodyBytes(pub Vec<u8>);

impl BodyBytes {
    /// Parses the bytes as a JSON object.
    pub fn json<T: DeserializeOwned>(&self) -> ApiResult<T> {
        json_object(&self.0)
            .map_err(|reason| ApiError::Invalid(format!("the body is not valid: {reason}")))
    }
}

/// Parses a JSON object.
///
/// # Errors
/// The reason why `bytes` is not an object of this type.
pub fn json_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // Serde would read an array as the values of a struct.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err("expected a JSON object".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
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
    /// The search for the bucket that `target` names by its id.
    pub(super) lookup: Option<BucketLookup>,
    /// Creates the response from the body.
    pub start: Start,
}

/// The function that receives the body and creates the responder.
pub enum Start {
    /// Receives the bytes of the body.
    Bytes(Box<StartWith<BodyBytes>>),
    /// Receives the body as columns.
    Lines {
        /// The route's dialect of line protocol.
        dialect: Dialect,
        /// The precision of the timestamps.
        precision: WritePrecision,
        /// The function.
        start: Box<StartWith<Parsed>>,
    },
}

type StartWith<B> = dyn FnOnce(Admitted<'_>, &mut Isolate<'_>, B) -> ApiResult<Box<dyn Responder>>;

/// A request that passed the check of its target.
pub struct Admitted<'a> {
    /// The request's head, with the identified caller.
    pub request: Incoming<'a>,
    /// The request's target, in which the lookup has replaced the bucket's id.
    pub target: Option<RequestTarget>,
    /// The database for the log.
    pub log_database: &'a mut Option<String>,
}

impl Admitted<'_> {
    /// Returns the target of a route whose `begin` sets a target.
    pub fn take_target(&mut self) -> ApiResult<RequestTarget> {
        self.target.take().ok_or_else(|| ApiError::Internal("the request has no target".to_owned()))
    }
}

impl PendingRequest {
    /// Creates a request without a target.
    pub fn new(
        start: impl FnOnce(Admitted<'_>, &mut Isolate<'_>, BodyBytes) -> ApiResult<Box<dyn Responder>>
        + 'static,
    ) -> Self {
        Self { target: None, lookup: None, start: Start::Bytes(Box::new(start)) }
    }

    /// Creates a request whose response is known in advance.
    pub fn respond(response: Response) -> Self {
        Self::new(|_, _, _| Ok(ImmediateResponder::boxed(response)))
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
        start: impl FnOnce(&mut Isolate<'_>, BodyBytes) -> ApiResult<R> + 'static,
    ) -> Self
    where
        R: FnOnce(Io) -> F + 'static,
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        Self::new(|_, isolate, body| Ok(run(start(isolate, body)?)))
    }

    /// Sets the target.
    pub fn on(self, database: &str, policy: Option<&str>) -> Self {
        let target =
            RequestTarget { database: database.to_owned(), policy: policy.map(str::to_owned) };
        Self { target: Some(target), ..self }
    }

    /// Replaces the target of a bucket's id. The reply is `None` in the first call of this function,
    /// and afterwards the reply to one of the requested calls.
    pub fn locate(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> ApiResult<Step<()>> {
        let (Some(lookup), Some(target)) = (&mut self.lookup, &mut self.target) else {
            return Ok(Step::Done(()));
        };
        lookup.locate(target, request, isolate, reply)
    }
}

impl std::fmt::Debug for PendingRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingRequest").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A response in progress.
pub trait Responder: std::fmt::Debug {
    /// Continues until the host must perform an action. The reply is `None` for the first step and
    /// after a piece of the response was sent.
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action>;

    /// Returns the outcome for the log. The exchange calls this function after the response was
    /// sent.
    fn outcome(&self) -> Outcome {
        Outcome::default()
    }

    /// Returns `self` if this is the response of a query.
    fn query(&mut self) -> Option<&mut dyn QueryResponder> {
        None
    }
}

/// The response of a query in progress.
pub trait QueryResponder: Responder {
    /// Checks that `caller` may run every statement.
    fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError>;

    /// Returns the databases on which the statements need a permission. The list is empty if the
    /// Catalog must check the caller.
    fn databases(&mut self) -> Vec<String>;

    /// Returns the memory account of the queries.
    fn reservation(&mut self) -> Option<&QueryReservation>;

    /// Stops after the client disconnected. Returns the calls that release the request's resources.
    fn abandon(&mut self) -> Vec<Call>;

    /// Ends a response that has begun, after an error in the responder or in the exchange. A
    /// responder may append the error to the body. By default, the body is truncated.
    fn fail(&mut self, error: ApiError) -> ApiResult<Action> {
        Err(error)
    }
}

/// A response that is known in advance.
#[derive(Debug)]
pub struct ImmediateResponder(Option<Response>);

impl ImmediateResponder {
    /// Creates a responder that returns `response`.
    pub fn boxed(response: Response) -> Box<dyn Responder> {
        Box::new(Self(Some(response)))
    }
}

impl Responder for ImmediateResponder {
    fn step(&mut self, _isolate: &mut Isolate<'_>, _reply: Option<Reply>) -> ApiResult<Action> {
        Ok(self.0.take().map_or(Action::End, Action::Respond))
    }
}

type RouteTask = Task<ApiResult<Response>>;

/// Creates a responder that runs one async function.
pub fn run<F>(route: impl FnOnce(Io) -> F) -> Box<dyn Responder>
where
    F: Future<Output = ApiResult<Response>> + 'static,
{
    let task: RouteTask = Task::new(|io| {
        let response = route(io);
        async move { Ok(response.await) }
    });
    Box::new(task)
}

impl Responder for RouteTask {
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        match Machine::step(self, &mut isolate.context(), reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(response) => Ok(Action::Respond(response??)),
        }
    }
}

/// Returns a JSON response that ends with a newline.
pub fn json_line(status: u16, body: &Value) -> Response {
    Response::json(status, format!("{body}\n"))
}
