//! Functions whose answer is a point: which one of a window, and which one between two windows.

pub(super) mod bottom;
pub(super) mod extremes;
pub(super) mod first;
pub(super) mod last;
pub(super) mod max;
pub(super) mod met;
pub(super) mod min;
pub(super) mod percentile;
pub(super) mod sample;
pub(super) mod selected;
pub(super) mod top;
