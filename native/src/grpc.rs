//! Converts between gRPC over HTTP/2 and gRPC-Web. The engine reads and writes gRPC-Web.
//!
//! Both protocols use the same message frames. gRPC sends the status in HTTP/2 trailers, and
//! gRPC-Web sends the status in the last frame of the body. A gRPC library would therefore not save
//! code.

use std::convert::Infallible;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tidemark_server::grpc_web::Code;
use tidemark_server::http::{RequestHead, Response};

use crate::reply::{self, HttpResponse};

pub const GRPC: &str = "application/grpc";
pub const GRPC_WEB: &str = "application/grpc-web";
/// The first byte of the frame that contains the trailers.
pub const TRAILERS: u8 = 0x80;
const FRAME_HEAD_BYTES: usize = 5;
/// The characters that gRPC encodes in messages, in addition to characters that are not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Converts the head of a gRPC request to a gRPC-Web head. Returns the content type of the
/// response, or `None` if the request is not a gRPC request.
pub fn adopt(head: &mut RequestHead) -> Option<String> {
    let (_, content_type) = head.headers.iter_mut().find(|(name, _)| name == "content-type")?;
    let format = format_of(content_type, GRPC)?;
    let answer = content_type.clone();
    *content_type = format!("{GRPC_WEB}{format}");
    Some(answer)
}

/// Returns the rest of a content type after `kind`, such as `+proto`. Returns `None` if the content
/// type is of another kind.
pub fn format_of(content_type: &str, kind: &str) -> Option<String> {
    let format = content_type.to_ascii_lowercase().strip_prefix(kind)?.to_owned();
    (format.is_empty() || format.starts_with(['+', ';'])).then_some(format)
}

/// Returns the head of a response. The message frames follow the head.
pub fn head(response: &Response, content_type: &str) -> HttpResponse {
    let mut outgoing = reply::head(response, false);
    *outgoing.status_mut() = hyper::StatusCode::OK;
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        outgoing.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    outgoing
}

/// Returns a response without messages, whose headers contain the status.
pub fn complete(response: &Response, content_type: &str) -> HttpResponse {
    let mut frames = Frames::default();
    let is_web = response.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type") && value.starts_with(GRPC_WEB)
    });
    let trailers = if is_web {
        let Ok(_) = frames.messages(&response.body, any);
        frames.trailers()
    } else {
        status(Code::of_http(response.status) as u8, response.body.trim_ascii())
    };
    let mut outgoing = head(response, content_type);
    outgoing.headers_mut().extend(trailers);
    outgoing
}

/// Accepts every frame of the engine.
pub fn any(_kind: u8, _length: usize) -> Result<(), Infallible> {
    Ok(())
}

/// Returns trailers with a status. The message may contain any bytes.
pub fn status(code: u8, message: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    let message = percent_encode(message, ENCODED).to_string();
    if let Ok(message) = HeaderValue::from_str(&message) {
        trailers.insert("grpc-message", message);
    }
    trailers
}

/// A parser of gRPC-Web frames, which separates the messages from the trailers.
#[derive(Debug, Default)]
pub struct Frames {
    /// The received bytes of an incomplete frame header.
    head: Vec<u8>,
    /// The number of bytes of the current frame that have not arrived.
    left: usize,
    /// The content of the frame with the trailers, or `None` before this frame starts.
    trailers: Option<Vec<u8>>,
    /// Whether to ignore all bytes after the current message.
    pub is_last_message: bool,
    /// Whether bytes follow the trailers.
    pub has_excess: bool,
}

impl Frames {
    /// Returns the part of `bytes` that belongs to messages. `check` receives the first byte and
    /// the length of each frame.
    pub fn messages<E>(
        &mut self,
        mut bytes: &[u8],
        check: impl Fn(u8, usize) -> Result<(), E>,
    ) -> Result<Vec<u8>, E> {
        let mut messages = Vec::with_capacity(bytes.len());
        loop {
            let (content, behind) = bytes.split_at(self.left.min(bytes.len()));
            self.trailers.as_mut().unwrap_or(&mut messages).extend_from_slice(content);
            self.left -= content.len();
            bytes = behind;
            if self.is_over() || bytes.is_empty() {
                self.has_excess = self.trailers.is_some() && !bytes.is_empty();
                return Ok(messages);
            }
            let missing = FRAME_HEAD_BYTES - self.head.len();
            let (head, behind) = bytes.split_at(missing.min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = behind;
            if let [kind, a, b, c, d] = *self.head.as_slice() {
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                check(kind, self.left)?;
                if kind & TRAILERS != 0 {
                    self.trailers = Some(Vec::new());
                } else {
                    messages.extend_from_slice(&self.head);
                }
                self.head.clear();
            }
        }
    }

    /// Whether the trailers, or the last message, are complete.
    pub fn is_over(&self) -> bool {
        self.left == 0 && (self.trailers.is_some() || self.is_last_message)
    }

    /// Whether all frames so far are complete.
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }

    /// Returns the trailers. If the response was truncated and has no trailers, returns an error
    /// status, so that the client does not consider the response complete.
    pub fn trailers(self) -> HeaderMap {
        let Some(content) = self.trailers.filter(|_| self.left == 0) else {
            return status(Code::Internal as u8, b"the response ended early");
        };
        let mut trailers = HeaderMap::new();
        for line in content.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            let name = HeaderName::from_bytes(name);
            let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                trailers.append(name, value);
            }
        }
        trailers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_trailers_parse_at_any_split() {
        let trailer = b"grpc-status:5\r\ngrpc-message:no\r\n";
        let mut body = vec![0, 0, 0, 0, 3, 1, 2, 3];
        let messages = body.clone();
        body.push(TRAILERS);
        body.extend((trailer.len() as u32).to_be_bytes());
        body.extend(trailer);
        for size in 1..body.len() {
            let mut frames = Frames::default();
            let pieces = body.chunks(size).map(|piece| frames.messages(piece, any).unwrap());
            assert_eq!(pieces.flatten().collect::<Vec<_>>(), messages, "{size}");
            let trailers = frames.trailers();
            assert_eq!(trailers.get("grpc-status").unwrap(), "5", "{size}");
            assert_eq!(trailers.get("grpc-message").unwrap(), "no", "{size}");
        }
        let mut cut = Frames::default();
        cut.messages(&body[..7], any).unwrap();
        assert_eq!(cut.trailers().get("grpc-status").unwrap(), "13");
    }

    #[test]
    fn grpc_content_types_are_translated() {
        for (given, adopted) in [
            ("application/grpc", Some("application/grpc-web")),
            ("application/grpc+proto", Some("application/grpc-web+proto")),
            ("application/grpc-web", None),
            ("application/grpc-web+proto", None),
            ("text/plain", None),
        ] {
            let mut head = RequestHead::default();
            head.headers.push(("content-type".into(), given.into()));
            let answer = adopt(&mut head);
            assert_eq!(answer.as_deref(), adopted.map(|_| given));
            assert_eq!(head.header("content-type"), Some(adopted.unwrap_or(given)));
        }
    }
}
