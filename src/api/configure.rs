//! `POST /api/v3/configure/database`: a database with what CREATE DATABASE cannot say.

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

/// A creation in progress.
#[derive(Debug)]
pub struct Configure {
    name: String,
    machine: CreateDrop,
}

impl Configure {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] naming what cannot be read.
    pub fn parse(body: &[u8], settings: &Settings) -> Result<Self, ApiError> {
        let body: Body = serde_json::from_slice(body)
            .map_err(|e| ApiError::Invalid(format!("the body is not what is expected: {e}")))?;
        let duration_ns = match &body.retention_period {
            None => None,
            Some(text) => Some(duration_ns(text).ok_or_else(|| {
                let expected = "expected a duration like 72h, 30d or none";
                ApiError::Invalid(format!("invalid retention_period \"{text}\": {expected}"))
            })?),
        };
        let create = CreateDatabase {
            name: body.db.clone(),
            policy: duration_ns
                .map(|ns| PolicySpec { duration_ns: Some(ns), ..PolicySpec::default() }),
            shards: body.shards.unwrap_or(settings.default_shards),
            location: body.location,
            jurisdiction: body.jurisdiction,
        };
        Ok(Self { name: body.db, machine: CreateDrop::new(Change::CreateDatabase(create)) })
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        match self.machine.step(context, reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(changed)) if changed.existed => {
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
