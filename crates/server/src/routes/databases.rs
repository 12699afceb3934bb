//! Serves `/api/v3/configure/database`: lists databases by name, as InfluxDB 3 does, and creates,
//! changes and drops databases.

use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::error::{ApiError, ApiResult, invalid};
use crate::http::{Parameters, Response};
use crate::routes::handler::{PendingRequest, Request, json_line};
use crate::settings::{Settings, duration_ns};
use tidemark_coordinator::Io;
use tidemark_coordinator::create_drop::{Change, Changed, execute};
use tidemark_coordinator::database_lists::{list_databases, seen_by_name};
use tidemark_coordinator::error::Error;
use tidemark_engine::protocol::catalog::CatalogRefusal;
use tidemark_engine::protocol::database::{
    CreateDatabase, PolicyRefusal, PolicySpec, ToDatabase, is_inside,
};
use tidemark_query::result::{SeriesChunk, Values};
use tidemark_response::table::{Layout, TableFormat, TableWriter};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: String,
    /// The retention period, such as `72h`, `30days` or `none`. The inner value is `None` for null.
    #[serde(default, deserialize_with = "present")]
    retention_period: Option<Option<String>>,
    shards: Option<u32>,
    location: Option<String>,
    jurisdiction: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Body {
    /// Returns the retention in nanoseconds; 0 keeps points permanently. The result is `None` if
    /// the body contains no retention period.
    fn duration_ns(&self) -> ApiResult<Option<i64>> {
        let Some(period) = &self.retention_period else { return Ok(None) };
        let Some(text) = period else { return Ok(Some(0)) };
        duration_ns(text).map(Some).ok_or_else(|| {
            let expected = "expected a duration such as 72h or 30d, or \"none\"";
            ApiError::Invalid(format!("invalid retention_period \"{text}\": {expected}"))
        })
    }
}

pub(super) fn begin_list(request: &Request) -> ApiResult<PendingRequest> {
    let (url, principal) = (request.url.clone(), request.caller().clone());
    Ok(PendingRequest::run(|io| async move {
        let names = list_databases(&io, None).await?;
        list(&url, &seen_by_name(&principal.grants, names))
    }))
}

/// Returns the list of databases. The column `deleted` is always false, because a dropped database
/// disappears immediately.
fn list(url: &Parameters, names: &[String]) -> ApiResult<Response> {
    let format = match url.filled("format").unwrap_or("json") {
        "json" => TableFormat::Json,
        // The command `influxdb3` sends the second name.
        "jsonl" | "json_lines" => TableFormat::JsonLines,
        "csv" => TableFormat::Csv,
        "pretty" => TableFormat::Pretty,
        other => {
            let expected = "expected json, jsonl, csv or pretty";
            return invalid(format!("invalid format \"{other}\": {expected}"));
        }
    };
    let mut columns = vec!["iox::database"];
    let mut values = vec![Values::String(names.iter().map(String::as_str).collect())];
    if url.get("show_deleted") == Some("true") {
        columns.push("deleted");
        values.push(Values::Boolean(vec![false; names.len()]));
    }
    let chunk = SeriesChunk::of_columns(None, &columns, values);
    let mut writer = TableWriter::new(format, Layout::of_chunk(&chunk))?;
    let mut next = 0;
    while next < chunk.rows {
        next = writer.rows(&chunk, next)?;
    }
    writer.finish()?;
    let mut table = Vec::new();
    while writer.ready_bytes() > 0 {
        table.append(&mut writer.take_bytes());
    }
    Ok(Response::ok(format.content_type(), table))
}

pub(super) fn begin_change(_request: &Request) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::with_body(|request, body| async move {
        let (name, change) = match request.head.method.as_str() {
            "PUT" => configure(body.json()?)?,
            "DELETE" => drop(&request.url)?,
            _ => create(body.json()?, request.settings()?)?,
        };
        run(request.io, name, change).await
    }))
}

async fn run(io: Io, name: String, change: Change) -> ApiResult<Response> {
    let is_creation = matches!(change, Change::CreateDatabase(_));
    let is_drop = matches!(change, Change::DropDatabase { .. });
    let changed = match execute(&io, change).await {
        // The database exists with another retention period.
        Err(Error::Catalog(CatalogRefusal::Policy(PolicyRefusal::Conflict))) if is_creation => {
            Changed { existed: true }
        }
        changed => changed?,
    };
    if is_creation && changed.existed {
        return Err(ApiError::Conflict(format!("database \"{name}\" already exists")));
    }
    if is_drop && !changed.existed {
        return Err(ApiError::DatabaseNotFound { name, hint: String::new() });
    }
    Ok(json_line(200, &json!({ "db": name })))
}

fn create(body: Body, settings: &Settings) -> ApiResult<(String, Change)> {
    // The command `influxdb3` sends null for the default.
    let duration_ns = match body.retention_period {
        Some(None) => None,
        _ => body.duration_ns()?,
    };
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
    check_deletes_immediately(url, "database")?;
    Ok((name.clone(), Change::DropDatabase { name }))
}

/// Returns an error if the request contains a later time of deletion.
pub(super) fn check_deletes_immediately(url: &Parameters, kind: &str) -> ApiResult<()> {
    // In InfluxDB 3, `default` means a later time.
    if !matches!(url.filled("hard_delete_at"), None | Some("now")) {
        return invalid(format!(
            "hard_delete_at is not supported, because a {kind} is deleted immediately: use \
             hard_delete_at=now"
        ));
    }
    Ok(())
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
    fn null_retention_is_infinite() {
        let period = |body: &str| serde_json::from_str::<Body>(body).unwrap().duration_ns();
        assert_eq!(period("{\"db\":\"d\",\"retention_period\":null}"), Ok(Some(0)));
        assert_eq!(period("{\"db\":\"d\"}"), Ok(None));
    }
}
