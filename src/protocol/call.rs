//! Says how state machines without I/O of their own ask for the world: calls to objects, fresh ids,
//! the time.
//!
//! A machine never waits: it returns a [`Step`]. `edge/` makes the calls with `fetch`, tests make
//! them in any order with any loss or repeat, the browser makes them in process.

use serde::{Deserialize, Serialize};

use crate::model::configurable_limits::Limits;
use crate::model::ids::ObjectId;

/// An object that can be called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The one Catalog of the deployment.
    Catalog,
    /// A Database object.
    Database(ObjectId),
    /// A Shard object.
    Shard(ObjectId),
    /// No object but the runtime itself, see [`super::password_derivation`].
    KeyDerivation,
    /// No object but the team of Cloudflare Access that the operator has set, which answers with
    /// the list of its keys; the message is empty. The one place elsewhere that is ever asked.
    AccessKeys,
    /// No object but the runtime itself, see [`super::signature_check`].
    SignatureCheck,
    /// The request's session of SQL, in a Worker of its own ([`super::sql`]): the first call opens
    /// it, and it ends with the request.
    Sql,
    /// No object but the place that backups are kept in ([`super::backup`]).
    Backups,
    /// No object but the runtime's clock: the reply is empty and comes after as many milliseconds
    /// as the message says (u32), or at once where nothing else could happen meanwhile.
    Pause,
}

/// One request to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The machine's own number for it; the reply comes back under it.
    pub id: u32,
    /// Whom to call.
    pub to: Address,
    /// Where the object should be created; only the first call to it counts.
    pub location: Option<String>,
    /// The encoded message, version byte first.
    pub message: Vec<u8>,
}

/// Why a call brought no reply. The request may or may not have taken effect, except when the
/// platform refused it as overloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The platform's `.overloaded`: never retried here, the client is told to come back.
    #[error("the object is overloaded")]
    Overloaded,
    /// The platform's `.retryable`: worth a repeat with a new stub.
    #[error("the object could not be reached: {0}")]
    Retryable(String),
    /// Anything else.
    #[error("the call failed: {0}")]
    Failed(String),
}

/// The reply to the call of the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// [`Call::id`].
    pub id: u32,
    /// The encoded message, or why there is none.
    pub result: Result<Vec<u8>, CallFailure>,
}

/// What a machine wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<T> {
    /// Make these calls and come back with each reply. Empty: replies are still outstanding.
    Calls(Vec<Call>),
    /// Finished. Replies still outstanding are of no interest.
    Done(T),
}

/// The two kinds of object that are created by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A Database.
    Database,
    /// A Shard.
    Shard,
}

/// Why no object id could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PlacementError {
    /// The runtime has no jurisdictions (the local one), or not this one.
    #[error("jurisdiction \"{0}\" is not supported by this runtime")]
    Jurisdiction(String),
}

/// What a machine may take from the world. Implemented by `edge/`, by tests and by the browser.
pub trait Platform {
    /// Nanoseconds since the epoch.
    fn now_ns(&self) -> i64;

    /// 64 random bits.
    fn random_u64(&self) -> u64;

    /// The location hint for objects that this request creates: near whoever sent it, where that
    /// is known.
    fn location(&self) -> Option<&'static str> {
        None
    }

    /// Whether [`Address::Sql`] is there.
    fn has_sql(&self) -> bool {
        false
    }

    /// Whether [`Address::Backups`] is there.
    fn has_backups(&self) -> bool {
        false
    }

    /// What the operator allows.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// A fresh object id, never handed out before, in `jurisdiction` if one is given.
    ///
    /// # Errors
    /// [`PlacementError`] when the runtime cannot honour the jurisdiction.
    fn new_object_id(
        &self,
        kind: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError>;
}
