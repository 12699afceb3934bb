//! Caches the state of databases in an isolate: names, shard maps and schemas. The cache is bounded
//! and may be stale.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::cloudflare_access::AccessKeys;
use super::grants::Callers;
use super::logins::Logins;
use tidemark_engine::protocol::database::Description;
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::{CACHED_DATABASES_BYTES_MAX, CACHED_SCHEMAS_BYTES_MAX};
use tidemark_model::schema::{ColumnDefinition, PolicySchema};
use tidemark_model::shard_map::{self, Policy};
use tidemark_model::time::S_NS;

/// The maximum number of shards for which the cache stores the time of the last growth report.
const NOTIFIED_MAX: usize = 1_000;

/// The last state of a database, as this isolate received it.
#[derive(Clone, Debug)]
pub struct CachedDatabase {
    /// The id of the database's object.
    pub object: ObjectId,
    /// The policies and the shard map.
    pub description: Rc<Description>,
}

#[derive(Debug)]
struct CachedSchema {
    schema: Rc<PolicySchema>,
    /// The approximate size of `schema`, in bytes.
    bytes: usize,
    /// The value of [`Cache::clock`] at the last use.
    used: u64,
}

impl CachedSchema {
    fn is_large(&self) -> bool {
        self.bytes > CACHED_SCHEMAS_BYTES_MAX
    }
}

/// Databases by name and schemas by policy.
#[derive(Debug, Default)]
pub struct Cache {
    databases: BTreeMap<String, (CachedDatabase, u64)>,
    /// The approximate size of `databases`, in bytes.
    databases_bytes: usize,
    schemas: BTreeMap<(ObjectId, PolicyId), CachedSchema>,
    /// The time of the last growth report about each shard, in nanoseconds.
    notified_ns: BTreeMap<ObjectId, i64>,
    /// A counter that every use increases. The counter orders entries by age.
    clock: u64,
    /// Tokens and users that have sent requests to this isolate.
    pub callers: Callers,
    /// Recent failed and successful logins.
    pub logins: Logins,
    /// The keys of Cloudflare Access.
    pub access_keys: AccessKeys,
}

impl Cache {
    /// Returns the database called `name`, if it is cached.
    pub fn database(&mut self, name: &str) -> Option<CachedDatabase> {
        self.clock += 1;
        let (database, used) = self.databases.get_mut(name)?;
        *used = self.clock;
        Some(database.clone())
    }

    /// Returns the names of the database and the policy with this id, if they are cached.
    pub fn policy(&self, id: PolicyId) -> Option<(String, String)> {
        self.databases.iter().find_map(|(name, (database, _))| {
            let mut policies = database.description.policies.iter();
            let policy = policies.find(|policy| policy.id == id)?;
            Some((name.clone(), policy.name.clone()))
        })
    }

    /// Caches the state of a database that was just fetched.
    pub fn put_database(
        &mut self,
        name: &str,
        object: ObjectId,
        description: Description,
    ) -> CachedDatabase {
        self.clock += 1;
        // A late reply with an older state must not replace a newer state of the same object.
        if let Some((known, used)) = self.databases.get_mut(name)
            && known.object == object
            && known.description.generation > description.generation
        {
            *used = self.clock;
            return known.clone();
        }
        let description = Rc::new(description);
        let database = CachedDatabase { object, description };
        self.databases_bytes += weight(name, &database);
        if let Some((old, _)) =
            self.databases.insert(name.to_owned(), (database.clone(), self.clock))
        {
            self.databases_bytes = self.databases_bytes.saturating_sub(weight(name, &old));
        }
        // The newest entry stays even if this entry alone exceeds the limit, because the current
        // request needs it.
        while self.databases_bytes > CACHED_DATABASES_BYTES_MAX && self.databases.len() > 1 {
            let oldest = self.databases.iter().min_by_key(|(_, (_, used))| *used);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { break };
            self.forget(&name);
        }
        database
    }

    /// Whether the Worker must now report to the Database that the group of `shard` has grown: at
    /// most once per second, even if the Database takes no action.
    pub fn should_notify(&mut self, shard: &ObjectId, now_ns: i64) -> bool {
        let notified_ns = self.notified_ns.get(shard).copied();
        let is_due =
            notified_ns.is_none_or(|notified_ns| now_ns.saturating_sub(notified_ns) >= S_NS);
        if is_due {
            if self.notified_ns.len() >= NOTIFIED_MAX {
                self.notified_ns.clear();
            }
            self.notified_ns.insert(shard.clone(), now_ns);
        }
        is_due
    }

    /// Removes a database and its schemas from the cache.
    pub fn forget(&mut self, name: &str) {
        if let Some((database, _)) = self.databases.remove(name) {
            self.databases_bytes = self.databases_bytes.saturating_sub(weight(name, &database));
            self.schemas.retain(|(object, _), _| *object != database.object);
            self.callers.forget_database(&database.object);
        }
    }

    /// Returns the cached schema of a policy; an empty schema at version 0 if none is cached.
    pub fn schema(&mut self, object: &ObjectId, policy: PolicyId) -> Rc<PolicySchema> {
        self.clock += 1;
        match self.schemas.get_mut(&(object.clone(), policy)) {
            Some(cached) => {
                cached.used = self.clock;
                Rc::clone(&cached.schema)
            }
            None => Rc::default(),
        }
    }

