//! Serves `POST /debug/verify?db=…[&resume=…]`, which checks every checksum of a database, a
//! bounded piece at a time.

use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::{Parameters, Response};
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming};
use crate::coordinator::Machine;
use crate::coordinator::verify::{Report, Resume, Verify};
use crate::protocol::call::{Reply, Step};

/// A verification in progress.
#[derive(Debug)]
struct VerifyHandler {
    database: String,
    machine: Verify,
}

/// `POST /debug/verify`
///
/// # Errors
/// [`ApiError::Invalid`] for a missing `db` and for a `resume` that no reply gave.
pub fn begin(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    Ok(Box::new(VerifyHandler::parse(request.url)?))
}

impl Handler for VerifyHandler {
    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        match self.machine.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(report)) => {
                let body = self.body(&report);
                Ok(Action::Respond(Response::json(200, format!("{body}\n"))))
            }
            Step::Done(Err(error)) => Err(error.into()),
        }
    }
}

impl VerifyHandler {
    fn parse(url: &Parameters) -> Result<Self, ApiError> {
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
