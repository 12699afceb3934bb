//! Runs a Database, the object that keeps a database's policies, their schemas and their shard
//! groups.
//!
//! Reads and registrations are answered at once. Whatever changes more than this object is a job
//! ([`job`]): stored before its first message, driven by the request that stored it, by any later
//! statement that finds it unfinished, and by the alarm.

mod access;
mod backup_schedule;
mod continuous;
mod events;
pub mod groups;
pub mod job;
mod object;
pub mod policies;
mod quotas;
mod recover;
mod restore;
mod schedule_row;
mod job_completion;
mod job_messages;
pub mod rows;
pub mod schema;
mod split;
mod split_copy;
mod split_progress;
mod statements;
mod maintenance;

pub use object::Database;
