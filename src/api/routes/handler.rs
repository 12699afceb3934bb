//! Defines what the file of a route supplies: how a request is read, and how it goes on until its
//! reply.
//!
//! [`crate::api::exchange`] calls a handler in this order, and does everything that the route's
//! row says in between: it knows who is calling before `begin`, it lets nobody go further whom the
//! row does not admit, and it reads the body that the row allows.
//!
//! ```text
//! begin → locate → (may they?) → (the body) → start → (may they, statement by statement?) → step …
//! ```

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::{Permit, QueryRoom};
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::ApiError;
use crate::api::http::{Parameters, RequestHead, Response};
use crate::api::isolate_state::Isolate;
use crate::api::write_body::{Intake, LineReading, Parsed};
use crate::coordinator::grants::Principal;
use crate::coordinator::{Io, Machine, Task};
use crate::protocol::call::{Call, Reply, Step};

/// A request as its handler sees it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Method, path and headers.
    pub head: &'a RequestHead,
    /// The parameters of its URL.
    pub url: &'a Parameters,
    /// What stands in the path where the row has `{id}`.
    pub id: Option<&'a str>,
    /// Who is calling; whoever may do nothing on routes that are open to everybody.
    pub caller: &'a Principal,
}

/// A database, and a policy of it as the client says it: `None` is the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The database's name.
    pub database: &'a str,
    /// The policy's name.
    pub policy: Option<&'a str>,
}

/// The body of a request, once the whole of it has come.
#[derive(Debug)]
pub enum Received {
    /// The row has none read.
    Nothing,
    /// The bytes as they were sent.
    Bytes(Vec<u8>),
    /// Lines, which are columns by now.
    Lines(Parsed),
}

impl Received {
    /// The bytes; none of a body that was not read.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Nothing | Self::Lines(_) => &[],
        }
    }

    /// Reads the bytes as JSON.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] naming what is not as expected, and where.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(self.bytes())
            .map_err(|e| ApiError::Invalid(format!("the body is not what is expected: {e}")))
    }
}

/// What the log says of a request beside its answer's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The number of points that were kept.
    pub points: u64,
    /// Which kind of refusal the answer is, if its status alone does not say so.
    pub refusal: Option<&'static str>,
}

/// One request of a route, in progress.
pub trait Handler: std::fmt::Debug {
    /// Where in the data the request goes. The row's access is judged by it.
    fn place(&self) -> Option<Place<'_>> {
        None
    }

    /// The database for the log and for the share of memory that the body is charged to.
    fn database(&self) -> Option<&str> {
        self.place().map(|place| place.database)
    }

    /// Finds out where the request goes if its parameters do not say it by names. Called with
    /// `None` first, then with each reply to the calls it asked for.
    ///
    /// # Errors
    /// [`ApiError`] when the owners cannot be asked.
    fn locate(
        &mut self,
        _request: &Incoming<'_>,
        _isolate: &mut Isolate<'_>,
        _reply: Option<Reply>,
    ) -> Result<Step<()>, ApiError> {
        Ok(Step::Done(()))
    }

    /// What turns the lines of a body into columns, on routes whose body is lines.
    ///
    /// # Errors
    /// [`ApiError::Internal`] on any other route.
    fn intake(&self, _permit: Permit, _reading: LineReading) -> Result<Intake, ApiError> {
        Err(ApiError::Internal("this route reads no lines".to_owned()))
    }

    /// Takes the body and prepares what `step` does; does nothing where `begin` has done so.
    ///
    /// # Errors
    /// [`ApiError`] naming what cannot be read or done.
    fn start(
        &mut self,
        _request: &Incoming<'_>,
        _isolate: &mut Isolate<'_>,
        _body: Received,
    ) -> Result<(), ApiError> {
        Ok(())
    }

    /// Lets `caller` run every statement, or refuses the first one that it may not run.
    ///
    /// # Errors
    /// [`AuthError::Statement`]
    fn check_statements(&mut self, _caller: &Principal) -> Result<(), AuthError> {
        Ok(())
    }

    /// The databases on which its statements need a right; none where the Catalog has to be asked
    /// for the caller.
    fn databases(&self) -> Vec<String> {
        Vec::new()
    }

    /// Goes on until something has to be done: with `None` to start and after a piece of the
    /// answer was sent, else with the reply to a call.
    ///
    /// # Errors
    /// [`ApiError`] for a request that was not carried out.
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>)
    -> Result<Action, ApiError>;

    /// What its queries hold while an answer is sent.
    fn room(&self) -> Option<&QueryRoom> {
        None
    }

    /// What the log says of it, once the answer is known.
    fn outcome(&self) -> Outcome {
        Outcome::default()
    }

    /// Stops for a client that went away: the calls after which nothing is kept on its behalf.
    fn abandon(&mut self) -> Vec<Call> {
        Vec::new()
    }
}

