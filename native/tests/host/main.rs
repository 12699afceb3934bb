//! Starts the program and sends requests to it over HTTP.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[cfg(target_os = "linux")]
mod crashes;
mod ending;
mod folders;
mod listening;
mod server;
mod serving;
#[cfg(feature = "sql")]
mod sql;
#[cfg(target_os = "linux")]
mod steps;