    /// Caches a schema, unless the cached schema contains the same changes or more.
    pub fn put_schema(&mut self, object: &ObjectId, policy: PolicyId, schema: Rc<PolicySchema>) {
        self.clock += 1;
        let key = (object.clone(), policy);
        let known = self.schemas.get(&key);
        if known.is_some_and(|known| known.schema.loaded_version >= schema.loaded_version) {
            return;
        }
        let cached = CachedSchema { bytes: schema_bytes(&schema), schema, used: self.clock };
        // One schema may exceed the limit. Without this exception, every statement that uses this
        // schema would load it again.
        if cached.is_large() {
            self.schemas.retain(|_, other| !other.is_large());
        }
        self.schemas.insert(key, cached);
        loop {
            let small = || self.schemas.iter().filter(|(_, cached)| !cached.is_large());
            let total: usize = small().map(|(_, cached)| cached.bytes).sum();
            if total <= CACHED_SCHEMAS_BYTES_MAX {
                return;
            }
            let oldest = small().min_by_key(|(_, cached)| cached.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.schemas.remove(&key);
        }
    }
}

/// Returns the approximate memory in bytes, including the entry's key.
fn schema_bytes(schema: &PolicySchema) -> usize {
    const ENTRY: usize = 300;
    const MEASUREMENT: usize = 200;
    /// A column without the text of its key.
    const COLUMN: usize = size_of::<ColumnDefinition>() + 16;
    let sizes = schema.measurements.values().map(|measurement| {
        let keys: usize = measurement.columns.iter().map(|column| column.key.len()).sum();
        MEASUREMENT + 2 * measurement.name.len() + COLUMN * measurement.columns.len() + keys
    });
    ENTRY + sizes.sum::<usize>()
}

/// Returns the approximate memory in bytes. An object's id has 64 characters.
fn weight(name: &str, database: &CachedDatabase) -> usize {
    const ENTRY: usize = 300;
    const SHARD: usize = 100;
    let of_policy = |policy: &Policy| {
        let shards: usize = policy.groups.iter().map(|group| group.shards.len()).sum();
        ENTRY + policy.name.len() + SHARD * (policy.groups.len() + shards)
    };
    let callers = database.description.quotas.callers.iter();
    let quotas: usize = callers.map(|quota| SHARD + quota.name.len()).sum();
    let policies = database.description.policies.iter();
    ENTRY + name.len() + quotas + policies.map(of_policy).sum::<usize>()
}

/// Returns the policy that `name` selects.
pub fn find_policy<'a>(description: &'a Description, name: Option<&str>) -> Option<&'a Policy> {
    let policies = description.policies.iter();
    shard_map::find_policy(policies, description.default_policy, name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tidemark_model::ids::ColumnId;
    use tidemark_model::schema::{ColumnKind, MeasurementSchema};

    #[test]
    fn cache_evicts_least_recent_databases() {
        let mut cache = Cache::default();
        let long = |n: usize| format!("{n:04}{}", "x".repeat(9_696));
        let put = |cache: &mut Cache, n: usize| {
            cache.put_database(&long(n), ObjectId(n.to_string()), Description::default());
        };
        // 400 entries with ten thousand bytes each fill the cache.
        for n in 0..400 {
            put(&mut cache, n);
        }
        assert_eq!(cache.databases_bytes, CACHED_DATABASES_BYTES_MAX);
        assert!(cache.database(&long(0)).is_some());
        put(&mut cache, 400);
        assert!(cache.database(&long(0)).is_some(), "it was used just now");
        assert!(cache.database(&long(1)).is_none());
        put(&mut cache, 400);
        assert_eq!(cache.databases_bytes, CACHED_DATABASES_BYTES_MAX);
        cache.forget(&long(0));
        assert_eq!(cache.databases_bytes, CACHED_DATABASES_BYTES_MAX - 10_000);
    }

    #[test]
    fn large_schema_does_not_evict_small_schemas() {
        let mut cache = Cache::default();
        let object = ObjectId("database".to_owned());
        let put = |cache: &mut Cache, policy: u64, bytes: usize| {
            let kind = ColumnKind::Tag;
            let column = ColumnDefinition { id: ColumnId(0), key: "k".repeat(bytes), kind };
            let columns = vec![column];
            let measurement = MeasurementSchema { columns, ..MeasurementSchema::default() };
            let mut schema =
                PolicySchema { version: 1, loaded_version: 1, ..PolicySchema::default() };
            schema.measurements.insert(String::new(), Arc::new(measurement));
            cache.put_schema(&object, PolicyId(policy), Rc::new(schema));
        };
        let cached = |cache: &Cache| -> Vec<u64> {
            cache.schemas.keys().map(|(_, policy)| policy.0).collect()
        };
        let (small, large) = (CACHED_SCHEMAS_BYTES_MAX / 5 * 2, CACHED_SCHEMAS_BYTES_MAX + 1);
        put(&mut cache, 1, small);
        put(&mut cache, 2, large);
        put(&mut cache, 3, small);
        assert_eq!(cached(&cache), [1, 2, 3]);
        put(&mut cache, 4, large);
        assert_eq!(cached(&cache), [1, 3, 4], "one schema may exceed the limit");
        assert_eq!(cache.schema(&object, PolicyId(1)).version, 1);
        put(&mut cache, 5, small);
        assert_eq!(cached(&cache), [1, 4, 5], "schema 3 was used least recently");
    }
}
