//! Implements the Database, the object with a database's policies, schemas and shard groups.
//!
//! Reads, and registrations of measurements and columns, need no other object. A change that
//! involves other objects is a job (`job`). The Database stores a job before it sends the job's
//! first message. The request that stored the job also executes the job. The alarm, or any later
//! statement that finds the job unfinished, continues the job.

mod access;
mod groups;
mod job;
mod object;
mod policies;
mod restore_and_recover;
mod rows;
mod schema;
mod schedules;
mod split;
mod statements;

pub use object::Database;

#[cfg(test)]
mod tests;
