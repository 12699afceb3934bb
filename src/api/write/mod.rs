//! A write's body to columns, and what became of them to a response.

mod refusal;

use super::action::Action;
use super::admission::Permit;
use super::error::ApiError;
use super::headers::CREATED;
use super::http::Response;
use super::intake::Parsed;
use super::params::{Dialect, WriteParams, WritePrecision};
use super::settings::Settings;
use crate::influxql::quote;
use crate::line_protocol::Rejected;
use crate::model::grant::{Right, Scope};
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::PolicySpec;
use crate::route::error::Error;
use crate::route::grants::Principal;
use crate::route::write::{Write, WriteOutcome, WriteRequest};
use crate::route::{Context, Machine};

/// What a write's head says.
#[derive(Debug)]
pub struct Asked {
    /// Which route it came by.
    pub dialect: Dialect,
    /// Its parameters.
    pub params: WriteParams,
}

/// A write in progress.
#[derive(Debug)]
pub struct Writing {
    machine: Write,
    rejected: Rejected,
    precision: WritePrecision,
    text: Vec<u8>,
    /// Why the database is not created if it is not there.
    not_created: Option<NotCreated>,
    points_written: u64,
    _permit: Permit,
}

/// Why a write does not create its database.
#[derive(Clone, Copy, Debug)]
enum NotCreated {
    /// No write does: `AUTO_CREATE_DATABASES`.
    ByNobody,
    /// Who writes may not write to all of it.
    ByCaller,
}

impl Writing {
    /// Prepares the write of what was parsed; `None` when there was no line at all. Who may write
    /// to all of a database may do so before it exists.
    ///
    /// # Errors
    /// [`ApiError::Rejected`] when no line is left to write.
    pub fn new(
        asked: Asked,
        parsed: Parsed,
        settings: &Settings,
        principal: &Principal,
    ) -> Result<Option<Self>, ApiError> {
        let Asked { dialect, params } = asked;
        let Parsed { batch, rejected, permit, text } = parsed;
        let all_or_nothing = dialect == Dialect::V3 && !params.accept_partial;
        let any_bad = rejected.count + rejected.without_time > 0;
        if batch.measurements.is_empty() || (all_or_nothing && any_bad) {
            let asked = refusal::Asked {
                database: &params.database,
                precision: params.precision,
                all_or_nothing,
            };
            return match any_bad {
                false => Ok(None),
                true => Err(refusal::refusal(asked, &rejected, &WriteOutcome::default(), &text)),
            };
        }
        let not_created = match principal.grants.scope(Right::Write, &params.database) {
            Scope::All if settings.auto_create_databases => None,
            Scope::All => Some(NotCreated::ByNobody),
            Scope::None | Scope::Policies(_) => Some(NotCreated::ByCaller),
        };
        let auto_create = not_created.is_none().then(|| CreateDatabase {
            name: params.database.clone(),
            policy: Some(PolicySpec {
                duration_ns: Some(settings.auto_create_retention_ns),
                ..PolicySpec::default()
            }),
            shards: settings.default_shards,
            location: None,
            jurisdiction: None,
        });
        let WriteParams { database, policy, precision, .. } = params;
        let principal = principal.clone();
        let request =
            WriteRequest { database, policy, principal, batch, auto_create, all_or_nothing };
        let machine = Write::new(request);
        Ok(Some(Self {
            machine,
            rejected,
            precision,
            text,
            not_created,
            points_written: 0,
            _permit: permit,
        }))
    }

    /// Points that are kept, once the answer is known.
    pub fn points_written(&self) -> u64 {
        self.points_written
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let step = self.machine.step(context, reply);
        if let Step::Done(Ok(outcome)) = &step {
            self.points_written = outcome.points_written;
        }
        match step {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Err(Error::DatabaseNotFound(name))) => {
                let cure = self.absent(&name);
                Err(ApiError::DatabaseNotFound { name, cure })
            }
            Step::Done(Err(error)) => Err(error.into()),
            Step::Done(Ok(outcome)) => self.answer(&outcome),
        }
    }

    /// What is said of a database that is not there.
    fn absent(&self, database: &str) -> String {
        let statement = format!("CREATE DATABASE {}", quote::ident(database));
        match self.not_created {
            None => format!(": create it with {statement}"),
            Some(NotCreated::ByNobody) => format!(
                ": writes create none here (AUTO_CREATE_DATABASES=false): create it with {statement}"
            ),
            Some(NotCreated::ByCaller) => format!(
                ": {} may write to some of its policies only, and so does not create it: create \
                 it with {statement}, or write with a token for all of the database",
                self.machine.request().principal.name
            ),
        }
    }

    /// The response, or why it is a bad one.
    fn answer(&self, outcome: &WriteOutcome) -> Result<Action, ApiError> {
        let WriteRequest { database, all_or_nothing, .. } = self.machine.request();
        let told = self.rejected.count + self.rejected.without_time + outcome.rejected.total;
        if told > 0 {
            let (precision, all_or_nothing) = (self.precision, *all_or_nothing);
            let asked = refusal::Asked { database, precision, all_or_nothing };
            return Err(refusal::refusal(asked, &self.rejected, outcome, &self.text));
        }
        let response = Response::empty(204);
        Ok(Action::Respond(match &outcome.created {
            Some(created) => {
                response.with_header(CREATED, refusal::created_header(database, created))
            }
            None => response,
        }))
    }
}

#[cfg(test)]
mod tests;
