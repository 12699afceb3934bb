//! Messages to bytes and back: version, direction, control header, binary body.
//!
//! The layout is drawn in `PROTOCOL.md`, "Envelope". The header is metadata ([`metadata`]), in which
//! a field added with a default is read by both versions; whatever is large (frames, pages) is the
//! body, as it is.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::CallFailure;
use crate::codec::metadata;
use crate::model::limits::MESSAGE_BYTES_MAX;

/// The version that this build writes. A release reads what is new before a later one writes it, so
/// that of two releases side by side each reads what the other writes (`docs/UPGRADING.md`).
pub const VERSION: u8 = 1;
/// The oldest version that this build reads: what the release before may write.
pub const VERSION_MIN: u8 = VERSION - 1;
/// The newest one: [`VERSION`], or one more if the next release is to write that.
pub const VERSION_MAX: u8 = VERSION;
/// Bytes before the header: version, direction, header length.
pub const PREFIX_BYTES: usize = 1 + 1 + 4;

/// Who speaks to whom: a message that reaches the wrong kind of object is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Edge to Catalog.
    ToCatalog = 1,
    /// Catalog's reply.
    FromCatalog = 2,
    /// Edge or Catalog to Database.
    ToDatabase = 3,
    /// Database's reply.
    FromDatabase = 4,
    /// Edge or Database to Shard.
    ToShard = 5,
    /// Shard's reply.
    FromShard = 6,
    /// Edge to a session of SQL.
    ToSql = 7,
    /// Its reply.
    FromSql = 8,
    /// Edge to the place that backups are kept in.
    ToBackups = 9,
    /// Its reply.
    FromBackups = 10,
    /// Catalog to whoever carries a Database or Shard.
    ToStorage = 11,
    /// Its reply.
    FromStorage = 12,
}

/// In the place of the direction: the sender could not encode its message, and the header says why.
const UNSAID: u8 = 0;

/// Why bytes are no message. Always an answer of 503: one end is newer than the other can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Shorter than it says, or longer than [`MESSAGE_BYTES_MAX`].
    #[error("a message of {0} bytes is cut short or too long")]
    Length(usize),
    /// Older than [`VERSION_MIN`] or newer than [`VERSION_MAX`].
    #[error(
        "protocol version {0} is not spoken here (this end speaks {VERSION_MIN} to {VERSION_MAX})"
    )]
    Version(u8),
    /// Meant for another kind of object.
    #[error("a message of direction {0} does not belong here")]
    Direction(u8),
    /// The other end could not encode what it had to say.
    #[error("a message could not be encoded: {0}")]
    Unsaid(String),
    /// The header names no known message.
    #[error("unreadable message header: {0}")]
    Header(String),
}

/// A message that can travel: its header is itself as metadata, its body is beside it.
pub trait Wire: Serialize + DeserializeOwned {
    /// Which byte it travels under.
    const DIRECTION: Direction;

    /// The binary part, not in the header; empty for most messages.
    fn body(&self) -> &[u8] {
        &[]
    }

    /// Puts the binary part back after the header was read.
    fn set_body(&mut self, body: &[u8]) {
        let _ = body;
    }
}

/// The bytes of `message` in version [`VERSION`].
pub fn encode<M: Wire>(message: &M) -> Vec<u8> {
    encode_as(VERSION, message)
}

/// The bytes of `message` for a peer that spoke `version`: a reply comes in its request's version.
pub fn encode_as<M: Wire>(version: u8, message: &M) -> Vec<u8> {
    let body = message.body();
    let (direction, header) = match metadata::encode(message) {
        Ok(header) => (M::DIRECTION as u8, header),
        // Whoever receives it is told, so that nobody takes it for a message.
        Err(why) => (UNSAID, why.to_string().into_bytes()),
    };
    let mut out = Vec::with_capacity(PREFIX_BYTES + header.len() + body.len());
    out.push(version);
    out.push(direction);
    // Of a longer one the end is missing: no message either.
    out.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    out
}

/// The same for a message whose binary part is `body` and not in it: `body` is moved, not copied.
pub fn encode_around<M: Wire>(message: &M, mut body: Vec<u8>) -> Vec<u8> {
    let mut head = encode(message);
    let head_bytes = head.len();
    body.append(&mut head);
    body.rotate_right(head_bytes);
    body
}

/// Reads a message and the version that it came in.
///
/// # Errors
/// [`EnvelopeError`] for anything that is not a whole message of this direction.
pub fn decode<M: Wire>(bytes: &[u8]) -> Result<(u8, M), EnvelopeError> {
    let Opened { version, header, body } = open(bytes, M::DIRECTION)?;
    let mut message: M =
        metadata::decode(header).map_err(|e| EnvelopeError::Header(e.to_string()))?;
    message.set_body(body);
    Ok((version, message))
}

/// Reads the reply to a call: transport failures and unreadable replies are both failures.
///
/// # Errors
/// [`CallFailure`], with an unreadable reply as [`CallFailure::Failed`].
pub fn decode_reply<M: Wire>(result: Result<Vec<u8>, CallFailure>) -> Result<M, CallFailure> {
    let bytes = result?;
    decode(&bytes).map(|(_, message)| message).map_err(|e| CallFailure::Failed(e.to_string()))
}

/// The parts of an envelope.
struct Opened<'a> {
    version: u8,
    header: &'a [u8],
    body: &'a [u8],
}

fn open(bytes: &[u8], direction: Direction) -> Result<Opened<'_>, EnvelopeError> {
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
        sent_as if sent_as == direction as u8 => Ok(Opened { version, header, body }),
        UNSAID => Err(EnvelopeError::Unsaid(String::from_utf8_lossy(header).into_owned())),
        sent_as => Err(EnvelopeError::Direction(sent_as)),
    }
}

#[cfg(test)]
mod tests;
