//! Loads the data about a database that a request needs at its start, from the cache or from the
//! Catalog and the Database.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::cache::{CachedDatabase, find_policy};
use super::error::Error;
use super::grants::{CallerPermissions, ConfirmedGrantee, Principal};
use super::retries::Retries;
use super::{Context, RoundMachine, Turn};
use crate::model::ids::{ObjectId, PolicyId};
use crate::model::schema::PolicySchema;
use crate::model::shard_map::Policy;
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::{Description, FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::grants::Grantee;
use crate::protocol::host::Unavailable;
use crate::protocol::quota::Meter;
use crate::protocol::round::{CallResult, Next, Replies, Round};
use crate::protocol::shard::{NO_GRANT, Stamp};

/// The policies whose schemas are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// No schema: the request needs only the shard map.
    Nothing,
    /// The schema of this policy. An absent or empty name means the default policy.
    Policy(Option<String>),
    /// The schemas of all policies.
    All,
}

/// The loaded data about a database.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The id of the database's object.
    pub object: ObjectId,
    /// The policies and the shard map.
    pub description: Rc<Description>,
    /// The requested schemas, in the order of the description's policies.
    pub schemas: Vec<(PolicyId, Rc<PolicySchema>)>,
    /// The caller's permissions on the database, which are empty if the load had no caller.
    pub standing: CallerPermissions,
    /// The caller's number, if the caller is a token or a user.
    pub caller: Option<u64>,
    /// Whether this load queried the owners. Otherwise a refusal must not be based on the loaded
    /// data.
    pub fresh: bool,
}

impl Loaded {
    /// Returns the meter for requests to a group with `shards` shards; `None` if the database has
    /// no limits. A write adds its own amounts to the meter.
    pub fn meter(&self, shards: usize) -> Option<Meter> {
        let quotas = &self.description.quotas;
        if quotas.are_none() {
            return None;
        }
        let own = quotas.callers.iter().find(|quota| Some(quota.id) == self.caller);
        let meter = Meter {
            database: quotas.rates,
            caller: own.map(|quota| (quota.id, quota.rates)),
            stored_bytes: quotas.stored_bytes,
            shards: shards as u32,
            series: quotas.series,
            ..Meter::default()
        };
        let is_free = Meter { shards: 0, ..meter } == Meter::default();
        (!is_free).then_some(meter)
    }

    /// Returns the policy that [`Want::Policy`] selected, and its schema.
    pub fn policy(&self) -> Option<(&Policy, &Rc<PolicySchema>)> {
        let (id, schema) = self.schemas.first()?;
        let policy = self.description.policies.iter().find(|policy| policy.id == *id)?;
        Some((policy, schema))
    }

    /// Returns the schema of a policy, if it was requested.
    pub fn schema(&self, policy: PolicyId) -> Option<&Rc<PolicySchema>> {
        self.schemas.iter().find(|(id, _)| *id == policy).map(|(_, schema)| schema)
    }

    /// Updates the stamp of a partly read scan to the loaded state. The scan does not include rows
    /// that were added after the scan began. Returns `false` if shards were moved or the scan's
    /// policy was dropped.
    pub fn renew(&self, stamp: &mut Stamp) -> bool {
        let is_same = self.description.generation == stamp.generation;
        let Some(schema) = self.schema(stamp.policy).filter(|_| is_same) else { return false };
        (stamp.schema_version, stamp.fresh) = (schema.version, self.fresh);
        stamp.access = self.standing.access;
        true
    }
}

/// A load in progress.
#[derive(Debug)]
pub struct Load {
    name: String,
    want: Want,
    lookup: Box<Lookup>,
    from_owner: bool,
    schema_version_min: u64,
    waiting: AwaitedReply,
    database: Option<CachedDatabase>,
    fresh: bool,
    schemas: BTreeMap<PolicyId, Rc<PolicySchema>>,
    restarts: Retries,
    round: Round,
}

#[derive(Debug, Default)]
struct Lookup {
    principal: Principal,
    standing: Option<CallerPermissions>,
    /// The version of the grants at which the Database did not know the caller.
    unknown_under: Option<u64>,
}

