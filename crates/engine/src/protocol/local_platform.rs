//! A [`Platform`] without an operating system, for the browser and the tests.

use std::cell::Cell;

use tidemark_model::configurable_limits::Limits;
use tidemark_model::ids::ObjectId;

use super::call::{ObjectKind, PlacementError, Platform};

/// A platform with the caller's time, randomness from a seed, and consecutive object ids.
#[derive(Debug, Default)]
pub struct LocalPlatform {
    /// The limits of every request.
    pub limits: Limits,
    /// The location hint of new objects.
    pub location: Option<&'static str>,
    /// The jurisdiction of new objects.
    pub jurisdiction: Option<&'static str>,
    now_ns: Cell<i64>,
    random: Cell<u64>,
    objects: Cell<u64>,
    /// Whether a SQL session exists.
    pub has_sql: bool,
    /// Whether a backup store exists.
    pub has_backups: bool,
}

impl LocalPlatform {
    /// Creates a platform at time 0 whose random numbers follow from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { random: Cell::new(seed), ..Self::default() }
    }

    /// Creates a platform at `now_ns`.
    pub fn at(now_ns: i64) -> Self {
        Self { now_ns: Cell::new(now_ns), ..Self::default() }
    }

    /// Sets the time.
    pub fn set_now_ns(&self, now_ns: i64) {
        self.now_ns.set(now_ns);
    }

    /// Advances the time.
    pub fn pass(&self, span_ns: i64) {
        self.now_ns.set(self.now_ns.get() + span_ns);
    }

    /// Returns the number of objects that the platform has created.
    pub fn objects_created(&self) -> u64 {
        self.objects.get()
    }

    /// Continues the numbers of objects after `count`.
    pub fn set_objects_created(&self, count: u64) {
        self.objects.set(count);
    }
}

impl Platform for LocalPlatform {
    fn location(&self) -> Option<&'static str> {
        self.location
    }

    fn jurisdiction(&self) -> Option<&'static str> {
        self.jurisdiction
    }

    fn has_sql(&self) -> bool {
        self.has_sql
    }

    fn has_backups(&self) -> bool {
        self.has_backups
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn now_ns(&self) -> i64 {
        self.now_ns.get()
    }

    fn random_u64(&self) -> u64 {
        // This code is SplitMix64, whose sequence repeats only after 2^64 numbers.
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn new_object_id(
        &self,
        kind: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError> {
        if let Some(jurisdiction) = jurisdiction {
            return Err(PlacementError::Jurisdiction(jurisdiction.to_owned()));
        }
        let number = self.objects.get() + 1;
        self.objects.set(number);
        Ok(ObjectId(format!("{kind:?}-{number}").to_lowercase()))
    }
}
