//! Sans-IO machines between the HTTP contract and the objects: whom to call, and what it came to.
//!
//! A machine never waits. [`Machine::step`] answers with calls to make or with its answer; the glue
//! (`edge/`, a test's scheduler, the browser) makes the calls in any order and hands in each reply.
//! Caches are always possibly stale; they never decide a refusal alone (PROTOCOL.md rule 6).

mod ask;
pub mod cache;
pub mod continuous;
mod create_continuous;
pub mod create_drop;
pub mod delete;
pub mod error;
mod every_database;
mod explain;
pub mod grants;
pub mod identify;
pub mod into;
pub mod load;
pub mod logins;
pub mod names;
pub mod operators;
pub mod privileges;
mod queries;
pub mod query;
pub mod statement;
pub mod survey;
pub mod users;
pub mod verify;
mod watch;
pub mod write;

use crate::protocol::call::{Platform, Reply, Step};
use cache::Cache;

/// What a machine may use while it steps. Borrowed for the step only: many machines of one isolate
/// are in flight and share the cache.
pub struct Context<'a> {
    /// The isolate's cache.
    pub cache: &'a mut Cache,
    /// Time, randomness.
    pub platform: &'a dyn Platform,
}

/// One request in progress.
pub trait Machine {
    /// What it comes to.
    type Answer;

    /// Goes on: with `None` to start (and, where the machine says so, for its next piece), else
    /// with the reply to one of its calls.
    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer>;
}
