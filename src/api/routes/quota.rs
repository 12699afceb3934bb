//! Serves `/api/v3/configure/quota`. POST sets the quota of a database, the quota of a token or
//! user on a database, or the number of databases that a token's or user's writes may create. GET
//! shows the quotas. InfluxDB has no such route.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::routes::handler::{Handler, Incoming, TaskHandler, json_line};
use crate::coordinator::Io;
use crate::coordinator::create_drop::{Change, carry_out};
use crate::coordinator::error::Error;
use crate::coordinator::load_schemas::{Load, Want};
use crate::coordinator::single_call::call_catalog;
use crate::model::quota::{CallerQuota, QUOTA_VALUE_MAX, Quotas, Rate, Rates};
use crate::protocol::catalog::{CreatorQuota, FromCatalog, ToCatalog};
use crate::protocol::database::QuotaChange;

/// An omitted field means no limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: Option<String>,
    token_name: Option<String>,
    user: Option<String>,
    points_per_minute: Option<u64>,
    requests_per_minute: Option<u64>,
    cells_per_minute: Option<u64>,
    stored_bytes: Option<u64>,
    series: Option<u64>,
    databases: Option<u64>,
}

/// Creates the handler for `GET` and `POST /api/v3/configure/quota`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    let database = request.url.filled("db").map(str::to_owned);
    Ok(Box::new(match (request.head.method.as_str(), database) {
        ("GET", Some(database)) => TaskHandler::run(|io| async move { show(&io, &database).await }),
        ("GET", None) => {
            TaskHandler::run(|io| async move { creators(&io, ToCatalog::CreatorQuotas).await })
        }
        _ => TaskHandler::with_body(|_, body| {
            let body: Body = body.json()?;
            body.check()?;
            Ok(|io| body.set(io))
        }),
    }))
}

fn invalid<T>(message: &str) -> ApiResult<T> {
    Err(ApiError::Invalid(message.to_owned()))
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
        let others = stored.into_iter().chain([("databases", self.databases)]);
        for (name, limit) in limits.into_iter().chain(others) {
            if limit.is_some_and(|limit| !(1..=QUOTA_VALUE_MAX).contains(&limit)) {
                return invalid(&format!(
                    "{name} must be between 1 and {QUOTA_VALUE_MAX}; omit {name} for no limit"
                ));
            }
        }
        if self.token_name.is_some() && self.user.is_some() {
            return invalid("name a token or a user, not both");
        }
        let of_caller = self.token_name.is_some() || self.user.is_some();
        let of_stored = stored.iter().find(|(_, limit)| limit.is_some());
        if let Some((name, _)) = of_stored.filter(|_| of_caller) {
            return invalid(&format!(
                "{name} limits a database, not a token or user: set {name} \
                                     without token_name and user"
            ));
        }
        let of_database = of_stored.is_some() || self.rates() != Rates::default();
        match &self.db {
            Some(_) if self.databases.is_some() => invalid(
                "the quota \"databases\" limits the databases that a token or user creates: omit \
                 db",
            ),
            None if of_database => invalid("name the database in db"),
            None if !of_caller => {
                invalid("name a database in db, a token in token_name or a user in user")
            }
            _ => Ok(()),
        }
    }

    async fn set(self, io: Io) -> ApiResult<Response> {
        let (rates, stored_bytes, series) = (self.rates(), self.stored_bytes, self.series);
        let user = self.user.is_some();
        let Some(name) = self.token_name.or(self.user) else {
            let change = QuotaChange::Database { rates, stored_bytes, series };
            return set_in_database(&io, self.db.unwrap_or_default(), change).await;
        };
        let message = ToCatalog::Grantee { user, name: name.clone() };
        let FromCatalog::Grantees { rows, .. } = call_catalog(&io, &message).await? else {
            return Err(Error::unexpected_reply().into());
        };
        let Some(id) = rows.first().map(|row| row.id) else {
            let kind = if user { "user" } else { "token" };
            return Err(ApiError::NotFound(format!("{kind} not found: \"{name}\"")));
        };
        match self.db {
            Some(database) => {
                let change = QuotaChange::Caller(CallerQuota { id, user, name, rates });
                set_in_database(&io, database, change).await
            }
            None => {
                let quota = CreatorQuota { id, user, name, databases: self.databases };
                creators(&io, ToCatalog::SetCreatorQuota(quota)).await
            }
        }
    }
}

async fn set_in_database(io: &Io, database: String, change: QuotaChange) -> ApiResult<Response> {
    io.run(carry_out(Change::SetQuota { database: database.clone(), change })).await?;
    show(io, &database).await
}

async fn show(io: &Io, database: &str) -> ApiResult<Response> {
    let loaded = Load::from_owner(database, Want::Nothing).run(io).await?;
    Ok(json_line(200, &described(database, &loaded.description.quotas)))
}

async fn creators(io: &Io, message: ToCatalog) -> ApiResult<Response> {
    let FromCatalog::CreatorQuotas(quotas) = call_catalog(io, &message).await? else {
        return Err(Error::unexpected_reply().into());
    };
    let of = |user| {
        let of = quotas.iter().filter(move |(quota, _)| quota.user == user);
        let described = of.map(|(quota, created)| {
            let CreatorQuota { id, name, databases, .. } = quota;
            json!({ "id": id, "name": name, "databases": databases, "created": created })
        });
        described.collect::<Vec<_>>()
    };
    Ok(json_line(200, &json!({ "tokens": of(false), "users": of(true) })))
}

fn described(database: &str, quotas: &Quotas) -> Value {
    let mut of_database = limits(&quotas.rates);
    let stored = [("stored_bytes", quotas.stored_bytes), ("series", quotas.series)];
    let set = stored.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into())));
    of_database.extend(set);
    let callers = |user| {
        let callers = quotas.callers.iter().filter(move |quota| quota.user == user);
        let described = callers.map(|quota| {
            let name = Value::from(quota.name.as_str());
            let head = [("id".to_owned(), quota.id.into()), ("name".to_owned(), name)];
            Value::Object(head.into_iter().chain(limits(&quota.rates)).collect())
        });
        described.collect::<Vec<_>>()
    };
    json!({
        "db": database,
        "quota": of_database,
        "tokens": callers(false),
        "users": callers(true),
    })
}

fn limits(rates: &Rates) -> Map<String, Value> {
    let set = |rate: Rate| Some((rate.name().to_owned(), rates.of(rate)?.into()));
    Rate::ALL.into_iter().filter_map(set).collect()
}
