//! Processes one HTTP request from its head to the last byte of its response. [`serve`] is the
//! function that does this. It never waits: the host ([`super::drive`], a test or the browser)
//! performs each [`Action`] that the [`Exchange`] returns.

pub(crate) mod receive_body;

use std::rc::Rc;

use crate::action::Action;
use crate::auth::AuthError;
use crate::error::{ApiError, ApiResult, ErrorShape};
use crate::grpc_web::{self, Form};
use crate::http::{Parameters, RequestHead};
use crate::isolate_state::Service;
use crate::latencies::{Spans, Wait};
use crate::log::{LogRequests, Record, trace_id};
use crate::params::ParamsError;
use crate::request::{Request, RequestState};
use crate::routes::buckets::{find_bucket, policy_id};
use crate::routes::handler::{PendingRequest, RequestTarget, Start};
use crate::routes::{self, Access, Operation, Route};
use crate::{foreign_origin, headers};
use receive_body::{read_bytes, read_lines};
use tidemark_coordinator::confirmations::confirm;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::identify::AuthSource;
use tidemark_coordinator::{Output, Task, counted};
use tidemark_engine::protocol::call::{Call, Platform, Reply, Step};
use tidemark_engine::protocol::round::{Request as CallRequest, Round};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::grant::Scope;
use tidemark_model::limits::ORIGIN_CHARS_MAX;
use tidemark_model::name;
use tidemark_query::admission::SlowReader;

/// Processes a request: chooses the operation, identifies the caller, replaces the id of a bucket,
/// checks the permission, receives the body, and runs the function of the route. Emits the actions
/// of the host, and returns the last action.
async fn serve(
    request: Request,
    route: Option<&'static Route>,
    url: Result<(), ParamsError>,
) -> ApiResult<Action> {
    let Some(operation) = choose(&request, route, url)? else {
        return Ok(Action::Respond(headers::preflight()));
    };
    identify(&request, operation.access).await?;
    let PendingRequest { target, bucket_id, start } = (operation.begin)(&request)?;
    let target = match (target, bucket_id) {
        (Some(target), Some(id)) => {
            let is_write = matches!(start, Start::Lines { .. });
            Some(find_bucket(&request, id, target.database, is_write).await?)
        }
        (target, _) => target,
    };
    authorise(&request, operation.access, target.as_ref()).await?;
    let target = target.unwrap_or_default();
    match start {
        Start::Bytes(start) => {
            let body = read_bytes(&request, operation.body).await?;
            start(request, target, body).await
        }
        Start::Lines { dialect, precision, start } => {
            let body = read_lines(&request, dialect, precision).await?;
            start(request, target, body).await
        }
    }
}

/// Returns the operation, or `None` for a request that asks which operations are possible.
fn choose(
    request: &Request,
    route: Option<&'static Route>,
    url: Result<(), ParamsError>,
) -> ApiResult<Option<&'static Operation>> {
    let (head, settings) = (&request.head, request.isolate.settings.as_ref());
    let origins = settings.ok().map(|settings| &settings.cors_origins);
    if let Some(page) = origins.and_then(|own| foreign_origin::foreign(head, own)) {
        return Err(ApiError::ForeignOrigin(page.chars().take(ORIGIN_CHARS_MAX).collect()));
    }
    if head.method == "OPTIONS" {
        return Ok(None);
    }
    url?;
    // `pretty=true` of a query also applies to its errors.
    request.is_pretty.set(request.url.get("pretty") == Some("true"));
    if request.url.filled("p").is_some() && settings.is_ok_and(|set| !set.url_credentials) {
        return Err(AuthError::InUrl.into());
    }
    let Some(route) = route else {
        return Err(ApiError::NoRoute(head.route().to_owned()));
    };
    let Some(operation) = route.operation(&head.method) else {
        let method = head.method.clone();
        return Err(ApiError::Method { method, allow: route.allow() });
    };
    Ok(Some(operation))
}

/// Identifies the caller. If the request needs access to a policy or to statements, the database in
/// the URL may do this, because the shards of this database check the permission again. Otherwise
/// the Catalog does it.
async fn identify(request: &Request, access: Access) -> ApiResult<()> {
    match access {
        Access::Open => Ok(()),
        Access::Known | Access::Database(_) => request.identify(AuthSource::Catalog).await,
        Access::Admin => {
            request.identify(AuthSource::Catalog).await?;
            let check = |caller: &Principal| match caller.grants.admin {
                true => Ok(()),
                false => Err(AuthError::not_admin(caller)),
            };
            request.authorise(Vec::new, check).await
        }
        Access::Policy(_) | Access::Statements => {
            let named = request.url.filled("bucket").or_else(|| request.url.filled("db"));
            let id = named.and_then(policy_id);
            let by_id = request.io.with(|context| context.cache.policy(id?))?;
            let name = by_id.map(|(database, _)| database);
            let name = name.or_else(|| named.map(|named| name::split_bucket(named).0.to_owned()));
            let source = match (access, name) {
                // The route may select the only database of the caller, whose permissions must
                // therefore be complete.
                (Access::Policy(_), None) => AuthSource::Catalog,
                (_, name) => AuthSource::Databases(name.into_iter().collect()),
            };
            request.identify(source).await
        }
    }
}

