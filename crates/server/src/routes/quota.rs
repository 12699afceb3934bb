//! Serves `/api/v3/configure/quota`. POST sets the quota of a database, or of a token or user on a
//! database. GET shows the quotas. InfluxDB has no such route.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{ApiError, ApiResult, invalid};
use crate::http::Response;
use crate::routes::handler::{PendingRequest, Request, json_line};
use tidemark_coordinator::Io;
use tidemark_coordinator::create_drop::{Change, execute};
use tidemark_coordinator::error::Error;
use tidemark_coordinator::load_schemas::{Load, SchemaSelection};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{QuotaChange, ToDatabase};
use tidemark_model::quota::{CallerQuota, QUOTA_VALUE_MAX, Rate, Rates};

/// An omitted field means no limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: String,
    token_name: Option<String>,
    user: Option<String>,
    points_per_minute: Option<u64>,
    requests_per_minute: Option<u64>,
    cells_per_minute: Option<u64>,
    stored_bytes: Option<u64>,
    series: Option<u64>,
}

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    Ok(match request.head.method.as_str() {
        "GET" => {
            let database = request.required("db", "name the database with the parameter db")?;
            PendingRequest::run(|io| async move { show(&io, &database).await })
        }
        _ => PendingRequest::with_body(|request, body| async move {
            let body: Body = body.json()?;
            body.check()?;
            body.set(request.io).await
        }),
    })
}

impl Body {
    fn rates(&self) -> Rates {
        Rates {
            points: self.points_per_minute,
            requests: self.requests_per_minute,
            cells: self.cells_per_minute,
        }
    }

    fn check(&self) -> ApiResult<()> {
        let rates = self.rates();
        let limits = Rate::ALL.map(|rate| (rate.name(), rates.of(rate)));
        let stored = [("stored_bytes", self.stored_bytes), ("series", self.series)];
        for (name, limit) in limits.into_iter().chain(stored) {
            if limit.is_some_and(|limit| !(1..=QUOTA_VALUE_MAX).contains(&limit)) {
                return invalid(format!(
                    "{name} must be between 1 and {QUOTA_VALUE_MAX}; omit {name} for no limit"
                ));
            }
        }
        if self.token_name.is_some() && self.user.is_some() {
            return invalid("name a token or a user, not both");
        }
        let of_caller = self.token_name.is_some() || self.user.is_some();
        if let Some((name, _)) = stored.iter().find(|(_, limit)| of_caller && limit.is_some()) {
            return invalid(format!(
                "{name} limits a database, not a token or user: set {name} without token_name and \
                 user"
            ));
        }
        Ok(())
    }

    async fn set(self, io: Io) -> ApiResult<Response> {
        let (database, rates, user) = (self.db.clone(), self.rates(), self.user.is_some());
        let change = match self.token_name.or(self.user) {
            None => QuotaChange::Database {
                rates,
                stored_bytes: self.stored_bytes,
                series: self.series,
            },
            Some(name) => {
                let message = ToCatalog::Grantee { user, name: name.clone() };
                let FromCatalog::Grantees { rows, .. } = io.call_catalog(&message).await? else {
                    return Err(Error::unexpected_reply().into());
                };
                let Some(id) = rows.first().map(|row| row.id) else {
                    let kind = if user { "user" } else { "token" };
                    return Err(ApiError::NotFound(format!("{kind} not found: \"{name}\"")));
                };
                QuotaChange::Caller(CallerQuota { id, user, name, rates })
            }
        };
        execute(&io, Change::within(&database, ToDatabase::SetQuota(change))).await?;
        show(&io, &database).await
    }
}

async fn show(io: &Io, database: &str) -> ApiResult<Response> {
    let loaded = Load::from_owner(database, SchemaSelection::Nothing).run(io).await?;
    let quotas = &loaded.description.quotas;
    let mut of_database = limits(&quotas.rates);
    let stored = [("stored_bytes", quotas.stored_bytes), ("series", quotas.series)];
    let set = stored.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into())));
    of_database.extend(set);
    let callers = |user| {
        let callers = quotas.callers.iter().filter(move |quota| quota.user == user);
        let described = callers.map(|quota| {
            let mut described = limits(&quota.rates);
            described.insert("id".to_owned(), quota.id.into());
            described.insert("name".to_owned(), quota.name.as_str().into());
            described
        });
        described.collect::<Vec<_>>()
    };
    let body = json!({
        "db": database,
        "quota": of_database,
        "tokens": callers(false),
        "users": callers(true),
    });
    Ok(json_line(200, &body))
}

fn limits(rates: &Rates) -> Map<String, Value> {
    let set = |rate: Rate| Some((rate.name().to_owned(), rates.of(rate)?.into()));
    Rate::ALL.into_iter().filter_map(set).collect()
}
