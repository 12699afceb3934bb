//! Defines the interface between the exchange and the implementation of a route.
//!
//! [`crate::api::exchange`] calls a handler in the order below. The route's row defines the
//! permission and the body.
//!
//! ```text
//! begin → locate → (permission) → (body) → start → (permission for each statement) → step …
//! ```

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::{Permit, QueryReservation};
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::{ApiError, ApiResult};
use crate::api::http::{Parameters, RequestHead, Response};
use crate::api::isolate_state::Isolate;
use crate::api::write_body::{Intake, LineReading, Parsed};
use crate::coordinator::grants::Principal;
use crate::coordinator::{Io, Machine, Task};
use crate::protocol::call::{Call, Reply, Step};

/// The parts of a request that a handler uses.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    /// The database's name.
    pub database: &'a str,
    /// The policy's name.
    pub policy: Option<&'a str>,
}

/// The complete body of a request.
#[derive(Debug)]
pub enum Received {
    /// The route reads no body.
    Nothing,
    /// The bytes of the body.
    Bytes(Vec<u8>),
    /// The lines of the body as columns.
    Lines(Parsed),
}

impl Received {
    /// Returns the bytes, or an empty slice if the route reads no bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Nothing | Self::Lines(_) => &[],
        }
    }

    /// Parses the bytes as a JSON object.
    pub fn json<T: DeserializeOwned>(&self) -> ApiResult<T> {
        json_object(self.bytes())
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

/// A request of a route, in progress.
pub trait Handler: std::fmt::Debug {
    /// Returns the database and policy of the request, on which the exchange checks the caller's
    /// permission.
    fn target(&self) -> Option<RequestTarget<'_>> {
        None
    }

    /// Returns the database for the log. The memory of the body is also charged to this database.
    fn database(&self) -> Option<&str> {
        self.target().map(|place| place.database)
    }

    /// Resolves the database and policy if the parameters do not contain them. The reply is `None`
    /// in the first call of this function, and afterwards the reply to one of the requested calls.
    fn locate(
        &mut self,
        _request: &Incoming<'_>,
        _isolate: &mut Isolate<'_>,
        _reply: Option<Reply>,
    ) -> ApiResult<Step<()>> {
        Ok(Step::Done(()))
    }

    /// Returns the parser for the body, if the body is lines.
    fn intake(&self, _permit: Permit, _reading: LineReading) -> ApiResult<Intake> {
        Err(ApiError::Internal("this route does not accept line protocol".to_owned()))
    }

    /// Receives the body. Returns a handler that replaces this one for the rest of the request, or
    /// `None` if this handler continues.
    fn start(
        &mut self,
        _request: &Incoming<'_>,
        _isolate: &mut Isolate<'_>,
        _body: Received,
    ) -> ApiResult<Option<Box<dyn Handler>>> {
        Ok(None)
    }

    /// Checks that `caller` may run every statement.
    fn check_statements(&mut self, _caller: &Principal) -> Result<(), AuthError> {
        Ok(())
    }

    /// Returns the databases on which the statements need a permission. The list is empty if the
    /// Catalog must check the caller.
    fn databases(&self) -> Vec<String> {
        Vec::new()
    }

    /// Continues until the host must perform an action. The reply is `None` for the first step and
    /// after a piece of the response was sent.
    /// A handler that `start` replaces has no steps.
    fn step(&mut self, _isolate: &mut Isolate<'_>, _reply: Option<Reply>) -> ApiResult<Action> {
        Ok(Action::End)
    }

    /// Returns the memory account of the handler's queries.
    fn reservation(&self) -> Option<&QueryReservation> {
        None
    }

    /// Returns the outcome for the log. The exchange calls this function after the response was
    /// sent.
    fn outcome(&self) -> Outcome {
        Outcome::default()
    }

    /// Ends a response that has begun, after an error in the handler or in the exchange. A handler
    /// may append the error to the body. By default, the body is truncated.
    fn fail(&mut self, error: ApiError) -> ApiResult<Action> {
        Err(error)
    }

    /// Stops after the client disconnected. Returns the calls that release the request's resources.
    fn abandon(&mut self) -> Vec<Call> {
        Vec::new()
    }
}

