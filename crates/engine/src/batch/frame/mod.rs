#![doc = include_str!("FRAME.md")]

mod decode;
mod encode;
mod error;
mod header;
mod padding;
#[cfg(test)]
mod tests;

pub use decode::{decode, decode_each};
pub use encode::{TableRef, encode};
pub use error::FrameError;
pub use header::{FrameHeader, TableHeader, VERSION};
