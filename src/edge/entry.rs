//! The Worker: Request -> api -> route, its calls driven with fetch, -> Response.

use worker::{Context, Env, Request, Response, Result, event};

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[event(fetch)]
async fn fetch(request: Request, _env: Env, _context: Context) -> Result<Response> {
    match request.path().as_str() {
        "/ping" => {
            let headers = worker::Headers::new();
            headers.set("X-Influxdb-Version", "1.8.10")?;
            Ok(Response::empty()?.with_status(204).with_headers(headers))
        }
        _ => Response::error("not found", 404),
    }
}
