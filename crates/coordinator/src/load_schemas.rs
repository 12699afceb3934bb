//! Loads the data about a database that a request needs at its start, from the cache or from the
//! Catalog and the Database.

use std::rc::Rc;
use std::sync::Arc;

use super::cache::{CachedDatabase, find_policy};
use super::error::{Error, Result};
use super::grants::{CallerPermissions, ConfirmedGrantee, Identity, Principal};
use super::{Context, Io};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{Description, FromDatabase, ToDatabase};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::grants::Grantee;
use tidemark_engine::protocol::quota::Meter;
use tidemark_engine::protocol::shard::{NO_GRANT, Stamp};
use tidemark_model::grant::{PermissionKind, Scope};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::STALE_RETRIES_MAX;
use tidemark_model::schema::{MeasurementSchema, PolicySchema};
use tidemark_model::shard_map::Policy;

/// The number of pages after which a load stores its incomplete schema in the cache.
const PAGES_PER_CACHED_SCHEMA: usize = 8;

/// The policies whose schemas are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaSelection {
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
    pub permissions: CallerPermissions,
    /// The caller's number, if the caller is a token or a user.
    pub caller: Option<u64>,
    /// Whether the data comes from the Catalog and the Database instead of a cache. Only such data
    /// may justify a refusal.
    pub fresh: bool,
}

impl Loaded {
    /// Returns the meter for requests to a group with `shards` shards; `None` if the database has
    /// no quotas. A write adds its own amounts to the meter.
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

    /// Returns the policy that [`SchemaSelection::Policy`] selected, and its schema.
    pub fn policy(&self) -> Option<(&Policy, &Rc<PolicySchema>)> {
        let (id, schema) = self.schemas.first()?;
        let policy = self.description.policies.iter().find(|policy| policy.id == *id)?;
        Some((policy, schema))
    }

    /// Returns the schema of a policy, if it was requested.
    pub fn schema(&self, policy: PolicyId) -> Option<&Rc<PolicySchema>> {
        self.schemas.iter().find(|(id, _)| *id == policy).map(|(_, schema)| schema)
    }

    /// Returns the stamp of messages about a policy, with the loaded state.
    pub fn stamp(&self, policy: PolicyId) -> Stamp {
        Stamp {
            policy,
            generation: self.description.generation,
            schema_version: self.schema(policy).map_or(0, |schema| schema.version),
            fresh: self.fresh,
            access: self.permissions.access,
            meter: None,
        }
    }

    /// Whether a request has the same plan with this state as with `other`.
    pub fn has_state_of(&self, other: &Self) -> bool {
        let (description, others) = (&self.description, &other.description);
        self.object == other.object
            && description.generation == others.generation
            && description.policies == others.policies
            && description.default_policy == others.default_policy
            && description.quotas == others.quotas
            && self.schema_versions().eq(other.schema_versions())
            && self.permissions == other.permissions
            && self.caller == other.caller
    }

    fn schema_versions(&self) -> impl Iterator<Item = (PolicyId, u64)> {
        self.schemas.iter().map(|(id, schema)| (*id, schema.version))
    }

    /// Updates the stamp of a partly read scan to the loaded state. The scan does not include rows
    /// that were added after the scan began. Returns `false` if shards were moved or the scan's
    /// policy was dropped.
    pub fn renew(&self, stamp: &mut Stamp) -> bool {
        let is_same = self.description.generation == stamp.generation;
        let Some(schema) = self.schema(stamp.policy).filter(|_| is_same) else { return false };
        (stamp.schema_version, stamp.fresh) = (schema.version, self.fresh);
        stamp.access = self.permissions.access;
        true
    }
}

/// The database to load, and the required data.
#[derive(Clone, Debug)]
pub struct Load {
    name: String,
    selection: SchemaSelection,
    principal: Principal,
    from_owner: bool,
    schema_version_min: u64,
}

impl Load {
    /// Creates a load that accepts cached state.
    pub fn cached(name: &str, selection: SchemaSelection) -> Self {
        let (name, principal) = (name.to_owned(), Principal::default());
        Self { name, selection, principal, from_owner: false, schema_version_min: 0 }
    }

