#![doc = include_str!("PROTOCOL.md")]

pub mod call;
pub mod catalog;
pub mod continuous;
pub mod database;
pub mod envelope;
pub mod flights;
pub mod grants;
pub mod host;
pub mod live_queries;
pub mod scan_page;
pub mod password_derivation;
pub mod quota;
pub mod round;
pub mod shard;
pub mod signature_check;
pub mod sql;
