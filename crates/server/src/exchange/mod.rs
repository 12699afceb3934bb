//! Processes one HTTP request from its head to the last byte of its response. The code never waits:
//! the host ([`super::drive`], a test or the browser) performs each [`Action`].
//!
//! Every request passes through the same steps: *identify* the caller, *locate* the bucket if the
//! request names it by id, *authorise*, receive the *body*, and *step* the route's responder until
//! the response is complete. The route's row in the table ([`super::routes`]) defines which steps
//! apply.

mod receive_body;

use std::rc::Rc;

use crate::action::Action;
use crate::auth::{self, AuthError};
use crate::body_parser::ParsedBody;
use crate::error::{ApiError, ApiResult, ErrorShape};
use crate::http::{Parameters, RequestHead};
use crate::isolate_state::{Isolate, Service};
use crate::latencies::{Spans, Wait};
use crate::log::{LogRequests, Record, trace_id};
use crate::params::Dialect;
use crate::routes::buckets::{bucket_not_found, find_bucket, policy_id};
use crate::routes::handler::{Admitted, Incoming, PendingRequest, RequestTarget, Responder, Start};
use crate::routes::{self, Access, Body, Operation, Route};
use crate::settings::CorsOrigins;
use crate::{foreign_origin, headers};
use receive_body::{BodyReading, InflatingBody};
use tidemark_coordinator::confirmations::confirm;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::identify::{self, AuthSource, Identification};
use tidemark_coordinator::logins::{FullCounter, LoginRefused};
use tidemark_coordinator::{Machine, Task, cloudflare_access as access};
use tidemark_engine::protocol::call::{Call, Platform, Reply, Step, counted};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::grant::Scope;
use tidemark_model::limits::ORIGIN_CHARS_MAX;
use tidemark_model::{bug, name};
use tidemark_query::admission::{SlowReader, Upload};

/// A request in progress.
pub struct Exchange {
    head: RequestHead,
    url: Parameters,
    id: Option<String>,
    /// `None` before routing.
    operation: Option<&'static Operation>,
    errors: ErrorShape,
    record: Record,
    spans: Spans,
    origins: Option<CorsOrigins>,
    caller: Principal,
    /// Whether the request has already called the databases of its statements to identify the
    /// caller.
    has_called_databases: bool,
    /// `None` before routing and after the body.
    pending: Option<PendingRequest>,
    responder: Option<Box<dyn Responder>>,
    stage: ExchangeStage,
    /// The registration of a piece that waits for the client.
    reader: Option<SlowReader>,
    confirm: Option<Task<()>>,
    /// The number of calls that the platform has counted so far.
    calls: usize,
}

/// The step that a request has reached.
enum ExchangeStage {
    Identify(Task<ApiResult<Principal>>),
    Locate(Task<Option<RequestTarget>>),
    Body(Upload<BodyReading>),
    Inflate(Box<InflatingBody>),
    Step,
    Finished,
}

/// Converts a bug into [`ApiError::Internal`].
fn catch<T>(step: impl FnOnce() -> ApiResult<T>) -> ApiResult<T> {
    bug::catch(step).unwrap_or_else(|bug| Err(ApiError::Internal(bug.to_string())))
}

impl Exchange {
    /// Starts a request from its head, and returns the first action.
    pub fn start(
        service: &mut Service,
        platform: &dyn Platform,
        head: RequestHead,
    ) -> (Self, Action) {
        let random = [platform.random_u64(), platform.random_u64()];
        let request_id = headers::request_id(&head, random);
        let found = routes::find(head.route());
        let errors_of_unknown = match head.route().starts_with("/api/v2/") {
            true => ErrorShape::V2,
            false => ErrorShape::Other,
        };
        let route = found.map(|(route, _)| route);
        let route_name = route.map_or(routes::OTHER, Route::log_name);
        let now_ns = platform.now_ns();
        let trace = head.header("traceparent").and_then(trace_id).map(str::to_owned);
        let record = Record::new(&request_id, &head.method, route_name, now_ns);
        let mut exchange = Self {
            errors: route.map_or(errors_of_unknown, |route| route.errors),
            id: found.and_then(|(_, id)| id).map(str::to_owned),
            operation: None,
            url: Parameters::default(),
            record: Record { trace, ..record },
            spans: Spans::new(now_ns),
            origins: service.settings.as_ref().ok().map(|s| s.cors_origins.clone()),
            head,
            caller: Principal::default(),
            has_called_databases: false,
            pending: None,
            responder: None,
            stage: ExchangeStage::Finished,
            reader: None,
            confirm: None,
            calls: 0,
        };
        let action =
            exchange.run(service, platform, |exchange, isolate| exchange.route(isolate, route));
        (exchange, action)
    }

