//! Runs `api` and the objects in the Workers runtime. In the Worker, only this module reads a
//! clock, generates random numbers or uses a type of the runtime.
//!
//! This module converts HTTP requests into calls of `api`, sends messages to objects by RPC,
//! and gives each object access to its SQLite database. The module contains no other logic.

mod backups;
mod body;
mod calls;
mod cloudflare_access;
mod durable_objects;
mod entry;
mod hosted;
mod platform;
mod point_in_time;
mod reply;
mod runtime;
mod sql;
mod store;
mod web_crypto;
