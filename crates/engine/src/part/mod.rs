//! Writes the rows of a flush or merge to parts, and reads parts as sources of merges. A part
//! consists of *values*: rows of the store's table `value`.
#![doc = include_str!("FORMAT.md")]

pub mod block;
pub mod cursor;
pub mod directory;
pub mod outline;
pub mod pages;
mod row_keys;
mod series_block;
pub mod values;
pub mod writer;

#[cfg(test)]
mod tests;

/// The maximum size of a value's head and body, in bytes: the store's maximum row size.
pub const VALUE_BYTES_MAX: usize = 1_900_000;
pub(crate) const PAGE_ROWS_MAX: usize = 1_024;
