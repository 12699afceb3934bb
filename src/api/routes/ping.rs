//! Serves `/ping`, which requires no token and calls no object.

use crate::api::auth::ACCESS_ASSERTION;
use crate::api::error::ApiResult;
use crate::api::headers::INFLUXDB_VERSION;
use crate::api::http::Response;
use crate::api::routes::handler::{Incoming, PendingRequest};

/// Informs a page that its requests pass through Cloudflare Access, so that the page may need no
/// token.
const ACCESS: &str = "X-Tidemark-Access";

/// Responds with status 204, or with status 200 and the version if `verbose` is set, as in 1.x.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let mut response = match request.url.filled("verbose") {
        None | Some("0" | "false") => Response::empty(204),
        Some(_) => Response::json(200, format!("{{\"version\":\"{INFLUXDB_VERSION}\"}}\n")),
    };
    if request.head.header(ACCESS_ASSERTION).is_some() {
        response.headers.push((ACCESS.into(), "1".into()));
    }
    Ok(PendingRequest::respond(response))
}
