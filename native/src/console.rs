//! Serves the files of the console, which are compiled into the program.

use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
};
use hyper::{HeaderMap, Method, Request, StatusCode};

use crate::reply::{HttpResponse, Outgoing, extend};
use crate::unsent::Client;

include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// The name of the file that defines the headers of the other files.
const RULES: &str = "_headers";

/// The bytes of a file. The connection of `_client` is not idle while hyper sends them.
struct SentFile {
    content: &'static [u8],
    _client: Arc<Client>,
}

impl AsRef<[u8]> for SentFile {
    fn as_ref(&self) -> &[u8] {
        self.content
    }
}

/// Returns the response for a path of the console, or `None` for any other path.
pub fn response_of(request: &Request<Incoming>, client: &Arc<Client>) -> Option<HttpResponse> {
    let path = request.uri().path();
    let name = path.strip_prefix('/')?;
    let name = if name.is_empty() { "index.html" } else { name };
    let found = FILES.iter().find(|(file, ..)| *file == name && name != RULES);
    let sent = |content| SentFile { content, _client: Arc::clone(client) };
    let Some((_, tag, content)) = found else {
        let missing: &[u8] =
            b"This program was built without the console: run `npm run build` first.\n";
        return (path == "/").then(|| file(request, "txt", sent(missing), StatusCode::NOT_FOUND));
    };
    let known = request.headers().get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| known.contains(tag));
    let (content, status) = match is_known {
        true => (&[][..], StatusCode::NOT_MODIFIED),
        false => (*content, StatusCode::OK),
    };
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut response = file(request, extension, sent(content), status);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return Some(response);
    }
    // As on Cloudflare, browsers keep the file, and ask whether it has changed.
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(tag));
    let revalidate = HeaderValue::from_static("public, max-age=0, must-revalidate");
    headers.entry(CACHE_CONTROL).or_insert(revalidate);
    Some(response)
}

fn file(
    request: &Request<Incoming>,
    extension: &str,
    sent: SentFile,
    status: StatusCode,
) -> HttpResponse {
    let method = request.method();
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
    add_rules(headers, request.uri().path());
    if method == Method::HEAD && status != StatusCode::NOT_MODIFIED {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(sent.content.len()));
    } else {
        *response.body_mut() = Outgoing::complete(Bytes::from_owner(sent));
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
    let rules = FILES.iter().find(|(file, ..)| *file == RULES).map_or(&[][..], |(.., text)| *text);
    let mut applies = false;
    for line in String::from_utf8_lossy(rules).lines() {
        if let Some((name, value)) = line.strip_prefix(' ').and_then(|rule| rule.split_once(':')) {
            if applies {
                extend(headers, &[(name.trim(), value.trim().to_owned().into())]);
            }
        } else {
            let prefix = line.strip_suffix('*');
            applies = prefix.map_or(line == path, |prefix| path.starts_with(prefix));
        }
    }
}
