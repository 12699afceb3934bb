//! `/ping`: no token, no object is touched.

use super::headers::INFLUXDB_VERSION;
use super::http::{Parameters, Response};

/// 204; with `verbose` 200 and the version, as in 1.x.
pub fn ping(url: &Parameters) -> Response {
    match url.filled("verbose") {
        None | Some("0" | "false") => Response::empty(204),
        Some(_) => Response::json(200, format!("{{\"version\":\"{INFLUXDB_VERSION}\"}}\n")),
    }
}
