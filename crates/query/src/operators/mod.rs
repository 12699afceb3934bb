//! Computes result columns from the shards' results for a group.

pub(crate) mod fill;
pub(crate) mod join_limit;
pub(crate) mod merge_rows;
pub(crate) mod partials;
pub(crate) mod whole_window;
