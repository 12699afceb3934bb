//! Encodes small structures: stored metadata, and the control part of messages between objects.
//!
//! ```text
//! number │ varint, signed ones zigzag              bool, option │ 0 or 1 <u8>
//! float  │ bits <u64>                       text   │ length │ UTF-8
//! list   │ count │ item …                   map    │ count │ key │ value │ …
//! tuple  │ item …
//! struct │ bytes of what follows <u32> │ field …
//! enum   │ number of the variant │ nothing, one value, or a struct
//! ```
//!
//! Integers are little-endian. Evolution: a new field goes last and has a default, which an older
//! writer's bytes take; an older reader skips it, because it knows where the struct ends. A new
//! variant goes last. Nothing is renumbered or taken out.
//!
//! Not a self-describing format from a crate: the code that serde makes for named fields, in JSON
//! or CBOR, was a fifth of the whole module; fields in order take a third of that.

mod reader;
mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a value of the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They end early, go on behind the end, or say an impossible length.
    #[error("metadata of the wrong length")]
    Length,
    /// Text that is not UTF-8, a flag that is neither 0 nor 1.
    #[error("metadata with an impossible value")]
    Value,
    /// A type that the format has no form for: units, characters, raw bytes, what describes itself.
    #[error("metadata of a type without a form")]
    Unsupported,
    /// What serde found missing or unknown.
    #[error("metadata that does not fit: {0}")]
    Shape(String),
}

impl serde::ser::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

/// The bytes of `value`.
///
/// # Errors
/// [`Error::Unsupported`] if it holds a type without a form, [`Error::Length`] for what is too
/// long, [`Error::Shape`] with what its own `Serialize` says.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let mut writer = writer::Writer::default();
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

/// What [`encode`] was given.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut reader = reader::Reader { bytes };
    let value = T::deserialize(&mut reader)?;
    match reader.bytes.is_empty() {
        true => Ok(value),
        false => Err(Error::Length),
    }
}

#[cfg(test)]
mod tests;
