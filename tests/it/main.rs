//! One integration binary: each `mod` is one way of looking at the whole crate.
mod query_script;
mod tidy;