/// Checks the permission on the target. [`identify`] has checked access of administrators. Access
/// to statements is checked when the statements are known.
async fn authorise(
    request: &Request,
    access: Access,
    target: Option<&RequestTarget>,
) -> ApiResult<()> {
    let check = |caller: &Principal| match (access, target) {
        (Access::Policy(permission), Some(RequestTarget { database, policy, .. })) => {
            match caller.grants.scope(permission, database).may_cover(policy.as_deref()) {
                true => Ok(()),
                false => Err(AuthError::forbidden(caller, permission, database)),
            }
        }
        (Access::Database(permission), Some(RequestTarget { database, .. })) => {
            match caller.grants.scope(permission, database) {
                Scope::All => Ok(()),
                _ => Err(AuthError::forbidden_database(caller, permission, database)),
            }
        }
        (Access::Policy(_) | Access::Database(_), None) => Err(AuthError::not_admin(caller)),
        (Access::Open | Access::Known | Access::Admin | Access::Statements, _) => Ok(()),
    };
    request.authorise(Vec::new, check).await?;
    if let Some(target) = target {
        request.log_database(&Some(target.database.clone()));
    }
    Ok(())
}

/// A request in progress.
pub struct Exchange {
    request: Rc<RequestState>,
    /// The function that responds. `None` after the last action.
    response: Option<Task<()>>,
    /// The action that the function has emitted.
    emitted: Output<ApiResult<Action>>,
    spans: Spans,
    /// The registration of a piece that waits for the client.
    reader: Option<SlowReader>,
    background: Option<Task<()>>,
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
        let (database, path) = routes::split_database(head.route());
        let found = routes::find(path);
        let errors_of_unknown = match path.starts_with("/api/v2/") {
            true => ErrorShape::V2,
            false => ErrorShape::Other,
        };
        let route = found.map(|(route, _)| route);
        let id = found.and_then(|(_, id)| id).map(str::to_owned);
        let errors = route.map_or(errors_of_unknown, |route| route.errors);
        let route_name = route.map_or(routes::OTHER, Route::log_name);
        let now_ns = platform.now_ns();
        let trace = head.header("traceparent").and_then(trace_id).map(str::to_owned);
        let record = Record::new(&request_id, &head.method, route_name, now_ns);
        let record = Record { trace, ..record };
        let (url, parsed) = match Parameters::parse(head.query.as_bytes()) {
            Ok(url) => (url.with_database_of_path(database), Ok(())),
            Err(error) => (Parameters::default(), Err(error)),
        };
        let isolate = Rc::clone(&service.isolate);
        let request = Rc::new(RequestState::new(head, url, id, isolate, errors, record));
        let emitted = Output::default();
        let response = Task::new(|io| {
            io.limit_calls(platform.limits().calls_before_end());
            let request = Request::new(Rc::clone(&request), io, emitted.clone());
            request.respond(move |request| serve(request, route, parsed))
        });
        let (response, spans) = (Some(response), Spans::new(now_ns));
        let mut exchange =
            Self { request, response, emitted, spans, reader: None, background: None };
        let action = exchange.step(service, platform, None);
        (exchange, action)
    }

    /// Ends a request whose client disconnected before the response was complete. Returns the calls
    /// that release the request's resources. The host may ignore the replies to these calls.
    pub fn abandon(&mut self) -> Vec<Call> {
        self.reader = None;
        self.request.record.borrow_mut().error.get_or_insert("client went away");
        self.finish();
        Round::default().start(self.request.cleanup.take())
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
            let (cleanup, identity) =
                (self.request.cleanup.take(), self.request.caller().identity.clone());
            let has_calls = !cleanup.is_empty() || identity.is_some();
            self.background = has_calls.then(|| {
                Task::new(|io| async move {
                    if !cleanup.is_empty() {
                        io.calls(cleanup).await;
                    }
                    match identity {
                        Some(identity) => confirm(&io, &identity).await,
                        None => Ok(()),
                    }
                })
            });
        }
        let Some(background) = &mut self.background else { return Vec::new() };
        match background.step(&mut service.context(platform), reply) {
            Step::Calls(calls) => calls,
            Step::Done(_) => Vec::new(),
        }
    }

    /// Records that a piece of the response starts to wait for the client at `now_ns`.
    pub fn begin_sending(&mut self, now_ns: i64) {
        let reservation = self.request.reservation.borrow();
        self.reader = reservation.get().map(|reservation| reservation.wait_for_client(now_ns));
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
            self.request.record.borrow_mut().error = Some("slow reader");
        }
        gone
    }

    /// Counts the request and returns its log line. The host must call this function after the last
    /// action.
    pub fn log_line(&self, service: &mut Service, platform: &dyn Platform) -> Option<String> {
        let (record, now_ns) = (self.request.record.borrow(), platform.now_ns());
        let mut counts = service.write_counts.get();
        record.count(&mut counts);
        service.write_counts.set(counts);
        // A request with a status between 400 and 499 usually ends before it calls objects, so its
        // short duration would distort the histogram.
        if let (Some(durations), Some(database)) = (&service.durations, &record.database)
            && !(400..500).contains(&record.status)
        {
            let duration_ns = now_ns.saturating_sub(record.started_ns);
            durations.borrow_mut().count(database, record.route, duration_ns);
        }
        let which = service.settings.as_ref().map_or(LogRequests::All, |set| set.log_requests);
        record.line(which, counts, now_ns)
    }

    /// Refuses a request with an unusable body, and frees the request's memory.
    pub fn refuse(&mut self, error: ApiError) -> Action {
        self.prepare(Err(error))
    }

    /// Runs the request until the host must perform an action. `reply` is the reply to one of the
    /// request's calls, or `None` after any other action.
    pub fn step(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Action {
        self.spans.end_wait(platform.now_ns());
        let Some(response) = &mut self.response else { return Action::End };
        let step = response.step(&mut service.context(platform), reply);
        let action = match (step, self.emitted.take()) {
            (_, Some(action)) => action,
            (Step::Calls(calls), None) => match response.refused_calls() {
                None => Ok(Action::Calls(calls)),
                Some(refused) => Err(too_many_calls(platform, response.calls_made(), &refused)),
            },
            (Step::Done(Ok(())), None) => return Action::End,
            (Step::Done(Err(error)), None) => Err(error.into()),
        };
        let is_late = |deadline_ns: i64| platform.now_ns() >= deadline_ns;
        self.prepare(match self.request.deadline_ns.get().is_some_and(is_late) {
            true if action != Ok(Action::End) => Err(ApiError::Deadline),
            _ => action,
        })
    }

    /// Completes an action for the host. An error becomes the response, or ends a response that has
    /// begun.
    fn prepare(&mut self, action: ApiResult<Action>) -> Action {
        if matches!(action, Ok(Action::Respond(_) | Action::End) | Err(_)) {
            self.finish();
        }
        let request = &*self.request;
        let mut record = request.record.borrow_mut();
        let mut action = action.unwrap_or_else(|error| {
            record.error = Some(error.class());
            match Form::of_request(&request.head) {
                // The trailers contain the error, so that a truncated response never looks complete.
                Some(form) if record.status > 0 && request.errors == ErrorShape::Flight => {
                    let mut frames = Vec::new();
                    grpc_web::end(&mut frames, error.grpc_code(), &error.to_string());
                    Action::Bytes(form.encode(frames))
                }
                _ => Action::Respond(error.response_to(
                    &request.head,
                    request.errors,
                    request.is_pretty.get(),
                )),
            }
        });
        self.spans.wait(match action {
            Action::ReadBody => Some(Wait::Body),
            Action::Calls(_) => Some(Wait::Objects),
            _ => None,
        });
        if let Action::Respond(response) | Action::Stream(response) = &mut action {
            record.status = response.status;
            let origins = request.isolate.settings.as_ref().ok().map(|set| &set.cors_origins);
            headers::finish(response, &request.head, &record.id, origins);
            response.headers.push(("Server-Timing", self.spans.server_timing().into()));
        }
        match action {
            // Cloudflare converts gRPC-Web to gRPC only in a response without Content-Length.
            Action::Respond(response)
                if request.errors == ErrorShape::Flight && !response.body.is_empty() =>
            {
                Action::Stream(response)
            }
            action => action,
        }
    }

    /// Drops the request's function, and frees the request's memory.
    fn finish(&mut self) {
        self.response = None;
        self.request.deadline_ns.take();
        self.request.body.take();
        self.request.reservation.take();
    }
}

/// Returns the error of a request that needs more calls than the platform permits. The platform
/// would refuse such a call with an error that does not name the limit.
fn too_many_calls(platform: &dyn Platform, made: usize, refused: &[CallRequest]) -> ApiError {
    let exceeded = platform.limits().exceeded(Limit::Calls, made, made + counted(refused));
    let advice = "use a shorter time range, or fewer databases or measurements";
    ApiError::Limit(format!("{exceeded}: {advice}"))
}
