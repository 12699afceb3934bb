//! Serves `/api/v3/configure/backup`: POST schedules periodic backups of a database, GET shows the
//! schedule and its results, and DELETE removes the schedule but keeps its backups. InfluxDB has no
//! such route.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::backup::require_place;
use crate::api::routes::handler::{Incoming, PendingRequest, json_line};
use crate::api::settings::duration_ns;
use crate::coordinator::Io;
use crate::coordinator::backup::BackupId;
use crate::coordinator::error::Error;
use crate::coordinator::load_schemas::call_database;
use crate::influxql::duration;
use crate::model::limits::{BACKUP_EVERY_NS_MAX, BACKUP_EVERY_NS_MIN, SCHEDULED_BACKUPS_MAX};
use crate::model::time::S_NS;
use crate::protocol::backup_schedule::{BackupSchedule, ScheduleSettings};
use crate::protocol::database::{FromDatabase, ToDatabase};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: String,
    /// The interval, such as `6h` or `1d`.
    every: String,
    keep: u32,
}

impl Body {
    fn settings(&self) -> ApiResult<ScheduleSettings> {
        let every = &self.every;
        let every_ns = duration_ns(every).filter(|ns| *ns > 0);
        let every_ns = every_ns.ok_or_else(|| {
            ApiError::Invalid(format!(
                "invalid every \"{every}\": expected a duration such as 6h \
                                       or 1d"
            ))
        })?;
        if !(BACKUP_EVERY_NS_MIN..=BACKUP_EVERY_NS_MAX).contains(&every_ns) {
            let [from, to] = [BACKUP_EVERY_NS_MIN, BACKUP_EVERY_NS_MAX].map(duration::format);
            return Err(ApiError::Invalid(format!("every must be between {from} and {to}")));
        }
        let keep = self.keep;
        if !(1..=SCHEDULED_BACKUPS_MAX).contains(&keep) {
            let reason = format!("keep must be between 1 and {SCHEDULED_BACKUPS_MAX}");
            return Err(ApiError::Invalid(reason));
        }
        Ok(ScheduleSettings { every_ns, keep })
    }
}

/// Parses the request of `GET`, `POST` and `DELETE /api/v3/configure/backup`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let method = request.head.method.as_str();
    if method == "POST" {
        return Ok(PendingRequest::with_body(|isolate, body| {
            require_place(isolate)?;
            let body: Body = body.json()?;
            let message = ToDatabase::SetBackupSchedule(Some(body.settings()?));
            Ok(|io| show(io, body.db, message))
        }));
    }
    let database = request.required("db", "name the database with the parameter db")?;
    let message = match method {
        "DELETE" => ToDatabase::SetBackupSchedule(None),
        _ => ToDatabase::BackupSchedule,
    };
    let name = database.clone();
    let start = |isolate: &mut Isolate<'_>, _| {
        require_place(isolate)?;
        Ok(|io| show(io, name, message))
    };
    Ok(PendingRequest::with_body(start).on(&database, None))
}

/// Sends a message that reads or changes the schedule. Returns the current schedule.
pub(super) async fn schedule(
    io: &Io,
    database: &str,
    message: &ToDatabase,
) -> Result<Option<Box<BackupSchedule>>, Error> {
    match call_database(io, database, message).await? {
        FromDatabase::BackupSchedule(schedule) => Ok(schedule),
        reply => Err(reply.into()),
    }
}

async fn show(io: Io, database: String, message: ToDatabase) -> ApiResult<Response> {
    let schedule = schedule(&io, &database, &message).await?;
    let described = schedule.map(|schedule| describe(&database, &schedule));
    Ok(json_line(200, &json!({ "db": database, "schedule": described })))
}

/// Times are seconds since 1970.
pub(super) fn describe(database: &str, schedule: &BackupSchedule) -> Value {
    let id = |begun_s: u64| BackupId { database: database.to_owned(), begun_s }.to_string();
    let success = schedule.last_success.as_ref();
    let failure = schedule.last_failure.as_ref();
    json!({
        "every": duration::format(schedule.settings.every_ns),
        "keep": schedule.settings.keep,
        "due_s": schedule.due_ns / S_NS,
        "is_under_way": schedule.attempt_ns.is_some(),
        "backups": schedule.made.iter().map(|begun_s| id(*begun_s)).collect::<Vec<_>>(),
        "last_success": success.map(|last| {
            json!({ "id": id(last.begun_s), "at_s": last.at_ns / S_NS })
        }),
        "last_failure": failure.map(|last| {
            json!({ "at_s": last.at_ns / S_NS, "why": last.reason })
        }),
    })
}
