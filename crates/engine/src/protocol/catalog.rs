//! The requests to the Catalog, and its replies.

use serde::{Deserialize, Serialize};

use super::call::PlacementError;
use super::database::{CreateDatabase, PolicyRefusal};
use super::envelope::wire;
use super::event::Unavailable;
use super::grants::{Grantee, GranteeKey};
use super::live_queries::LiveQuery;
use super::recovery::{RecoveryRefusal, RecoveryRequest, RecoveryStatus};
use super::shard::VerifyPage;
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::name::InvalidName;

/// A request to the Catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum ToCatalog {
    /// Creates a database. A repeated request finishes an interrupted creation.
    Create(CreateDatabase),
    /// Drops a database. A repeated request finishes an interrupted drop.
    Drop {
        name: String,
    },
    /// Returns the object of a database.
    Resolve {
        name: String,
    },
    /// Reports a query that continues after its first page.
    ReportQuery(Box<LiveQuery>),
    EndQuery {
        id: u64,
    },
    Queries,
    KillQuery {
        id: u64,
    },
    /// Returns the names of the databases that are ready, in order of creation.
    List {
        /// The resume key: the field `resume` of [`FromCatalog::Listed`].
        #[serde(default)]
        after: Option<u64>,
        /// If set, the list contains only databases that may have this policy.
        #[serde(default)]
        holding: Option<PolicyId>,
    },
    /// Looks up tokens and users by their keys.
    Identify {
        keys: Vec<GranteeKey>,
    },
    /// Stores a token or user in place of the entry with the same `version`, or as a new entry for
    /// version 0. If the entry has changed, the reply is `Unavailable`.
    PutGrantee(Box<Grantee>),
    /// Removes a token or user. A repeated request notifies the remaining databases.
    RemoveGrantee {
        /// Whether to remove a user rather than a token.
        user: bool,
        name: String,
    },
    /// Checks the checksums of all rows of the object.
    Verify,
    /// Lists the tokens or the users, in order of creation.
    Grantees {
        /// Whether to list users rather than tokens.
        user: bool,
        /// The list contains only entries with a higher id. 0 starts with the first entry.
        after: u64,
        limit: u64,
    },
    /// Looks up authenticated tokens and users, and records the current day as a token's last use.
    RecordUse {
        keys: Vec<GranteeKey>,
    },
    /// Returns a page with the token or user of this name, or an empty page if there is none.
    Grantee {
        /// Whether to return a user rather than a token.
        user: bool,
        name: String,
    },
    /// Starts a point-in-time recovery of a database, or returns its progress.
    Recover(RecoveryRequest),
    /// Returns the progress of the last recovery of a database.
    Recovery {
        name: String,
    },
}

/// A reply of the Catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum FromCatalog {
    /// The database is ready.
    Created {
        object: ObjectId,
        /// Whether the database was ready before this request.
        existed: bool,
    },
    /// The database, token or user no longer exists.
    Dropped {
        existed: bool,
        /// The number of databases that have not received the removal of the token or user yet.
        #[serde(default)]
        remaining: u64,
    },
    /// The object of the database.
    Resolved {
        /// The object, or `None` if the database is not ready.
        object: Option<ObjectId>,
    },
    /// The report of a query or of its end was stored.
    Reported {
        killed: bool,
    },
    /// The reply to `Queries`, or the query that `KillQuery` killed.
    Queries(Vec<LiveQuery>),
    Listed {
        names: Vec<String>,
        /// The resume key of the next page, or `None` after the last page.
        resume: Option<u64>,
        /// On the last page, descriptions of creations and drops that failed three times.
        #[serde(default)]
        troubles: Vec<String>,
        /// On the last page, the object's software release ([`super::release`]).
        #[serde(default)]
        release: String,
    },
    /// The reply to `Identify` and `RecordUse`.
    Identified {
        found: Vec<Grantee>,
        users: bool,
    },
    Granted {
        id: u64,
        /// The number of databases that have not received the change yet.
        #[serde(default)]
        remaining: u64,
    },
    /// The request is rejected permanently.
    Refused(CatalogRefusal),
    /// The request failed temporarily and may be repeated.
    Unavailable(Unavailable),
    Verified(VerifyPage),
    Grantees {
        /// The entries, in ascending order of their ids.
        rows: Vec<Grantee>,
        /// Whether more entries follow.
        more: bool,
        /// For each token in `rows`, the day of its last use, in days since the epoch (UTC). The
        /// list is empty for users.
        #[serde(default)]
        used: Vec<Option<u32>>,
    },
    /// The progress, or `None` if the database has never been recovered.
    Recovery(Option<RecoveryStatus>),
}

/// The reason why the Catalog rejected a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the error texts describe the fields")]
pub enum CatalogRefusal {
    /// The name is invalid or too long.
    #[error(transparent)]
    InvalidName(InvalidName),
    /// KILL QUERY names an unknown id.
    #[error("no such query id: {id}")]
    NoSuchQuery { id: u64 },
    /// KILL QUERY names a query that is already killed.
    #[error("already killed")]
    AlreadyKilled,
    /// The deployment already has `DATABASES_MAX` databases.
    #[error(
        "databases limit exceeded: {current} databases exist, this request would make \
         {requested}, and the limit is {limit} (DATABASES_MAX); drop a database that is no longer \
         needed"
    )]
    TooManyDatabases { limit: u64, current: u64, requested: u64 },
    /// The token or user exceeds `GRANTEES_MAX` or `GRANTEE_BYTES_MAX`.
    #[error(
        "tokens and users limit exceeded: this request would make {requested} {unit}, and the \
         limit is {limit}; delete tokens or users that are no longer used"
    )]
    TooManyGrantees { limit: u64, requested: u64, unit: String },
    /// The runtime cannot create objects in this location.
    #[error(transparent)]
    Placement(PlacementError),
    /// The policy rules reject the default policy.
    #[error(transparent)]
    Policy(PolicyRefusal),
    /// The recovery is not possible.
    #[error(transparent)]
    Recovery(RecoveryRefusal),
}

wire!(ToCatalog);
wire!(FromCatalog);
