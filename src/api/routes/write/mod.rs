//! Serves the three write routes: converts a body of lines into columns, and the outcome into a
//! response.

pub mod rejected_lines;

use std::rc::Rc;

use crate::admission::Permit;
use crate::api::action::Action;
use crate::api::error::{ApiError, ApiResult};
use crate::api::error_body::ErrorShape;
use crate::api::headers::CREATED;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::params::{Dialect, WriteParams};
use crate::api::routes::bucket_lookup::BucketLookup;
use crate::api::routes::handler::{Handler, Incoming, Outcome, Received, RequestTarget};
use crate::api::settings::Settings;
use crate::api::write_body::{Intake, LineReading, Parsed};
use crate::coordinator::error::Error;
use crate::coordinator::grants::Principal;
use crate::coordinator::write::{self, WriteOutcome, WriteRequest};
use crate::coordinator::{Machine, Task};
use crate::influxql::quote;
use crate::line_protocol::Rejected;
use crate::model::grant::{PermissionKind, Scope};
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::PolicySpec;
use rejected_lines::{Destination, RejectedLines};

#[derive(Debug)]
struct WriteHandler {
    dialect: Dialect,
    params: WriteParams,
    lookup: Option<BucketLookup>,
    pretty: bool,
    progress: Progress,
    outcome: Outcome,
}

#[derive(Debug)]
enum Progress {
    Unread,
    Writing(Box<Writing>),
    /// The body had no points, and the response is known.
    Answered(Response),
}

#[derive(Debug)]
struct Writing {
    machine: Task<WriteOutcome>,
    unparsed: Rejected,
    /// The body, if the response may have to quote lines.
    text: Vec<u8>,
    not_created: Option<NotCreated>,
    _permit: Permit,
}

#[derive(Clone, Debug)]
enum NotCreated {
    /// The operator disabled the creation of databases with `AUTO_CREATE_DATABASES`.
    NoCaller,
    /// The caller with this name has no write permission on the whole database.
    ByCaller(Rc<str>),
}

/// Creates the handler for `POST /write`.
pub fn begin_v1(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    begin(request, Dialect::V1)
}

/// Creates the handler for `POST /api/v2/write`.
pub fn begin_v2(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    begin(request, Dialect::V2)
}

/// Creates the handler for `POST /api/v3/write_lp`.
pub fn begin_v3(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    begin(request, Dialect::V3)
}

fn begin(request: &Incoming<'_>, dialect: Dialect) -> ApiResult<Box<dyn Handler>> {
    let params = WriteParams::parse(dialect, request.url)?;
    let may_be_id = dialect == Dialect::V2 && params.policy.is_none();
    let lookup = BucketLookup::by_id(&params.database).filter(|_| may_be_id);
    let pretty = request.url.get("pretty") == Some("true");
    let (progress, outcome) = (Progress::Unread, Outcome::default());
    Ok(Box::new(WriteHandler { dialect, params, lookup, pretty, progress, outcome }))
}

