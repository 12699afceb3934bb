//! Implements the shard: a columnar store for some of a policy's series in one time range.
//!
//! Only this module uses the WAL, the memtable and parts together. Every function is synchronous,
//! so two events never run at the same time. The platform's output gate delays a reply until its
//! changes are durable. A shard that is not open returns [`refusal::Refusal::Stale`] and writes
//! nothing.
//!
//! The shard changes its memory only after the store has accepted a change. After an error of the
//! store, the store's contents are unknown. The shard then drops all its memory, and the next event
//! reads the tables again.
#![doc = include_str!("FORMAT.md")]

mod alarm;
mod append;
mod attempts;
mod backup_restore;
pub mod budget;
mod columns;
mod damage;
pub mod compact;
mod delete;
mod due_work;
mod flush;
mod frame_summary;
mod loaded;
pub mod events;
mod log;
pub mod manifest;
mod messages;
mod object;
mod pace;
pub mod page_queue;
mod parts;
mod pieces;
mod read;
mod read_cache;
pub mod refusal;
mod retention;
mod series_quota;
mod slots;
mod state;
mod step_limits;
mod split;
mod tombstone;
mod usage;
mod values;
mod verify;

pub use object::Shard;
pub use step_limits::Limits;
pub use tombstone::check_predicate;