    /// Creates a load that requests the state from the Catalog and the Database, as needed after
    /// "stale" and before a refusal.
    pub fn from_owner(name: &str, selection: SchemaSelection) -> Self {
        Self { from_owner: true, ..Self::cached(name, selection) }
    }

    /// Makes the load also look up the permissions of `principal`.
    pub fn for_caller(mut self, principal: &Principal) -> Self {
        self.principal = principal.clone();
        self
    }

    /// Sets the minimum version of the schemas.
    pub fn with_schema_version(mut self, version: u64) -> Self {
        self.schema_version_min = version;
        self
    }

    /// Loads the data. If the data changes during the load, loads the owners' state again.
    pub async fn run(self, io: &Io) -> Result<Loaded> {
        let mut retries = Retries::default();
        let mut from_owner = self.from_owner;
        loop {
            match self.attempt(io, from_owner).await {
                Ok(Some(loaded)) => return Ok(loaded),
                Ok(None) => {}
                Err(Error::DatabaseNotFound(_)) => return Err(self.missing_database(io).await?),
                Err(error) => return Err(error),
            }
            retries.count()?;
            from_owner = true;
        }
    }

    /// Returns `None` if the data must be loaded again from the owners.
    async fn attempt(&self, io: &Io, from_owner: bool) -> Result<Option<Loaded>> {
        let cached = match from_owner {
            true => None,
            false => io.with(|context| context.cache.database(&self.name))?,
        };
        let fresh = cached.is_none();
        let CachedDatabase { object, description, .. } = match cached {
            Some(database) => database,
            None => self.describe(io).await?,
        };
        let Some(permissions) = self.caller_permissions(io, &object, fresh).await? else {
            return Ok(None);
        };
        let wanted = match self.wanted(&description) {
            Some(wanted) => wanted,
            None if fresh => return Err(self.policy_missing(&description)),
            None => return Ok(None),
        };
        let mut schemas = Vec::with_capacity(wanted.len());
        for (policy, version) in wanted {
            let version_min = version.max(self.schema_version_min);
            match load_schema(io, &object, policy, version_min).await? {
                Some(schema) => schemas.push((policy, schema)),
                None => return Ok(None),
            }
        }
        let caller = self.principal.identity.as_ref().map(|identity| identity.id);
        Ok(Some(Loaded { object, description, schemas, permissions, caller, fresh }))
    }

    /// Returns the error for a missing database. A drop of a database also removes the users'
    /// permissions on it, so cached permissions must not admit the caller.
    async fn missing_database(&self, io: &Io) -> Result<Error> {
        let missing = Error::DatabaseNotFound(self.name.clone());
        let Principal { name, identity, .. } = &self.principal;
        let Some(caller) = identity.as_ref().filter(|_| self.principal.needs_lookup()) else {
            return Ok(missing);
        };
        let message = ToCatalog::Identify { keys: vec![caller.key.clone()] };
        let FromCatalog::Identified { found, .. } = io.call_catalog(&message).await? else {
            return Err(Error::unexpected_reply());
        };
        let now_ns = io.now_ns()?;
        let Some(row) = found.into_iter().find(|row| caller.is(row, now_ns)) else {
            return Ok(Error::Revoked);
        };
        let kinds = [PermissionKind::Read, PermissionKind::Write];
        let may_use = |kind: &PermissionKind| row.grants.scope(*kind, &self.name) != Scope::None;
        Ok(match kinds.iter().any(may_use) {
            true => missing,
            false => Error::Forbidden {
                who: name.to_string(),
                permission: "READ or WRITE",
                database: self.name.clone(),
            },
        })
    }

    async fn describe(&self, io: &Io) -> Result<CachedDatabase> {
        let object = self.resolve(io).await?;
        match io.call_database(&object, &ToDatabase::Describe).await? {
            FromDatabase::Description(description) => {
                io.with(|context| context.cache.put_database(&self.name, object, description))
            }
            // If the Catalog was not reached, the database may have been dropped before the
            // request.
            reply => Err(reply.into()),
        }
    }

