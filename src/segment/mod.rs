//! Rows to immutable blocks at rest, and back.
//!
//! Knows nothing of SQL, WAL or memtable: a writer turns rows into the bytes of table rows, a
//! reader is handed bytes. Which segments exist is the shard's business.
#![doc = include_str!("FORMAT.md")]

pub mod block;
pub mod directory;
pub mod index;
pub mod packer;
pub mod reader;
pub mod series;
pub mod writer;

#[cfg(test)]
mod tests;