/// A function that parses the parameters of the URL and creates the handler.
pub type Begin = fn(&Incoming<'_>) -> ApiResult<Box<dyn Handler>>;

/// A handler whose response is known in advance.
#[derive(Debug)]
pub struct ImmediateHandler(Option<Response>);

impl ImmediateHandler {
    /// Creates a handler that responds with `response`.
    pub fn with(response: Response) -> Box<dyn Handler> {
        Box::new(Self(Some(response)))
    }
}

impl Handler for ImmediateHandler {
    fn step(&mut self, _isolate: &mut Isolate<'_>, _reply: Option<Reply>) -> ApiResult<Action> {
        Ok(self.0.take().map_or(Action::End, Action::Respond))
    }
}

/// A handler that waits for the body. The body determines the handler of the rest of the request.
pub struct PendingHandler {
    database: Option<String>,
    start: Option<Box<Start>>,
}

/// Creates the next handler. The function may set the database for the log of an error.
type Start = dyn FnOnce(
    &Incoming<'_>,
    &mut Isolate<'_>,
    Received,
    &mut Option<String>,
) -> ApiResult<Box<dyn Handler>>;

impl PendingHandler {
    /// Creates a handler that continues as the handler that `start` returns.
    pub fn new(
        start: impl FnOnce(
            &Incoming<'_>,
            &mut Isolate<'_>,
            Received,
            &mut Option<String>,
        ) -> ApiResult<Box<dyn Handler>>
        + 'static,
    ) -> Box<Self> {
        Box::new(Self { database: None, start: Some(Box::new(start)) })
    }

    /// Creates a handler that runs an async function.
    pub fn run<R, F>(route: R) -> Box<Self>
    where
        R: FnOnce(Io) -> F + 'static,
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        Self::run_with_body(|_, _| Ok(route))
    }

    /// Creates a handler that runs the async function which `start` returns.
    pub fn run_with_body<R, F>(
        start: impl FnOnce(&mut Isolate<'_>, Received) -> ApiResult<R> + 'static,
    ) -> Box<Self>
    where
        R: FnOnce(Io) -> F + 'static,
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        Self::new(|_, isolate, body, _| Ok(TaskHandler::run(start(isolate, body)?)))
    }

    /// Sets the database for the log and for the memory of the body.
    #[must_use]
    pub fn on(mut self: Box<Self>, database: &str) -> Box<Self> {
        self.database = Some(database.to_owned());
        self
    }
}

impl std::fmt::Debug for PendingHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingHandler").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Handler for PendingHandler {
    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn start(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        body: Received,
    ) -> ApiResult<Option<Box<dyn Handler>>> {
        let Some(start) = self.start.take() else { return Ok(None) };
        start(request, isolate, body, &mut self.database).map(Some)
    }
}

/// A handler that runs an async function.
#[derive(Debug)]
pub struct TaskHandler(Task<ApiResult<Response>>);

impl TaskHandler {
    /// Creates a handler that runs `route`.
    pub fn run<F>(route: impl FnOnce(Io) -> F) -> Box<dyn Handler>
    where
        F: Future<Output = ApiResult<Response>> + 'static,
    {
        Box::new(Self(Task::new(|io| {
            let response = route(io);
            async move { Ok(response.await) }
        })))
    }
}

impl Handler for TaskHandler {
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        match self.0.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(response) => Ok(Action::Respond(response??)),
        }
    }
}

/// Returns a JSON response that ends with a newline.
pub fn json_line(status: u16, body: &Value) -> Response {
    Response::json(status, format!("{body}\n"))
}
