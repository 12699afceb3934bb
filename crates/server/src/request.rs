//! Defines a request in progress, as the functions of the routes use it, and identifies its caller.

use std::cell::{Cell, Ref, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use crate::action::Action;
use crate::auth::{self, AuthError};
use crate::error::{ApiError, ApiResult, ErrorShape};
use crate::exchange::receive_body::BodyReading;
use crate::foreign_origin;
use crate::http::{Parameters, RequestHead};
use crate::isolate_state::Isolate;
use crate::log::Record;
use crate::params::Dialect;
use crate::settings::Settings;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::identify::{self, AuthSource, Identification};
use tidemark_coordinator::logins::{FullCounter, LoginRefused};
use tidemark_coordinator::session::{Cleanup, Session};
use tidemark_coordinator::{Io, Output, Pieces, cloudflare_access as access};
use tidemark_query::admission::{RequestReservation, Upload};

/// A request in progress. Clones refer to the same request.
#[derive(Clone)]
pub struct Request {
    state: Rc<RequestState>,
    /// Makes calls to objects.
    pub io: Io,
    host: Output<ApiResult<Action>>,
}

/// The state of a request, which its function shares with the exchange.
pub struct RequestState {
    /// The method, path and headers.
    pub head: RequestHead,
    /// The parameters of the request's URL.
    pub url: Parameters,
    /// The value of `{id}` in the route's path.
    pub id: Option<String>,
    /// The state of the isolate.
    pub isolate: Rc<Isolate>,
    /// The time after which the request fails, in nanoseconds.
    pub deadline_ns: Cell<Option<i64>>,
    /// The memory of the request's query.
    pub(crate) reservation: RefCell<RequestReservation>,
    /// The body that the host receives.
    pub(crate) body: RefCell<Option<Upload<BodyReading>>>,
    /// The calls to make after the request was cancelled.
    pub(crate) cleanup: Cleanup,
    pub(crate) errors: ErrorShape,
    /// Whether errors are indented.
    pub(crate) is_pretty: Cell<bool>,
    pub(crate) record: RefCell<Record>,
    caller: RefCell<Principal>,
}

impl Deref for Request {
    type Target = RequestState;

    fn deref(&self) -> &RequestState {
        &self.state
    }
}

impl RequestState {
    pub(crate) fn new(
        head: RequestHead,
        url: Parameters,
        id: Option<String>,
        isolate: Rc<Isolate>,
        errors: ErrorShape,
        record: Record,
    ) -> Self {
        Self {
            head,
            url,
            id,
            isolate,
            errors,
            record: RefCell::new(record),
            deadline_ns: Cell::default(),
            reservation: RefCell::default(),
            body: RefCell::default(),
            cleanup: Cleanup::default(),
            is_pretty: Cell::default(),
            caller: RefCell::default(),
        }
    }

    /// Returns a parameter of the URL, or an error with the message `missing` if the parameter is
    /// empty.
    pub fn required(&self, name: &str, missing: &str) -> ApiResult<String> {
        let value = self.url.filled(name).map(str::to_owned);
        value.ok_or_else(|| ApiError::Invalid(missing.to_owned()))
    }

    /// Returns the operator's settings, or the error of invalid settings.
    pub fn settings(&self) -> ApiResult<&Settings> {
        self.isolate.settings.as_ref().map_err(|error| error.clone().into())
    }

    /// Returns the caller. On an open route, the caller has no permissions.
    pub fn caller(&self) -> Ref<'_, Principal> {
        self.caller.borrow()
    }

    /// Sets the database for the log.
    pub fn log_database(&self, database: &Option<String>) {
        self.record.borrow_mut().database.clone_from(database);
    }

    /// Records the number of stored points for the log, and the class of the error, if the write was
    /// partly refused.
    pub fn log_write(&self, points: u64, refusal: Option<&'static str>) {
        let record = &mut *self.record.borrow_mut();
        (record.points, record.error) = (points, refusal);
    }

    /// The caller was identified before the body arrived. The body may have taken long, so the
    /// identification may be outdated.
    pub(crate) fn doubt_caller(&self) {
        let caller = &mut *self.caller.borrow_mut();
        caller.fresh &= caller.identity.is_none();
    }
}

/// A response in progress: the actions of the host that send it, or an error.
pub(crate) type Actions = Pieces<ApiResult<Action>>;

impl Request {
    /// Returns the handle of a request that emits its actions to `host`.
    pub(crate) fn new(state: Rc<RequestState>, io: Io, host: Output<ApiResult<Action>>) -> Self {
        Self { state, io, host }
    }

