//! Serves the routes for backups, recovery and checks of stored data. InfluxDB has no such routes.
//!
//! - `/api/v3/backup`: POST makes or continues a backup, GET lists the backups, and DELETE deletes
//!   one. `/api/v3/backup/verify` reads a backup, and `/api/v3/restore` restores it.
//! - `/api/v3/configure/backup`: POST schedules periodic backups of a database, GET shows the
//!   schedule and its results, and DELETE removes the schedule but keeps its backups.
//! - `/api/v3/recover`: POST resets a database to an earlier time, if the platform keeps a history
//!   of the database's objects. GET shows the progress.
//! - `POST /debug/verify?db=…[&resume=…]` verifies the checksums of a database.
//!
//! Each request does a bounded amount of work. After status 202 the client must repeat the request.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, invalid};
use crate::http::{Parameters, Response};
use crate::routes::handler::{PendingRequest, Request, json_line};
use crate::settings::duration_ns;
use tidemark_coordinator::Io;
use tidemark_coordinator::backup::{
    BackupId, ListedBackup, back_up, delete_backup, list_backups, restore, verify_backup,
};
use tidemark_coordinator::error::Error;
use tidemark_coordinator::load_schemas::call_database;
use tidemark_coordinator::recover::{begin_recovery, show_recovery};
use tidemark_coordinator::verify;
use tidemark_engine::protocol::backup_schedule::{BackupSchedule, ScheduleSettings};
use tidemark_engine::protocol::database::{CreateDatabase, FromDatabase, ToDatabase};
use tidemark_engine::protocol::recovery::{RecoveryRequest, RecoveryStage, RecoveryStatus};
use tidemark_influxql::duration;
use tidemark_influxql::time_literal::{self, format_utc};
use tidemark_model::limits::{BACKUP_EVERY_NS_MAX, BACKUP_EVERY_NS_MIN, SCHEDULED_BACKUPS_MAX};
use tidemark_model::time::S_NS;

const NOT_BOUND: &str = "the server has no storage for backups: bind an R2 bucket as BACKUPS \
                         (wrangler.toml), or start `tidemark serve` with --backups FOLDER";

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    if request.head.method == "DELETE" {
        let id = backup(&request.url, "id")?;
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
    let pending = PendingRequest::run(|io| async move {
        require_place(&io)?;
        route(io).await
    });
    pending.on(database, None)
}

fn progress(remaining: u64, body: &Value) -> Response {
    json_line(if remaining == 0 { 200 } else { 202 }, body)
}

async fn delete(io: Io, id: BackupId) -> ApiResult<Response> {
    let remaining = delete_backup(&io, &id).await?;
    Ok(progress(remaining, &json!({ "id": id.to_string(), "remaining": remaining })))
}

async fn make(io: Io, database: String) -> ApiResult<Response> {
    let made = back_up(&io, &database).await?;
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
    let listed = list_backups(&io, &database).await?;
    let schedule = match schedule(&io, &database, &ToDatabase::BackupSchedule).await {
        // Dropping a database drops its schedule, but keeps its backups.
        Err(Error::DatabaseNotFound(_)) => None,
        schedule => schedule?,
    };
    let backups: Vec<Value> = listed.iter().map(describe).collect();
    let schedule = schedule.map(|schedule| describe_schedule(&database, &schedule));
    Ok(json_line(200, &json!({ "db": database, "backups": backups, "schedule": schedule })))
}

pub(super) fn begin_verify(request: &Request) -> ApiResult<PendingRequest> {
    let id = backup(&request.url, "id")?;
    let database = id.database.clone();
    let resume = resume(&request.url, |text| {
        let (a, b) = text.split_once('.')?;
        Some((a.parse().ok()?, b.parse().ok()?))
    })?;
    Ok(pending(&database, move |io| async move {
        let checked = verify_backup(&io, &id, resume).await?;
        let resume = checked.resume.map(|(a, b)| format!("{a}.{b}"));
        let body = json!({
            "id": id.to_string(),
            "objects": checked.objects,
            "bytes": checked.bytes,
            "damaged": checked.damaged,
            "resume": resume,
        });
        Ok(progress(u64::from(resume.is_some()), &body))
    }))
}

