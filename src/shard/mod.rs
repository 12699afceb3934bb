//! A shard: the columnar store of some of a policy's series over one time range.
//!
//! The only module that knows WAL, memtable and parts together. Every function is synchronous:
//! an event is never interleaved with another, and the platform's output gate holds a reply until
//! what it promises is durable. A shard that is not open answers [`request::Refusal::Stale`]
//! and writes nothing.
//!
//! Memory changes only after the store has taken a change. When the store fails, what it holds is
//! unknown: everything in memory is dropped and read again by the next event.
#![doc = include_str!("FORMAT.md")]

mod alarm;
mod answers;
mod append;
mod attempts;
mod backup;
pub mod budget;
mod cache;
mod columns;
pub mod compact;
mod delete;
mod fence;
mod flush;
mod flush_size;
mod groups;
mod handle;
pub mod host;
pub mod limits;
mod load;
pub mod manifest;
mod object;
mod pace;
mod parts;
mod pieces;
mod plan;
mod question;
mod read;
mod read_cache;
pub mod request;
mod restore;
mod retention;
mod series_count;
mod series_quota;
mod slot_writes;
mod slots;
mod split;
mod state;
mod table_rows;
mod tombstone;
mod touch;
mod usage;
mod values;
pub mod turns;
mod verify;

pub use object::Shard;
