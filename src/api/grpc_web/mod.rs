//! Reads and writes gRPC-Web: calls of gRPC whose messages, and how the call ended, stand in the
//! bodies of plain HTTP.
//!
//! A body is a row of frames: a byte that says what it is, four bytes of length (big endian), and
//! so many bytes. In the last frame of an answer stand the trailers. As text all of it is base64,
//! piece by piece.

mod status;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::http::{RequestHead, Response};
pub use status::Code;
use status::percent_encoded;

/// What a frame is: a message, one that is compressed, or the trailers.
const MESSAGE: u8 = 0;
const COMPRESSED: u8 = 1;
const TRAILERS: u8 = 0x80;
/// Bytes before what a frame holds.
const FRAME_HEAD_BYTES: usize = 5;

/// How the bytes of a call stand in its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Base64.
    is_text: bool,
    /// The client says that its messages are protobuf.
    is_named: bool,
}

/// What is wrong with the body of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Text that is none.
    #[error("the body is no base64")]
    Text,
    /// It ends early.
    #[error("the body ends within a frame")]
    Short,
    /// A message that is compressed, which is gRPC's own word for not implemented.
    #[error("compressed messages are not read here: send them without compression")]
    Compressed,
    /// The first byte of a frame says something else.
    #[error("a frame of kind {0} is no message")]
    Kind(u8),
    /// No frame can say its length.
    #[error("a message of more than 4 GB")]
    Long,
}

impl Form {
    /// That of a request; `None` for one that is no gRPC-Web.
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

    /// The answer's content type: the request's. Clients compare it as a whole.
    pub fn content_type(self) -> &'static str {
        match (self.is_text, self.is_named) {
            (false, false) => "application/grpc-web",
            (false, true) => "application/grpc-web+proto",
            (true, false) => "application/grpc-web-text",
            (true, true) => "application/grpc-web-text+proto",
        }
    }

    /// The messages of a request's body, in order.
    ///
    /// # Errors
    /// [`FrameError`]
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

    /// Frames as they are sent: each piece is text by itself.
    pub fn encode(self, frames: Vec<u8>) -> Vec<u8> {
        if self.is_text { STANDARD.encode(frames).into_bytes() } else { frames }
    }

    /// The whole answer to a call that failed before its first message.
    pub fn refusal(self, code: Code, message: &str) -> Response {
        let mut frames = Vec::new();
        end(&mut frames, code, message);
        Response::ok(self.content_type(), self.encode(frames))
    }
}

/// Base64 that was padded more than once: each padding ends a piece.
fn from_text(text: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for piece in text.split_inclusive(|&byte| byte == b'=') {
        // The second sign of a padding has nothing before it.
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
///
/// # Errors
/// [`FrameError::Long`]
pub fn message(frames: &mut Vec<u8>, message: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(message.len()).map_err(|_| FrameError::Long)?;
    frames.reserve(FRAME_HEAD_BYTES + message.len());
    frames.push(MESSAGE);
    frames.extend(length.to_be_bytes());
    frames.extend(message);
    Ok(())
}

/// Appends how a call ended; nothing follows.
pub fn end(frames: &mut Vec<u8>, code: Code, message: &str) {
    let trailers =
        format!("grpc-status:{}\r\ngrpc-message:{}\r\n", code as u8, percent_encoded(message));
    frames.push(TRAILERS);
    // A message is cut long before a length takes more.
    frames.extend(u32::try_from(trailers.len()).unwrap_or(u32::MAX).to_be_bytes());
    frames.extend(trailers.into_bytes());
}

#[cfg(test)]
mod tests;
