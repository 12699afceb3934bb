//! Serves `/api/v3/recover`: POST resets a database to an earlier time, if the platform keeps a
//! history of the database's objects. GET shows the progress. InfluxDB has no such route.

use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::routes::handler::{Incoming, PendingRequest, json_line};
use crate::coordinator::recover::{begin_recovery, show_recovery};
use crate::coordinator::{Io, Task};
use crate::influxql::time_literal;
use crate::influxql::time_literal::format_utc;
use crate::protocol::recovery::{RecoveryRequest, RecoveryStage, RecoveryStatus};

/// Parses the request of `POST` and `GET /api/v3/recover`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let database = request.required("db", "database is required")?;
    let recovery = match request.head.method.as_str() {
        "GET" => show_recovery(&database),
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
                    let reason = format!("dry_run must be true or false, not \"{other}\"");
                    return Err(ApiError::Invalid(reason));
                }
            };
            let name = database.clone();
            begin_recovery(RecoveryRequest { name, time_ns, dry_run })
        }
    };
    let name = database.clone();
    Ok(PendingRequest::run(|io| show(io, name, recovery)).on(&database, None))
}

async fn show(
    io: Io,
    database: String,
    recovery: Task<Option<RecoveryStatus>>,
) -> ApiResult<Response> {
    let status = io.run(recovery).await?;
    let is_over = |status: &RecoveryStatus| {
        matches!(status.stage, RecoveryStage::Looked | RecoveryStage::Done)
    };
    let code = if status.as_ref().is_none_or(is_over) { 200 } else { 202 };
    let described = status.map(|status| describe(&status));
    Ok(json_line(code, &json!({ "db": database, "recovery": described })))
}

/// A recovery to the time `undo` reverts this recovery.
fn describe(status: &RecoveryStatus) -> Value {
    let trouble = Some(status.trouble.as_str()).filter(|reason| !reason.is_empty());
    json!({
        "time": format_utc(status.time_ns),
        "undo": format_utc(status.begun_ns),
        "state": status.stage.name(),
        "shards": status.shards,
        "shards_back": status.back,
        "trouble": trouble,
    })
}
