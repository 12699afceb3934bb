//! Implements the shard: a columnar store for some of a policy's series in one time range.
//!
//! Only this module uses the WAL, the memtable and parts together. Every function is synchronous,
//! so two events never run at the same time. The platform's output gate delays a reply until its
//! changes are durable. A shard that is not open returns [`request::Refusal::Stale`] and writes
//! nothing.
//!
//! The shard changes its memory only after the store has accepted a change. After an error of the
//! store, the store's contents are unknown. The shard then drops all its memory, and the next event
//! reads the tables again.
#![doc = include_str!("FORMAT.md")]

mod alarm;
mod append;
mod attempts;
mod backup;
pub mod budget;
mod cache;
mod columns;
mod damage;
pub mod compact;
mod delete;
mod deletions;
mod fence;
mod flush;
mod flush_size;
mod groups;
mod handle;
pub mod host;
pub mod limits;
mod load;
mod log;
pub mod manifest;
mod object;
mod pace;
mod parts;
mod pieces;
mod plan;
mod question;
mod quiet_slots;
mod read;
mod read_cache;
pub mod request;
mod restore;
mod result_cache;
mod retention;
mod series_quota;
mod slots;
mod split;
mod state;
mod table_rows;
mod tombstone;
pub mod turns;
mod frame_summary;
mod usage;
mod values;
mod verify;

pub use object::Shard;