    /// Ends a request whose client disconnected before the response was complete. Returns the calls
    /// that release the request's resources. The host may ignore the replies to these calls.
    pub fn abandon(&mut self) -> Vec<Call> {
        self.reader = None;
        self.record.error.get_or_insert("client went away");
        let calls = self.responder.as_mut().map_or_else(Vec::new, |responder| responder.abandon());
        self.finish();
        calls
    }

    /// Returns the next calls to make after the response was sent. `reply` is the reply to one of
    /// these calls, or `None` at the start.
    pub fn background_calls(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Vec<Call> {
        if reply.is_none() {
            self.confirm = self
                .caller
                .identity
                .clone()
                .map(|identity| Task::new(|io| async move { confirm(&io, &identity).await }));
        }
        let Some(confirm) = &mut self.confirm else { return Vec::new() };
        let calls = self.calls;
        match confirm.step(&mut Isolate { service, platform, calls }.context(), reply) {
            Step::Calls(calls) => calls,
            Step::Done(_) => Vec::new(),
        }
    }

    /// Records that a piece of the response starts to wait for the client at `now_ns`.
    pub fn begin_sending(&mut self, now_ns: i64) {
        let reservation = self.responder.as_mut().and_then(|responder| responder.reservation());
        self.reader = reservation.map(|reservation| reservation.wait_for_client(now_ns));
    }

    /// Records that the client received the piece. Returns `false` if the server stopped the
    /// response in the meantime.
    pub fn end_sending(&mut self) -> bool {
        let can_continue = !self.is_stopped();
        self.reader = None;
        can_continue
    }

    /// Whether the server stopped the response, because other requests needed its memory and its
    /// client read nothing for too long.
    pub fn is_stopped(&mut self) -> bool {
        let gone = self.reader.as_ref().is_some_and(|reader| reader.is_gone());
        if gone {
            self.record.error = Some("slow reader");
        }
        gone
    }

    /// Counts the request and returns its log line. The host must call this function after the last
    /// action.
    pub fn log_line(&self, service: &mut Service, platform: &dyn Platform) -> Option<String> {
        let (record, now_ns) = (&self.record, platform.now_ns());
        record.count(&mut service.write_counts);
        // A request with a status between 400 and 499 usually ends before it calls objects, so its
        // short duration would distort the histogram.
        if let (Some(durations), Some(database)) = (&mut service.durations, &record.database)
            && !(400..500).contains(&record.status)
        {
            durations.count(database, record.route, now_ns.saturating_sub(record.started_ns));
        }
        let which = service.settings.as_ref().map_or(LogRequests::All, |set| set.log_requests);
        record.line(which, service.write_counts, now_ns)
    }

    /// Processes the reply to a call, and returns the next action.
    pub fn reply(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Reply,
    ) -> Action {
        self.spans.end_wait(platform.now_ns());
        self.run(service, platform, |exchange, isolate| exchange.advance(isolate, Some(reply)))
    }

    /// Returns the next action after `Pause`, `Stream` or `Bytes`.
    pub fn proceed(&mut self, service: &mut Service, platform: &dyn Platform) -> Action {
        self.run(service, platform, |exchange, isolate| exchange.advance(isolate, None))
    }

    /// Runs a step of the request. An error of the step becomes the response, or ends a response
    /// that has begun.
    fn run(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        step: impl FnOnce(&mut Self, &mut Isolate<'_>) -> ApiResult<Action>,
    ) -> Action {
        let isolate = &mut Isolate { service, platform, calls: self.calls };
        let action = catch(|| step(self, isolate));
        let action = self.within_calls(platform, action);
        let action = action.or_else(|error| match &mut self.responder {
            Some(responder) if self.record.status > 0 => responder.fail(error),
            _ => Err(error),
        });
        self.complete_response(action)
    }

    /// Chooses the operation, and identifies the caller if the operation requires it.
    fn route(
        &mut self,
        isolate: &mut Isolate<'_>,
        route: Option<&'static Route>,
    ) -> ApiResult<Action> {
        if let Some(page) =
            self.origins.as_ref().and_then(|own| foreign_origin::foreign(&self.head, own))
        {
            return Err(ApiError::ForeignOrigin(page.chars().take(ORIGIN_CHARS_MAX).collect()));
        }
        if self.head.method == "OPTIONS" {
            return Ok(Action::Respond(headers::preflight()));
        }
        self.url = Parameters::parse(self.head.query.as_bytes())?;
        let settings = isolate.service.settings.as_ref();
        if self.url.filled("p").is_some() && settings.is_ok_and(|set| !set.url_credentials) {
            return Err(AuthError::InUrl.into());
        }
        let Some(route) = route else {
            return Err(ApiError::NoRoute(self.head.route().to_owned()));
        };
        let Some(operation) = route.operation(&self.head.method) else {
            let method = self.head.method.clone();
            return Err(ApiError::Method { method, allow: route.allow() });
        };
        self.operation = Some(operation);
        match operation.access {
            Access::Open => self.locate(isolate, operation),
            access => {
                let auth_source = self.auth_source(isolate, access);
                self.identify(isolate, auth_source)
            }
        }
    }

    /// Parses the parameters. Replaces the id of a bucket by its database and policy.
    fn locate(&mut self, isolate: &mut Isolate<'_>, operation: &Operation) -> ApiResult<Action> {
        if operation.access == Access::Admin && !self.caller.grants.admin {
            return self.refuse_caller(isolate, AuthError::not_admin(&self.caller));
        }
        let Self { head, url, id, caller, pending, .. } = self;
        let request = Incoming { head, url, id: id.as_deref(), caller };
        let pending = pending.insert((operation.begin)(&request)?);
        let (Some(bucket_id), Some(target)) = (pending.bucket_id, &mut pending.target) else {
            return self.authorise(isolate);
        };
        // A write confirms the id with a shard or with the Database. Other requests do not.
        let is_write = matches!(pending.start, Start::Lines { .. });
        if is_write && let Some((database, policy)) = isolate.service.cache.policy(bucket_id) {
            let (policy, policy_id) = (Some(policy), Some(bucket_id));
            *target = RequestTarget { database, policy, policy_id };
            return self.authorise(isolate);
        }
        self.stage = ExchangeStage::Locate(find_bucket(caller, bucket_id, &target.database));
        self.advance(isolate, None)
    }

    /// Checks the required permission. Then reads the body. If the operation has no body, starts
    /// the response.
    fn authorise(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        let Some(operation) = self.operation else { return Ok(Action::End) };
        let target = self.pending.as_ref().and_then(|pending| pending.target.as_ref());
        let scope = |permission, target: &RequestTarget| {
            self.caller.grants.scope(permission, &target.database)
        };
        let refused = match (operation.access, target) {
            (Access::Policy(permission), Some(target)) => {
                let is_covered = scope(permission, target).may_cover(target.policy.as_deref());
                (!is_covered)
                    .then(|| AuthError::forbidden(&self.caller, permission, &target.database))
            }
            (Access::Database(permission), Some(target)) => (scope(permission, target)
                != Scope::All)
                .then(|| AuthError::forbidden_database(&self.caller, permission, &target.database)),
            (Access::Policy(_) | Access::Database(_), None) => {
                Some(AuthError::not_admin(&self.caller))
            }
            // Admin access was checked before the URL was parsed. Access to statements is checked
            // when the statements are known.
            (Access::Open | Access::Known | Access::Admin | Access::Statements, _) => None,
        };
        if let Some(refusal) = refused {
            return self.refuse_caller(isolate, refusal);
        }
        if let Some(target) = target {
            self.record.database = Some(target.database.clone());
        }
        match operation.body {
            Body::None => self.start_response(isolate, Vec::new(), None),
            body => self.read_body(isolate, body),
        }
    }

    /// Starts the response. `lines` is the body of a write, and `bytes` any other body.
    fn start_response(
        &mut self,
        isolate: &mut Isolate<'_>,
        bytes: Vec<u8>,
        lines: Option<ParsedBody>,
    ) -> ApiResult<Action> {
        // The caller was identified before the body arrived. The body may have taken long, so the
        // identification may be outdated.
        let has_body = self.operation.is_some_and(|operation| operation.body != Body::None);
        self.caller.fresh &= self.caller.identity.is_none() || !has_body;
        let PendingRequest { target, start, .. } = self.pending.take().ok_or_else(ended)?;
        let target = target.unwrap_or_default();
        let Self { head, url, id, caller, record, .. } = self;
        let request = Incoming { head, url, id: id.as_deref(), caller };
        let admitted = Admitted { request, target, log_database: &mut record.database };
        self.responder = Some(match (start, lines) {
            (Start::Bytes(start), None) => start(admitted, isolate, bytes)?,
            (Start::Lines { start, .. }, Some(lines)) => start(admitted, isolate, lines)?,
            (Start::Lines { .. }, None) | (Start::Bytes(_), Some(_)) => {
                return Err(ApiError::Internal("the body has the wrong form".to_owned()));
            }
        });
        self.check_statements(isolate)
    }

    /// Runs the request's statements if the caller may run all of them. If not, no statement runs.
    fn check_statements(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        let Self { responder, caller, .. } = self;
        if let Some(responder) = responder
            && let Err(refusal) = responder.check_statements(caller)
        {
            return self.refuse_caller(isolate, refusal);
        }
        self.stage = ExchangeStage::Step;
        self.advance(isolate, None)
    }

    /// Continues the current stage.
    fn advance(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        match &mut self.stage {
            ExchangeStage::Identify(identify) => {
                self.caller = match identify.step(&mut isolate.context(), reply) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    Step::Done(principal) => principal??,
                };
                self.resume(isolate)
            }
            ExchangeStage::Locate(find) => {
                let found = match find.step(&mut isolate.context(), reply) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    Step::Done(found) => found?,
                };
                let pending = self.pending.as_mut().ok_or_else(ended)?;
                let target = pending.target.get_or_insert_default();
                *target = found.ok_or_else(|| bucket_not_found(&target.database))?;
                self.authorise(isolate)
            }
            ExchangeStage::Step => match &mut self.responder {
                Some(responder) => responder.step(isolate, reply),
                None => Ok(Action::End),
            },
            ExchangeStage::Inflate(_) => self.inflate(isolate),
            ExchangeStage::Body(_) | ExchangeStage::Finished => Ok(Action::End),
        }
    }

