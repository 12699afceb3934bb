//! Processes one HTTP request from its head to the last byte of its response. The code never waits:
//! the host (`edge/`, a test or the browser) performs each [`Action`].
//!
//! Every request passes through the same steps: *identify → locate → authorise → body → step →
//! respond*. The route's row in the table ([`super::routes`]) and the route's responder define the
//! differences between requests.

mod identify;
mod receive_body;
mod slow_reader;

use super::action::Action;
use super::auth::AuthError;
use super::durations::TimedKind;
use super::error::{ApiError, ApiResult};
use super::error_body::ErrorShape;
use super::foreign_origin;
use super::headers;
use super::http::{Parameters, RequestHead};
use super::isolate_state::{Isolate, Service};
use super::log::{LogRequests, Record};
use super::routes::handler::{
    Admitted, BodyBytes, Incoming, PendingRequest, QueryResponder, Responder, Start,
};
use super::routes::{self, Access, Body, Operation};
use super::settings::CorsOrigins;
use super::spans::{Spans, Wait, trace_id};
use super::write_body::Parsed;
use crate::admission::{SlowReader, Upload};
use crate::coordinator::cloudflare_access as access;
use crate::coordinator::confirmations::confirm;
use crate::coordinator::grants::Principal;
use crate::coordinator::identify::Verdict;
use crate::coordinator::{Machine, Task};
use crate::model::bug;
use crate::model::configurable_limits::Limit;
use crate::model::grant::Scope;
use crate::model::limits::ORIGIN_CHARS_MAX;
use crate::protocol::call::{Call, Platform, Reply, Step, counted};
use receive_body::BodyReading;

/// A request in progress.
#[derive(Debug)]
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
    /// Whether the request already called the statements' databases to identify the caller.
    asked_named: bool,
    /// `None` before routing and after the body.
    pending: Option<PendingRequest>,
    responder: Option<Box<dyn Responder>>,
    stage: ExchangeStage,
    /// The registration of a response that is waiting for its reader.
    reader: Option<SlowReader>,
    confirm: Option<Task<()>>,
    /// The number of calls that the platform has counted so far.
    calls: usize,
    /// Whether the host has received the head of the response.
    has_begun: bool,
}

#[derive(Debug)]
enum ExchangeStage {
    Identify(Task<Verdict>, Point),
    Access(Task<access::Verdict>, Point),
    Locate,
    Body(Upload<BodyReading>),
    Step,
    Finished,
}

/// The complete body of a request.
enum Received {
    Bytes(BodyBytes),
    /// The lines of the body as columns.
    Lines(Parsed),
}

/// Converts a bug into [`ApiError::Internal`].
fn catch<T>(step: impl FnOnce() -> ApiResult<T>) -> ApiResult<T> {
    bug::catch(step).unwrap_or_else(|bug| Err(ApiError::Internal(bug.to_string())))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Beginning,
    /// The second check of the statements, after the known grants of the caller did not permit all
    /// statements.
    Statements,
}

impl Exchange {
    /// Starts a request from its head, and returns the first action.
    pub fn start(
        service: &mut Service,
        platform: &dyn Platform,
        head: RequestHead,
    ) -> (Self, Action) {
        let fresh = [platform.random_u64(), platform.random_u64()];
        let request_id = headers::request_id(&head, fresh);
        let found = routes::find(head.route());
        let route_name = routes::log_name(head.route());
        let now_ns = platform.now_ns();
        let trace = head.header("traceparent").and_then(trace_id).map(str::to_owned);
        let record = Record::new(&request_id, &head.method, route_name, now_ns);
        let mut exchange = Self {
            errors: found.map_or(ErrorShape::Other, |(route, _)| route.errors),
            id: found.and_then(|(_, id)| id).map(str::to_owned),
            operation: None,
            url: Parameters::parse(head.query.as_bytes()),
            record: Record { trace, ..record },
            spans: Spans::new(now_ns),
            origins: service.settings.as_ref().ok().map(|s| s.cors_origins.clone()),
            head,
            caller: Principal::default(),
            asked_named: false,
            pending: None,
            responder: None,
            stage: ExchangeStage::Finished,
            reader: None,
            confirm: None,
            calls: 0,
            has_begun: false,
        };
        let isolate = &mut Isolate { service, platform, calls: 0 };
        let action = catch(|| exchange.enter(isolate));
        let action = exchange.within_calls(platform, action);
        let action = exchange.complete_response(action);
        (exchange, action)
    }

    /// Frees the request's memory after the client disconnected before the end of its body.
    pub fn client_disconnected(&mut self) {
        self.finish();
        self.record.error = Some("client went away");
    }

