//! The interface of state machines without I/O: calls to objects, new ids and the time. A state
//! machine returns a [`Step`], and never waits.

use serde::{Deserialize, Serialize};

use tidemark_model::configurable_limits::Limits;
use tidemark_model::ids::ObjectId;

/// A destination of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The Catalog of the deployment.
    Catalog,
    /// A Database object.
    Database(ObjectId),
    /// A Shard object.
    Shard(ObjectId),
    /// The runtime's key derivation. See [`super::web_crypto`].
    KeyDerivation,
    /// The public keys of the configured Cloudflare Access team. The message is empty.
    AccessKeys,
    /// The runtime's signature check. See [`super::web_crypto`].
    SignatureCheck,
    /// The request's SQL session ([`super::sql`]), which the first call opens.
    Sql,
    /// The backup store ([`super::backup`]).
    Backups,
    /// The runtime's timer. The message is empty. The empty reply follows after `ms` milliseconds,
    /// or immediately if no other event can happen in the meantime.
    Timer {
        /// The time in milliseconds. 0 lets other pending events run once.
        ms: u32,
    },
}

impl Address {
    /// Whether the platform counts a call as a subrequest of the request that makes it.
    pub fn is_counted(&self) -> bool {
        match self {
            Self::Catalog | Self::Database(_) | Self::Shard(_) => true,
            Self::AccessKeys | Self::Sql | Self::Backups => true,
            Self::KeyDerivation | Self::SignatureCheck | Self::Timer { .. } => false,
        }
    }
}

/// One request to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The id within the state machine. The reply has the same id.
    pub id: u32,
    /// The destination.
    pub to: Address,
    /// The location hint for the object. Only the first call to an object uses the hint.
    pub location: Option<String>,
    /// The encoded message, which starts with the version byte.
    pub message: Vec<u8>,
}

/// The reason why a call has no reply. The request may still have taken effect, unless the failure
/// is [`CallFailure::Overloaded`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The platform's `.overloaded` error. The caller does not retry the call: the client must
    /// retry later.
    #[error("the object is overloaded")]
    Overloaded,
    /// The platform's `.retryable` or `.durableObjectReset` error. The caller may retry with a new
    /// stub.
    #[error("the object could not be reached: {0}")]
    Retryable(String),
    /// Any other error.
    #[error("the call failed: {0}")]
    Failed(String),
}

/// The reply to the call with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The id of the call ([`Call::id`]).
    pub id: u32,
    /// The encoded message, or the failure.
    pub result: Result<Vec<u8>, CallFailure>,
}

/// The next step of a state machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<T> {
    /// The caller must send these calls, possibly none, and pass on each reply.
    Calls(Vec<Call>),
    /// The work is finished. The caller must ignore replies that are still pending.
    Done(T),
}

/// A kind of object that is created by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A Database.
    Database,
    /// A Shard.
    Shard,
}

/// The reason why an object id could not be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PlacementError {
    /// The runtime does not support this jurisdiction. The local runtime supports none.
    #[error("jurisdiction \"{0}\" is not supported by this runtime")]
    Jurisdiction(String),
}

/// The failed commits of a host's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitFailures {
    /// The number since the start of the host.
    pub count: u64,
    /// The error and its remedy, while the last commit of an object failed.
    pub cause: Option<String>,
}

/// The functions that the runtime provides to state machines.
pub trait Platform {
    /// Returns the current time in nanoseconds since the epoch.
    fn now_ns(&self) -> i64;

    /// Returns 64 random bits.
    fn random_u64(&self) -> u64;

    /// Returns the location hint for objects that this request creates.
    fn location(&self) -> Option<&'static str> {
        None
    }

    /// Returns the jurisdiction of databases that do not specify one (`JURISDICTION`).
    fn jurisdiction(&self) -> Option<&'static str> {
        None
    }

    /// Whether [`Address::Sql`] is available.
    fn has_sql(&self) -> bool {
        false
    }

    /// Whether [`Address::Backups`] is available.
    fn has_backups(&self) -> bool {
        false
    }

    /// Returns the failed commits of all objects, if the host knows them.
    fn commit_failures(&self) -> Option<CommitFailures> {
        None
    }

    /// Returns the configured limits.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Creates a new, unique object id, unless the runtime does not support the jurisdiction.
    fn new_object_id(
        &self,
        kind: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError>;
}