    /// Runs `serve` as a response to this request whose actions another function performs.
    pub(crate) fn nested<F>(&self, serve: impl FnOnce(Self) -> F + 'static) -> Actions
    where
        F: Future<Output = ApiResult<Action>> + 'static,
    {
        let state = Rc::clone(&self.state);
        Pieces::new(|io, host| Self { state, io, host }.respond(serve))
    }

    /// Runs `serve`, which emits actions and returns the last action. Emits the last action.
    pub(crate) async fn respond<F>(self, serve: impl FnOnce(Self) -> F) -> Result<(), Error>
    where
        F: Future<Output = ApiResult<Action>>,
    {
        let host = self.host.clone();
        let last = serve(self).await;
        host.emit(last).await;
        Ok(())
    }

    /// Passes an action to the host, and waits until the host has performed it.
    pub(crate) async fn perform(&self, action: Action) {
        self.host.emit(Ok(action)).await;
    }

    /// Returns the current time, in nanoseconds.
    pub fn now_ns(&self) -> ApiResult<i64> {
        Ok(self.io.now_ns()?)
    }

    /// Returns the session of the caller's statements at the time `now_ns`.
    pub fn session(&self, database: Option<String>, policy: Option<String>) -> ApiResult<Session> {
        Ok(Session {
            database,
            policy,
            now_ns: self.now_ns()?,
            principal: self.caller().clone(),
            reservation: self.reservation.borrow().clone(),
            cleanup: Rc::clone(&self.cleanup),
            ..Session::default()
        })
    }

    /// Checks a permission of the caller with `check`. A refusal that is based on cached grants, or
    /// on the replies of only some databases, is not final: the function then identifies the caller
    /// again. It first calls `databases`, if the cache knows all of them, and then the Catalog
    /// (PROTOCOL.md rule 6).
    pub async fn authorise(
        &self,
        databases: impl FnOnce() -> Vec<String>,
        check: impl Fn(&Principal) -> Result<(), AuthError>,
    ) -> ApiResult<()> {
        let Err(mut refusal) = check(&self.caller()) else { return Ok(()) };
        if self.caller().fresh {
            return Err(refusal.into());
        }
        let databases = databases();
        let are_known = self
            .io
            .with(|context| databases.iter().all(|name| context.cache.database(name).is_some()))?;
        let of_databases = !databases.is_empty() && are_known;
        let of_databases = of_databases.then_some(AuthSource::Databases(databases));
        for source in of_databases.into_iter().chain([AuthSource::Catalog]) {
            self.identify(source).await?;
            match check(&self.caller()) {
                Ok(()) => return Ok(()),
                Err(error) => refusal = error,
            }
            if self.caller().fresh {
                break;
            }
        }
        Err(refusal.into())
    }

    /// Identifies the caller by the credentials in the request.
    pub(crate) async fn identify(&self, source: AuthSource) -> ApiResult<()> {
        let settings = self.settings()?;
        let caller = match auth::credentials(&self.head, &self.url, settings) {
            Err(AuthError::Unauthorized) => self.identify_by_access().await?,
            credentials => {
                let credentials = credentials?;
                match auth::is_admin(&credentials, settings) {
                    true => Principal::admin(),
                    false => self.look_up(credentials, source).await?,
                }
            }
        };
        self.caller.replace(caller);
        Ok(())
    }

    async fn look_up(
        &self,
        credentials: identify::Credentials,
        source: AuthSource,
    ) -> ApiResult<Principal> {
        let address = self.head.header("cf-connecting-ip").unwrap_or_default();
        let unknown = match self.errors {
            ErrorShape::Write(Dialect::V1) | ErrorShape::Query(Dialect::V1)
                if credentials.user.is_some() =>
            {
                AuthError::UnknownUser
            }
            _ => AuthError::Unauthorized,
        };
        match identify::identify(&self.io, credentials, source, address).await {
            Ok(Identification::Known(principal)) => Ok(principal),
            Ok(Identification::Unknown) => Err(unknown.into()),
            Ok(Identification::LoginRefused(refusal)) => {
                Err(rejected_login(refusal, self.errors).into())
            }
            // An unknown caller must not learn the names of shards or databases.
            Err(Error::Unavailable(reason)) => {
                Err(AuthError::Unverified(reason.to_string()).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn identify_by_access(&self) -> ApiResult<Principal> {
        let assertion = self.head.header(auth::ACCESS_ASSERTION);
        let (Some(application), Some(assertion)) = (&self.settings()?.access, assertion) else {
            return Err(AuthError::Unauthorized.into());
        };
        if !foreign_origin::is_same_origin(&self.head) {
            return Err(AuthError::Unauthorized.into());
        }
        match access::check_assertion(&self.io, application, assertion).await? {
            access::AssertionResult::Admitted => Ok(Principal::admin()),
            access::AssertionResult::Refused => Err(AuthError::Unauthorized.into()),
            access::AssertionResult::Unverified(reason) => {
                Err(AuthError::Unverified(reason).into())
            }
        }
    }
}

/// Returns the error for a login that must wait. The error has status 401 or 503 on `/write`,
/// because 1.x's write clients drop a batch on status 429.
fn rejected_login(
    LoginRefused { by, retry_after_s }: LoginRefused,
    errors: ErrorShape,
) -> AuthError {
    match by {
        FullCounter::Name if errors == ErrorShape::Write(Dialect::V1) => AuthError::UnknownUser,
        FullCounter::Name => AuthError::TooManyFailures { retry_after_s },
        FullCounter::Address | FullCounter::Table => AuthError::LoginsWait { retry_after_s },
    }
}
