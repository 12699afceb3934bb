//! Lists what the Catalog can be asked, and what it answers.

use serde::{Deserialize, Serialize};

use super::call::PlacementError;
use super::database::{PolicyRefusal, PolicySpec};
use super::envelope::{Direction, Wire};
use super::grants::{Grantee, GranteeKey};
use super::host::Unavailable;
use super::live_queries::LiveQuery;
use super::recovery::{RecoveryRefusal, RecoveryRequest, RecoveryStatus};
use super::shard::VerifyPage;
use crate::model::ids::{ObjectId, PolicyId};

/// A request to the Catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToCatalog {
    /// Creates a database; a repeat finishes what was begun and otherwise changes nothing.
    Create(CreateDatabase),
    /// Drops a database; a repeat finishes what was begun.
    Drop {
        /// The database's name.
        name: String,
    },
    /// Which object holds a database.
    Resolve {
        /// The database's name.
        name: String,
    },
    /// A query goes on after its first page.
    ReportQuery(Box<LiveQuery>),
    /// A query came to its end.
    EndQuery {
        /// The number that it was reported with.
        id: u64,
    },
    /// SHOW QUERIES
    Queries,
    /// KILL QUERY
    KillQuery {
        /// The number that it was reported with.
        id: u64,
    },
    /// Names of the databases that are ready, in order of creation.
    List {
        /// Resume key: [`FromCatalog::Listed`]'s `resume`.
        #[serde(default)]
        after: Option<u64>,
        /// Only of those that may have this policy.
        #[serde(default)]
        holding: Option<PolicyId>,
    },
    /// Which of these tokens and users there are.
    Identify {
        /// What they are found by.
        keys: Vec<GranteeKey>,
    },
    /// Stores a token or user in place of the one of its `version`, or as a new one where that is
    /// 0. Somebody else's change in between is answered with `Unavailable`. A repeat tells those
    /// databases that have not heard of it yet.
    PutGrantee(Box<Grantee>),
    /// Removes a token or user. A repeat tells those databases that have not heard of it yet.
    RemoveGrantee {
        /// A user, else a token.
        user: bool,
        /// The user's or token's name.
        name: String,
    },
    /// Every checksum of its own rows.
    Verify,
    /// Tokens, or users, in order of creation.
    Grantees {
        /// Users, else tokens.
        user: bool,
        /// With numbers above this one; 0 is from the first.
        after: u64,
        /// At most so many.
        limit: u64,
    },
    /// Gives a token another secret; the one before lets in for a while. Refused while it has two.
    /// A repeat tells those databases that have not heard of it yet.
    RotateToken(Rotation),
    /// Ends one of a token's two secrets at once. A repeat as with RemoveGrantee.
    EndSecret {
        /// The token's name.
        name: String,
        /// The secret's SHA-256, lower-case hex.
        hash: String,
    },
    /// An edge has let these in, and asks which of them there are. Of tokens the day is noted.
    Met {
        /// What they are found by.
        keys: Vec<GranteeKey>,
    },
    /// Another limit in the place of that of one token or user.
    SetCreatorQuota(CreatorQuota),
    /// The limits of creators, and how many databases there are of each.
    CreatorQuotas,
    /// The token or user of a name: a page of one, or of none.
    Grantee {
        /// A user, else a token.
        user: bool,
        /// The user's or token's name.
        name: String,
    },
    /// Tokens and users that concern a database, with what of them does, in order of creation: a
    /// token with two secrets is two. A page without any is the last one.
    Concerning {
        /// The database's name.
        database: String,
        /// With numbers above this one; 0 is from the first.
        after: u64,
    },
    /// A database goes back to a time. A repeat for the same time says how far that is, and begins
    /// nothing again once it is done.
    Recover(RecoveryRequest),
    /// How far the last recovery of a database is.
    Recovery {
        /// The database's name.
        name: String,
    },
}

/// The last use of one secret of a token that an edge has told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// The secret's SHA-256, lower-case hex.
    pub hash: String,
    /// Days since the epoch, UTC.
    pub day: u32,
}

/// Another secret for a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The token's name.
    pub name: String,
    /// The new secret's SHA-256, lower-case hex.
    pub hash: String,
    /// From when on it lets in, nanoseconds.
    pub now_ns: i64,
    /// Until when the one before does; not after `now_ns` is not at all.
    pub until_ns: i64,
}

/// A database to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateDatabase {
    /// Checked by the Catalog.
    pub name: String,
    /// The default policy; `None` is `autogen`, kept for ever, and matches any existing database.
    #[serde(default)]
    pub policy: Option<PolicySpec>,
    /// Shards of each new shard group; `DEFAULT_SHARDS` unless the caller said otherwise.
    pub shards: u32,
    /// Where the database's objects should live.
    #[serde(default)]
    pub location: Option<String>,
    /// Where they must live.
    #[serde(default)]
    pub jurisdiction: Option<String>,
    /// Number of the token or user whose write creates it; 0 is an administrator.
    #[serde(default)]
    pub creator: u64,
}

/// How many databases the writes of one token or user may create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatorQuota {
    /// Its number.
    pub id: u64,
    /// A user, else a token.
    pub user: bool,
    /// Its name when this was set.
    pub name: String,
    /// Databases that there may be of it at a time; `None` is without limit.
    pub databases: Option<u64>,
}

impl CreateDatabase {
    /// The same database near `location`, unless it says itself where it wants to live.
    #[must_use]
    pub fn near(mut self, location: Option<&str>) -> Self {
        if self.location.is_none() && self.jurisdiction.is_none() {
            self.location = location.map(str::to_owned);
        }
        self
    }
}

