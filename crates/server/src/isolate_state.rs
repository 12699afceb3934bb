//! Defines the state that an isolate keeps between requests.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use super::catalog_health::CatalogHealth;
use super::latencies::Durations;
use super::log::WriteCounts;
use super::settings::{Settings, SettingsError};
use tidemark_coordinator::Context;
use tidemark_coordinator::cache::Cache;
use tidemark_engine::protocol::call::Platform;
use tidemark_query::admission::{Admission, QueryMemory};

/// The state that an isolate keeps between requests.
#[derive(Debug)]
pub struct Service {
    /// The cache of names, schemas, shard maps, tokens and users.
    pub cache: Cache,
    /// The state that the requests in progress share.
    pub isolate: Rc<Isolate>,
}

/// The state that the requests in progress share.
#[derive(Debug)]
pub struct Isolate {
    /// The operator's settings, or the error of invalid settings.
    pub settings: Result<Settings, SettingsError>,
    /// The memory that bodies in flight use.
    pub admission: Admission,
    /// The memory that queries use.
    pub queries: QueryMemory,
    /// The seed of the parser's hash maps. The seed must be random, because clients choose the tag
    /// keys.
    pub hash_seed: u64,
    /// The number of completed writes.
    pub write_counts: Cell<WriteCounts>,
    /// The durations of requests, if `COUNT_DURATIONS` is set.
    pub durations: Option<RefCell<Durations>>,
    /// The cached health of the Catalog.
    pub catalog_health: RefCell<CatalogHealth>,
    /// A warning of the host for `/health`, and the time at which the warning ends, in nanoseconds.
    pub host_warning: RefCell<Option<(String, i64)>>,
}

impl Service {
    /// Creates the state of a new isolate. `hash_seed` must be random.
    pub fn new(settings: Result<Settings, SettingsError>, hash_seed: u64) -> Self {
        let admission = Admission::default();
        let queries = QueryMemory::new(&admission);
        let is_counted = settings.as_ref().is_ok_and(|settings| settings.count_durations);
        let isolate = Isolate {
            durations: is_counted.then(RefCell::default),
            settings,
            admission,
            queries,
            hash_seed,
            write_counts: Cell::default(),
            catalog_health: RefCell::default(),
            host_warning: RefCell::default(),
        };
        Self { cache: Cache::default(), isolate: Rc::new(isolate) }
    }

    /// Returns the state that a step of a request uses.
    pub fn context<'a>(&'a mut self, platform: &'a dyn Platform) -> Context<'a> {
        Context { cache: &mut self.cache, queries: &self.isolate.queries, platform }
    }
}

impl Deref for Service {
    type Target = Isolate;

    fn deref(&self) -> &Isolate {
        &self.isolate
    }
}
