//! Lists why bytes are refused as a frame.

use crate::codec;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Neither this version nor the one before.
    #[error("frame version {0} is not supported")]
    Version(u8),
    /// The bytes end inside the header.
    #[error("frame header ends early")]
    HeaderTruncated,
    /// The header does not match its checksum.
    #[error("frame header is damaged")]
    HeaderDamaged,
    /// The payload is not what the header says.
    #[error("frame payload is damaged")]
    PayloadDamaged,
    /// More cells than a request may have (`model::limits::CELLS_PER_REQUEST_MAX`).
    #[error("frame has too many cells")]
    TooMany,
    /// A column does not decode.
    #[error("frame column is damaged: {0}")]
    Column(#[from] codec::Error),
}
