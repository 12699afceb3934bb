//! Sets the headers of every response.

use std::borrow::Cow;

use super::http::{RequestHead, Response};
use super::settings::CorsOrigins;
use tidemark_response::Format;
use tidemark_response::table::TableFormat;

/// The version of the implemented API, in the format that clients parse: exactly three numbers.
pub const INFLUXDB_VERSION: &str = "1.8.10";
/// The name that distinguishes this server from InfluxDB.
pub const INFLUXDB_BUILD: &str = "Tidemark";

/// The headers that browsers may send. The value `*` would not cover `Authorization` (Fetch
/// standard).
const ALLOW_HEADERS: &str = "Accept, Authorization, Content-Encoding, Content-Type, Database, \
                             Grpc-Timeout, Traceparent, User-Agent, X-Grpc-Web, X-Request-Id, \
                             X-User-Agent, Zap-Trace-Span";
const EXPOSE_HEADERS: &str = "Date, Request-Id, Retry-After, Server-Timing, X-Influxdb-Build, \
                              X-Influxdb-Error, X-Influxdb-Version, X-Platform-Error-Code, \
                              X-Request-Id, X-Tidemark-Created";
/// The response header of a write that created a database: `database/policy; retention=3d`.
pub const CREATED: &str = "X-Tidemark-Created";

/// The maximum length of a client's request id.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Returns the client's request id if it consists of printable ASCII characters. Otherwise returns
/// `fresh` as a UUID.
pub fn request_id(head: &RequestHead, fresh: [u64; 2]) -> String {
    let is_usable = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    let given = |name| head.header(name).filter(is_usable);
    let given = given("x-request-id").or_else(|| given("request-id"));
    given.map_or_else(|| uuid(fresh), str::to_owned)
}

/// Returns a version 4 UUID, which contains 122 of these 128 random bits.
fn uuid([high, low]: [u64; 2]) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// Adds the common headers to a response.
pub fn finish(
    response: &mut Response,
    head: &RequestHead,
    request_id: &str,
    origins: Option<&CorsOrigins>,
) {
    let mut add = |name, value: Cow<'static, str>| response.headers.push((name, value));
    add("Request-Id", request_id.to_owned().into());
    add("X-Request-Id", request_id.to_owned().into());
    add("X-Influxdb-Version", INFLUXDB_VERSION.into());
    add("X-Influxdb-Build", INFLUXDB_BUILD.into());
    add("Cache-Control", "no-store".into());
    add("X-Content-Type-Options", "nosniff".into());
    if let Some(origin) = head.header("origin")
        && origins.is_some_and(|allowed| allowed.allow(origin))
    {
        add("Access-Control-Allow-Origin", origin.to_owned().into());
        add("Access-Control-Expose-Headers", EXPOSE_HEADERS.into());
        add("Timing-Allow-Origin", origin.to_owned().into());
    }
    add("Vary", "Origin".into());
}

/// Whether the server compresses bodies of this type. Cloudflare's edge compresses JSON and plain
/// text, but not these types.
pub fn is_compressible(content_type: &str) -> bool {
    let types = [Format::Csv, Format::MessagePack].map(Format::content_type);
    let tables = [TableFormat::JsonLines, TableFormat::Arrow].map(TableFormat::content_type);
    types.into_iter().chain(tables).any(|own| own == content_type)
}

/// Whether a client with this `Accept-Encoding` accepts gzip. A named coding takes precedence over
/// `*`, and weight 0 means "not accepted" (RFC 9110, 12.5.3).
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let mut any = false;
    for coding in accept_encoding.split(',') {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        let accepted = weight.parse().is_ok_and(|weight: f64| weight > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return accepted,
            "*" => any = accepted,
            _ => {}
        }
    }
    any
}

/// Returns the response to a CORS preflight. Browsers send no token with a preflight.
pub fn preflight() -> Response {
    Response::empty(204)
        .with_header("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        .with_header("Access-Control-Allow-Headers", ALLOW_HEADERS)
        .with_header("Access-Control-Max-Age", "86400")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_page_has_version_and_build() {
        let rules = include_str!("../../../www/_headers");
        let (_, page) = rules.split_once("\n/\n").unwrap();
        let expected = format!(
            "  X-Influxdb-Version: {INFLUXDB_VERSION}\n  X-Influxdb-Build: {INFLUXDB_BUILD}\n\n"
        );
        assert!(page.starts_with(&expected), "{page}");
    }

    #[test]
    fn gzip_is_accepted_by_weight() {
        for (accepts, packed) in [
            ("", false),
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("identity, x-gzip", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("*, gzip; q=0.0", false),
            ("gzip;q=x", false),
            ("br, deflate", false),
        ] {
            assert_eq!(accepts_gzip(accepts), packed, "{accepts}");
        }
    }

    #[test]
    fn worker_compresses_what_cloudflare_does_not() {
        let arrow = "application/vnd.apache.arrow.stream";
        for packed in ["text/csv", "application/x-msgpack", "application/jsonl", arrow] {
            assert!(is_compressible(packed), "{packed}");
        }
        assert!(!is_compressible("application/json") && !is_compressible("text/plain"));
    }

    #[test]
    fn valid_request_id_is_returned() {
        let id = |given: &str| {
            let head = RequestHead::with_headers(&[("x-request-id", given)]);
            request_id(&head, [0x0123_4567_89ab_cdef, u64::MAX])
        };
        for valid in ["a-B_3.x", "Root=1-67891233-abcdef012345678912345678"] {
            assert_eq!(id(valid), valid);
        }
        for bad in ["", "a b", "a\r\nb", "ü", &"x".repeat(129)] {
            assert_eq!(id(bad), "01234567-89ab-4def-bfff-ffffffffffff", "{bad}");
        }
    }
}
