//! Converts headers, trailers and statuses between gRPC over HTTP/2 and gRPC-Web.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use tidemark_server::grpc_web::Code;

use super::limits::Limits;
use super::upstream::Reason;
use crate::grpc::{self, GRPC_WEB, TRAILERS};

/// Each side of a connection sets these headers itself.
const OF_CONNECTION: &str = "accept-encoding alt-svc connection content-encoding content-length \
     content-type date expect host http2-settings keep-alive proxy-authenticate \
     proxy-authorization proxy-connection te trailer transfer-encoding upgrade";
const OF_REQUEST: &str = "accept grpc-accept-encoding grpc-encoding x-grpc-web";
const OF_RESPONSE: &str = "grpc-accept-encoding grpc-message grpc-status";

const MESSAGE_CHARACTERS_MAX: usize = 2_000;

/// The result of a failed call.
#[derive(Debug)]
pub struct Status {
    pub code: Code,
    pub message: String,
    /// Further headers of the response.
    pub metadata: Box<HeaderMap>,
}

impl Status {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), metadata: Box::default() }
    }

    pub fn trailers(self) -> HeaderMap {
        let mut message: String = self.message.chars().take(MESSAGE_CHARACTERS_MAX).collect();
        if message.len() < self.message.len() {
            message.pop();
            message.push('…');
        }
        let mut trailers = *self.metadata;
        trailers.extend(grpc::status(self.code as u8, message.as_bytes()));
        trailers
    }
}

/// Returns the status of a call to which the server does not respond.
pub fn no_response(reason: Reason) -> Status {
    let reason = reason.source().map_or_else(|| reason.to_string(), ToString::to_string);
    Status::new(Code::Unavailable, format!("the server does not respond ({reason})"))
}

/// Returns the value of a header, or an empty text if the header is missing or not ASCII.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns the status in headers or trailers.
pub fn status_in(headers: &HeaderMap) -> Option<HeaderMap> {
    let text = headers.get("grpc-status")?.as_bytes();
    let code = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let Some(code) = code.filter(|code: &u8| *code < 100) else {
        let text = String::from_utf8_lossy(text);
        return Some(Status::new(Code::Unknown, format!("grpc-status is \"{text}\"")).trailers());
    };
    let message = headers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
    Some(grpc::status(code, &percent_decode(message).collect::<Vec<u8>>()))
}

/// Maps an HTTP status to a gRPC code.
pub fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        502 | 504 => Code::Unavailable,
        status @ (400 | 401 | 403..=405 | 413 | 415 | 429 | 500 | 501 | 503 | 507) => {
            Code::of_http(status)
        }
        _ => Code::Unknown,
    }
}

/// Returns the headers without the headers in `omitted`. gRPC treats values that are joined with
/// commas as equivalent to a repeated name.
fn joined(headers: &HeaderMap, omitted: &str) -> HeaderMap {
    let is_omitted = |name: &HeaderName| {
        let mut names = OF_CONNECTION.split(' ').chain(omitted.split(' '));
        names.any(|omitted| name == omitted) || name.as_str().starts_with("access-control-")
    };
    let mut joined = HeaderMap::new();
    for name in headers.keys().filter(|name| !is_omitted(name)) {
        let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b',')) {
            joined.insert(name, value);
        }
    }
    joined
}

