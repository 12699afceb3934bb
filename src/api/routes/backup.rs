//! Serves `/api/v3/backup` (POST makes or continues a backup, GET lists the backups, and DELETE
//! deletes one), `/api/v3/backup/verify` and `/api/v3/restore`.
//!
//! Each request does a bounded amount of work. After status 202 the client must repeat the request.

use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::{Parameters, Response};
use crate::api::isolate_state::Isolate;
use crate::api::routes::backup_schedule;
use crate::api::routes::handler::{Incoming, PendingRequest, json_line};
use crate::coordinator::Io;
use crate::coordinator::backup::{
    BackupId, ListedBackup, VerifyPosition, back_up, delete_backup, list_backups, restore,
    verify_backup,
};
use crate::coordinator::error::Error;
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::ToDatabase;

const NOT_BOUND: &str = "the server has no storage for backups: bind an R2 bucket as BACKUPS \
                         (wrangler.toml), or start `tidemark serve` with --backups FOLDER";
const NO_ID: &str = "expected the id of a backup, as in the responses of POST and GET \
                     /api/v3/backup";

/// Parses the request of `POST`, `GET` and `DELETE /api/v3/backup`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    if request.head.method == "DELETE" {
        let id = backup(request.url, "id")?;
        let database = id.database.clone();
        return Ok(pending(&database, |io| delete(io, id)));
    }
    let database = request.required("db", "database is required")?;
    let name = database.clone();
    Ok(match request.head.method.as_str() {
        "GET" => pending(&database, |io| list(io, name)),
        _ => pending(&database, |io| make(io, name)),
    })
}

fn pending<F>(database: &str, route: impl FnOnce(Io) -> F + 'static) -> PendingRequest
where
    F: Future<Output = ApiResult<Response>> + 'static,
{
    let start = |isolate: &mut Isolate<'_>, _| require_place(isolate).map(|()| route);
    PendingRequest::with_body(start).on(database, None)
}

fn progress(remaining: u64, body: &Value) -> Response {
    json_line(if remaining == 0 { 200 } else { 202 }, body)
}

async fn delete(io: Io, id: BackupId) -> ApiResult<Response> {
    let remaining = io.run(delete_backup(id.clone())).await?;
    Ok(progress(remaining, &json!({ "id": id.to_string(), "remaining": remaining })))
}

async fn make(io: Io, database: String) -> ApiResult<Response> {
    let made = io.run(back_up(&database)).await?;
    let body = json!({
        "id": made.id.to_string(),
        "shards": made.shards,
        "remaining": made.remaining,
        "objects": made.objects,
        "bytes": made.bytes,
    });
    Ok(progress(made.remaining, &body))
}

async fn list(io: Io, database: String) -> ApiResult<Response> {
    let listed = io.run(list_backups(&database)).await?;
    let schedule = backup_schedule::schedule(&io, &database, &ToDatabase::BackupSchedule).await;
    let schedule = match schedule {
        // Dropping a database drops its schedule, but keeps its backups.
        Err(Error::DatabaseNotFound(_)) => None,
        schedule => schedule?,
    };
    let backups: Vec<Value> = listed.iter().map(describe).collect();
    let schedule = schedule.map(|schedule| backup_schedule::describe(&database, &schedule));
    Ok(json_line(200, &json!({ "db": database, "backups": backups, "schedule": schedule })))
}

/// Parses the request of `POST /api/v3/backup/verify`.
pub fn begin_verify(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let id = backup(request.url, "id")?;
    let (database, resume) = (id.database.clone(), resume(request.url)?);
    Ok(pending(&database, move |io| verify(io, id, resume)))
}

async fn verify(io: Io, id: BackupId, resume: Option<VerifyPosition>) -> ApiResult<Response> {
    let checked = io.run(verify_backup(id.clone(), resume)).await?;
    let resume = checked.resume.map(|(a, b)| format!("{a}.{b}"));
    let body = json!({
        "id": id.to_string(),
        "objects": checked.objects,
        "bytes": checked.bytes,
        "damaged": checked.damaged,
        "resume": resume,
    });
    Ok(progress(u64::from(resume.is_some()), &body))
}

/// Parses the request of `POST /api/v3/restore`.
pub fn begin_restore(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let database = request.required("db", "database is required")?;
    let from = backup(request.url, "from")?;
    let name = database.clone();
    let start = move |isolate: &mut Isolate<'_>, _| {
        require_place(isolate)?;
        let create = CreateDatabase {
            name,
            policy: None,
            shards: isolate.settings()?.default_shards,
            location: None,
            jurisdiction: None,
        };
        Ok(move |io| restore_points(io, from, create))
    };
    Ok(PendingRequest::with_body(start).on(&database, None))
}

async fn restore_points(io: Io, from: BackupId, create: CreateDatabase) -> ApiResult<Response> {
    let database = create.name.clone();
    let restored = io.run(restore(from.clone(), create)).await?;
    let body = json!({
        "db": database,
        "from": from.to_string(),
        "shards": restored.shards,
        "remaining": restored.remaining,
        "values": restored.values,
        "bytes": restored.bytes,
    });
    Ok(progress(restored.remaining, &body))
}

fn resume(url: &Parameters) -> ApiResult<Option<(u64, u64)>> {
    let read = |text: &str| {
        let parsed =
            text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        parsed.ok_or_else(|| {
            let hint = "use the value of resume in the previous response, or omit resume to start";
            ApiError::Invalid(format!("invalid resume \"{text}\": {hint}"))
        })
    };
    url.filled("resume").map(read).transpose()
}

fn backup(url: &Parameters, name: &str) -> ApiResult<BackupId> {
    let id = url.filled(name).and_then(BackupId::parse);
    id.ok_or_else(|| ApiError::Invalid(format!("invalid {name}: {NO_ID}")))
}

pub(super) fn require_place(isolate: &Isolate<'_>) -> ApiResult<()> {
    match isolate.platform.has_backups() {
        true => Ok(()),
        false => Err(ApiError::NotImplemented(NOT_BOUND.to_owned())),
    }
}

fn describe(backup: &ListedBackup) -> Value {
    let state = match (backup.is_going, backup.is_whole) {
        (true, _) => "being deleted",
        (_, true) => "whole",
        _ => "unfinished",
    };
    json!({ "id": backup.id.to_string(), "begun_s": backup.id.begun_s, "state": state })
}
