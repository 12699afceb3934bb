//! Sorted parts at rest: rows of a merge to values, and values back to a source of a merge.
//!
//! A value is a head, its directory, and a body of blocks. Which parts there are, which rows their
//! values are in and where bytes come from is the shard's business.
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

/// Head and body of a value, bytes: what a row of the store may hold.
pub const VALUE_BYTES_MAX: usize = 1_900_000;
/// Rows of a page.
pub const PAGE_ROWS_MAX: usize = 1_024;
