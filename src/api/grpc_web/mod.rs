//! Reads and writes gRPC-Web, which transports the messages and the status of a gRPC call in plain
//! HTTP bodies.
//!
//! A body is a sequence of frames. A frame consists of one byte for its kind, four bytes for its
//! length (big endian), and its content. The last frame of a response contains the trailers. In the
//! text format each piece of the body is base64.

mod status;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::http::{RequestHead, Response};
pub use status::Code;
use status::percent_encoded;

const MESSAGE: u8 = 0;
const COMPRESSED: u8 = 1;
const TRAILERS: u8 = 0x80;
const FRAME_HEAD_BYTES: usize = 5;

/// The format of a call's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    is_text: bool,
    /// Whether the content type names protobuf as the format of messages.
    is_named: bool,
}

/// An error in the body of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The text is not base64.
    #[error("the body is not valid base64")]
    Text,
    /// The body ends within a frame.
    #[error("the body ends within a frame")]
    Short,
    /// The message is compressed. gRPC's status for an unsupported compression is "unimplemented".
    #[error("compressed messages are not supported: send messages without compression")]
    Compressed,
    /// The first byte of a frame is an unsupported kind.
    #[error("a frame of kind {0} is not a message")]
    Kind(u8),
    /// The message is too long for the length field.
    #[error("a message has more than 4 GB")]
    Long,
}

impl Form {
    /// Returns the format of a request, or `None` if the request is not gRPC-Web.
    pub fn of_request(head: &RequestHead) -> Option<Self> {
        let content_type = head.header("content-type")?.split(';').next()?.trim();
        let content_type = content_type.to_ascii_lowercase();
        let kind = content_type.strip_prefix("application/grpc-web")?;
        Some(match kind {
            "" => Self { is_text: false, is_named: false },
            "+proto" => Self { is_text: false, is_named: true },
            "-text" => Self { is_text: true, is_named: false },
            "-text+proto" => Self { is_text: true, is_named: true },
            _ => return None,
        })
    }

    /// Returns the request's content type, because clients compare the whole value.
    pub fn content_type(self) -> &'static str {
        match (self.is_text, self.is_named) {
            (false, false) => "application/grpc-web",
            (false, true) => "application/grpc-web+proto",
            (true, false) => "application/grpc-web-text",
            (true, true) => "application/grpc-web-text+proto",
        }
    }

    /// Returns the messages of a request's body, in order.
    pub fn messages(self, body: &[u8]) -> Result<Vec<Vec<u8>>, FrameError> {
        let decoded;
        let mut rest = body;
        if self.is_text {
            decoded = from_text(body)?;
            rest = &decoded;
        }
        let mut messages = Vec::new();
        while let Some((&[kind, a, b, c, d], behind)) = rest.split_first_chunk() {
            match kind {
                MESSAGE => {}
                COMPRESSED => return Err(FrameError::Compressed),
                kind => return Err(FrameError::Kind(kind)),
            }
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d]));
            let length = length.map_err(|_| FrameError::Short)?;
            let (message, behind) = behind.split_at_checked(length).ok_or(FrameError::Short)?;
            messages.push(message.to_vec());
            rest = behind;
        }
        if rest.is_empty() { Ok(messages) } else { Err(FrameError::Short) }
    }

    /// Encodes frames for sending. In the text format each piece is padded separately.
    pub fn encode(self, frames: Vec<u8>) -> Vec<u8> {
        if self.is_text { STANDARD.encode(frames).into_bytes() } else { frames }
    }

    /// Returns the complete response to a call that failed before its first message.
    pub fn refusal(self, code: Code, message: &str) -> Response {
        let mut frames = Vec::new();
        end(&mut frames, code, message);
        Response::ok(self.content_type(), self.encode(frames))
    }
}

/// Decodes a sequence of base64 texts. Each text may end with padding.
fn from_text(text: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for piece in text.split_inclusive(|&byte| byte == b'=') {
        // If the padding has two characters, the piece before the second character is empty.
        if piece == b"=" {
            continue;
        }
        let piece = piece.strip_suffix(b"=").unwrap_or(piece);
        let decoded = STANDARD_NO_PAD.decode(piece).map_err(|_| FrameError::Text)?;
        bytes.extend(decoded);
    }
    Ok(bytes)
}

/// Appends a message.
pub fn message(frames: &mut Vec<u8>, message: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(message.len()).map_err(|_| FrameError::Long)?;
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

#[cfg(test)]
mod tests;
