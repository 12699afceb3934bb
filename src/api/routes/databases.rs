//! Serves `/api/v3/configure/database`: lists databases by name, as InfluxDB 3 does, and creates,
//! changes and drops databases.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult, invalid};
use crate::api::http::{Parameters, Response};
use crate::api::routes::handler::{Incoming, PendingRequest, json_body, json_line};
use crate::api::settings::{Settings, duration_ns};
use crate::coordinator::Io;
use crate::coordinator::create_drop::{Change, carry_out};
use crate::coordinator::database_lists::{list_databases, seen_by_name};
use crate::model::time::D_NS;
use crate::protocol::catalog::{CreateDatabase, is_inside};
use crate::protocol::database::{PolicySpec, ToDatabase};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: String,
    /// The retention period, such as `72h`, `3d` or `none`.
    retention_period: Option<String>,
    shards: Option<u32>,
    location: Option<String>,
    jurisdiction: Option<String>,
}

impl Body {
    fn duration_ns(&self) -> ApiResult<Option<i64>> {
        let Some(text) = &self.retention_period else { return Ok(None) };
        // InfluxDB 3 also accepts months of 30 days and years of 365 days.
        let in_days = |unit, days: i64| {
            let count: i64 = text.strip_suffix(unit)?.parse().ok().filter(|count| *count > 0)?;
            count.checked_mul(days)?.checked_mul(D_NS)
        };
        let long_ns = in_days("mo", 30).or_else(|| in_days("y", 365));
        long_ns.or_else(|| duration_ns(text)).map(Some).ok_or_else(|| {
            let expected = "expected a duration such as 72h or 30d, or \"none\"";
            ApiError::Invalid(format!("invalid retention_period \"{text}\": {expected}"))
        })
    }
}

/// Parses the request of `GET /api/v3/configure/database`.
pub fn begin_list(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let (url, principal) = (request.url.clone(), request.caller.clone());
    Ok(PendingRequest::run(|io| async move {
        let names = list_databases(&io, None).await?;
        list(&url, &seen_by_name(&principal.grants, names))
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
        "json" => ("application/json", format!("{}\n", Value::Array(rows))),
        "jsonl" => ("application/jsonl", rows.iter().map(|row| format!("{row}\n")).collect()),
        "csv" => {
            let (head, tail) = if deleted { (",deleted", ",false") } else { ("", "") };
            let row = |name: &String| match name.contains(['"', ',']) {
                true => format!("\"{}\"{tail}\n", name.replace('"', "\"\"")),
                false => format!("{name}{tail}\n"),
            };
            let rows: String = names.iter().map(row).collect();
            ("text/csv", format!("iox::database{head}\n{rows}"))
        }
        other => {
            return invalid(format!("invalid format \"{other}\": expected json, jsonl or csv"));
        }
    };
    Ok(Response::ok(kind, text))
}

/// Parses the request of `POST`, `PUT` and `DELETE /api/v3/configure/database`.
pub fn begin_change(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let (method, url) = (request.head.method.clone(), request.url.clone());
    Ok(PendingRequest::with_body(move |isolate, body| {
        let (name, change) = match method.as_str() {
            "PUT" => configure(json_body(&body)?)?,
            "DELETE" => drop(&url)?,
            _ => create(json_body(&body)?, isolate.settings()?)?,
        };
        Ok(|io| run(io, name, change))
    }))
}

async fn run(io: Io, name: String, change: Change) -> ApiResult<Response> {
    let is_creation = matches!(change, Change::CreateDatabase(_));
    let is_drop = matches!(change, Change::DropDatabase { .. });
    let changed = io.run(carry_out(change)).await?;
    if is_creation && changed.existed {
        return Err(ApiError::Conflict(format!("database \"{name}\" already exists")));
    }
    if is_drop && !changed.existed {
        return Err(ApiError::DatabaseNotFound { name, hint: String::new() });
    }
    Ok(json_line(200, &json!({ "db": name })))
}

fn create(body: Body, settings: &Settings) -> ApiResult<(String, Change)> {
    let duration_ns = body.duration_ns()?;
    let jurisdiction = body.jurisdiction.as_deref().or(settings.placement.jurisdiction);
    if let Some(location) = body.location.as_deref().filter(|at| !is_inside(at, jurisdiction)) {
        let jurisdiction = jurisdiction.unwrap_or_default();
        return invalid(format!(
            "location \"{location}\" is outside of jurisdiction \"{jurisdiction}\""
        ));
    }
    let create = CreateDatabase {
        name: body.db.clone(),
        policy: duration_ns.map(|ns| PolicySpec { duration_ns: Some(ns), ..PolicySpec::default() }),
        shards: body.shards.unwrap_or(settings.default_shards),
        location: body.location,
        jurisdiction: body.jurisdiction,
    };
    Ok((body.db, Change::CreateDatabase(create)))
}

fn drop(url: &Parameters) -> ApiResult<(String, Change)> {
    let Some(name) = url.filled("db").map(str::to_owned) else {
        return invalid("name the database with the parameter db");
    };
    if url.get("data_only") == Some("true") {
        return invalid(
            "data_only is not supported: delete the data with DROP MEASUREMENT, which keeps the \
             database",
        );
    }
    // In InfluxDB 3, `default` means a later time.
    if !matches!(url.filled("hard_delete_at"), None | Some("now")) {
        return invalid(
            "hard_delete_at is not supported, because a database is deleted immediately: use \
             hard_delete_at=now",
        );
    }
    Ok((name.clone(), Change::DropDatabase { name }))
}

fn configure(body: Body) -> ApiResult<(String, Change)> {
    let duration_ns = body.duration_ns()?;
    if body.location.is_some() || body.jurisdiction.is_some() {
        return invalid(
            "location and jurisdiction of a database cannot change: set them when you create the \
             database",
        );
    }
    if body.shards.is_none() && duration_ns.is_none() {
        return invalid("the request changes nothing: set shards, retention_period or both");
    }
    let (database, shards) = (body.db.clone(), body.shards);
    Ok((body.db, Change::within(&database, ToDatabase::Configure { shards, duration_ns })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_periods_include_months_and_years() {
        let period = |text: &str| {
            let body: Body =
                serde_json::from_str(&format!("{{\"db\":\"d\",\"retention_period\":\"{text}\"}}"))
                    .unwrap();
            body.duration_ns().ok().flatten()
        };
        assert_eq!(period("2mo"), Some(60 * D_NS));
        assert_eq!(period("1y"), Some(365 * D_NS));
        assert_eq!(period("90m"), Some(D_NS / 16));
        for refused in ["0mo", "-1y", "mo", "1.5y", "9223372036854775807y"] {
            assert_eq!(period(refused), None, "{refused}");
        }
    }
}
