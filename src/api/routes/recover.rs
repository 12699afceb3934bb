//! Serves `/api/v3/recover`: POST takes a database back to a time, where the platform keeps the
//! past of its objects; GET says how far that is. InfluxDB has no such route.

use serde_json::{Value, json};

use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming};
use crate::coordinator::Machine;
use crate::coordinator::recover::Recover;
use crate::influxql::time_literal;
use crate::protocol::call::{Reply, Step};
use crate::protocol::recovery::{RecoveryRequest, RecoveryStage, RecoveryStatus};
use crate::response::time::rfc3339;

/// A request in progress.
#[derive(Debug)]
struct RecoverHandler {
    database: String,
    machine: Recover,
}

/// `POST` and `GET /api/v3/recover`
///
/// # Errors
/// [`ApiError::Invalid`] without `db`, and for POST without a `time` in RFC 3339 or with a
/// `dry_run` that is neither true nor false.
pub fn begin(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let missing = || ApiError::Invalid("database is required".to_owned());
    let database = request.url.filled("db").ok_or_else(missing)?.to_owned();
    let machine = match request.head.method.as_str() {
        "GET" => Recover::show(&database),
        _ => {
            let text = request.url.filled("time").unwrap_or_default();
            let time_ns = time_literal::parse(text, |_| 0).map_err(|_| {
                let like = "expected RFC 3339, like 2026-01-31T12:00:00Z";
                ApiError::Invalid(format!("invalid time \"{text}\": {like}"))
            })?;
            let dry_run = match request.url.filled("dry_run") {
                None | Some("false") => false,
                Some("true") => true,
                Some(other) => {
                    let why = format!("dry_run must be true or false, not \"{other}\"");
                    return Err(ApiError::Invalid(why));
                }
            };
            let name = database.clone();
            Recover::begin(RecoveryRequest { name, time_ns, dry_run })
        }
    };
    Ok(Box::new(RecoverHandler { database, machine }))
}

impl Handler for RecoverHandler {
    fn database(&self) -> Option<&str> {
        Some(&self.database)
    }

    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        match self.machine.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(status) => {
                let status = status?;
                let is_over = |status: &RecoveryStatus| {
                    matches!(status.stage, RecoveryStage::Looked | RecoveryStage::Done)
                };
                let code = if status.as_ref().is_none_or(is_over) { 200 } else { 202 };
                let described = status.map(|status| describe(&status));
                let body = json!({ "db": self.database, "recovery": described });
                Ok(Action::Respond(Response::json(code, format!("{body}\n"))))
            }
        }
    }
}

/// How far a recovery is. What it goes back to undone is `undo`.
fn describe(status: &RecoveryStatus) -> Value {
    let text = |time_ns: i64| {
        let mut text = Vec::new();
        rfc3339(time_ns, 0, &mut text);
        String::from_utf8(text).unwrap_or_default()
    };
    let trouble = Some(status.trouble.as_str()).filter(|why| !why.is_empty());
    json!({
        "time": text(status.time_ns),
        "undo": text(status.begun_ns),
        "state": status.stage.name(),
        "shards": status.shards,
        "shards_back": status.back,
        "trouble": trouble,
    })
}
