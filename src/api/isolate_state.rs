//! Holds what an isolate keeps between requests.

use super::catalog_health::CatalogHealth;
use super::durations::Durations;
use super::error::ApiError;
use super::log::WriteCounts;
use super::settings::{Settings, SettingsError};
use crate::admission::{Admission, QueryMemory};
use crate::coordinator::Context;
use crate::coordinator::cache::Cache;
use crate::protocol::call::Platform;

/// What an isolate keeps between requests.
#[derive(Debug)]
pub struct Service {
    /// What the operator set, or why it cannot be read.
    pub settings: Result<Settings, SettingsError>,
    /// Names, schemas, shard maps, tokens and users.
    pub cache: Cache,
    /// Bytes of bodies in flight.
    pub admission: Admission,
    /// What queries hold.
    pub queries: QueryMemory,
    /// Seed of the parser's hash maps: tag keys are chosen by whoever writes.
    pub hash_seed: u64,
    /// Writes answered so far.
    pub write_counts: WriteCounts,
    /// How long requests took, where that is counted.
    pub durations: Option<Durations>,
    /// Whether the Catalog answers.
    pub catalog_health: CatalogHealth,
}

impl Service {
    /// A service that knows nothing yet. `hash_seed` must be random.
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
        }
    }
}

/// The isolate as one step of a request may use it: borrowed for the step only.
pub struct Isolate<'a> {
    /// What it keeps.
    pub service: &'a mut Service,
    /// Time, randomness, limits.
    pub platform: &'a dyn Platform,
}

impl Isolate<'_> {
    /// What the machines below the HTTP contract may use of it.
    pub fn context(&mut self) -> Context<'_> {
        let Service { cache, queries, .. } = &mut *self.service;
        Context { cache, queries, platform: self.platform }
    }

    /// The operator's settings.
    ///
    /// # Errors
    /// [`ApiError::Settings`] where they cannot be read: then nothing but `/health` is served.
    pub fn settings(&self) -> Result<&Settings, ApiError> {
        self.service.settings.as_ref().map_err(|error| error.clone().into())
    }

    /// Nanoseconds since the epoch.
    pub fn now_ns(&self) -> i64 {
        self.platform.now_ns()
    }
}