    /// Returns an error instead of calls that would exceed the platform's limit of calls per
    /// request. The platform would refuse such a call with an error that does not name the limit.
    fn within_calls(
        &mut self,
        platform: &dyn Platform,
        action: ApiResult<Action>,
    ) -> ApiResult<Action> {
        let Ok(Action::Calls(calls)) = &action else { return action };
        let (before, limits) = (self.calls, platform.limits());
        self.calls += counted(calls);
        if self.calls <= limits.calls_before_end() {
            return action;
        }
        let exceeded = limits.exceeded(Limit::Calls, before, self.calls);
        let advice = "use a shorter time range, or fewer databases or measurements";
        Err(ApiError::Limit(format!("{exceeded}: {advice}")))
    }

    fn complete_response(&mut self, action: ApiResult<Action>) -> Action {
        if matches!(action, Ok(Action::Respond(_) | Action::End) | Err(_)) {
            self.finish();
        }
        let mut action = action.unwrap_or_else(|error| {
            self.record.error = Some(error.class());
            // `pretty=true` of a query also applies to its errors.
            let pretty = self.url.get("pretty") == Some("true");
            Action::Respond(error.response_to(&self.head, self.errors, pretty))
        });
        self.spans.wait(match action {
            Action::ReadBody => Some(Wait::Body),
            Action::Calls(_) => Some(Wait::Objects),
            _ => None,
        });
        if let Action::Respond(response) | Action::Stream(response) = &mut action {
            self.record.status = response.status;
            headers::finish(response, &self.head, &self.record.id, self.origins.as_ref());
            response.headers.push(("Server-Timing", self.spans.server_timing().into()));
        }
        match action {
            // Cloudflare converts gRPC-Web to gRPC only in a response without Content-Length.
            Action::Respond(response)
                if self.errors == ErrorShape::Flight && !response.body.is_empty() =>
            {
                Action::Stream(response)
            }
            action => action,
        }
    }

