//! Functions whose answer is a point: which one of a window, and which one between two windows.

pub(super) mod extremes;
pub(super) mod first_last;
pub(super) mod met;
pub(super) mod min_max;
pub(super) mod selected;
