//! How large a request's body may be, checked as it grows.

use crate::api::body::BodyError;
use crate::model::limit::{Exceeded, Limit, Limits};

/// How large a body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ceiling {
    pub(super) limit: Limit,
    pub(super) bytes: usize,
}

impl Ceiling {
    pub(super) fn of(limits: &Limits, limit: Limit) -> Self {
        Self { limit, bytes: limits.get(limit) }
    }

    /// Whether a body that has `current` bytes may have `requested`.
    pub(super) fn check(self, current: u64, requested: usize) -> Result<(), BodyError> {
        let (max, requested) = (self.bytes as u64, requested as u64);
        if requested <= max {
            return Ok(());
        }
        Err(Exceeded { limit: self.limit, max, current, requested }.into())
    }
}