pub(super) fn begin_restore(request: &Request) -> ApiResult<PendingRequest> {
    let database = request.required("db", "database is required")?;
    let from = backup(&request.url, "from")?;
    let name = database.clone();
    let pending = PendingRequest::with_body(|request, _| async move {
        require_place(&request.io)?;
        let create = CreateDatabase {
            name: name.clone(),
            policy: None,
            shards: request.settings()?.default_shards,
            location: None,
            jurisdiction: None,
        };
        let restored = restore(&request.io, from.clone(), create).await?;
        let body = json!({
            "db": name,
            "from": from.to_string(),
            "shards": restored.shards,
            "remaining": restored.remaining,
            "values": restored.values,
            "bytes": restored.bytes,
            "already_restored": restored.already_restored,
        });
        Ok(progress(restored.remaining, &body))
    });
    Ok(pending.on(&database, None))
}

/// Parses the position at which the previous response ended.
fn resume<T>(url: &Parameters, parse: impl FnOnce(&str) -> Option<T>) -> ApiResult<Option<T>> {
    let Some(text) = url.filled("resume") else { return Ok(None) };
    parse(text).map(Some).ok_or_else(|| {
        let hint = "use the value of resume in the previous response, or omit resume to start";
        ApiError::Invalid(format!("invalid resume \"{text}\": {hint}"))
    })
}

fn backup(url: &Parameters, name: &str) -> ApiResult<BackupId> {
    let id = url.filled(name).and_then(BackupId::parse);
    id.ok_or_else(|| {
        let expected = "expected the id of a backup, as in the responses of POST and GET \
                        /api/v3/backup";
        ApiError::Invalid(format!("invalid {name}: {expected}"))
    })
}

fn require_place(io: &Io) -> ApiResult<()> {
    match io.with(|context| context.platform.has_backups())? {
        true => Ok(()),
        false => Err(ApiError::NotImplemented(NOT_BOUND.to_owned())),
    }
}

