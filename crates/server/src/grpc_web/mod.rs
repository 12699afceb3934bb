//! Reads and writes gRPC-Web, which transports the messages and the status of a gRPC call in plain
//! HTTP bodies.
//!
//! A body is a sequence of frames. A frame consists of one byte for its kind, four bytes for its
//! length (big endian), and its content. The last frame of a response contains the trailers. In the
//! text format each piece of the body is base64.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::error::{ApiError, ApiResult, invalid};
use super::http::{RequestHead, Response};
use tidemark_model::limits::GRPC_MESSAGE_BYTES_MAX;

const MESSAGE: u8 = 0;
const COMPRESSED: u8 = 1;
const TRAILERS: u8 = 0x80;
const FRAME_HEAD_BYTES: usize = 5;

const CONTENT_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// The format of a call's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The request's content type. Clients compare the whole value in the response.
    pub content_type: &'static str,
}

impl Form {
    /// Returns the format of a request, or `None` if the request is not gRPC-Web.
    pub fn of_request(head: &RequestHead) -> Option<Self> {
        let given = head.header("content-type")?.split(';').next()?.trim();
        let known = CONTENT_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(given));
        known.map(|content_type| Self { content_type })
    }

    fn is_text(self) -> bool {
        self.content_type.contains("-text")
    }

    /// Returns the messages of a request's body, in order.
    pub fn messages(self, body: &[u8]) -> ApiResult<Vec<Vec<u8>>> {
        let decoded;
        let mut rest = body;
        if self.is_text() {
            decoded = from_text(body)?;
            rest = &decoded;
        }
        let mut messages = Vec::new();
        while let Some((&[kind, a, b, c, d], behind)) = rest.split_first_chunk() {
            match kind {
                MESSAGE => {}
                COMPRESSED => {
                    let text = "compressed messages are not supported: send messages without \
                                compression";
                    return Err(ApiError::NotImplemented(text.to_owned()));
                }
                kind => return invalid(format!("a frame of kind {kind} is not a message")),
            }
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok();
            let split = length.and_then(|length| behind.split_at_checked(length));
            let Some((message, behind)) = split else { break };
            messages.push(message.to_vec());
            rest = behind;
        }
        match rest.is_empty() {
            true => Ok(messages),
            false => invalid("the body ends within a frame"),
        }
    }

    /// Encodes a piece of the response. In the text format, each piece is a base64 text with its
    /// own padding.
    pub fn encode(self, frames: Vec<u8>) -> Vec<u8> {
        if self.is_text() { STANDARD.encode(frames).into_bytes() } else { frames }
    }

    /// Returns the complete response to a call that failed before its first message.
    pub fn refusal(self, code: Code, message: &str) -> Response {
        let mut frames = Vec::new();
        end(&mut frames, code, message);
        Response::ok(self.content_type, self.encode(frames))
    }
}

/// Decodes a sequence of base64 texts. Each text may end with padding.
fn from_text(text: &[u8]) -> ApiResult<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for piece in text.split_inclusive(|&byte| byte == b'=') {
        // If the padding has two characters, the piece before the second character is empty.
        if piece == b"=" {
            continue;
        }
        let piece = piece.strip_suffix(b"=").unwrap_or(piece);
        match STANDARD_NO_PAD.decode(piece) {
            Ok(decoded) => bytes.extend(decoded),
            Err(_) => return invalid("the body is not valid base64"),
        }
    }
    Ok(bytes)
}

/// Appends a message.
pub fn message(frames: &mut Vec<u8>, message: &[u8]) -> ApiResult<()> {
    let Ok(length) = u32::try_from(message.len()) else {
        return Err(ApiError::TooHeavy("a message has more than 4 GB".to_owned()));
    };
    frames.reserve(FRAME_HEAD_BYTES + message.len());
    frames.push(MESSAGE);
    frames.extend(length.to_be_bytes());
    frames.extend(message);
    Ok(())
}

/// Appends the trailers, which end the response.
pub fn end(frames: &mut Vec<u8>, code: Code, message: &str) {
    let trailers =
        format!("grpc-status:{}\r\ngrpc-message:{}\r\n", code as u8, percent_encoded(message));
    frames.push(TRAILERS);
    // `percent_encoded` truncates messages, so the length always fits.
    frames.extend(u32::try_from(trailers.len()).unwrap_or(u32::MAX).to_be_bytes());
    frames.extend(trailers.into_bytes());
}

/// The codes that this server and `tidemark flight` use, with gRPC's names and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// Maps an HTTP status of this server to a gRPC code.
    pub fn of_http(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            405 | 415 | 501 => Self::Unimplemented,
            408 | 503 => Self::Unavailable,
            409 => Self::AlreadyExists,
            413 | 429 | 507 => Self::ResourceExhausted,
            504 => Self::DeadlineExceeded,
            400 | 422 => Self::InvalidArgument,
            _ => Self::Internal,
        }
    }
}

/// Encodes UTF-8 bytes outside of printable ASCII as `%XX`. Truncates long texts.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len().min(GRPC_MESSAGE_BYTES_MAX));
    for character in text.chars() {
        let before = encoded.len();
        match character {
            '%' => encoded.push_str("%25"),
            ' '..='~' => encoded.push(character),
            character => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    encoded.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        if encoded.len() > GRPC_MESSAGE_BYTES_MAX {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
