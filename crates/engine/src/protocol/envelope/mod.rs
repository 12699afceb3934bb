//! Encodes and decodes messages (`PROTOCOL.md`, "Envelope").

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::CallFailure;
use crate::codec::metadata;
use tidemark_model::limits::MESSAGE_BYTES_MAX;

/// The version that this build writes, and the previous release reads (`docs/UPGRADING.md`).
pub const VERSION: u8 = 1;
/// The oldest version that this build reads.
pub const VERSION_MIN: u8 = VERSION - 1;
/// The newest version that this build reads. The next release may already write it.
pub const VERSION_MAX: u8 = VERSION;
/// The size of an envelope before the header, in bytes: version, direction, header length.
pub const PREFIX_BYTES: usize = 1 + 1 + 4;

/// The sender and receiver of a message. An object rejects messages with a different direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Edge to Catalog.
    ToCatalog = 1,
    /// Reply of the Catalog.
    FromCatalog = 2,
    /// Edge or Catalog to Database.
    ToDatabase = 3,
    /// Reply of a Database.
    FromDatabase = 4,
    /// Edge or Database to Shard.
    ToShard = 5,
    /// Reply of a Shard.
    FromShard = 6,
    /// Edge to an SQL session.
    ToSql = 7,
    /// Reply of an SQL session.
    FromSql = 8,
    /// Edge to the backup store.
    ToBackups = 9,
    /// Reply of the backup store.
    FromBackups = 10,
    /// Catalog to the runtime code around a Database or Shard.
    ToStorage = 11,
    /// A reply from the host's code around a Database or a Shard, and not from the object itself.
    FromStorage = 12,
}

/// The direction byte of an error text that a sender sends in place of a message that it could not
/// encode.
const ENCODE_ERROR: u8 = 0;

/// The reason why bytes are not a valid message, for example because of a newer release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum EnvelopeError {
    /// The message is truncated, or longer than [`MESSAGE_BYTES_MAX`].
    #[error("a message of {0} bytes is truncated or too long")]
    Length(usize),
    /// The version is older than [`VERSION_MIN`] or newer than [`VERSION_MAX`].
    #[error(
        "protocol version {0} is not supported (this release supports {VERSION_MIN} to \
         {VERSION_MAX})"
    )]
    Version(u8),
    #[error("a message has the unexpected direction {0}")]
    Direction(u8),
    #[error("a message could not be encoded: {0}")]
    Encode(String),
    #[error("unreadable message header: {0}")]
    Header(String),
}

/// A message whose fields are encoded as metadata in the header.
pub trait Wire: Serialize + DeserializeOwned {
    /// The direction byte of the message.
    const DIRECTION: Direction;

    /// Returns the binary body, which is not part of the header. Most messages have no body.
    fn body(&self) -> &[u8] {
        &[]
    }

    /// Sets the binary body after the header was decoded.
    fn set_body(&mut self, body: &[u8]) {
        let _ = body;
    }
}

/// Implements [`Wire`] for a message whose direction has the same name. The optional pattern binds
/// the binary body of the variants that have a body.
macro_rules! wire {
    ($message:ident $(, $body:ident in $pattern:pat)?) => {
        impl $crate::protocol::envelope::Wire for $message {
            const DIRECTION: $crate::protocol::envelope::Direction =
                $crate::protocol::envelope::Direction::$message;
            $(
                fn body(&self) -> &[u8] {
                    match self {
                        $pattern => $body,
                        _ => &[],
                    }
                }

                fn set_body(&mut self, bytes: &[u8]) {
                    if let $pattern = self {
                        *$body = bytes.to_vec();
                    }
                }
            )?
        }
    };
}
pub(super) use wire;

/// Encodes `message` in version [`VERSION`].
pub fn encode<M: Wire>(message: &M) -> Vec<u8> {
    encode_as(VERSION, message)
}

/// Encodes `message` in `version`. A reply has the version of its request.
pub fn encode_as<M: Wire>(version: u8, message: &M) -> Vec<u8> {
    let body = message.body();
    let (direction, header) = match metadata::encode(message) {
        Ok(header) => (M::DIRECTION as u8, header),
        Err(reason) => (ENCODE_ERROR, reason.to_string().into_bytes()),
    };
    let mut out = Vec::with_capacity(PREFIX_BYTES + header.len() + body.len());
    out.push(version);
    out.push(direction);
    // An overlong header has an invalid length, so the receiver rejects the envelope.
    out.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    out
}

/// Encodes a message with `body` in place of the message's own body. `body` is moved, not copied.
pub fn encode_around<M: Wire>(message: &M, mut body: Vec<u8>) -> Vec<u8> {
    let mut head = encode(message);
    let head_bytes = head.len();
    body.append(&mut head);
    body.rotate_right(head_bytes);
    body
}

/// Decodes a message and its version. Fails unless the bytes are a message of this direction.
pub fn decode<M: Wire>(bytes: &[u8]) -> Result<(u8, M), EnvelopeError> {
    let (version, header, body) = open(bytes, M::DIRECTION)?;
    let mut message: M =
        metadata::decode(header).map_err(|e| EnvelopeError::Header(e.to_string()))?;
    message.set_body(body);
    Ok((version, message))
}

/// Decodes the reply to a call. An invalid reply is [`CallFailure::Failed`].
pub fn decode_reply<M: Wire>(result: Result<Vec<u8>, CallFailure>) -> Result<M, CallFailure> {
    let bytes = result?;
    decode(&bytes).map(|(_, message)| message).map_err(|e| CallFailure::Failed(e.to_string()))
}

/// Returns the version, the header and the body.
fn open(bytes: &[u8], direction: Direction) -> Result<(u8, &[u8], &[u8]), EnvelopeError> {
    let length = EnvelopeError::Length(bytes.len());
    let &[version, sent_as, a, b, c, d, ref rest @ ..] = bytes else { return Err(length) };
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(length);
    }
    if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
        return Err(EnvelopeError::Version(version));
    }
    let header_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
    let (header, body) = rest.split_at_checked(header_bytes).ok_or(length)?;
    match sent_as {
        sent_as if sent_as == direction as u8 => Ok((version, header, body)),
        ENCODE_ERROR => Err(EnvelopeError::Encode(String::from_utf8_lossy(header).into_owned())),
        sent_as => Err(EnvelopeError::Direction(sent_as)),
    }
}

#[cfg(test)]
mod tests;
