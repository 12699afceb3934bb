//! Serves `GET /metrics/targets`, the service discovery of Prometheus (`http_sd_configs`): a target
//! for each database that the caller sees, so that each is asked, and woken, at a time of its own.

use serde_json::json;

use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming};
use crate::coordinator::Machine;
use crate::coordinator::database_names::{DatabaseNames, seen_by_name};
use crate::coordinator::grants::Principal;
use crate::protocol::call::{Reply, Step};

/// A list in progress.
#[derive(Debug)]
struct TargetsHandler {
    host: String,
    principal: Principal,
    names: DatabaseNames,
}

/// `GET /metrics/targets`
///
/// # Errors
/// [`ApiError::Invalid`] for a request without `Host`, which is what the targets are called.
pub fn begin_targets(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let missing = || ApiError::Invalid("the request has no Host, which every target names".into());
    let host = request.head.header("host").ok_or_else(missing)?.to_owned();
    let principal = request.caller.clone();
    Ok(Box::new(TargetsHandler { host, principal, names: DatabaseNames::default() }))
}

impl Handler for TargetsHandler {
    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let names = match self.names.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => return Ok(Action::Calls(calls)),
            Step::Done(names) => seen_by_name(&self.principal.grants, names?),
        };
        let targets: Vec<_> = names.iter().map(|name| target(&self.host, name)).collect();
        let body = format!("{}\n", serde_json::Value::Array(targets));
        Ok(Action::Respond(Response::json(200, body)))
    }
}

/// Labels that begin with two underscores say what is asked; `instance` tells databases apart that
/// one host serves. The scheme is that of the scrape configuration.
fn target(host: &str, database: &str) -> serde_json::Value {
    json!({
        "targets": [host],
        "labels": {
            "__metrics_path__": "/metrics",
            "__param_db": database,
            "instance": format!("{host}/{database}"),
        },
    })
}
