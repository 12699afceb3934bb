//! Carries out writes, statements and management calls: decides which objects to call, with what,
//! and what their replies come to.
//!
//! The Worker that takes a request keeps no data; the Catalog, the Databases and the Shards do.
//! Each kind of request is a machine here, one file each, which never waits: [`Machine::step`]
//! says which calls to make, or what the request came to. Somebody else (`edge/`, a test's
//! scheduler, the browser) makes the calls in any order and hands in each reply. All machines work
//! in rounds, and `machine.rs` drives all of them: see [`RoundMachine`]. A machine that needs
//! another one to do a part of its work takes that one's turns inside its own.
//!
//! What the Worker remembers of the objects may be out of date at any time, so that no refusal
//! rests on it alone (PROTOCOL.md rule 6).

pub mod backup;
mod beginning;
mod single_call;
pub mod cloudflare_access;
pub mod confirm;
pub mod confirmations;
pub mod cache;
pub mod canonical_names;
pub mod continuous;
mod create_continuous;
pub mod create_drop;
pub mod delete;
pub mod error;
mod every_database;
mod explain;
pub mod give_access;
pub mod grants;
pub mod identify;
pub mod into;
pub mod load_schemas;
pub mod logins;
mod machine;
pub mod database_names;
pub mod diagnostics;
pub mod privileges;
mod live_queries;
pub mod query;
pub mod recover;
mod retries;
pub mod session;
pub mod sql;
pub mod statement;
pub mod describe_databases;
pub mod users;
pub mod verify;
mod live_query_report;
pub mod write;

pub use machine::{Context, Machine, RoundMachine, Turn};
