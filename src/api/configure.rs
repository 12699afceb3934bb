//! `/api/v3/configure/database`: POST creates a database with what CREATE DATABASE cannot say, PUT
//! changes how many shards its next groups have and how long its points are kept.

use serde::Deserialize;

use super::action::Action;
use super::error::ApiError;
use super::http::Response;
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

/// A creation or a change in progress.
#[derive(Debug)]
pub struct Configure {
    name: String,
    creates: bool,
    machine: CreateDrop,
}

impl Configure {
    /// Reads the body of a POST or PUT.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] naming what cannot be read or changed.
    pub fn parse(method: &str, body: &[u8], settings: &Settings) -> Result<Self, ApiError> {
        if method == "PUT" {
            return Self::parse_change(body);
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
        Ok(Self { name: body.db, creates: true, machine })
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
        Ok(Self { name: body.db, creates: false, machine })
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        match self.machine.step(context, reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(changed)) if self.creates && changed.existed => {
                Err(ApiError::Conflict(format!("database \"{}\" already exists", self.name)))
            }
            Step::Done(Ok(_)) => {
                let body = serde_json::json!({ "db": self.name });
                Ok(Action::Respond(Response::json(200, format!("{body}\n"))))
            }
            Step::Done(Err(error)) => Err(error.into()),
        }
    }
}
