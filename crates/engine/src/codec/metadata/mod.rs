//! Encodes small structures: stored metadata, and the control part of messages between objects.
//!
//! ```text
//! number │ varint, signed ones zigzag bool, option │ 0 or 1 <u8>
//! float │ bits <u64> text │ length │ UTF-8
//! list │ count │ item … map │ count │ key │ value │ …
//! tuple │ item …
//! struct │ bytes of what follows <u32> │ field …
//! enum │ number of the variant │ nothing, one value, or a struct
//! ```
//!
//! Integers are little-endian. The format evolves as follows:
//! - A new field is added at the end and has a default. A reader uses the default for bytes from an
//!   older writer. An older reader skips the field, because it knows the size of the struct.
//! - A new variant is added at the end.
//! - Fields and variants are never renumbered or removed.
//!
//! The format has no field names, because serde's code for them is three times as large.

mod reader;
mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The errors of encoding and decoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end early, bytes remain after the end, or a length is impossible.
    #[error("the metadata has the wrong length")]
    Length,
    /// A text is not UTF-8, or a flag is neither 0 nor 1.
    #[error("the metadata has an invalid value")]
    Value,
    /// The format does not support the type: units, characters, raw bytes and self-describing
    /// types.
    #[error("the metadata has a type that the format does not support")]
    Unsupported,
    /// An error that serde reports, such as a missing field or an unknown variant.
    #[error("the metadata does not match: {0}")]
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

/// Encodes `value`, unless its type is unsupported, it is too long, or its `Serialize` fails.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let mut writer = writer::Writer::default();
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

/// Decodes a value that [`encode`] produced.
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
