//! Executes writes, statements and management requests: determines which objects to call, and
//! combines their replies.
//!
//! A request that needs the objects' data is an async function over [`Io`]. The function runs as a
//! [`Task`] if it has one result, and as [`Pieces`] if it streams its result. There is no executor:
//! [`Task::step`] returns the calls to make, or the result. The server, a Database object or a
//! test's scheduler makes the calls in any order and passes each reply to `step`.
//!
//! The Worker's cache of the objects' state may be outdated. Therefore no refusal is based on the
//! cache alone (PROTOCOL.md rule 6).

pub mod backup;
pub mod cache;
pub mod cloudflare_access;
pub mod confirmations;
pub mod continuous;
pub mod create_drop;
pub mod database_lists;
pub mod delete;
pub mod diagnostics;
pub mod error;
mod explain;
pub mod grants;
pub mod identify;
pub mod into;
mod live_queries;
pub mod load_schemas;
pub mod logins;
pub mod privileges;
pub mod query;
pub mod recover;
pub mod session;
pub mod sql;
pub mod statement;
pub mod task;
pub mod users_and_tokens;
pub mod verify;
pub mod write;

pub use task::{Context, Io, Output, Pieces, Task, counted};