    /// Returns the database's object. If the Catalog is unreachable, returns a cached object,
    /// because the Database itself reports whether the database still exists.
    async fn resolve(&self, io: &Io) -> Result<ObjectId> {
        let message = ToCatalog::Resolve { name: self.name.clone() };
        let lost = match io.call_catalog(&message).await {
            Ok(FromCatalog::Resolved { object: Some(object) }) => return Ok(object),
            Ok(FromCatalog::Resolved { object: None }) => {
                io.with(|context| context.cache.forget(&self.name))?;
                return Err(Error::DatabaseNotFound(self.name.clone()));
            }
            Ok(_) => Error::unexpected_reply(),
            Err(error) => error,
        };
        let known = io.with(|context| context.cache.database(&self.name))?;
        known.map(|known| known.object).ok_or(lost)
    }

    /// Returns the caller's permissions; `None` if the database was dropped. Looks up the caller in
    /// the Database, and then in the Catalog if the Database does not know the caller. A load from
    /// the owners does not use cached permissions, which may be as outdated as the rest of the
    /// cache.
    async fn caller_permissions(
        &self,
        io: &Io,
        object: &ObjectId,
        fresh: bool,
    ) -> Result<Option<CallerPermissions>> {
        let Principal { name, grants, identity, .. } = &self.principal;
        let Some(caller) = identity else {
            return Ok(Some(CallerPermissions::new(name, Rc::clone(grants), NO_GRANT)));
        };
        let cached = io.with(|context| {
            if fresh {
                return None;
            }
            let now_ns = context.platform.now_ns();
            let grantee = context.cache.callers.reply_of(&caller.key, object);
            let grantee = grantee.filter(|grantee| caller.is(&grantee.row, now_ns))?;
            Some(CallerPermissions::new(name, Rc::clone(&grantee.grants), grantee.access))
        })?;
        if cached.is_some() {
            return Ok(cached);
        }
        let message = ToDatabase::Identify { keys: vec![caller.key.clone()] };
        let (mut rows, access) = match io.call_database(object, &message).await? {
            FromDatabase::Identified { access, found } => (found, access),
            FromDatabase::NotOpen => return Ok(None),
            reply => return Err(reply.into()),
        };
        let known = io.with(|context| {
            rows.retain(|row| context.cache.callers.confirmed.is_trusted(row));
            self.confirm(context, caller, object, rows, access)
        })?;
        if known.is_some() {
            return Ok(known);
        }
        let message = ToCatalog::Identify { keys: vec![caller.key.clone()] };
        let FromCatalog::Identified { found: rows, .. } = io.call_catalog(&message).await? else {
            return Err(Error::unexpected_reply());
        };
        // The Database returned the version `access` before the Catalog replied. If the permission
        // is revoked after that, the Database raises the version, and the shards refuse requests
        // with the old version.
        let known = io.with(|context| self.confirm(context, caller, object, rows, access))?;
        known.map(Some).ok_or(Error::Revoked)
    }

    /// Caches the caller's row, and returns the row's permissions. Returns `None` if `rows` does
    /// not contain a valid row of the caller.
    fn confirm(
        &self,
        context: &mut Context<'_>,
        caller: &Identity,
        object: &ObjectId,
        rows: Vec<Grantee>,
        access: u64,
    ) -> Option<CallerPermissions> {
        let now_ns = context.platform.now_ns();
        let callers = &mut context.cache.callers;
        let Some(row) = rows.into_iter().find(|row| caller.is(row, now_ns)) else {
            callers.forget(&caller.key, object);
            return None;
        };
        let grantee = callers.on_reply(object, ConfirmedGrantee::new(row.on(&self.name), access));
        Some(CallerPermissions::new(&self.principal.name, Rc::clone(&grantee.grants), access))
    }

    fn wanted(&self, description: &Description) -> Option<Vec<(PolicyId, u64)>> {
        let versions = description.schema_versions.iter().copied().chain(std::iter::repeat(0));
        let mut all = description.policies.iter().map(|policy| policy.id).zip(versions);
        match &self.selection {
            SchemaSelection::Nothing => Some(Vec::new()),
            SchemaSelection::All => Some(all.collect()),
            SchemaSelection::Policy(name) => {
                let id = find_policy(description, name.as_deref())?.id;
                Some(all.find(|(policy, _)| *policy == id).into_iter().collect())
            }
        }
    }

