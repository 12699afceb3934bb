//! Verifies the checksums of blocks, and defines the errors of parts.

use crate::codec;
use crate::codec::crc::verify_crc;

/// An error in a head or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are too short, or the checksum is wrong.
    #[error("checksum mismatch")]
    Checksum,
    /// The head was written by another release.
    #[error("version {0}, which this release cannot read")]
    Version(u8),
    /// The data is inconsistent.
    #[error("{0}")]
    Codec(#[from] codec::Error),
}

pub(super) const CORRUPT: Error = Error::Codec(codec::Error::Corrupt);

/// Returns the data of the block that fills `bytes`.
pub fn open(bytes: &[u8]) -> Result<&[u8], Error> {
    verify_crc(bytes).map_err(|_| Error::Checksum)
}

/// Returns the first number below `count` for which `is_before` is false, or `count`. This is a
/// binary search, so `is_before` must be true for all lower numbers, and false for all higher
/// numbers.
pub(super) fn first_not(count: u32, mut is_before: impl FnMut(u32) -> bool) -> u32 {
    let (mut start, mut end) = (0, count);
    while start < end {
        let middle = start + (end - start) / 2;
        match is_before(middle) {
            true => start = middle + 1,
            false => end = middle,
        }
    }
    start
}
