//! `/ping` and `/health`: no token, no object is touched.

use super::headers::INFLUXDB_VERSION;
use super::http::{Parameters, Response};

/// 204; with `verbose` 200 and the version, as in 1.x.
pub fn ping(url: &Parameters) -> Response {
    match url.filled("verbose") {
        None | Some("0" | "false") => Response::empty(204),
        Some(_) => Response::json(200, format!("{{\"version\":\"{INFLUXDB_VERSION}\"}}\n")),
    }
}

/// 200 in the shape that the v2 clients read.
pub fn health() -> Response {
    let body = serde_json::json!({
        "name": "influxdb",
        "message": "ready for queries and writes",
        "status": "pass",
        "checks": [],
        "version": INFLUXDB_VERSION,
    });
    Response::json(200, format!("{body}\n"))
}
