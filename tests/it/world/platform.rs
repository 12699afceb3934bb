//! A clock that tests control, random numbers from a seed, and object ids from a counter.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidemark_engine::protocol::call::{CommitFailures, ObjectKind, PlacementError, Platform};
use tidemark_model::ids::ObjectId;

/// 2024-01-01T00:00:00Z.
pub(crate) const START_NS: i64 = 1_704_067_200_000_000_000;

/// All clones share the same state.
#[derive(Clone)]
pub(crate) struct TestPlatform {
    inner: Rc<Inner>,
}

struct Inner {
    now_ns: Cell<i64>,
    random: RefCell<fastrand::Rng>,
    next_object: Cell<u64>,
    commit_failures: RefCell<Option<CommitFailures>>,
}

impl TestPlatform {
    pub(crate) fn new(seed: u64) -> Self {
        let random = RefCell::new(fastrand::Rng::with_seed(seed));
        let (now_ns, next_object) = (Cell::new(START_NS), Cell::new(0));
        let commit_failures = RefCell::default();
        Self { inner: Rc::new(Inner { now_ns, random, next_object, commit_failures }) }
    }

    pub(crate) fn report_commits(&self, failures: CommitFailures) {
        self.inner.commit_failures.replace(Some(failures));
    }

    pub(crate) fn time_ns(&self) -> i64 {
        self.inner.now_ns.get()
    }

    /// The time never decreases.
    pub(crate) fn advance_to(&self, now_ns: i64) {
        self.inner.now_ns.set(self.time_ns().max(now_ns));
    }

    pub(crate) fn below(&self, end: usize) -> usize {
        self.inner.random.borrow_mut().usize(..end)
    }

    pub(crate) fn percent(&self, percent: u8) -> bool {
        percent > 0 && self.inner.random.borrow_mut().u8(..100) < percent
    }
}

impl Platform for TestPlatform {
    fn now_ns(&self) -> i64 {
        self.time_ns()
    }

    fn commit_failures(&self) -> Option<CommitFailures> {
        self.inner.commit_failures.borrow().clone()
    }

    fn random_u64(&self) -> u64 {
        self.inner.random.borrow_mut().u64(..)
    }

    /// Supports one jurisdiction, `eu`.
    fn new_object_id(
        &self,
        kind: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError> {
        if let Some(other) = jurisdiction.filter(|&name| name != "eu") {
            return Err(PlacementError::Jurisdiction(other.to_owned()));
        }
        let number = self.inner.next_object.get();
        self.inner.next_object.set(number + 1);
        Ok(ObjectId(format!("{kind:?}-{number}")))
    }
}
