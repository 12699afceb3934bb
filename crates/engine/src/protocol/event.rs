//! Defines how the runtime drives an object that calls other objects.
//!
//! One object may process several events concurrently, each with an id and separate calls. An
//! object never waits for another event. Every message can be repeated. A request that finds
//! unfinished work performs this work. The object therefore needs no locks that a disconnected
//! caller could leave behind.
//!
//! The code of each runtime borrows the object only inside `begin`, `resume`, `alarm` and
//! `run_due_work`, and then sets the alarm to `next_alarm_ns`.
//!
//! ```text
//! (event_id, step) = object.begin(platform, message)
//! while step is Calls: make them all, each reply: step = object.resume(platform, event_id, reply)
//! on an error or a disconnected caller: object.abandon(event_id)
//! after the reply: if object.run_due_work() returns an event id and a step: run the same loop
//! ```

use serde::{Deserialize, Serialize};

use super::call::{CallFailure, Platform, Reply, Step};

/// The id of a pending event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u64);

/// An object that calls other objects.
pub trait EventHandler {
    /// Handles a request. `Done` contains the encoded reply.
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (EventId, Step<Vec<u8>>);

    /// Handles the reply to one of the event's calls. Ignores replies to unknown events.
    fn resume(&mut self, platform: &dyn Platform, event_id: EventId, reply: Reply)
    -> Step<Vec<u8>>;

    /// Handles the alarm, which may fire early, late or twice. Before the event sends its first
    /// call, the object counts an attempt of each due job and sets the next alarm. Callers must
    /// ignore the content of `Done`.
    fn alarm(&mut self, platform: &dyn Platform) -> (EventId, Step<Vec<u8>>);

    /// Starts work that became due because of a request. The runtime calls this method after it has
    /// sent the reply.
    fn run_due_work(&mut self) -> Option<(EventId, Step<Vec<u8>>)> {
        None
    }

    /// Returns the time of the next alarm, in nanoseconds since the epoch.
    fn next_alarm_ns(&self) -> Option<i64>;

    /// Removes an event. The alarm or the next request finishes its stored changes.
    fn abandon(&mut self, event_id: EventId);
}

/// The reason why a repeatable request failed. The server always responds with status 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum Unavailable {
    /// The platform rejected the call because of overload. The client should retry later.
    #[error("overloaded")]
    Overloaded,
    /// An object is unreachable, or its protocol version is not supported.
    #[error("an object could not be reached: {0}")]
    Unreachable(String),
    /// The object's storage failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The object reached its size limit. Reads, deletes and retention still work.
    #[error("the shard is full ({bytes} of {limit} bytes): delete data or split its group")]
    Full {
        bytes: u64,
        /// The limit, `SHARD_FULL_BYTES`.
        limit: u64,
    },
    /// A split or another change is running.
    #[error(
        "the database is being changed: retry later; if the error persists, the operator should check \
         the data (POST /debug/verify)"
    )]
    Changing,
    /// Too many parts are unmerged, and writes must wait for merges. The client should retry after
    /// a second.
    #[error("the shard must first merge {parts} parts: repeat the write in a second")]
    Behind { parts: u64 },
    /// More query pages are waiting than a shard can queue.
    #[error("{waiting} queries are waiting in the shard: repeat the query later")]
    Busy { waiting: u64 },
    /// Other queries use up the query memory.
    #[error("query memory exhausted; retry later")]
    Crowded,
}

impl From<CallFailure> for Unavailable {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Overloaded => Self::Overloaded,
            CallFailure::Retryable(reason) | CallFailure::Failed(reason) => {
                Self::Unreachable(reason)
            }
        }
    }
}
