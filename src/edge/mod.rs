//! Contains the only code that waits, reads a clock, draws random numbers or uses a type of the
//! Workers runtime.
//!
//! This module turns requests into calls of `api`, drives the machines with `fetch`, and lends the
//! three objects their SQLite. It makes no decisions.

mod alarm;
mod backups;
mod body;
mod calls;
mod cloudflare_access;
mod catalog_do;
mod config;
mod database_do;
mod entry;
mod hosted;
mod password_key;
mod past;
mod platform;
mod reply;
mod runtime;
mod shard_do;
mod sql;
mod store;
mod wait;