    fn policy_missing(&self, description: &Description) -> Error {
        match (&self.selection, &description.dropped_default) {
            (SchemaSelection::Policy(Some(name)), _) if !name.is_empty() => {
                Error::PolicyNotFound(name.clone())
            }
            (_, Some(dropped)) => Error::PolicyNotFound(dropped.clone()),
            (_, None) => Error::NoDefaultPolicy(self.name.clone()),
        }
    }
}

/// Loads a schema of at least version `version_min`. Returns `None` if the database or the policy
/// was dropped.
async fn load_schema(
    io: &Io,
    object: &ObjectId,
    policy: PolicyId,
    version_min: u64,
) -> Result<Option<Rc<PolicySchema>>> {
    let mut schema = Rc::<PolicySchema>::default();
    let mut pages = 0_usize;
    loop {
        // Concurrent loads share the pages in the cache, so that memory contains one copy of a
        // large schema.
        let cached = io.with(|context| context.cache.schema(object, policy))?;
        if cached.loaded_version >= schema.loaded_version {
            schema = cached;
        }
        if schema.version >= version_min {
            return Ok(Some(schema));
        }
        let after_version = schema.loaded_version;
        let message = ToDatabase::Schema { policy, after_version };
        let (measurements, version, more) = match io.call_database(object, &message).await? {
            FromDatabase::Schema { measurements, version, more } => (measurements, version, more),
            FromDatabase::UnknownPolicy | FromDatabase::NotOpen => return Ok(None),
            reply => return Err(reply.into()),
        };
        let last = measurements.last().map(|measurement| measurement.version);
        let reached = if more { last.unwrap_or(version) } else { version };
        // Without this error, the load would repeatedly request a page that contains no newer
        // state.
        if reached <= after_version {
            return Err(Error::unexpected_reply());
        }
        let newer = Rc::make_mut(&mut schema);
        newer.loaded_version = reached;
        // A measurement that changes during the load moves to a later page, so the schema is
        // complete only after the last page.
        if !more {
            newer.version = reached;
        }
        apply(newer, measurements);
        pages += 1;
        // Caches only some of the pages. Caching computes the size of the schema. Caching also
        // shares the names of the schema with the cache, so the next page must copy these names.
        if !more || pages.is_multiple_of(PAGES_PER_CACHED_SCHEMA) {
            io.with(|context| context.cache.put_schema(object, policy, Rc::clone(&schema)))?;
        }
    }
}

fn apply(schema: &mut PolicySchema, changed: Vec<MeasurementSchema>) {
    for measurement in changed {
        if measurement.dropped && measurement.name.is_empty() {
            // The measurement belongs to a state that a recovery discarded, and its name is
            // unknown.
            schema.measurements.retain(|_, known| known.id != measurement.id);
        } else if measurement.dropped {
            // Another measurement may have this name now, or may receive this name with a later
            // page.
            let named = schema.measurements.get(&measurement.name);
            if named.is_some_and(|named| named.id == measurement.id) {
                schema.measurements.remove(&measurement.name);
            }
        } else {
            schema.measurements.insert(measurement.name.clone(), Arc::new(measurement));
        }
    }
}

/// Looks up a database in the Catalog, and sends a message to the Database.
pub async fn call_database(io: &Io, name: &str, message: &ToDatabase) -> Result<FromDatabase> {
    let loaded = Load::from_owner(name, SchemaSelection::Nothing).run(io).await?;
    match io.call_database(&loaded.object, message).await? {
        FromDatabase::NotOpen => Err(Error::DatabaseNotFound(name.to_owned())),
        reply @ (FromDatabase::Refused(_) | FromDatabase::Unavailable(_)) => Err(reply.into()),
        reply => Ok(reply),
    }
}

/// The number of times that a request restarted because an object had newer state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retries(u32);

