//! Serves `GET /metrics/targets`, the service discovery of Prometheus (`http_sd_configs`): a target
//! for each database that the caller sees, so that each is asked, and woken, at a time of its own.

use serde_json::{Value, json};

use crate::api::error::ApiError;
use crate::api::http::Response;
use crate::api::routes::handler::{Handler, Incoming, TaskHandler, json_line};
use crate::coordinator::Io;
use crate::coordinator::database_names::{database_names, seen_by_name};
use crate::coordinator::grants::Principal;

/// `GET /metrics/targets`
///
/// # Errors
/// [`ApiError::Invalid`] for a request without `Host`, which is what the targets are called.
pub fn begin_targets(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let missing = || ApiError::Invalid("the request has no Host, which every target names".into());
    let host = request.head.header("host").ok_or_else(missing)?.to_owned();
    let principal = request.caller.clone();
    Ok(Box::new(TaskHandler::run(|io| list(io, host, principal))))
}

async fn list(io: Io, host: String, principal: Principal) -> Result<Response, ApiError> {
    let names = seen_by_name(&principal.grants, io.run(database_names()).await?);
    let targets = names.iter().map(|name| target(&host, name)).collect();
    Ok(json_line(200, &Value::Array(targets)))
}

/// Labels that begin with two underscores say what is asked; `instance` tells databases apart that
/// one host serves. The scheme is that of the scrape configuration.
fn target(host: &str, database: &str) -> Value {
    json!({
        "targets": [host],
        "labels": {
            "__metrics_path__": "/metrics",
            "__param_db": database,
            "instance": format!("{host}/{database}"),
        },
    })
}
