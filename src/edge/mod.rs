//! Contains the only code that waits, reads a clock, draws random numbers or uses a type of the
//! Workers runtime.
//!
//! This module converts requests into calls of `api`, runs the machines with `fetch`, and gives the
//! three objects access to their SQLite databases. The module contains no other logic.

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
