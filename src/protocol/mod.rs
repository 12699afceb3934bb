#![doc = include_str!("PROTOCOL.md")]

pub mod call;
pub mod catalog;
pub mod continuous;
pub mod database;
pub mod derivation;
pub mod envelope;
pub mod grants;
pub mod host;
pub mod page;
pub mod queries;
pub mod round;
pub mod shard;
