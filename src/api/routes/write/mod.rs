//! Serves the three write routes: converts a body of lines into columns, and the outcome into a
//! response.

pub mod rejected_lines;

use std::rc::Rc;

use crate::api::error::{ApiError, ApiResult, ErrorShape};
use crate::api::headers::CREATED;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::params::{Dialect, WriteParams, WritePrecision};
use crate::api::routes::buckets::policy_id;
use crate::api::routes::handler::{
    Admitted, Incoming, Outcome, PendingRequest, RequestTarget, Responder, Start, run_with_outcome,
};
use crate::api::settings::Settings;
use crate::api::write_body::Parsed;
use crate::coordinator::error::Error;
use crate::coordinator::grants::Principal;
use crate::coordinator::write::{self, WriteOutcome, WriteRequest};
use crate::influxql::quote;
use crate::line_protocol::Rejected;
use crate::model::grant::{PermissionKind, Scope};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::PolicySpec;
use rejected_lines::{Destination, RejectedLines, created_header};

/// The parameters that apply to the whole write.
#[derive(Clone, Copy, Debug)]
struct WriteOptions {
    dialect: Dialect,
    precision: WritePrecision,
    all_or_nothing: bool,
    pretty: bool,
    /// Whether the client named the bucket by its id. Such a write never creates a database, because
    /// the cache may contain a deleted bucket.
    is_by_id: bool,
}

/// The reason why a write does not create its database.
#[derive(Debug)]
enum NotCreated {
    /// The operator disabled the creation of databases with `AUTO_CREATE_DATABASES`.
    NoCaller,
    /// The caller with this name has no write permission on the whole database.
    ByCaller(Rc<str>),
}

/// Parses the request of `POST /write`.
pub fn begin_v1(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    begin(request, Dialect::V1)
}

/// Parses the request of `POST /api/v2/write`.
pub fn begin_v2(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    begin(request, Dialect::V2)
}

/// Parses the request of `POST /api/v3/write_lp`.
pub fn begin_v3(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    begin(request, Dialect::V3)
}

fn begin(request: &Incoming<'_>, dialect: Dialect) -> ApiResult<PendingRequest> {
    let params = WriteParams::parse(dialect, request.url)?;
    let WriteParams { database, policy, precision, .. } = params;
    let may_be_id = dialect == Dialect::V2 && policy.is_none();
    let bucket_id = policy_id(&database).filter(|_| may_be_id);
    let options = WriteOptions {
        dialect,
        precision,
        all_or_nothing: dialect == Dialect::V3 && !params.accept_partial,
        pretty: request.url.get("pretty") == Some("true"),
        is_by_id: bucket_id.is_some(),
    };
    let start = move |admitted: Admitted<'_>, isolate: &mut Isolate<'_>, parsed| {
        start(options, admitted, isolate, parsed)
    };
    Ok(PendingRequest {
        target: Some(RequestTarget { database, policy }),
        bucket_id,
        start: Start::Lines { dialect, precision, start: Box::new(start) },
    })
}

fn start(
    options: WriteOptions,
    mut admitted: Admitted<'_>,
    isolate: &mut Isolate<'_>,
    parsed: Parsed,
) -> ApiResult<Box<dyn Responder>> {
    let RequestTarget { database, policy } = admitted.take_target()?;
    let caller = admitted.request.caller;
    let Parsed { batch, rejected: unparsed, permit, text } = parsed;
    let any_bad = unparsed.count + unparsed.without_time > 0;
    if batch.measurements.is_empty() || (options.all_or_nothing && any_bad) {
        let answer = answer(options, &database, &unparsed, &WriteOutcome::default(), &text);
        return Ok(run_with_outcome(|_| async { Ok(answer) }));
    }
    let settings = isolate.settings()?;
    let not_created = not_created(settings, caller, &database);
    let may_create = not_created.is_none() && !options.is_by_id;
    let write = write::write(WriteRequest {
        database: database.clone(),
        policy,
        principal: caller.clone(),
        batch,
        auto_create: may_create.then(|| auto_create(&database, settings)),
        all_or_nothing: options.all_or_nothing,
    });
    Ok(run_with_outcome(|io| async move {
        // The reservation covers the columns and the text.
        let _permit = permit;
        match io.run(write).await {
            Ok(outcome) => Ok(answer(options, &database, &unparsed, &outcome, &text)),
            Err(Error::DatabaseNotFound(name)) => {
                let hint = missing_database_hint(not_created, &name);
                Err(ApiError::DatabaseNotFound { name, hint })
            }
            Err(error) => Err(match error.into() {
                ApiError::OverQuota { message, retry_after_s, .. } => {
                    let drops_429 = options.dialect == Dialect::V1;
                    ApiError::OverQuota { message, retry_after_s, drops_429 }
                }
                error => error,
            }),
        }
    }))
}

fn auto_create(database: &str, settings: &Settings) -> CreateDatabase {
    CreateDatabase {
        name: database.to_owned(),
        policy: Some(PolicySpec {
            duration_ns: Some(settings.auto_create_retention_ns),
            ..PolicySpec::default()
        }),
        shards: settings.default_shards,
        location: None,
        jurisdiction: None,
    }
}

fn answer(
    options: WriteOptions,
    database: &str,
    unparsed: &Rejected,
    outcome: &WriteOutcome,
    text: &[u8],
) -> (Response, Outcome) {
    let WriteOptions { precision, all_or_nothing, .. } = options;
    let points = outcome.points_written;
    if unparsed.count + unparsed.without_time + outcome.rejected.total > 0 {
        let to = Destination { database, precision, all_or_nothing };
        let rejected = RejectedLines::new(to, unparsed, outcome, text);
        let response = rejected.response(shape(options.dialect), options.pretty);
        return (response, Outcome { points, refusal: Some(rejected.class()) });
    }
    let mut response = Response::empty(204);
    if let Some(created) = &outcome.created {
        response = response.with_header(CREATED, created_header(database, created));
    }
    (response, Outcome { points, refusal: None })
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

fn missing_database_hint(not_created: Option<NotCreated>, database: &str) -> String {
    let statement = format!("CREATE DATABASE {}", quote::ident(database));
    match not_created {
        None => format!(": create it with {statement}"),
        Some(NotCreated::NoCaller) => format!(
            ": writes do not create databases (AUTO_CREATE_DATABASES=false): create it with \
             {statement}"
        ),
        Some(NotCreated::ByCaller(caller)) => format!(
            ": {caller} can write only to some of its policies, and therefore cannot create the \
             database: create it with {statement}, or write with a token for the whole database"
        ),
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
