//! Implements aggregates: functions that compute a new value from the values of a window.

pub(super) mod count;
pub(super) mod fold;
pub(super) mod mean;
pub(super) mod number;
pub(super) mod spread;
pub(super) mod stddev;
pub(super) mod sum;