    fn finish(&mut self) {
        self.stage = ExchangeStage::Finished;
        self.pending = None;
        if let Some(responder) = self.responder.take() {
            let outcome = responder.outcome();
            self.record.points = outcome.points;
            self.record.error = self.record.error.or(outcome.refusal);
        }
    }
}

fn ended() -> ApiError {
    ApiError::Internal("the request has already ended".to_owned())
}

/// Identifies the caller, and refuses a caller without permission.
impl Exchange {
    fn identify(
        &mut self,
        isolate: &mut Isolate<'_>,
        auth_source: AuthSource,
    ) -> ApiResult<Action> {
        let settings = isolate.settings()?;
        let credentials = match auth::credentials(&self.head, &self.url, settings) {
            Err(AuthError::Unauthorized) => return self.identify_by_access(isolate),
            credentials => credentials?,
        };
        if auth::is_admin(&credentials, settings) {
            self.caller = Principal::admin();
            return self.resume(isolate);
        }
        let address = self.head.header("cf-connecting-ip").unwrap_or_default().to_owned();
        let unknown = match self.errors {
            ErrorShape::Write(Dialect::V1) | ErrorShape::Query(Dialect::V1)
                if credentials.user.is_some() =>
            {
                AuthError::UnknownUser
            }
            _ => AuthError::Unauthorized,
        };
        let errors = self.errors;
        let identify = Task::new(move |io| async move {
            Ok(match identify::identify(&io, credentials, auth_source, &address).await {
                Ok(Identification::Known(principal)) => Ok(principal),
                Ok(Identification::Unknown) => Err(unknown.into()),
                Ok(Identification::LoginRefused(refusal)) => {
                    Err(rejected_login(refusal, errors).into())
                }
                // An unknown caller must not learn the names of shards or databases.
                Err(Error::Unavailable(reason)) => {
                    Err(AuthError::Unverified(reason.to_string()).into())
                }
                Err(error) => Err(error.into()),
            })
        });
        self.stage = ExchangeStage::Identify(identify);
        self.advance(isolate, None)
    }

