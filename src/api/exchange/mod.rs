//! One HTTP request from its head to the last byte of its reply, without waiting for anything.
//!
//! Whoever carries the bytes (`edge/`, a test, the browser) does what each [`Action`] says and
//! comes back: with the body, with the reply to a call, or for the next piece of a stream.

mod ceiling;
mod delete;
mod entrance;
mod health;
mod query;
mod reader;
mod reading;
mod write;

use super::action::Action;
use super::admission::{Admission, Permit, Upload};
use super::body::{self, Encoding};
use super::configure::Configure;
use super::delete::Deleting;
use super::error::{ApiError, Shape};
use super::export::Exporting;
use super::form;
use super::headers;
use super::health::{Checking, Health};
use super::http::{Parameters, RequestHead, Response};
use super::intake::Intake;
use super::log::{LogRequests, Record, WriteCounts};
use super::manage::{self, Managing};
use super::origin;
use super::params::{Dialect, QueryParams};
use super::ping;
use super::query::{Querying, in_format_asked};
use super::settings::{CorsOrigins, Settings, SettingsError};
use super::tokens::Tokens;
use super::unsupported;
use super::verify::Verifying;
use super::write::{Asked, Writing};
use crate::model::limit::Limit;
use crate::model::limits::ANSWERS_WAITING_BYTES_MAX;
use crate::protocol::call::{Call, Platform, Reply};
use crate::route::Context;
use crate::route::cache::Cache;
use crate::route::grants::Principal;
use crate::route::identify::Identify;
use crate::route::survey::Survey;
use ceiling::Ceiling;
use entrance::{Door, Then};
use reading::Reading;

/// A JSON body of the management API.
const CONFIGURE_CEILING: Ceiling = Ceiling { limit: Limit::BodyBytes, bytes: 64 << 10 };
/// Of an origin that is refused so much is repeated.
const ORIGIN_CHARS_MAX: usize = 200;

/// What an isolate keeps between requests.
#[derive(Debug)]
pub struct Service {
    /// What the operator set, or why it cannot be read.
    pub settings: Result<Settings, SettingsError>,
    /// Names, schemas, shard maps, tokens and users.
    pub cache: Cache,
    /// Bytes of bodies in flight.
    pub admission: Admission,
    /// Bytes of answers that wait for their readers.
    pub answers: Admission,
    /// Seed of the parser's hash maps: tag keys are chosen by whoever writes.
    pub hash_seed: u64,
    /// Writes answered so far.
    pub write_counts: WriteCounts,
    /// Whether the Catalog answers.
    pub health: Health,
}

impl Service {
    /// A service that knows nothing yet. `hash_seed` must be random.
    pub fn new(settings: Result<Settings, SettingsError>, hash_seed: u64) -> Self {
        Self {
            settings,
            cache: Cache::default(),
            admission: Admission::default(),
            answers: Admission::new(ANSWERS_WAITING_BYTES_MAX, ANSWERS_WAITING_BYTES_MAX),
            hash_seed,
            write_counts: WriteCounts::default(),
            health: Health::default(),
        }
    }
}

/// A request in progress.
#[derive(Debug)]
pub struct Exchange {
    head: RequestHead,
    shape: Shape,
    /// The URL's parameters.
    url: Parameters,
    record: Record,
    origins: Option<CorsOrigins>,
    /// Who is calling, once that is known.
    principal: Principal,
    /// Where the bucket is whose id is written to, once that was looked up.
    bucket: Option<Option<(String, String)>>,
    /// What waits for the reader of the answer.
    reader: Option<Upload<Permit>>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Finding out who is calling.
    Identifying {
        identify: Box<Identify>,
        then: Then,
    },
    /// Waiting for the rest of the body.
    Body(Upload<Reading>),
    Writing(Box<Writing>),
    Querying(Box<Querying>),
    Configuring(Box<Configure>),
    Managing(Box<Managing>),
    Exporting(Box<Exporting>),
    /// Looking for a bucket by its id, to go through the door then.
    Locating(Box<Survey>, Door),
    Deleting(Box<Deleting>),
    Tokens(Box<Tokens>),
    Verifying(Box<Verifying>),
    Checking(Checking),
    Finished,
}

/// What a body is for.
#[derive(Debug)]
enum Target {
    Write {
        asked: Asked,
        encoding: Encoding,
        intake: Box<Intake>,
    },
    Query(Permit),
    Configure(Permit),
    Manage(Permit),
    Token(Permit),
    Verify(Permit),
    /// Of which database and policy.
    Delete(Permit, (String, Option<String>)),
}

