//! Defines the state that an isolate keeps between requests.

use super::catalog_health::CatalogHealth;
use super::error::ApiResult;
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
    /// The operator's settings, or the error of invalid settings.
    pub settings: Result<Settings, SettingsError>,
    /// The cache of names, schemas, shard maps, tokens and users.
    pub cache: Cache,
    /// The memory that bodies in flight use.
    pub admission: Admission,
    /// The memory that queries use.
    pub queries: QueryMemory,
    /// The seed of the parser's hash maps. The seed must be random, because clients choose the tag
    /// keys.
    pub hash_seed: u64,
    /// The number of completed writes.
    pub write_counts: WriteCounts,
    /// The durations of requests, if `COUNT_DURATIONS` is set.
    pub durations: Option<Durations>,
    /// The cached health of the Catalog.
    pub catalog_health: CatalogHealth,
    /// A warning of the host for `/health`, and the time at which the warning ends, in nanoseconds.
    pub host_warning: Option<(String, i64)>,
}

impl Service {
    /// Creates the state of a new isolate. `hash_seed` must be random.
    pub fn new(settings: Result<Settings, SettingsError>, hash_seed: u64) -> Self {
        let admission = Admission::default();
        let queries = QueryMemory::new(&admission);
        let is_counted = settings.as_ref().is_ok_and(|settings| settings.count_durations);
        Self {
            durations: is_counted.then(Durations::default),
            settings,
            cache: Cache::default(),
            admission,
            queries,
            hash_seed,
            write_counts: WriteCounts::default(),
            catalog_health: CatalogHealth::default(),
            host_warning: None,
        }
    }
}

/// The isolate's state, borrowed for one step of a request.
pub struct Isolate<'a> {
    /// The state that the isolate keeps.
    pub service: &'a mut Service,
    /// The platform: time, randomness, limits.
    pub platform: &'a dyn Platform,
    /// The number of the request's earlier calls that count against the platform's limit.
    pub calls: usize,
}

impl Isolate<'_> {
    /// Returns the part of the isolate's state that the coordinator's state machines use.
    pub fn context(&mut self) -> Context<'_> {
        let Service { cache, queries, .. } = &mut *self.service;
        Context { cache, queries, platform: self.platform, calls: self.calls }
    }

    /// Returns the operator's settings, or the error of invalid settings.
    pub fn settings(&self) -> ApiResult<&Settings> {
        self.service.settings.as_ref().map_err(|error| error.clone().into())
    }

    /// Returns the time in nanoseconds since the epoch.
    pub fn now_ns(&self) -> i64 {
        self.platform.now_ns()
    }
}