fn describe(backup: &ListedBackup) -> Value {
    let state = match (backup.is_deleting, backup.is_whole) {
        (true, _) => "being deleted",
        (_, true) => "whole",
        _ => "unfinished",
    };
    json!({ "id": backup.id.to_string(), "begun_s": backup.id.begun_s, "state": state })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Body")]
struct ScheduleBody {
    db: String,
    /// The interval, such as `6h` or `1d`.
    every: String,
    keep: u32,
}

impl ScheduleBody {
    fn settings(&self) -> ApiResult<ScheduleSettings> {
        let Some(every_ns) = duration_ns(&self.every).filter(|ns| *ns > 0) else {
            let expected = "expected a duration such as 6h or 1d";
            return invalid(format!("invalid every \"{}\": {expected}", self.every));
        };
        if !(BACKUP_EVERY_NS_MIN..=BACKUP_EVERY_NS_MAX).contains(&every_ns) {
            let [from, to] = [BACKUP_EVERY_NS_MIN, BACKUP_EVERY_NS_MAX].map(duration::format);
            return invalid(format!("every must be between {from} and {to}"));
        }
        if !(1..=SCHEDULED_BACKUPS_MAX).contains(&self.keep) {
            return invalid(format!("keep must be between 1 and {SCHEDULED_BACKUPS_MAX}"));
        }
        Ok(ScheduleSettings { every_ns, keep: self.keep })
    }
}

pub(super) fn begin_schedule(request: &Request) -> ApiResult<PendingRequest> {
    let method = request.head.method.as_str();
    if method == "POST" {
        return Ok(PendingRequest::with_body(|request, body| async move {
            require_place(&request.io)?;
            let body: ScheduleBody = body.json()?;
            let message = ToDatabase::SetBackupSchedule(Some(body.settings()?));
            show_schedule(request.io, body.db, message).await
        }));
    }
    let database = request.required("db", "name the database with the parameter db")?;
    let message = match method {
        "DELETE" => ToDatabase::SetBackupSchedule(None),
        _ => ToDatabase::BackupSchedule,
    };
    let name = database.clone();
    Ok(pending(&database, |io| show_schedule(io, name, message)))
}

/// Sends a message that reads or changes the schedule. Returns the current schedule.
async fn schedule(
    io: &Io,
    database: &str,
    message: &ToDatabase,
) -> Result<Option<Box<BackupSchedule>>, Error> {
    match call_database(io, database, message).await? {
        FromDatabase::BackupSchedule(schedule) => Ok(schedule),
        reply => Err(reply.into()),
    }
}

async fn show_schedule(io: Io, database: String, message: ToDatabase) -> ApiResult<Response> {
    let schedule = schedule(&io, &database, &message).await?;
    let described = schedule.map(|schedule| describe_schedule(&database, &schedule));
    Ok(json_line(200, &json!({ "db": database, "schedule": described })))
}

/// Times are seconds since 1970.
fn describe_schedule(database: &str, schedule: &BackupSchedule) -> Value {
    let id = |begun_s: u64| BackupId { database: database.to_owned(), begun_s }.to_string();
    let success = schedule.last_success.as_ref();
    let success = success.map(|last| json!({ "id": id(last.begun_s), "at_s": last.at_ns / S_NS }));
    let failure = schedule.last_failure.as_ref();
    let failure = failure.map(|last| json!({ "at_s": last.at_ns / S_NS, "why": last.reason }));
    json!({
        "every": duration::format(schedule.settings.every_ns),
        "keep": schedule.settings.keep,
        "due_s": schedule.due_ns / S_NS,
        "is_under_way": schedule.attempt_ns.is_some(),
        "backups": schedule.made.iter().map(|begun_s| id(*begun_s)).collect::<Vec<_>>(),
        "last_success": success,
        "last_failure": failure,
    })
}

pub(super) fn begin_recover(request: &Request) -> ApiResult<PendingRequest> {
    let database = request.required("db", "database is required")?;
    let recovery = match request.head.method.as_str() {
        "GET" => None,
        _ => {
            let text = request.url.filled("time").unwrap_or_default();
            let time_ns = time_literal::parse(text, |_| 0).map_err(|_| {
                let like = "expected a time in RFC 3339 format, such as 2026-01-31T12:00:00Z";
                ApiError::Invalid(format!("invalid time \"{text}\": {like}"))
            })?;
            let dry_run = match request.url.filled("dry_run") {
                None | Some("false") => false,
                Some("true") => true,
                Some(other) => {
                    return invalid(format!("dry_run must be true or false, not \"{other}\""));
                }
            };
            let name = database.clone();
            Some(RecoveryRequest { name, time_ns, dry_run })
        }
    };
    let name = database.clone();
    Ok(PendingRequest::run(|io| recover(io, name, recovery)).on(&database, None))
}

/// Begins a recovery, or shows the last recovery if `request` is `None`.
async fn recover(
    io: Io,
    database: String,
    request: Option<RecoveryRequest>,
) -> ApiResult<Response> {
    let status = match request {
        Some(request) => begin_recovery(&io, request).await?,
        None => show_recovery(&io, &database).await?,
    };
    let is_over = |status: &RecoveryStatus| {
        matches!(status.stage, RecoveryStage::Checked | RecoveryStage::Done)
    };
    let code = if status.as_ref().is_none_or(is_over) { 200 } else { 202 };
    let described = status.map(|status| {
        json!({
            "time": format_utc(status.time_ns),
            // The time to recover to if the operator wants to undo this recovery.
            "undo": format_utc(status.begun_ns),
            "state": status.stage.name(),
            "shards": status.shards,
            "shards_back": status.back,
            "trouble": Some(status.trouble).filter(|reason| !reason.is_empty()),
        })
    });
    Ok(json_line(code, &json!({ "db": database, "recovery": described })))
}

pub(super) fn begin_checksums(request: &Request) -> ApiResult<PendingRequest> {
    let database = request.required("db", "database is required")?;
    let start = resume(&request.url, |text| match text.split_once('.') {
        None => Some((text.parse().ok()?, None)),
        Some((shard, page)) => Some((shard.parse().ok()?, Some(page.parse().ok()?))),
    })?;
    Ok(PendingRequest::run(move |io| async move {
        let report = verify::verify(&io, &database, start).await?;
        let resume = report.resume.map(|(shard, page)| match page {
            None => shard.to_string(),
            Some(page) => format!("{shard}.{page}"),
        });
        let body = json!({
            "db": database,
            "blocks": report.blocks,
            "bytes": report.bytes,
            "damaged": report.damaged,
            "resume": resume,
        });
        Ok(json_line(200, &body))
    }))
}