impl Retries {
    /// Returns [`Unavailable::Changing`] after [`STALE_RETRIES_MAX`] restarts. The client must then
    /// retry after a delay.
    pub(super) fn count(&mut self) -> Result<(), Unavailable> {
        if self.0 >= STALE_RETRIES_MAX {
            return Err(Unavailable::Changing);
        }
        self.0 += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;
    use crate::cache::Cache;
    use crate::task::tests::step_with;
    use tidemark_engine::protocol::call::{Address, Call, Reply, Step};
    use tidemark_engine::protocol::envelope;
    use tidemark_engine::protocol::local_platform::LocalPlatform;
    use tidemark_model::ids::MeasurementId;

    const POLICY: PolicyId = PolicyId(1);

    fn object() -> ObjectId {
        ObjectId("database".to_owned())
    }

    /// A load from the owners, up to its first request for a page of the schema.
    struct Loading {
        task: Task<Loaded>,
        call: Call,
    }

    impl Loading {
        fn start(cache: &mut Cache) -> Self {
            let load = Load::from_owner("db", SchemaSelection::Policy(None));
            let mut task = Task::new(|io| async move { load.run(&io).await });
            let call = only_call(step(cache, &mut task, None));
            assert_eq!(call.to, Address::Catalog);
            let object = Some(object());
            let resolved = envelope::encode(&FromCatalog::Resolved { object });
            let call = only_call(step(cache, &mut task, Some((&call, resolved))));
            let description = Description {
                policies: vec![Policy { id: POLICY, ..Policy::default() }],
                default_policy: Some(POLICY),
                schema_versions: vec![2],
                ..Description::default()
            };
            let described = envelope::encode(&FromDatabase::Description(description));
            let call = only_call(step(cache, &mut task, Some((&call, described))));
            Self { task, call }
        }

        /// Sends the requested page, with these measurements and versions.
        fn page(
            &mut self,
            cache: &mut Cache,
            changed: &[(&str, u64)],
            more: bool,
        ) -> Step<Result<Loaded>> {
            let measurements = (0..).zip(changed).map(|(id, (name, version))| MeasurementSchema {
                id: MeasurementId(id),
                name: (*name).to_owned(),
                version: *version,
                ..MeasurementSchema::default()
            });
            let measurements = measurements.collect();
            let page = FromDatabase::Schema { measurements, version: 3, more };
            step(cache, &mut self.task, Some((&self.call, envelope::encode(&page))))
        }

        fn next_page_is_after(&mut self, step: Step<Result<Loaded>>, after_version: u64) {
            self.call = only_call(step);
            let (_, message) = envelope::decode::<ToDatabase>(&self.call.message).unwrap();
            assert_eq!(message, ToDatabase::Schema { policy: POLICY, after_version });
        }
    }

    fn step(
        cache: &mut Cache,
        task: &mut Task<Loaded>,
        reply: Option<(&Call, Vec<u8>)>,
    ) -> Step<Result<Loaded>> {
        let reply = reply.map(|(call, bytes)| Reply { id: call.id, result: Ok(bytes) });
        step_with(task, cache, &LocalPlatform::default(), reply)
    }

    fn only_call(step: Step<Result<Loaded>>) -> Call {
        match step {
            Step::Calls(mut calls) if calls.len() == 1 => calls.remove(0),
            step => panic!("{step:?}"),
        }
    }

    fn schema(step: Step<Result<Loaded>>) -> Rc<PolicySchema> {
        let Step::Done(Ok(loaded)) = step else { panic!("{step:?}") };
        Rc::clone(loaded.schema(POLICY).unwrap())
    }

    /// A write adds a column to `a` after the Database has sent its description.
    #[test]
    fn load_includes_measurement_that_changes_meanwhile() {
        let mut cache = Cache::default();
        let mut load = Loading::start(&mut cache);
        let next = load.page(&mut cache, &[("b", 2)], true);
        load.next_page_is_after(next, 2);
        let schema = schema(load.page(&mut cache, &[("a", 3)], false));
        assert_eq!(schema.measurements.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(schema.version, 3);
    }

    #[test]
    fn concurrent_loads_share_schema() {
        let mut cache = Cache::default();
        let mut first = Loading::start(&mut cache);
        let mut second = Loading::start(&mut cache);
        let next = first.page(&mut cache, &[("a", 1)], true);
        first.next_page_is_after(next, 1);
        let whole = schema(first.page(&mut cache, &[("b", 3)], false));
        // The cached schema has all changes of the page.
        let shared = schema(second.page(&mut cache, &[("a", 1)], true));
        assert!(Rc::ptr_eq(&whole, &shared));
    }
}
