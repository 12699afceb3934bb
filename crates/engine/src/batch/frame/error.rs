//! The errors of frames.

use crate::codec;

/// The errors of decoding a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The version is not supported.
    #[error("frame version {0} is not supported")]
    Version(u8),
    /// The bytes end inside the header.
    #[error("frame header ends early")]
    HeaderTruncated,
    /// The header does not match its checksum.
    #[error("frame header is damaged")]
    HeaderDamaged,
    /// The payload does not match the header.
    #[error("frame payload is damaged")]
    PayloadDamaged,
    /// The frame has more cells than a request may have (`model::limits::CELLS_PER_REQUEST_MAX`).
    #[error("frame has too many cells")]
    TooMany,
    /// A column cannot be decoded.
    #[error("frame column is damaged: {0}")]
    Column(#[from] codec::Error),
}
