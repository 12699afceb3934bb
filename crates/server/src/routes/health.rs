//! Serves `/health`, `/ping`, `/status`, `/ready` and `/api/v2/setup`, which require no token.
//!
//! The status in the response of `/health` is "fail" if an invalid setting prevents all requests,
//! and otherwise "pass". A warning of the host or a failed commit does not change the status,
//! because reads continue. Neither does a Catalog that does not respond: the server can then still
//! use its cached definitions. In these cases `checks` contains a failed check. Clients of 2.x know no third status. Monitoring systems
//! may poll `/health` every second, so `CatalogHealth` caches, for each isolate, whether the
//! Catalog responds. The other routes call no object.

use serde_json::Value;

use crate::auth::{ACCESS_ASSERTION, AuthError};
use crate::error::{ApiError, ApiResult};
use crate::headers::INFLUXDB_VERSION;
use crate::http::Response;
use crate::routes::handler::{PendingRequest, Request};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::round;
use tidemark_model::limits::CATALOG_HEALTH_WAIT_MS;

/// Parses the request of `GET /health`.
pub fn begin(_request: &Request) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::with_body(|request, _| check(request)))
}

async fn check(request: Request) -> ApiResult<Response> {
    let unset = match &request.isolate.settings {
        Err(error) => Some(error.to_string()),
        Ok(settings) if settings.admin_tokens.is_empty() => {
            Some(AuthError::NotConfigured.to_string())
        }
        Ok(_) => None,
    };
    if let Some(message) = unset {
        return Ok(health_response(503, "fail", &message, &[]));
    }
    let (now_ns, health) = (request.now_ns()?, &request.isolate.catalog_health);
    let cached = health.borrow().cached(now_ns);
    if let Some(is_available) = cached {
        return serving(&request, is_available);
    }
    health.borrow_mut().begin_call(now_ns);
    // A request to identify no caller is the cheapest call for which the Catalog reads its storage.
    let message = envelope::encode(&ToCatalog::Identify { keys: Vec::new() });
    let call = round::Request::new(Address::Catalog, message);
    let reply = request.io.request_within(call, CATALOG_HEALTH_WAIT_MS).await;
    let reply = envelope::decode_reply::<FromCatalog>(reply);
    let is_available = reply.is_ok_and(|reply| !matches!(reply, FromCatalog::Unavailable(_)));
    health.borrow_mut().on_reply(is_available, request.now_ns()?);
    serving(&request, is_available)
}

/// Returns the response with status 200, in the format that v2 clients read.
fn serving(request: &Request, catalog_answers: bool) -> ApiResult<Response> {
    let (now_ns, warning) = (request.now_ns()?, request.isolate.host_warning.borrow());
    let warning = warning.as_ref().filter(|(_, until_ns)| now_ns < *until_ns);
    let commits = request.io.with(|context| context.platform.commit_failures())?;
    let failed_commit = commits.and_then(|failures| failures.cause);
    let lost_catalog = "the Catalog does not respond: recently used databases are available; other \
                        databases, lists and management return 503";
    let failures = [
        ("storage", failed_commit.as_deref()),
        ("catalog", (!catalog_answers).then_some(lost_catalog)),
        ("host", warning.map(|(warning, _)| warning.as_str())),
    ];
    let failures = failures.into_iter().filter_map(|(name, message)| Some((name, message?)));
    let message =
        failures.clone().next().map_or("ready for queries and writes", |(_, first)| first);
    let check =
        |(name, message)| serde_json::json!({ "name": name, "message": message, "status": "fail" });
    Ok(health_response(200, "pass", message, &failures.map(check).collect::<Vec<_>>()))
}

fn health_response(status: u16, word: &str, message: &str, checks: &[Value]) -> Response {
    let body = serde_json::json!({
        "name": "influxdb",
        "message": message,
        "status": word,
        "checks": checks,
        "version": INFLUXDB_VERSION,
    });
    Response::json(status, format!("{body}\n"))
}

/// The header that informs a page that its requests pass through Cloudflare Access, so that the
/// page may need no token.
const ACCESS: &str = "X-Tidemark-Access";

/// Parses a request to `/ping` or `/status`. The response has status 204, or status 200 and the
/// version if `verbose` is set, as in 1.x.
pub fn begin_ping(request: &Request) -> ApiResult<PendingRequest> {
    let mut response = match request.url.filled("verbose") {
        None | Some("0" | "false") => Response::empty(204),
        Some(_) => Response::json(200, format!("{{\"version\":\"{INFLUXDB_VERSION}\"}}\n")),
    };
    if request.head.header(ACCESS_ASSERTION).is_some() {
        response.headers.push((ACCESS, "1".into()));
    }
    Ok(PendingRequest::respond(response))
}

/// Parses a request to `/ready` or `/api/v2/ready`.
pub fn begin_ready(_request: &Request) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::respond(Response::json(200, "{\"status\":\"ready\"}\n")))
}

/// Parses a request to `/api/v2/setup`. The server needs no setup except for the
/// secret `ADMIN_TOKEN`.
pub fn begin_setup(request: &Request) -> ApiResult<PendingRequest> {
    if request.head.method == "POST" {
        return Err(ApiError::AlreadyExists("onboarding has already been completed".to_owned()));
    }
    Ok(PendingRequest::respond(Response::json(200, "{\"allowed\":false}\n")))
}
