//! Serves `GET /metrics/targets`, the service discovery of Prometheus (`http_sd_configs`). The
//! response lists a target for each database whose metrics the caller may read.

use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::routes::handler::{Incoming, PendingRequest, json_line};
use crate::coordinator::Io;
use crate::coordinator::database_lists::list_databases;
use crate::coordinator::grants::Principal;
use crate::model::grant::{PermissionKind, Scope};

/// Parses the request of `GET /metrics/targets`.
pub fn begin_targets(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let reason = "the request has no header Host: the list of targets needs this header";
    let missing = || ApiError::Invalid(reason.to_owned());
    let host = request.head.header("host").ok_or_else(missing)?.to_owned();
    let principal = request.caller.clone();
    Ok(PendingRequest::run(|io| list(io, host, principal)))
}

async fn list(io: Io, host: String, principal: Principal) -> ApiResult<Response> {
    let mut names = list_databases(&io, None).await?;
    // `GET /metrics` checks the same permission on the whole database.
    names.retain(|name| principal.grants.scope(PermissionKind::Metrics, name) == Scope::All);
    names.sort();
    let targets = names.iter().map(|name| target(&host, name)).collect();
    Ok(json_line(200, &Value::Array(targets)))
}

/// Labels that begin with two underscores define the request, and `instance` distinguishes the
/// databases of a host. The scrape configuration defines the scheme.
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
