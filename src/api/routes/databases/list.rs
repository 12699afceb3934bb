//! Serves `GET /api/v3/configure/database`: lists the databases by name, as InfluxDB 3 does.

use serde_json::json;

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::{Parameters, Response};
use crate::api::routes::handler::{Incoming, PendingRequest};
use crate::coordinator::database_lists::{list_databases, seen_by_name};

/// Parses the request of `GET /api/v3/configure/database`.
pub fn begin_list(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let (url, principal) = (request.url.clone(), request.caller.clone());
    Ok(PendingRequest::run(|io| async move {
        let names = seen_by_name(&principal.grants, list_databases(&io, None).await?);
        list(&url, &names)
    }))
}

/// The column `deleted` is always false, because a dropped database disappears immediately.
fn list(url: &Parameters, names: &[String]) -> ApiResult<Response> {
    let deleted = url.get("show_deleted") == Some("true");
    let row = |name: &String| match deleted {
        true => json!({ "iox::database": name, "deleted": false }),
        false => json!({ "iox::database": name }),
    };
    let rows: Vec<_> = names.iter().map(row).collect();
    let (kind, text) = match url.filled("format").unwrap_or("json") {
        "json" => ("application/json", format!("{}\n", serde_json::Value::Array(rows))),
        "jsonl" => ("application/jsonl", rows.iter().map(|row| format!("{row}\n")).collect()),
        "csv" => {
            let (head, tail) = if deleted { (",deleted", ",false") } else { ("", "") };
            let row = |name: &str| match name.contains(['"', ',']) {
                true => format!("\"{}\"{tail}\n", name.replace('"', "\"\"")),
                false => format!("{name}{tail}\n"),
            };
            let rows: String = names.iter().map(|name| row(name)).collect();
            ("text/csv", format!("iox::database{head}\n{rows}"))
        }
        other => {
            let expected = "expected json, jsonl or csv";
            return Err(ApiError::Invalid(format!("invalid format \"{other}\": {expected}")));
        }
    };
    Ok(Response::ok(kind, text))
}