#[derive(Debug)]
enum AwaitedReply {
    Nothing,
    Resolve,
    Describe(ObjectId),
    /// The load waits for the Database's reply about the caller, and then for the Catalog's reply.
    CallerPermissions,
    Schema(PolicyId),
}

impl Load {
    /// Creates a load that accepts cached state.
    pub fn cached(name: &str, want: Want) -> Self {
        Self {
            name: name.to_owned(),
            want,
            lookup: Box::default(),
            from_owner: false,
            schema_version_min: 0,
            waiting: AwaitedReply::Nothing,
            database: None,
            fresh: false,
            schemas: BTreeMap::new(),
            restarts: Retries::default(),
            round: Round::default(),
        }
    }

    /// Creates a load that requests the state from the Catalog and the Database, as needed after
    /// "stale" and before a refusal.
    pub fn from_owner(name: &str, want: Want) -> Self {
        Self { from_owner: true, ..Self::cached(name, want) }
    }

    /// Makes the load also look up the permissions of `principal`.
    pub fn for_caller(mut self, principal: &Principal) -> Self {
        self.lookup.principal = principal.clone();
        self
    }

    /// Sets the minimum version of the schemas.
    pub fn with_schema_version(mut self, version: u64) -> Self {
        self.schema_version_min = version;
        self
    }

    fn request_missing(&mut self, context: &mut Context<'_>) -> Turn<Loaded> {
        if let AwaitedReply::Describe(object) = &self.waiting {
            let to = Address::Database(object.clone());
            return Ok(Next::call(to, &ToDatabase::Describe));
        }
        if self.database.is_none() && !self.from_owner {
            self.database = context.cache.database(&self.name);
        }
        let Some(database) = self.database.clone() else {
            self.waiting = AwaitedReply::Resolve;
            let message = ToCatalog::Resolve { name: self.name.clone() };
            return Ok(Next::call(Address::Catalog, &message));
        };
        let Some(standing) = self.caller_permissions(context, &database.object) else {
            return Ok(self.request_permissions(&database.object));
        };
        let Some(wanted) = self.wanted(&database.description) else {
            if self.fresh {
                return Err(self.policy_missing());
            }
            self.restart()?;
            return self.request_missing(context);
        };
        for (policy, version) in &wanted {
            let known = self
                .schemas
                .entry(*policy)
                .or_insert_with(|| context.cache.schema(&database.object, *policy));
            if known.version < (*version).max(self.schema_version_min) {
                let after_version = known.version;
                self.waiting = AwaitedReply::Schema(*policy);
                let message = ToDatabase::Schema { policy: *policy, after_version };
                return Ok(Next::call(Address::Database(database.object), &message));
            }
        }
        let schema = |id: &PolicyId| self.schemas.get(id).map(|schema| (*id, Rc::clone(schema)));
        Ok(Next::Reply(Loaded {
            object: database.object,
            description: database.description,
            schemas: wanted.iter().filter_map(|(id, _)| schema(id)).collect(),
            standing,
            caller: self.lookup.principal.caller.as_ref().map(|caller| caller.id),
            fresh: self.fresh,
        }))
    }

    /// Returns the caller's known permissions. A load from the owners does not use cached
    /// permissions, which may be as outdated as the rest of the cache.
    fn caller_permissions(
        &mut self,
        context: &mut Context<'_>,
        object: &ObjectId,
    ) -> Option<CallerPermissions> {
        let Principal { name, grants, caller, .. } = &self.lookup.principal;
        let Some(caller) = caller else {
            return Some(CallerPermissions::new(name, Rc::clone(grants), NO_GRANT));
        };
        if self.lookup.standing.is_none() && !self.from_owner && !self.fresh {
            let now_ns = context.platform.now_ns();
            let held = context.cache.callers.on(&caller.key, object);
            let held = held.filter(|held| caller.is(&held.row, now_ns));
            self.lookup.standing =
                held.map(|held| CallerPermissions::new(name, Rc::clone(&held.grants), held.access));
        }
        self.lookup.standing.clone()
    }

