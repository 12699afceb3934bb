//! Serves `/api/v3/configure/database`: lists, creates, changes and drops databases.

mod list;

use serde::Deserialize;

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::{Parameters, Response};
use crate::api::routes::handler::{Incoming, PendingRequest, json_line};
use crate::api::settings::{Settings, duration_ns};
use crate::coordinator::Io;
use crate::coordinator::create_drop::{Change, carry_out};
use crate::protocol::catalog::{CreateDatabase, is_inside};
use crate::protocol::database::{PolicySpec, ToDatabase};

pub use list::begin_list;

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
        duration_ns(text).map(Some).ok_or_else(|| {
            let expected = "expected a duration such as 72h or 30d, or \"none\"";
            ApiError::Invalid(format!("invalid retention_period \"{text}\": {expected}"))
        })
    }
}

struct Changing {
    name: String,
    kind: ChangeKind,
    change: Change,
}

enum ChangeKind {
    Create,
    Configure,
    Drop,
}

/// Parses the request of `POST`, `PUT` and `DELETE /api/v3/configure/database`.
pub fn begin_change(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(match request.head.method.as_str() {
        "PUT" => PendingRequest::with_body(|_, body| {
            let changing = Changing::configure(body.json()?)?;
            Ok(|io| changing.run(io))
        }),
        "DELETE" => {
            let url = request.url.clone();
            PendingRequest::with_body(move |_, _| {
                let changing = Changing::drop(&url)?;
                Ok(|io| changing.run(io))
            })
        }
        _ => PendingRequest::with_body(|isolate, body| {
            let changing = Changing::create(body.json()?, isolate.settings()?)?;
            Ok(|io| changing.run(io))
        }),
    })
}

impl Changing {
    async fn run(self, io: Io) -> ApiResult<Response> {
        let Self { name, kind, change } = self;
        let changed = io.run(carry_out(change)).await?;
        match kind {
            ChangeKind::Create if changed.existed => {
                Err(ApiError::Conflict(format!("database \"{name}\" already exists")))
            }
            ChangeKind::Drop if !changed.existed => {
                Err(ApiError::DatabaseNotFound { name, hint: String::new() })
            }
            ChangeKind::Create | ChangeKind::Configure | ChangeKind::Drop => {
                Ok(json_line(200, &serde_json::json!({ "db": name })))
            }
        }
    }

    fn create(body: Body, settings: &Settings) -> ApiResult<Self> {
        let duration_ns = body.duration_ns()?;
        let jurisdiction = body.jurisdiction.as_deref().or(settings.placement.jurisdiction);
        if let Some(location) = body.location.as_deref().filter(|at| !is_inside(at, jurisdiction)) {
            let jurisdiction = jurisdiction.unwrap_or_default();
            let reason = format!("location \"{location}\" is outside of jurisdiction");
            return Err(ApiError::Invalid(format!("{reason} \"{jurisdiction}\"")));
        }
        let create = CreateDatabase {
            name: body.db.clone(),
            policy: duration_ns
                .map(|ns| PolicySpec { duration_ns: Some(ns), ..PolicySpec::default() }),
            shards: body.shards.unwrap_or(settings.default_shards),
            location: body.location,
            jurisdiction: body.jurisdiction,
        };
        let change = Change::CreateDatabase(create);
        Ok(Self { name: body.db, kind: ChangeKind::Create, change })
    }

    fn drop(url: &Parameters) -> ApiResult<Self> {
        let invalid = |reason: &str| Err(ApiError::Invalid(reason.to_owned()));
        let Some(name) = url.filled("db").map(str::to_owned) else {
            return invalid("name the database with the parameter db");
        };
        if url.get("data_only") == Some("true") {
            return invalid(
                "data_only is not supported: delete the data with DROP MEASUREMENT, \
                            which keeps the database",
            );
        }
        // In InfluxDB 3, `default` means a later time.
        if !matches!(url.filled("hard_delete_at"), None | Some("now")) {
            return invalid(
                "hard_delete_at is not supported, because a database is deleted \
                            immediately: use hard_delete_at=now",
            );
        }
        let change = Change::DropDatabase { name: name.clone() };
        Ok(Self { name, kind: ChangeKind::Drop, change })
    }

    fn configure(body: Body) -> ApiResult<Self> {
        let duration_ns = body.duration_ns()?;
        if body.location.is_some() || body.jurisdiction.is_some() {
            let reason = "location and jurisdiction of a database cannot change: set them when you \
                       create the database";
            return Err(ApiError::Invalid(reason.to_owned()));
        }
        if body.shards.is_none() && duration_ns.is_none() {
            let reason = "the request changes nothing: set shards, retention_period or both";
            return Err(ApiError::Invalid(reason.to_owned()));
        }
        let (database, shards) = (body.db.clone(), body.shards);
        let change = Change::within(&database, ToDatabase::Configure { shards, duration_ns });
        Ok(Self { name: body.db, kind: ChangeKind::Configure, change })
    }
}
