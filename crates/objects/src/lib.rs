//! The two objects that define a database, without I/O: the caller provides storage, time,
//! randomness and the replies to calls.
//!
//! - [`catalog`]: one object with the names of all databases, and with tokens and users
//! - [`database`]: one object per database, with its policies, schema, shard map and schedules

pub mod catalog;
pub mod database;
