//! Serves the files of the console, which are compiled into the program.

use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

use crate::reply::{Outgoing, extend};
use crate::request_task::HttpResponse;

include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// The name of the file that defines the headers of the other files.
const RULES: &str = "_headers";

/// Returns the response for a path of the console, or `None` for any other path.
pub fn answer(method: &Method, path: &str) -> Option<HttpResponse> {
    let name = path.strip_prefix('/')?;
    let name = if name.is_empty() { "index.html" } else { name };
    let found = FILES.iter().find(|(file, _)| *file == name && name != RULES);
    let Some((_, content)) = found else {
        let missing: &[u8] =
            b"This program was built without the console: run `npm run build` first.\n";
        return (path == "/").then(|| file(method, path, "txt", missing, StatusCode::NOT_FOUND));
    };
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    Some(file(method, path, extension, content, StatusCode::OK))
}

fn file(
    method: &Method,
    path: &str,
    extension: &str,
    content: &'static [u8],
    status: StatusCode,
) -> HttpResponse {
    let mut response = HttpResponse::new(Outgoing::Whole(None));
    if method != Method::GET && method != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type(extension));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    add_rules(headers, path);
    if method == Method::HEAD {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    } else {
        *response.body_mut() = Outgoing::complete(content);
    }
    response
}

fn content_type(extension: &str) -> &'static str {
    match extension {
        "css" => "text/css; charset=utf-8",
        "gz" => "application/gzip",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// Adds the headers that the rules define for a path. The pattern of a rule is either a path, or a
/// path prefix that ends with a star.
fn add_rules(headers: &mut HeaderMap, path: &str) {
    let rules = FILES.iter().find(|(file, _)| *file == RULES).map_or(&[][..], |(_, text)| *text);
    let mut applies = false;
    for line in String::from_utf8_lossy(rules).lines() {
        if let Some((name, value)) = line.strip_prefix(' ').and_then(|rule| rule.split_once(':')) {
            if applies {
                extend(headers, &[(name.trim().to_owned(), value.trim().to_owned())]);
            }
        } else {
            let prefix = line.strip_suffix('*');
            applies = prefix.map_or(line == path, |prefix| path.starts_with(prefix));
        }
    }
}