impl Handler for WriteHandler {
    fn target(&self) -> Option<RequestTarget<'_>> {
        let WriteParams { database, policy, .. } = &self.params;
        Some(RequestTarget { database, policy: policy.as_deref() })
    }

    fn locate(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> ApiResult<Step<()>> {
        let names = (&mut self.params.database, &mut self.params.policy);
        BucketLookup::locate(&mut self.lookup, names, request, isolate, reply)
    }

    fn intake(&self, permit: Permit, reading: LineReading) -> ApiResult<Intake> {
        Ok(Intake::new(self.dialect, &self.params, permit, reading))
    }

    fn start(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        body: Received,
    ) -> ApiResult<Option<Box<dyn Handler>>> {
        let Received::Lines(parsed) = body else { return Ok(None) };
        let Parsed { batch, rejected: unparsed, permit, text } = parsed;
        let any_bad = unparsed.count + unparsed.without_time > 0;
        if batch.measurements.is_empty() || (self.all_or_nothing() && any_bad) {
            let nothing = WriteOutcome::default();
            self.progress = Progress::Answered(self.answer(&unparsed, &nothing, &text));
            return Ok(None);
        }
        let settings = isolate.settings()?;
        let not_created = not_created(settings, request.caller, &self.params.database);
        // A write to a bucket's id never creates a database. The cache may contain a deleted bucket.
        let may_create = not_created.is_none() && self.lookup.is_none();
        let machine = write::write(WriteRequest {
            database: self.params.database.clone(),
            policy: self.params.policy.clone(),
            principal: request.caller.clone(),
            batch,
            auto_create: may_create.then(|| self.auto_create(settings)),
            all_or_nothing: self.all_or_nothing(),
        });
        let writing = Writing { machine, unparsed, text, not_created, _permit: permit };
        self.progress = Progress::Writing(Box::new(writing));
        Ok(None)
    }

    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        let mut writing = match std::mem::replace(&mut self.progress, Progress::Unread) {
            Progress::Writing(writing) => writing,
            Progress::Answered(response) => return Ok(Action::Respond(response)),
            Progress::Unread => return Ok(Action::End),
        };
        match writing.machine.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => {
                self.progress = Progress::Writing(writing);
                Ok(Action::Calls(calls))
            }
            Step::Done(Ok(outcome)) => {
                let response = self.answer(&writing.unparsed, &outcome, &writing.text);
                Ok(Action::Respond(response))
            }
            Step::Done(Err(Error::DatabaseNotFound(name))) => {
                let hint = writing.missing_database_hint(&name);
                Err(ApiError::DatabaseNotFound { name, hint })
            }
            Step::Done(Err(error)) => Err(match error.into() {
                ApiError::OverQuota { message, retry_after_s, .. } => {
                    let drops_429 = self.dialect == Dialect::V1;
                    ApiError::OverQuota { message, retry_after_s, drops_429 }
                }
                error => error,
            }),
        }
    }

    fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl WriteHandler {
    fn all_or_nothing(&self) -> bool {
        self.dialect == Dialect::V3 && !self.params.accept_partial
    }

    fn auto_create(&self, settings: &Settings) -> CreateDatabase {
        CreateDatabase {
            name: self.params.database.clone(),
            policy: Some(PolicySpec {
                duration_ns: Some(settings.auto_create_retention_ns),
                ..PolicySpec::default()
            }),
            shards: settings.default_shards,
            location: None,
            jurisdiction: None,
        }
    }

    fn answer(&mut self, unparsed: &Rejected, outcome: &WriteOutcome, text: &[u8]) -> Response {
        self.outcome.points = outcome.points_written;
        let database = &self.params.database;
        if unparsed.count + unparsed.without_time + outcome.rejected.total > 0 {
            let rejected = RejectedLines::new(
                Destination {
                    database,
                    precision: self.params.precision,
                    all_or_nothing: self.all_or_nothing(),
                },
                unparsed,
                outcome,
                text,
            );
            self.outcome.refusal = Some(rejected.class());
            return rejected.response(shape(self.dialect), self.pretty);
        }
        let response = Response::empty(204);
        match &outcome.created {
            Some(created) => {
                response.with_header(CREATED, rejected_lines::created_header(database, created))
            }
            None => response,
        }
    }
}

/// Returns the reason why a write by `caller` does not create `database`, or `None` if the write
/// creates it. A caller may have write permission on a database that does not exist yet.
fn not_created(settings: &Settings, caller: &Principal, database: &str) -> Option<NotCreated> {
    match caller.grants.scope(PermissionKind::Write, database) {
        Scope::All if settings.auto_create_databases => None,
        Scope::All => Some(NotCreated::NoCaller),
        Scope::None | Scope::Policies(_) => Some(NotCreated::ByCaller(Rc::clone(&caller.name))),
    }
}

impl Writing {
    fn missing_database_hint(&self, database: &str) -> String {
        let statement = format!("CREATE DATABASE {}", quote::ident(database));
        match &self.not_created {
            None => format!(": create it with {statement}"),
            Some(NotCreated::NoCaller) => format!(
                ": writes do not create databases (AUTO_CREATE_DATABASES=false): create it with \
                 {statement}"
            ),
            Some(NotCreated::ByCaller(caller)) => format!(
                ": {caller} can write only to some of its policies, and therefore cannot create the \
                 database: create it with {statement}, or write with a token for the whole \
                 database"
            ),
        }
    }
}

fn shape(dialect: Dialect) -> ErrorShape {
    match dialect {
        Dialect::V1 => ErrorShape::WriteV1,
        Dialect::V2 => ErrorShape::WriteV2,
        Dialect::V3 => ErrorShape::WriteV3,
    }
}

#[cfg(test)]
mod tests;
