//! Encodes slices and decodes them. Each codec is one file, and none knows what its values mean.
//!
//! Every encoding starts with a byte that names its method, so that a better method is a new number
//! and old bytes stay readable. A decoder is given the number of values and must use every byte.
//! Bytes are untrusted: no input makes a decoder panic, or allocate more than
//! [`VALUES_MAX`] values or [`TEXT_BYTES_MAX`] bytes of text.

pub mod bitpack;
pub mod boolean;
pub mod crc;
pub mod draft;
pub mod float;
pub mod front_coding;
pub mod huffman;
pub mod integer;
pub mod metadata;
pub mod string;
pub mod tables;
pub mod timestamp;
pub mod unsigned;
pub mod validity;
pub mod varint;

/// Most values of one encoding. A plain body of 25 MB has fewer lines than 6 million.
pub const VALUES_MAX: usize = 1 << 23;
/// Most bytes that a dictionary may expand to: above the largest plain body.
pub const TEXT_BYTES_MAX: usize = 32 << 20;

/// Why bytes are not an encoding of the expected number of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end before the last value.
    #[error("encoded values end early")]
    Truncated,
    /// Bytes remain after the last value.
    #[error("encoded values are followed by other bytes")]
    Trailing,
    /// The first byte names no method of this codec.
    #[error("unknown encoding method {0}")]
    UnknownMethod(u8),
    /// A number inside the encoding is outside its range.
    #[error("encoded values contradict themselves")]
    Corrupt,
    /// More than [`VALUES_MAX`] values or [`TEXT_BYTES_MAX`] bytes of text.
    #[error("too many encoded values")]
    TooMany,
    /// Text is not UTF-8.
    #[error("encoded text is not UTF-8")]
    NotUtf8,
}

/// Takes the method byte and checks `count`.
fn start(bytes: &[u8], count: usize) -> Result<(u8, &[u8]), Error> {
    if count > VALUES_MAX {
        return Err(Error::TooMany);
    }
    let (&method, rest) = bytes.split_first().ok_or(Error::Truncated)?;
    Ok((method, rest))
}

/// Cuts the next `length` bytes off `bytes`.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Error> {
    let (head, tail) = bytes.split_at_checked(length).ok_or(Error::Truncated)?;
    *bytes = tail;
    Ok(head)
}

/// Checks that nothing is left.
fn finish(rest: &[u8]) -> Result<(), Error> {
    if rest.is_empty() { Ok(()) } else { Err(Error::Trailing) }
}

#[cfg(test)]
mod tests;
