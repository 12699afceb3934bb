//! Runs the code of `api` and of the objects in the Workers runtime. In the Worker, only this
//! module waits, reads a clock, draws random numbers or uses a type of the runtime.
//!
//! This module converts HTTP requests into calls of `api`, sends messages to objects with `fetch`,
//! and gives each object access to its SQLite database. The module contains no other logic.

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
mod point_in_time;
mod platform;
mod reply;
mod runtime;
mod shard_do;
mod sql;
mod store;
mod wait;
