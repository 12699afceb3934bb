#![doc = include_str!("../README.md")]

pub mod otlp;
mod protobuf;
pub mod remote_write;
mod sample_writer;

pub use protobuf::Malformed;
pub use sample_writer::{Mapping, Refused, SampleWriter, SeriesTexts, WrittenSamples};

use tidemark_query::admission::Overloaded;

/// The reason why a whole body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the errors describe the variants")]
pub enum DecodeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
}
