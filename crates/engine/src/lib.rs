//! The columnar store of one shard, without I/O: the caller provides storage, time and randomness.
//!
//! ```text
//! lines → batch → frame → WAL, memtable → part → merge → scan → page or partial aggregates
//! ```
//!
//! [`shard`] combines the modules and processes the messages of [`protocol`]. [`store`] is the
//! interface to an object's SQLite. The documentation of [`batch::frame`], [`wal`], [`part`],
//! [`shard`], [`shard::manifest`], [`store`] and [`protocol`] describes the format of the bytes
//! that these modules store or send.

pub mod batch;
pub mod codec;
pub mod memtable;
pub mod merge;
pub mod part;
pub mod protocol;
pub mod scan;
pub mod shard;
pub mod store;
#[cfg(test)]
mod test_seeds;
pub mod wal;
