//! `GET /api/v3/configure/database`: the databases as InfluxDB 3 lists them, by name.

use serde_json::json;

use super::Asked;
use crate::api::error::ApiError;
use crate::api::http::Response;

/// The list in one of InfluxDB 3's formats. None is ever shown as deleted: that is at once.
pub(super) fn list(asked: &Asked, names: &[String]) -> Result<Response, ApiError> {
    let deleted = asked.url.get("show_deleted") == Some("true");
    let row = |name: &String| match deleted {
        true => json!({ "iox::database": name, "deleted": false }),
        false => json!({ "iox::database": name }),
    };
    let rows: Vec<_> = names.iter().map(row).collect();
    let (kind, text) = match asked.url.filled("format").unwrap_or("json") {
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
    let response = Response { status: 200, headers: Vec::new(), body: text.into_bytes() };
    Ok(response.with_header("Content-Type", kind))
}