    /// Requests the caller's row from the Database, and then from the Catalog if the Database does
    /// not know the caller.
    fn request_permissions(&mut self, object: &ObjectId) -> Next<Loaded> {
        self.waiting = AwaitedReply::CallerPermissions;
        let caller = self.lookup.principal.caller.as_ref();
        let keys = caller.map(|caller| caller.key.clone()).into_iter().collect();
        match self.lookup.unknown_under {
            None => {
                let to = Address::Database(object.clone());
                Next::call(to, &ToDatabase::Identify { keys })
            }
            Some(_) => Next::call(Address::Catalog, &ToCatalog::Identify { keys }),
        }
    }

    /// Stores the Catalog's reply under the version of the grants that the Database reported
    /// before. A later revocation increases that version.
    fn on_permissions(
        &mut self,
        context: &mut Context<'_>,
        reply: CallResult,
    ) -> Result<(), Error> {
        let (Some(database), Some(caller)) = (&self.database, &self.lookup.principal.caller) else {
            return Ok(());
        };
        let (found, access, last) = match self.lookup.unknown_under {
            None => match envelope::decode_reply::<FromDatabase>(reply)? {
                FromDatabase::Identified { access, found } => (found, access, false),
                FromDatabase::NotOpen => return self.restart(),
                FromDatabase::Unavailable(reason) => return Err(reason.into()),
                _ => return Err(Error::unexpected_reply()),
            },
            Some(access) => match envelope::decode_reply::<FromCatalog>(reply)? {
                FromCatalog::Identified { found, .. } => (found, access, true),
                FromCatalog::Unavailable(reason) => return Err(reason.into()),
                _ => return Err(Error::unexpected_reply()),
            },
        };
        let now_ns = context.platform.now_ns();
        let callers = &mut context.cache.callers;
        let believed = |row: &Grantee| last || callers.confirmed.is_trusted(row);
        let mut found = found.into_iter().filter(|row| caller.is(row, now_ns) && believed(row));
        let Some(row) = found.next() else {
            callers.forget(&caller.key, &database.object);
            if last {
                return Err(Error::Revoked);
            }
            self.lookup.unknown_under = Some(access);
            return Ok(());
        };
        let held =
            callers.on_reply(&database.object, ConfirmedGrantee::new(row.on(&self.name), access));
        let (name, grants) = (&self.lookup.principal.name, Rc::clone(&held.grants));
        self.lookup.standing = Some(CallerPermissions::new(name, grants, access));
        Ok(())
    }

    fn wanted(&self, description: &Description) -> Option<Vec<(PolicyId, u64)>> {
        let versions = description.schema_versions.iter().copied().chain(std::iter::repeat(0));
        let mut all = description.policies.iter().map(|policy| policy.id).zip(versions);
        match &self.want {
            Want::Nothing => Some(Vec::new()),
            Want::All => Some(all.collect()),
            Want::Policy(name) => {
                let id = find_policy(description, name.as_deref())?.id;
                Some(all.find(|(policy, _)| *policy == id).into_iter().collect())
            }
        }
    }

    fn policy_missing(&self) -> Error {
        match &self.want {
            Want::Policy(Some(name)) if !name.is_empty() => Error::PolicyNotFound(name.clone()),
            _ => {
                let description = self.database.as_ref().map(|known| &known.description);
                let gone = description.and_then(|known| known.dropped_default.clone());
                gone.map_or_else(
                    || Error::NoDefaultPolicy(self.name.clone()),
                    Error::PolicyNotFound,
                )
            }
        }
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.restarts.count()?;
        self.from_owner = true;
        self.database = None;
        (self.lookup.standing, self.lookup.unknown_under) = (None, None);
        self.schemas.clear();
        self.waiting = AwaitedReply::Nothing;
        Ok(())
    }