    fn identify_by_access(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        let assertion = self.head.header(auth::ACCESS_ASSERTION);
        let (Some(application), Some(assertion)) = (&isolate.settings()?.access, assertion) else {
            return Err(AuthError::Unauthorized.into());
        };
        if !foreign_origin::is_same_origin(&self.head) {
            return Err(AuthError::Unauthorized.into());
        }
        let (application, assertion) = (Rc::clone(application), assertion.to_owned());
        let identify = Task::new(|io| async move {
            Ok(match access::check_assertion(&io, &application, &assertion).await? {
                access::AssertionResult::Admitted => Ok(Principal::admin()),
                access::AssertionResult::Refused => Err(AuthError::Unauthorized.into()),
                access::AssertionResult::Unverified(reason) => {
                    Err(AuthError::Unverified(reason).into())
                }
            })
        });
        self.stage = ExchangeStage::Identify(identify);
        self.advance(isolate, None)
    }

    /// Continues after the identification. If the caller was identified again because cached grants
    /// did not permit all statements, checks the statements again.
    fn resume(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        match self.operation {
            _ if self.responder.is_some() => self.check_statements(isolate),
            Some(operation) => self.locate(isolate, operation),
            None => Ok(Action::End),
        }
    }

    /// Returns the source that identifies the caller. If the request needs access to a policy or to
    /// statements, this is the database in the URL, because the shards of this database check the
    /// permission again. Otherwise it is the Catalog.
    fn auth_source(&self, isolate: &Isolate<'_>, access: Access) -> AuthSource {
        match access {
            Access::Policy(_) | Access::Statements => {}
            Access::Open | Access::Known | Access::Database(_) | Access::Admin => {
                return AuthSource::Catalog;
            }
        }
        let named = self.url.filled("bucket").or_else(|| self.url.filled("db"));
        let by_id = named.and_then(policy_id).and_then(|id| isolate.service.cache.policy(id));
        let name = by_id.map(|(database, _)| database);
        let name = name.or_else(|| named.map(|named| name::split_bucket(named).0.to_owned()));
        AuthSource::Databases(name.into_iter().collect())
    }

    /// Refuses the caller if the identification is fresh. Otherwise the refusal would be based on
    /// cached grants or on the replies of only some databases, so the request identifies the caller
    /// again. The request first calls the databases of the statements, if the cache knows all of
    /// them, and then the Catalog (PROTOCOL.md rule 6).
    fn refuse_caller(
        &mut self,
        isolate: &mut Isolate<'_>,
        refusal: AuthError,
    ) -> ApiResult<Action> {
        if self.caller.fresh {
            return Err(refusal.into());
        }
        let databases = self.responder.as_mut().map_or_else(Vec::new, |query| query.databases());
        let cache = &mut isolate.service.cache;
        let are_known = databases.iter().all(|name| cache.database(name).is_some());
        if !databases.is_empty()
            && are_known
            && !std::mem::replace(&mut self.has_called_databases, true)
        {
            return self.identify(isolate, AuthSource::Databases(databases));
        }
        self.identify(isolate, AuthSource::Catalog)
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