    /// Ends a request whose client disconnected before the response was complete. Returns the calls
    /// that release the request's resources. The host may ignore the replies to these calls.
    pub fn abandon(&mut self) -> Vec<Call> {
        self.reader = None;
        self.record.error.get_or_insert("client went away");
        let calls = self.query().map_or_else(Vec::new, |query| query.abandon());
        self.finish();
        calls
    }

    /// Returns the calls to make after the response was sent. The replies to these calls go to
    /// [`Exchange::on_background_reply`].
    pub fn background_calls(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
    ) -> Vec<Call> {
        self.confirm = self.caller.caller.clone().map(confirm);
        self.confirm_step(service, platform, None)
    }

    /// Processes the reply to a call of [`Exchange::background_calls`].
    pub fn on_background_reply(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Reply,
    ) -> Vec<Call> {
        self.confirm_step(service, platform, Some(reply))
    }

    fn confirm_step(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Vec<Call> {
        let Some(confirm) = &mut self.confirm else { return Vec::new() };
        let calls = self.calls;
        match confirm.step(&mut Isolate { service, platform, calls }.context(), reply) {
            Step::Calls(calls) => calls,
            Step::Done(_) => Vec::new(),
        }
    }

    /// Refuses a request whose body stalled, and frees the request's memory.
    pub fn body_stalled(&mut self) -> Action {
        self.refuse(ApiError::Stalled)
    }

    /// Counts the request and returns its log line. The host must call this function after the last
    /// action.
    pub fn log_line(&self, service: &mut Service, platform: &dyn Platform) -> Option<String> {
        self.record.count(&mut service.write_counts);
        self.count_duration(service, platform.now_ns());
        let which = service.settings.as_ref().map_or(LogRequests::All, |set| set.log_requests);
        self.record.line(which, service.write_counts, platform.now_ns())
    }

    /// Ignores a request with a status between 400 and 499, because such a request hardly waits.
    fn count_duration(&self, service: &mut Service, now_ns: i64) {
        let Record { database, status, started_ns, route, .. } = &self.record;
        let counted = service.durations.as_mut().filter(|_| !(400..500).contains(status));
        if let (Some(durations), Some(database)) = (counted, database)
            && let Some(kind) = TimedKind::of(route)
        {
            durations.count(database, kind, now_ns.saturating_sub(*started_ns));
        }
    }

    /// Processes the reply to a call, and returns the next action.
    pub fn reply(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Reply,
    ) -> Action {
        self.spans.end_wait(platform.now_ns());
        self.next_action(service, platform, Some(reply))
    }

    /// Returns the next action after `Stream` or `Bytes`.
    pub fn proceed(&mut self, service: &mut Service, platform: &dyn Platform) -> Action {
        self.next_action(service, platform, None)
    }

    fn next_action(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Action {
        let calls = self.calls;
        let isolate = &mut Isolate { service, platform, calls };
        let action = catch(|| self.advance(isolate, reply));
        let action = self.within_calls(platform, action).or_else(|error| self.fail(error));
        self.complete_response(action)
    }

    fn enter(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        if let Some(page) =
            self.origins.as_ref().and_then(|own| foreign_origin::foreign(&self.head, own))
        {
            return Err(ApiError::ForeignOrigin(page.chars().take(ORIGIN_CHARS_MAX).collect()));
        }
        if self.head.method == "OPTIONS" {
            return Ok(Action::Respond(headers::preflight()));
        }
        let settings = isolate.service.settings.as_ref();
        if self.url.filled("p").is_some() && settings.is_ok_and(|set| !set.url_credentials) {
            return Err(AuthError::InUrl.into());
        }
        let path = self.head.route();
        let Some((route, _)) = routes::find(path) else {
            return Err(ApiError::NoRoute(path.to_owned()));
        };
        let Some(operation) = route.operation(&self.head.method) else {
            let method = self.head.method.clone();
            return Err(ApiError::Method { method, allow: route.allow() });
        };
        self.operation = Some(operation);
        match operation.access {
            Access::Open => self.begin(isolate, operation),
            access => {
                let auth_source = self.auth_source(isolate, access);
                self.identify(isolate, auth_source, Point::Beginning)
            }
        }
    }

    fn begin(&mut self, isolate: &mut Isolate<'_>, operation: &Operation) -> ApiResult<Action> {
        if operation.access == Access::Admin && !self.caller.grants.admin {
            let refusal = AuthError::not_admin(&self.caller);
            return self.refuse_caller(isolate, refusal, Point::Beginning);
        }
        let Self { head, url, id, caller, .. } = self;
        let request = Incoming { head, url, id: id.as_deref(), caller };
        self.pending = Some((operation.begin)(&request)?);
        self.locate(isolate, None)
    }

    fn locate(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        let Self { head, url, id, caller, pending, .. } = self;
        let request = Incoming { head, url, id: id.as_deref(), caller };
        let pending = pending.as_mut().ok_or_else(ended)?;
        match pending.locate(&request, isolate, reply)? {
            Step::Calls(calls) => {
                self.stage = ExchangeStage::Locate;
                Ok(Action::Calls(calls))
            }
            Step::Done(()) => self.authorise(isolate),
        }
    }

    fn authorise(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        let Some(operation) = self.operation else { return Ok(Action::End) };
        let place = self.pending.as_ref().and_then(|pending| pending.target.as_ref());
        let refused = match (operation.access, place) {
            (Access::Policy(right), Some(place)) => {
                let scope = self.caller.grants.scope(right, &place.database);
                let may = scope.may_cover(place.policy.as_deref());
                (!may).then(|| AuthError::forbidden(&self.caller, right, &place.database))
            }
            (Access::Database(right), Some(place)) => {
                let scope = self.caller.grants.scope(right, &place.database);
                let may = scope == Scope::All;
                (!may).then(|| AuthError::forbidden_database(&self.caller, right, &place.database))
            }
            (Access::Policy(_) | Access::Database(_), None) => {
                Some(AuthError::not_admin(&self.caller))
            }
            // The exchange checked these kinds of access before it parsed the request, or checks
            // them when the statements are known.
            (Access::Open | Access::Known | Access::Admin | Access::Statements, _) => None,
        };
        if let Some(refusal) = refused {
            return self.refuse_caller(isolate, refusal, Point::Beginning);
        }
        if let Some(target) = place {
            self.record.database = Some(target.database.clone());
        }
        match operation.body {
            Body::None => self.act(isolate, Received::Bytes(BodyBytes::default())),
            body => self.read_body(isolate, body),
        }
    }

    fn act(&mut self, isolate: &mut Isolate<'_>, body: Received) -> ApiResult<Action> {
        // The body may have arrived long after the identification, so the identification is no
        // longer fresh.
        let has_body = self.operation.is_some_and(|operation| operation.body != Body::None);
        self.caller.fresh &= self.caller.caller.is_none() || !has_body;
        let PendingRequest { target, start, .. } = self.pending.take().ok_or_else(ended)?;
        let Self { head, url, id, caller, record, .. } = self;
        let request = Incoming { head, url, id: id.as_deref(), caller };
        let admitted = Admitted { request, target, log_database: &mut record.database };
        self.responder = Some(match (start, body) {
            (Start::Bytes(start), Received::Bytes(bytes)) => start(admitted, isolate, bytes)?,
            (Start::Lines { start, .. }, Received::Lines(lines)) => {
                start(admitted, isolate, lines)?
            }
            (Start::Bytes(_), Received::Lines(_)) | (Start::Lines { .. }, Received::Bytes(_)) => {
                return Err(ApiError::Internal("the body has the wrong form".to_owned()));
            }
        });
        self.check_statements(isolate)
    }

    /// Runs the request's statements if the caller may run all of them. If not, no statement runs.
    fn check_statements(&mut self, isolate: &mut Isolate<'_>) -> ApiResult<Action> {
        let Self { responder, caller, .. } = self;
        if let Some(query) = responder.as_mut().and_then(|responder| responder.query())
            && let Err(refusal) = query.check_statements(caller)
        {
            return self.refuse_caller(isolate, refusal, Point::Statements);
        }
        self.stage = ExchangeStage::Step;
        self.advance(isolate, None)
    }

    fn advance(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        match self.stage {
            ExchangeStage::Identify(..) => self.identify_step(isolate, reply),
            ExchangeStage::Access(..) => self.access_step(isolate, reply),
            ExchangeStage::Locate => self.locate(isolate, reply),
            ExchangeStage::Step => match &mut self.responder {
                Some(responder) => responder.step(isolate, reply),
                None => Ok(Action::End),
            },
            ExchangeStage::Body(_) | ExchangeStage::Finished => Ok(Action::End),
        }
    }

    /// Ends the request before the platform would refuse a call, because the platform's error would
    /// not name the limit.
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
        let advice = "name fewer databases or measurements, or a shorter time range";
        Err(ApiError::Limit(format!("{exceeded}: {advice}")))
    }

    /// Lets the responder end a response that has begun.
    fn fail(&mut self, error: ApiError) -> ApiResult<Action> {
        let has_begun = self.has_begun;
        match self.query() {
            Some(query) if has_begun => query.fail(error),
            _ => Err(error),
        }
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
            self.has_begun = true;
            self.record.status = response.status;
            headers::finish(response, &self.head, &self.record.id, self.origins.as_ref());
            response.headers.push(("Server-Timing".into(), self.spans.server_timing()));
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

    fn query(&mut self) -> Option<&mut dyn QueryResponder> {
        self.responder.as_mut()?.query()
    }

    fn refuse(&mut self, error: ApiError) -> Action {
        self.complete_response(Err(error))
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
