//! Serves `/api/v3/configure/backup`: POST schedules periodic backups of a database, GET shows the
//! schedule and its results, and DELETE removes the schedule but keeps its backups. InfluxDB has no
//! such route.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::backup::require_place;
use crate::api::routes::handler::{Handler, Incoming, PendingHandler, json_line};
use crate::api::settings::duration_ns;
use crate::coordinator::backup::{BackupId, set_schedule, show_schedule};
use crate::coordinator::{Io, Task};
use crate::influxql::duration;
use crate::model::limits::{BACKUP_EVERY_NS_MAX, BACKUP_EVERY_NS_MIN, SCHEDULED_BACKUPS_MAX};
use crate::model::time::S_NS;
use crate::protocol::backup_schedule::{BackupSchedule, ScheduleSettings};

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

/// Creates the handler for `GET`, `POST` and `DELETE /api/v3/configure/backup`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    let method = request.head.method.as_str();
    if method == "POST" {
        return Ok(PendingHandler::run_with_body(|isolate, body| {
            require_place(isolate)?;
            let body: Body = body.json()?;
            let schedule = set_schedule(&body.db, Some(body.settings()?));
            Ok(|io| show(io, body.db, schedule))
        }));
    }
    let database = request.url.filled("db").map(str::to_owned);
    let missing = || ApiError::Invalid("name the database with the parameter db".to_owned());
    let database = database.ok_or_else(missing)?;
    let schedule = match method {
        "DELETE" => set_schedule(&database, None),
        _ => show_schedule(&database),
    };
    let name = database.clone();
    let start = |isolate: &mut Isolate<'_>, _| {
        require_place(isolate)?;
        Ok(|io| show(io, name, schedule))
    };
    Ok(PendingHandler::run_with_body(start).on(&database))
}

async fn show(
    io: Io,
    database: String,
    schedule: Task<Option<BackupSchedule>>,
) -> ApiResult<Response> {
    let schedule = io.run(schedule).await?;
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
