//! `POST /debug/verify?db=…[&resume=…]`: every checksum of a database, a bounded piece at a time.

use super::action::Action;
use super::error::ApiError;
use super::http::{Parameters, Response};
use crate::protocol::call::{Reply, Step};
use crate::route::verify::{Report, Resume, Verify};
use crate::route::{Context, Machine};

/// A verification in progress.
#[derive(Debug)]
pub struct Verifying {
    database: String,
    machine: Verify,
}

impl Verifying {
    /// Reads the parameters.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a missing `db` and for a `resume` that no reply gave.
    pub fn parse(url: &Parameters) -> Result<Self, ApiError> {
        let database = url.get("db").filter(|name| !name.is_empty());
        let database = database.ok_or_else(|| ApiError::Invalid("database is required".into()))?;
        let resume = url.get("resume").filter(|resume| !resume.is_empty());
        let start = resume.map(|text| {
            parse(text).ok_or_else(|| {
                let hint = "use the resume of the reply before, or leave it out to start";
                ApiError::Invalid(format!("invalid resume \"{text}\": {hint}"))
            })
        });
        let database = database.to_owned();
        Ok(Self { machine: Verify::new(&database, start.transpose()?), database })
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        match self.machine.step(context, reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(report)) => {
                let body = self.body(&report);
                Ok(Action::Respond(Response::json(200, format!("{body}\n"))))
            }
            Step::Done(Err(error)) => Err(error.into()),
        }
    }

    fn body(&self, report: &Report) -> serde_json::Value {
        let damaged = report.damaged.iter();
        let damaged = damaged.map(|(shard, block)| serde_json::json!([shard, block])).collect();
        let damaged = serde_json::Value::Array(damaged);
        serde_json::json!({
            "db": self.database,
            "blocks": report.blocks,
            "bytes": report.bytes,
            "damaged": damaged,
            "resume": report.resume.map(print),
        })
    }
}

/// `shard` or `shard.page`.
fn print((shard, page): Resume) -> String {
    page.map_or_else(|| shard.to_string(), |page| format!("{shard}.{page}"))
}

fn parse(text: &str) -> Option<Resume> {
    match text.split_once('.') {
        None => Some((text.parse().ok()?, None)),
        Some((shard, page)) => Some((shard.parse().ok()?, Some(page.parse().ok()?))),
    }
}
