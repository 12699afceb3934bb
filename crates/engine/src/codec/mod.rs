//! Encodes and decodes slices of values.
//!
//! The first byte of every encoding identifies the method, so that old bytes remain readable. Bytes
//! are untrusted: no input makes a decoder panic, or allocate more than [`VALUES_MAX`] values or
//! [`TEXT_BYTES_MAX`] bytes of text.

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
pub mod timestamp;
pub mod unsigned;
pub mod validity;
pub mod varint;

/// The maximum number of values in a column. An uncompressed body of 25 MB has fewer than 6 million
/// lines, so a column has fewer values.
pub(crate) const VALUES_MAX: usize = 1 << 23;
/// The maximum size of a dictionary's expanded text, in bytes: more than the largest plain body.
pub const TEXT_BYTES_MAX: usize = 32 << 20;

/// The errors of decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end before the last value.
    #[error("encoded values end early")]
    Truncated,
    /// Bytes remain after the last value.
    #[error("encoded values are followed by other bytes")]
    Trailing,
    /// The first byte is not a method of this codec.
    #[error("unknown encoding method {0}")]
    UnknownMethod(u8),
    /// A number in the encoding is outside its range.
    #[error("encoded values are inconsistent")]
    Corrupt,
    /// The encoding has more than [`VALUES_MAX`] values or [`TEXT_BYTES_MAX`] bytes of text.
    #[error("too many encoded values")]
    TooMany,
    /// The text is not UTF-8.
    #[error("encoded text is not UTF-8")]
    NotUtf8,
}

fn start(bytes: &[u8], count: usize) -> Result<(u8, &[u8]), Error> {
    if count > VALUES_MAX {
        return Err(Error::TooMany);
    }
    let (&method, rest) = bytes.split_first().ok_or(Error::Truncated)?;
    Ok((method, rest))
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Error> {
    let (&first, rest) = bytes.split_first().ok_or(Error::Truncated)?;
    *bytes = rest;
    Ok(first)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Error> {
    let (head, tail) = bytes.split_at_checked(length).ok_or(Error::Truncated)?;
    *bytes = tail;
    Ok(head)
}

fn finish(rest: &[u8]) -> Result<(), Error> {
    if rest.is_empty() { Ok(()) } else { Err(Error::Trailing) }
}

#[cfg(test)]
mod tests;