/// What begins a request of a route: it reads the parameters of the URL.
pub type Begin = fn(&Incoming<'_>) -> Result<Box<dyn Handler>, ApiError>;

/// A request whose answer follows from its parameters alone.
#[derive(Debug)]
pub struct AnsweredAtOnce(Option<Response>);

impl AnsweredAtOnce {
    /// The handler of a request that is answered with `response`.
    pub fn with(response: Response) -> Box<dyn Handler> {
        Box::new(Self(Some(response)))
    }
}

impl Handler for AnsweredAtOnce {
    fn step(
        &mut self,
        _isolate: &mut Isolate<'_>,
        _reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        Ok(self.0.take().map_or(Action::End, Action::Respond))
    }
}

/// A request that is one async function: it makes calls and returns a response.
pub struct TaskHandler {
    database: Option<String>,
    state: TaskState,
}

enum TaskState {
    /// The function is made once the body is read.
    Body(Option<Box<MakeTask>>),
    Running(RouteTask),
}

type RouteTask = Task<Result<Response, ApiError>>;
type MakeTask = dyn FnOnce(&mut Isolate<'_>, Received) -> Result<RouteTask, ApiError>;

impl TaskHandler {
    /// Runs `route`.
    pub fn run<F>(route: impl FnOnce(Io) -> F) -> Self
    where
        F: Future<Output = Result<Response, ApiError>> + 'static,
    {
        Self { database: None, state: TaskState::Running(task(route)) }
    }

    /// Runs the function that `start` makes from the body.
    pub fn with_body<R, F>(
        start: impl FnOnce(&mut Isolate<'_>, Received) -> Result<R, ApiError> + 'static,
    ) -> Self
    where
        R: FnOnce(Io) -> F + 'static,
        F: Future<Output = Result<Response, ApiError>> + 'static,
    {
        let make = |isolate: &mut Isolate<'_>, body| start(isolate, body).map(task);
        Self { database: None, state: TaskState::Body(Some(Box::new(make))) }
    }

    /// Names the database of the request, for the log and the share of memory.
    pub fn on(self, database: &str) -> Self {
        Self { database: Some(database.to_owned()), ..self }
    }
}

fn task<F>(route: impl FnOnce(Io) -> F) -> RouteTask
where
    F: Future<Output = Result<Response, ApiError>> + 'static,
{
    Task::new(|io| {
        let response = route(io);
        async move { Ok(response.await) }
    })
}

impl std::fmt::Debug for TaskHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskHandler").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Handler for TaskHandler {
    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn start(
        &mut self,
        _request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        body: Received,
    ) -> Result<(), ApiError> {
        if let TaskState::Body(make) = &mut self.state
            && let Some(make) = make.take()
        {
            self.state = TaskState::Running(make(isolate, body)?);
        }
        Ok(())
    }

    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let TaskState::Running(task) = &mut self.state else { return Ok(Action::End) };
        match task.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(response) => Ok(Action::Respond(response??)),
        }
    }
}

/// A response of JSON with a line end.
pub fn json_line(status: u16, body: &Value) -> Response {
    Response::json(status, format!("{body}\n"))
}