/// A reply of the Catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCatalog {
    /// The database is ready.
    Created {
        /// Its object.
        object: ObjectId,
        /// It was ready before this request.
        existed: bool,
    },
    /// No database (or token, or user) has the name any more; none of a database's shards takes or
    /// shows a point.
    Dropped {
        /// There was one.
        existed: bool,
        /// Databases that have not heard of it yet, of a token or user.
        #[serde(default)]
        remaining: u64,
    },
    /// The database's object; `None` unless it is ready.
    Resolved {
        /// The object.
        object: Option<ObjectId>,
    },
    /// A report was taken, or an end.
    Reported {
        /// It was told to stop.
        killed: bool,
    },
    /// What Queries asked for; for KillQuery the query, whose shards are to be told.
    Queries(Vec<LiveQuery>),
    /// A page of names.
    Listed {
        /// In order of creation.
        names: Vec<String>,
        /// Where the next page starts; `None` when this was the last.
        resume: Option<u64>,
        /// Creations and drops that failed three times, in words; on the last page.
        #[serde(default)]
        troubles: Vec<String>,
        /// What the object runs, as [`super::release`] names it; on the last page.
        #[serde(default)]
        release: String,
    },
    /// What Identify and Met asked for.
    Identified {
        /// Those that there are.
        found: Vec<Grantee>,
        /// There is a user, whoever it is.
        users: bool,
    },
    /// The token or user is stored.
    Granted {
        /// Its number.
        id: u64,
        /// Databases that have not heard of it yet.
        #[serde(default)]
        remaining: u64,
    },
    /// The request cannot be granted; repeating it changes nothing.
    Refused(CatalogRefusal),
    /// The request may be repeated.
    Unavailable(Unavailable),
    /// All of its own rows.
    Verified(VerifyPage),
    /// A page of tokens or users.
    Grantees {
        /// Ascending by number.
        rows: Vec<Grantee>,
        /// There are more.
        more: bool,
        /// Of each token in `rows`: when its secrets were used last. Of users there is none.
        #[serde(default)]
        used: Vec<Vec<LastUse>>,
    },
    /// What CreatorQuotas and SetCreatorQuota asked for, each with the databases that there are.
    CreatorQuotas(Vec<(CreatorQuota, u64)>),
    /// What Recover and Recovery asked for; `None`: there was none since the database was made.
    Recovery(Option<RecoveryStatus>),
}

/// Why the Catalog refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CatalogRefusal {
    /// See [`crate::model::name::check`]. 1.x's text.
    #[error("invalid name")]
    InvalidName,
    /// KILL QUERY of an id that is not listed.
    #[error("no such query id: {id}")]
    NoSuchQuery {
        /// The id that the statement names.
        id: u64,
    },
    /// KILL QUERY, again.
    #[error("already killed")]
    AlreadyKilled,
    /// `DATABASES_MAX`
    #[error(
        "databases limit exceeded: there are {current}, this request would make {requested}, the \
         limit is {limit} (DATABASES_MAX)"
    )]
    TooManyDatabases {
        /// `DATABASES_MAX`
        limit: u64,
        /// Databases there are.
        current: u64,
        /// Databases there would be.
        requested: u64,
    },
    /// `GRANTEES_MAX` or `GRANTEES_BYTES_MAX`
    #[error(
        "tokens and users limit exceeded: this request would make {requested} {unit}, the limit \
         is {limit}; remove some that are not used any more"
    )]
    TooManyGrantees {
        /// The limit.
        limit: u64,
        /// How many there would be.
        requested: u64,
        /// What is counted.
        unit: String,
    },
    /// The runtime cannot place objects there.
    #[error(transparent)]
    Placement(PlacementError),
    /// The default policy is refused by the rules of policies.
    #[error(transparent)]
    Policy(PolicyRefusal),
    /// [`CreatorQuota::databases`]
    #[error(
        "databases quota of {name} exceeded: it has created {current}, this write would make \
         {requested}, allowed are {limit} (databases)"
    )]
    TooManyOfCreator {
        /// Token or user.
        name: String,
        /// [`CreatorQuota::databases`]
        limit: u64,
        /// Databases that there are of it.
        current: u64,
        /// Databases that there would be.
        requested: u64,
    },
    /// `CREATOR_QUOTAS_MAX`
    #[error(
        "quotas limit exceeded: {limit} tokens and users have one of databases, which is the limit \
         (CREATOR_QUOTAS_MAX); take away one that is not needed any more"
    )]
    TooManyCreatorQuotas {
        /// `CREATOR_QUOTAS_MAX`
        limit: u64,
    },
    /// Another secret for a token that has two.
    #[error("the token has two secrets already, as the list of tokens says: end one of them first")]
    TwoSecrets,
    /// The end of the only secret of a token.
    #[error("the token has no other secret: revoke the token instead")]
    OnlySecret,
    /// The database does not go back in time.
    #[error(transparent)]
    Recovery(RecoveryRefusal),
}

impl Wire for ToCatalog {
    const DIRECTION: Direction = Direction::ToCatalog;
}

impl Wire for FromCatalog {
    const DIRECTION: Direction = Direction::FromCatalog;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_lives_near_its_creator_unless_it_says_where() {
        let create = |location: Option<&str>, jurisdiction: Option<&str>| CreateDatabase {
            name: "d".into(),
            policy: None,
            shards: 1,
            location: location.map(str::to_owned),
            jurisdiction: jurisdiction.map(str::to_owned),
            creator: 0,
        };
        let near = |create: CreateDatabase| create.near(Some("weur")).location;
        assert_eq!(near(create(None, None)).as_deref(), Some("weur"));
        assert_eq!(near(create(Some("oc"), None)).as_deref(), Some("oc"));
        assert_eq!(near(create(None, Some("eu"))), None);
        assert_eq!(create(None, None).near(None).location, None);
    }
}
