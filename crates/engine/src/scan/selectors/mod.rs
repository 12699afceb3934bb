//! Implements selectors: functions that choose a point of each window.

pub(super) mod extremes;
pub(super) mod first_last;
pub(super) mod ties;
pub(super) mod min_max;
pub(super) mod selected;
