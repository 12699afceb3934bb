//! `/api/v3/configure/database`: POST creates a database with what CREATE DATABASE cannot say, PUT
//! changes how many shards its next groups have and how long its points are kept, DELETE drops it.
//! The list is [`super::manage`]'s.

use serde::Deserialize;

use super::action::Action;
use super::error::ApiError;
use super::http::{Parameters, Response};
use super::settings::{Settings, duration_ns};
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::PolicySpec;
use crate::route::create_drop::{Change, CreateDrop};
use crate::route::{Context, Machine};

/// The request's body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: String,
    /// `72h`, `3d`, `none`
    retention_period: Option<String>,
    shards: Option<u32>,
    location: Option<String>,
    jurisdiction: Option<String>,
}

impl Body {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(body)
            .map_err(|e| ApiError::Invalid(format!("the body is not what is expected: {e}")))
    }

    fn duration_ns(&self) -> Result<Option<i64>, ApiError> {
        let Some(text) = &self.retention_period else { return Ok(None) };
        duration_ns(text).map(Some).ok_or_else(|| {
            let expected = "expected a duration like 72h, 30d or none";
            ApiError::Invalid(format!("invalid retention_period \"{text}\": {expected}"))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Post,
    Put,
    Delete,
}

/// A creation, a change or the end of a database, in progress.
#[derive(Debug)]
pub struct Configure {
    name: String,
    method: Method,
    machine: CreateDrop,
}

impl Configure {
    /// Reads the body of a POST or PUT, the parameters of a DELETE.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] naming what cannot be read or changed.
    pub fn parse(
        (method, url): (&str, &Parameters),
        body: &[u8],
        settings: &Settings,
    ) -> Result<Self, ApiError> {
        match method {
            "PUT" => return Self::parse_change(body),
            "DELETE" => return Self::parse_drop(url),
            _ => {}
        }
        let body = Body::read(body)?;
        let duration_ns = body.duration_ns()?;
        let create = CreateDatabase {
            name: body.db.clone(),
            policy: duration_ns
                .map(|ns| PolicySpec { duration_ns: Some(ns), ..PolicySpec::default() }),
            shards: body.shards.unwrap_or(settings.default_shards),
            location: body.location,
            jurisdiction: body.jurisdiction,
        };
        let machine = CreateDrop::new(Change::CreateDatabase(create));
        Ok(Self { name: body.db, method: Method::Post, machine })
    }

    fn parse_drop(url: &Parameters) -> Result<Self, ApiError> {
        let invalid = |why: &str| Err(ApiError::Invalid(why.to_owned()));
        let Some(name) = url.filled("db").map(str::to_owned) else {
            return invalid("name the database with the parameter db");
        };
        if url.get("data_only") == Some("true") {
            return invalid("data_only is not supported: DROP MEASUREMENT keeps the database");
        }
        if !matches!(url.filled("hard_delete_at"), None | Some("now" | "default")) {
            return invalid("a database is deleted at once: leave hard_delete_at out");
        }
        let machine = CreateDrop::new(Change::DropDatabase { name: name.clone() });
        Ok(Self { name, method: Method::Delete, machine })
    }

    fn parse_change(body: &[u8]) -> Result<Self, ApiError> {
        let body = Body::read(body)?;
        let duration_ns = body.duration_ns()?;
        if body.location.is_some() || body.jurisdiction.is_some() {
            let why = "a database does not move: location and jurisdiction are given at creation";
            return Err(ApiError::Invalid(why.to_owned()));
        }
        if body.shards.is_none() && duration_ns.is_none() {
            let why = "nothing to change: give shards, retention_period or both";
            return Err(ApiError::Invalid(why.to_owned()));
        }
        let (database, shards) = (body.db.clone(), body.shards);
        let machine = CreateDrop::new(Change::Configure { database, shards, duration_ns });
        Ok(Self { name: body.db, method: Method::Put, machine })
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        match self.machine.step(context, reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(changed)) if self.method == Method::Post && changed.existed => {
                Err(ApiError::Conflict(format!("database \"{}\" already exists", self.name)))
            }
            Step::Done(Ok(changed)) if self.method == Method::Delete && !changed.existed => {
                Err(ApiError::DatabaseNotFound { name: self.name.clone(), cure: String::new() })
            }
            Step::Done(Ok(_)) => {
                let body = serde_json::json!({ "db": self.name });
                Ok(Action::Respond(Response::json(200, format!("{body}\n"))))
            }
            Step::Done(Err(error)) => Err(error.into()),
        }
    }
}
