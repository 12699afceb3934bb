//! Says how an object that calls other objects is driven. Several requests may be in flight in it
//! at the same time.
//!
//! Each event is a ticket with its own calls. A host never waits for another ticket: a request that
//! finds unfinished work does that work itself (every message is repeatable), so there is nobody to
//! wake, and a caller that vanishes leaves nothing locked.
//!
//! The glue, whatever it runs on, does this and nothing else. It borrows the host only inside
//! `begin`, `resume`, `alarm` and `work_on`; after each of them it arms the alarm for
//! `next_alarm_ns`.
//!
//! ```text
//! (ticket, step) = host.begin(platform, message)
//! while step is Calls: make them all, each reply: step = host.resume(platform, ticket, reply)
//! on an error or a vanished caller: host.abandon(ticket)
//! behind the reply: if host.work_on() has a ticket and a step, the same with them
//! ```

use serde::{Deserialize, Serialize};

use super::call::{CallFailure, Platform, Reply, Step};

/// One event in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An object.
pub trait Host {
    /// Takes a request. `Done` holds the encoded reply.
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (Ticket, Step<Vec<u8>>);

    /// Takes the reply to one of the ticket's calls. Replies to unknown tickets are ignored.
    fn resume(&mut self, platform: &dyn Platform, ticket: Ticket, reply: Reply) -> Step<Vec<u8>>;

    /// Takes the alarm, which may come early, late or twice. Due jobs are counted as tried and
    /// re-armed before the first call is returned. `Done` holds nothing of interest.
    fn alarm(&mut self, platform: &dyn Platform) -> (Ticket, Step<Vec<u8>>);

    /// Goes on, behind a reply, with what that event made due: a ticket that nobody waits for.
    /// `None` when there is nothing, or where only the alarm does work.
    fn work_on(&mut self) -> Option<(Ticket, Step<Vec<u8>>)> {
        None
    }

    /// When the alarm should next go off, nanoseconds since the epoch.
    fn next_alarm_ns(&self) -> Option<i64>;

    /// Forgets a ticket; what it stored stays and is finished by the alarm or the next request.
    fn abandon(&mut self, ticket: Ticket);
}

/// Why a request brought no result although it may be repeated. Always an answer of 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unavailable {
    /// The platform refused the call: come back later.
    #[error("overloaded")]
    Overloaded,
    /// An object could not be reached, or answered in a version that is not spoken here.
    #[error("an object could not be reached: {0}")]
    Unreachable(String),
    /// The object's storage failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The object has reached its limit; reads, deletes and retention go on.
    #[error("the shard is full: {bytes} bytes of {limit}")]
    Full {
        /// Bytes used.
        bytes: u64,
        /// `SHARD_FULL_BYTES`
        limit: u64,
    },
    /// A split or another change is under way.
    #[error("the database is being changed")]
    Changing,
    /// Parts wait to be merged, and writes for that: come back in a second.
    #[error("the shard has {parts} parts to merge: repeat the write in a second")]
    Behind {
        /// How many parts.
        parts: u64,
    },
    /// More pages of queries wait than a shard remembers.
    #[error("the shard has {waiting} queries waiting: repeat this one later")]
    Busy {
        /// How many queries wait.
        waiting: u64,
    },
    /// Other queries hold the memory that there is for them.
    #[error("the queries under way hold all memory that there is for them: repeat this one later")]
    Crowded,
}

impl From<CallFailure> for Unavailable {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Overloaded => Self::Overloaded,
            CallFailure::Retryable(why) | CallFailure::Failed(why) => Self::Unreachable(why),
        }
    }
}
