//! Serves `/health`, which requires no token and reports whether the server works.
//!
//! The status is "fail" if an invalid setting stops the server, and "warn" if the Catalog does not
//! respond. Without the Catalog, the server can only use cached definitions.

use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::ApiResult;
use crate::api::headers::INFLUXDB_VERSION;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Incoming, PendingRequest, Responder};
use crate::model::limits::CATALOG_HEALTH_WAIT_MS;
use crate::protocol::call::{Address, Call, Reply};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;

/// The ids of the call to the Catalog and of the timer that limits this call.
const CATALOG: u32 = 0;
const PAUSE: u32 = 1;

#[derive(Debug, Default)]
struct HealthCheck {
    requested: bool,
}

/// Parses the request of `GET /health`.
pub fn begin(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::new(|_, _, _| Ok(Box::new(HealthCheck::default()))))
}

impl Responder for HealthCheck {
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        let Some(reply) = reply else { return Ok(self.begin_check(isolate)) };
        let reply = (self.requested && reply.id == CATALOG).then_some(reply.result);
        let decoded = reply.and_then(|reply| envelope::decode_reply::<FromCatalog>(reply).ok());
        let answers =
            decoded.is_some_and(|decoded| !matches!(decoded, FromCatalog::Unavailable(_)));
        isolate.service.catalog_health.on_reply(answers, isolate.now_ns());
        Ok(Action::Respond(serving(answers)))
    }
}

impl HealthCheck {
    fn begin_check(&mut self, isolate: &mut Isolate<'_>) -> Action {
        let unset = match &isolate.service.settings {
            Err(error) => Some(error.to_string()),
            Ok(settings) if settings.admin_tokens.is_empty() => {
                Some(AuthError::NotConfigured.to_string())
            }
            Ok(_) => None,
        };
        if let Some(message) = unset {
            return Action::Respond(health_response(503, "fail", &message));
        }
        let now_ns = isolate.now_ns();
        if let Some(answers) = isolate.service.catalog_health.known(now_ns) {
            return Action::Respond(serving(answers));
        }
        isolate.service.catalog_health.begin_call(now_ns);
        self.requested = true;
        // The call identifies no caller, but makes the Catalog read its storage.
        let message = envelope::encode(&ToCatalog::Identify { keys: Vec::new() });
        let wait_ms = CATALOG_HEALTH_WAIT_MS.to_le_bytes().to_vec();
        Action::Calls(vec![
            Call { id: CATALOG, to: Address::Catalog, location: None, message },
            Call { id: PAUSE, to: Address::Pause, location: None, message: wait_ms },
        ])
    }
}

/// The status is always 200, in the format that v2 clients read.
fn serving(catalog_answers: bool) -> Response {
    match catalog_answers {
        true => health_response(200, "pass", "ready for queries and writes"),
        false => health_response(
            200,
            "warn",
            "the Catalog does not respond: recently used databases are available; other databases, \
             lists and management return 503",
        ),
    }
}

fn health_response(status: u16, word: &str, message: &str) -> Response {
    let body = serde_json::json!({
        "name": "influxdb",
        "message": message,
        "status": word,
        "checks": [],
        "version": INFLUXDB_VERSION,
    });
    Response::json(status, format!("{body}\n"))
}