    fn on_reply(&mut self, context: &mut Context<'_>, reply: CallResult) -> Result<(), Error> {
        match std::mem::replace(&mut self.waiting, AwaitedReply::Nothing) {
            AwaitedReply::Nothing => Ok(()),
            AwaitedReply::CallerPermissions => self.on_permissions(context, reply),
            AwaitedReply::Resolve => self.on_resolved(context, reply),
            AwaitedReply::Describe(object) => {
                match envelope::decode_reply::<FromDatabase>(reply)? {
                    FromDatabase::Description(description) => {
                        let known = context.cache.put_database(&self.name, object, description);
                        self.database = Some(known);
                        self.fresh = true;
                        Ok(())
                    }
                    // The database was dropped between the two calls. If the Catalog was not
                    // reached, the database may have been dropped before the request.
                    FromDatabase::NotOpen => Err(Unavailable::Changing.into()),
                    FromDatabase::Unavailable(reason) => Err(reason.into()),
                    _ => Err(Error::unexpected_reply()),
                }
            }
            AwaitedReply::Schema(policy) => {
                let reply = envelope::decode_reply::<FromDatabase>(reply)?;
                self.on_schema(context, policy, reply)
            }
        }
    }

    /// If the Catalog is unreachable, the load uses a cached object, because the Database itself
    /// reports whether the database still exists.
    fn on_resolved(&mut self, context: &mut Context<'_>, reply: CallResult) -> Result<(), Error> {
        let lost = match envelope::decode_reply::<FromCatalog>(reply) {
            Ok(FromCatalog::Resolved { object: Some(object) }) => {
                self.waiting = AwaitedReply::Describe(object);
                return Ok(());
            }
            Ok(FromCatalog::Resolved { object: None }) => {
                context.cache.forget(&self.name);
                return Err(Error::DatabaseNotFound(self.name.clone()));
            }
            Ok(FromCatalog::Unavailable(reason)) => reason.into(),
            Ok(_) => Error::unexpected_reply(),
            Err(failure) => failure.into(),
        };
        let known = context.cache.database(&self.name).ok_or(lost)?;
        self.waiting = AwaitedReply::Describe(known.object);
        Ok(())
    }

    fn on_schema(
        &mut self,
        context: &mut Context<'_>,
        policy: PolicyId,
        reply: FromDatabase,
    ) -> Result<(), Error> {
        let (measurements, version, more) = match reply {
            FromDatabase::Schema { measurements, version, more } => (measurements, version, more),
            FromDatabase::UnknownPolicy | FromDatabase::NotOpen => {
                return self.restart();
            }
            FromDatabase::Unavailable(reason) => return Err(reason.into()),
            _ => return Err(Error::unexpected_reply()),
        };
        let known = self.schemas.entry(policy).or_default();
        let mut schema = PolicySchema::clone(known);
        let last = measurements.last().map(|measurement| measurement.version);
        let reached = if more { last.unwrap_or(version) } else { version };
        // Without this error, the load would repeatedly request a page that contains no newer
        // state.
        if reached <= schema.version {
            return Err(Error::unexpected_reply());
        }
        for measurement in measurements {
            if measurement.dropped && measurement.name.is_empty() {
                // The measurement belongs to a state that a recovery discarded, and its name is
                // unknown.
                schema.measurements.retain(|_, known| known.id != measurement.id);
                continue;
            }
            if measurement.dropped {
                // Another measurement may have this name now, or may receive this name with a later
                // page.
                let named = schema.measurements.get(&measurement.name);
                if named.is_some_and(|named| named.id == measurement.id) {
                    schema.measurements.remove(&measurement.name);
                }
                continue;
            }
            schema.measurements.insert(measurement.name.clone(), Arc::new(measurement));
        }
        schema.version = reached;
        *known = Rc::new(schema);
        if let Some(database) = &self.database {
            context.cache.put_schema(&database.object, policy, Rc::clone(known));
        }
        Ok(())
    }
}

impl RoundMachine for Load {
    type Reply = Loaded;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn take_turn(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Loaded> {
        if let Some(reply) = replies.pop() {
            self.on_reply(context, reply)?;
        }
        self.request_missing(context)
    }
}