/// Returns the headers of the request to the server. `format` is the rest of the content type.
pub fn request_headers(path: &str, headers: &HeaderMap, format: &str) -> Result<HeaderMap, Status> {
    // A part of the path must not consist of dots, which could leave the server's base path.
    let is_name = |part: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        part.bytes().all(is_allowed) && part.bytes().any(|byte| byte != b'.')
    };
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    if !parts.is_some_and(|(service, method)| is_name(service) && is_name(method)) {
        return Err(Status::new(Code::Unimplemented, "the path is not /Service/Method"));
    }
    let identity = HeaderValue::from_static("identity");
    let encoding = text(headers, "grpc-encoding");
    if !matches!(encoding, "" | "identity") {
        let message = format!(
            "grpc-encoding is {encoding}: send messages without compression, because gRPC-Web does \
             not support it"
        );
        let mut status = Status::new(Code::Unimplemented, message);
        status.metadata.insert("grpc-accept-encoding", identity);
        return Err(status);
    }
    let format = if format.is_empty() { "+proto" } else { format };
    let content_type = HeaderValue::from_str(&format!("{GRPC_WEB}{format}"))
        .map_err(|_| Status::new(Code::InvalidArgument, "the content type is invalid"))?;
    let mut passed = joined(headers, OF_REQUEST);
    passed.insert("content-type", content_type.clone());
    passed.insert("accept", content_type);
    passed.insert("accept-encoding", identity.clone());
    passed.insert("grpc-accept-encoding", identity);
    passed.insert("x-grpc-web", HeaderValue::from_static("1"));
    Ok(passed)
}

/// Returns the metadata in the headers or trailers of a response, without the status.
pub fn metadata_of(headers: &HeaderMap) -> HeaderMap {
    joined(headers, OF_RESPONSE)
}

/// Converts the trailers of gRPC-Web to the trailers of gRPC.
pub fn trailers_of(trailers: &HeaderMap) -> Result<HeaderMap, Status> {
    let status = status_in(trailers).ok_or_else(|| {
        Status::new(Code::Unknown, "the server ended the call without a grpc-status")
    })?;
    let mut all = metadata_of(trailers);
    all.extend(status);
    Ok(all)
}

/// Checks the size of headers, which is computed as in HTTP/2.
pub fn must_fit(whose: &str, headers: &HeaderMap, limits: &Limits) -> Result<(), Status> {
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    fit(whose, "headers", bytes, "headerBytesMax", limits.header_bytes_max)
}

/// Checks the kind and the length of a frame.
pub fn must_pass(
    whose: &str,
    has_trailers: bool,
    limits: &Limits,
    kind: u8,
    length: usize,
) -> Result<(), Status> {
    match kind {
        0 => fit(whose, "a message", length, "messageBytesMax", limits.message_bytes_max),
        TRAILERS if has_trailers => {
            fit(whose, "trailers", length, "trailerBytesMax", limits.trailer_bytes_max)
        }
        _ => Err(Status::new(
            Code::Unimplemented,
            format!(
                "{whose} has a frame with the flags {kind}: only uncompressed messages are supported"
            ),
        )),
    }
}

fn fit(whose: &str, what: &str, bytes: usize, limit: &str, max: usize) -> Result<(), Status> {
    if bytes <= max {
        return Ok(());
    }
    let message = format!("{whose} has {what} of {bytes} bytes: {limit} is {max}");
    Err(Status::new(Code::ResourceExhausted, message))
}

/// Parses a `grpc-timeout` such as `250m`. The result has whole milliseconds, and at least 1.
pub fn timeout_of(value: &HeaderValue) -> Result<Duration, Status> {
    let text = String::from_utf8_lossy(value.as_bytes());
    parse_timeout(&text).ok_or_else(|| {
        let message = format!(
            "grpc-timeout is \"{text}\": expected up to 8 digits and one of H, M, S, m, u, n"
        );
        Status::new(Code::InvalidArgument, message)
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let unit_ns: u64 = match unit {
        "H" => 3_600_000_000_000,
        "M" => 60_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        _ => return None,
    };
    let ns = digits.parse::<u64>().ok()?.saturating_mul(unit_ns);
    Some(Duration::from_millis(ns.div_ceil(1_000_000).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_parse_in_every_unit() {
        for (text, ms) in [
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("3S", 3_000),
            ("4m", 4),
            ("5000u", 5),
            ("1n", 1),
            ("0m", 1),
        ] {
            assert_eq!(parse_timeout(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert!(parse_timeout("99999999H").is_some());
        for text in ["", "1", "S", "1s", "-1S", "123456789S", "1.5S", "1ü"] {
            assert_eq!(parse_timeout(text), None, "{text}");
        }
    }
}
