//! Writes the body and the headers of an error response.

use super::http::Response;
use crate::model::limits::ERROR_HEADER_CHARS_MAX;
use crate::response::emitter::Emitter;

/// The format of a route's error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// `/write`: `{"code","message","error","line"?}`; 1.x clients read only `error`.
    WriteV1,
    /// `/api/v2/write`: `{"code","message","line"?}`.
    WriteV2,
    /// `/query`: `{"error"}`.
    Query,
    /// `/api/v3/write_lp`: `{"code","message","error"}`. For rejected lines, `error` is InfluxDB
    /// 3's title and `data` lists each line.
    WriteV3,
    /// Flight: gRPC trailers for gRPC-Web clients, and [`Self::Other`] for all other clients.
    Flight,
    /// All other routes: `{"code","message","error"}`.
    Other,
}

pub(super) struct ErrorBody<'a> {
    shape: ErrorShape,
    status: u16,
    message: &'a str,
    out: Emitter,
}

impl<'a> ErrorBody<'a> {
    pub(super) fn begin(shape: ErrorShape, status: u16, message: &'a str, pretty: bool) -> Self {
        let mut out = Emitter::new(pretty);
        out.open(b'{');
        if shape != ErrorShape::Query {
            out.key("code");
            out.string(code(status));
            out.key("message");
            out.string(message);
        }
        Self { shape, status, message, out }
    }

    pub(super) fn error(&mut self) {
        if self.shape != ErrorShape::WriteV2 {
            self.out.key("error");
            self.out.string(self.message);
        }
    }

    pub(super) fn keys(&mut self) -> &mut Emitter {
        &mut self.out
    }

    pub(super) fn end(mut self) -> Response {
        self.out.close(b'}');
        self.out.end_document();
        Response::json(self.status, self.out.take())
            .with_header("X-Influxdb-Error", header_text(self.message))
            .with_header("X-Platform-Error-Code", code(self.status))
    }
}

fn code(status: u16) -> &'static str {
    match status {
        400 => "invalid",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        408 => "request timeout",
        409 => "conflict",
        413 => "request too large",
        415 => "unsupported media type",
        422 => "unprocessable entity",
        429 => "too many requests",
        501 => "not implemented",
        503 => "unavailable",
        _ => "internal error",
    }
}

/// Replaces control characters with spaces, and other characters outside of printable ASCII with
/// `?`.
fn header_text(message: &str) -> String {
    let safe = |c: char| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    };
    message.chars().map(safe).take(ERROR_HEADER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_text_escapes_control_characters() {
        assert_eq!(header_text("a\r\nSet-Cookie: x\u{7f}ü"), "a  Set-Cookie: x ?");
    }
}
