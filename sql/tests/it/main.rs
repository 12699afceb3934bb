//! Integration tests of the crate's public interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop where it stands"
)]

mod aggregates;
mod database;
#[path = "../../../tests/it/grammar.rs"]
mod grammar;
mod hostile;
mod output;
mod page;
mod parameters;
mod pauses;
mod plan_cache;
mod product;
mod rewriting;
mod pushdown;
mod scripts;
mod turns;