impl Exchange {
    /// Takes a request's head. The first action follows from it alone.
    pub fn start(
        service: &mut Service,
        platform: &dyn Platform,
        head: RequestHead,
    ) -> (Self, Action) {
        let fresh = [platform.random_u64(), platform.random_u64()];
        let request_id = headers::request_id(&head, fresh);
        let mut exchange = Self {
            shape: shape(head.route()),
            url: Parameters::parse(head.query.as_bytes()),
            record: Record::new(&request_id, &head.method, head.route(), platform.now_ns()),
            origins: service.settings.as_ref().ok().map(|s| s.cors_origins.clone()),
            head,
            principal: Principal::default(),
            bucket: None,
            reader: None,
            state: State::Finished,
        };
        let action = exchange.route(service, platform);
        let action = exchange.worded(action);
        (exchange, action)
    }

    fn refusal(&mut self, error: ApiError) -> Option<Action> {
        self.state = State::Finished;
        Some(self.worded(Err(error)))
    }

    /// The client went away before its body had come: gives back what was reserved for it.
    pub fn vanished(&mut self) {
        self.state = State::Finished;
        self.record.error = Some("client went away");
    }

    /// The client went away while it was answered: what is to be called so that nothing is kept on
    /// its behalf. The replies are of no interest.
    pub fn abandon(&mut self) -> Vec<Call> {
        self.reader = None;
        self.record.error.get_or_insert("client went away");
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Querying(mut querying) => querying.abandon(),
            _ => Vec::new(),
        }
    }

    /// The body does not go on, though the client is there: gives back what was reserved for it and
    /// answers so.
    pub fn stalled(&mut self) -> Action {
        self.state = State::Finished;
        self.worded(Err(ApiError::Stalled))
    }

    /// The request's line of the log, once the last action was taken; also counts the request.
    pub fn log_line(&self, service: &mut Service, platform: &dyn Platform) -> Option<String> {
        self.record.count(&mut service.write_counts);
        let which = service.settings.as_ref().map_or(LogRequests::All, |set| set.log_requests);
        self.record.line(which, service.write_counts, platform.now_ns())
    }

    /// Takes the reply to a call.
    pub fn reply(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Reply,
    ) -> Action {
        let action = self.step(service, platform, Some(reply));
        self.worded(action)
    }

    /// Goes on after `Stream` or `Bytes`.
    pub fn proceed(&mut self, service: &mut Service, platform: &dyn Platform) -> Action {
        let action = self.step(service, platform, None);
        self.worded(action)
    }

    fn route(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
    ) -> Result<Action, ApiError> {
        if let Some(page) = self.origins.as_ref().and_then(|own| origin::foreign(&self.head, own)) {
            return Err(ApiError::ForeignOrigin(page.chars().take(ORIGIN_CHARS_MAX).collect()));
        }
        if self.head.method == "OPTIONS" {
            return Ok(Action::Respond(headers::preflight()));
        }
        match self.head.route() {
            "/ping" => self.allow("GET, HEAD").map(|()| Action::Respond(ping::ping(&self.url))),
            "/health" => self.begin_health(service, platform),
            "/write" => self.open("POST", service, platform, Door::Write(Dialect::V1)),
            "/api/v2/write" => self.open("POST", service, platform, Door::Write(Dialect::V2)),
            "/api/v3/write_lp" => self.open("POST", service, platform, Door::Write(Dialect::V3)),
            "/query" => self.open("GET, POST", service, platform, Door::Query),
            "/api/v3/configure/token" | "/api/v3/enterprise/configure/token" => {
                self.open("GET, POST, DELETE", service, platform, Door::Tokens)
            }
            "/api/v3/configure/database" => {
                self.open("GET, POST, PUT, DELETE", service, platform, Door::Databases)
            }
            "/api/v2/ready" | "/ready" => {
                self.allow("GET").map(|()| Action::Respond(manage::ready()))
            }
            "/api/v2/setup" => {
                self.allow("GET, POST")?;
                manage::setup(&self.head.method).map(Action::Respond)
            }
            "/api/v2/delete" => self.open("POST", service, platform, Door::Delete),
            "/api/v3/export" => self.open("GET", service, platform, Door::Export),
            "/debug/verify" => self.open("POST", service, platform, Door::Verify),
            path => match manage::Resource::of_path(path) {
                Some((resource, id)) => {
                    let methods = resource.methods(id.is_some());
                    self.open(methods, service, platform, Door::Manage)
                }
                None => match unsupported::refusal(path) {
                    ApiError::NotImplemented(_) => self.knock(service, platform, Door::Unsupported),
                    unknown => Err(unknown),
                },
            },
        }
    }

    fn open(
        &mut self,
        methods: &'static str,
        service: &mut Service,
        platform: &dyn Platform,
        door: Door,
    ) -> Result<Action, ApiError> {
        self.allow(methods)?;
        self.knock(service, platform, door)
    }

    fn allow(&self, methods: &'static str) -> Result<(), ApiError> {
        if methods.split(", ").any(|method| method == self.head.method) {
            return Ok(());
        }
        Err(ApiError::Method { method: self.head.method.clone(), allow: methods })
    }

    fn act_on_body(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        target: Target,
        body: Vec<u8>,
    ) -> Result<Action, ApiError> {
        match target {
            Target::Write { asked, encoding, mut intake } => {
                let settings = service.settings.as_ref().map_err(Clone::clone)?;
                let left = match encoding {
                    Encoding::Identity => body,
                    Encoding::Gzip => body::inflate(&body, &settings.limits, &mut intake)?,
                };
                let parsed = intake.finish(left)?;
                let who = &self.principal;
                self.state = match Writing::new(asked, parsed, settings, who)? {
                    Some(writing) => State::Writing(Box::new(writing)),
                    None => return Ok(Action::Respond(Response::empty(204))),
                };
                self.step(service, platform, None)
            }
            Target::Query(_permit) => {
                let (parameters, raw) = form::query_parameters(&self.head, &self.url, &body)?;
                let params = QueryParams::parse(&self.head, &parameters, raw.as_deref())?;
                self.run_query(service, platform, params)
            }
            Target::Token(_permit) => {
                self.state = State::Tokens(Box::new(Tokens::create(&body, platform)?));
                self.step(service, platform, None)
            }
            Target::Configure(_permit) => {
                let settings = service.settings.as_ref().map_err(Clone::clone)?;
                let asked = (self.head.method.as_str(), &self.url);
                let configure = Configure::parse(asked, &body, settings)?;
                self.state = State::Configuring(Box::new(configure));
                self.step(service, platform, None)
            }
            Target::Manage(_permit) => self.manage(service, platform, &body),
            Target::Delete(_permit, place) => {
                let deleting = Deleting::parse(place, &body, platform.now_ns())?;
                self.state = State::Deleting(Box::new(deleting));
                self.step(service, platform, None)
            }
            Target::Verify(_permit) => {
                self.state = State::Verifying(Box::new(Verifying::parse(&self.url)?));
                self.step(service, platform, None)
            }
        }
    }

    fn step(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        if matches!(self.state, State::Identifying { .. }) {
            return self.identify_step(service, platform, reply);
        }
        if matches!(self.state, State::Locating(..)) {
            return self.locate_step(service, platform, reply);
        }
        if matches!(self.state, State::Checking(_)) {
            return self.health_step(service, platform, reply);
        }
        let context = &mut Context { cache: &mut service.cache, platform };
        let action = match &mut self.state {
            State::Writing(writing) => writing.step(context, reply),
            State::Querying(querying) => querying.step(context, reply),
            State::Configuring(configure) => configure.step(context, reply),
            State::Managing(managing) => managing.step(context, reply),
            State::Exporting(exporting) => exporting.step(context, reply),
            State::Deleting(deleting) => deleting.step(context, reply),
            State::Tokens(tokens) => tokens.step(context, reply),
            State::Verifying(verifying) => verifying.step(context, reply),
            State::Identifying { .. }
            | State::Locating(..)
            | State::Checking(_)
            | State::Body(_)
            | State::Finished => Ok(Action::End),
        };
        if matches!(action, Ok(Action::Respond(_) | Action::End) | Err(_)) {
            if let State::Writing(writing) = &self.state {
                self.record.points = writing.points_written();
            }
            // Gives the body's bytes back at once.
            self.state = State::Finished;
        }
        action
    }

    /// Turns a refusal into its response and gives every response the common headers.
    fn worded(&mut self, action: Result<Action, ApiError>) -> Action {
        let mut action = action.unwrap_or_else(|error| {
            self.record.error = Some(error.class());
            // `pretty=true` of a query holds for its errors too.
            let pretty = self.url.get("pretty") == Some("true");
            let mut response = error.response(self.shape, pretty);
            in_format_asked(&mut response, &error, &self.head);
            Action::Respond(response)
        });
        if let Action::Respond(response) | Action::Stream(response) = &mut action {
            self.record.status = response.status;
            headers::finish(response, &self.head, &self.record.id, self.origins.as_ref());
        }
        action
    }
}

/// The error shape that the clients of a route read.
fn shape(route: &str) -> Shape {
    match route {
        "/write" => Shape::WriteV1,
        "/api/v2/write" | "/api/v2/delete" => Shape::WriteV2,
        "/api/v3/write_lp" => Shape::WriteV3,
        "/query" => Shape::Query,
        _ => Shape::Other,
    }
}
