//! The Worker: runs the HTTP API (`tidemark_server`) and the objects (`tidemark_objects`, and the
//! shards of `tidemark_engine`) in the Workers runtime. Only this crate names a type of the runtime.
//!
//! It converts HTTP requests, sends messages to objects by RPC, and gives each object access to its
//! SQLite database. It contains no other logic. `docs/ARCHITECTURE.md` describes the crates.
#![cfg(target_arch = "wasm32")]

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
