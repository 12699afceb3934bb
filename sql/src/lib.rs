//! Implements SQL for Tidemark. The crate uses Apache DataFusion with tables whose rows the caller
//! provides.
//!
//! # The flow
//!
//! ```text
//! text → statement → tables wanted → plan → pages wanted → batches → bytes
//! ```
//!
//! [`Engine::open`] starts a [`Query`]. [`Query::step`] processes the replies to earlier requests
//! and returns new requests. The first requests are for the columns of tables, and later requests
//! are for pages of scans. The caller provides access to objects, permissions and the network. This
//! crate never blocks, reads no clock and generates no random numbers. The same code therefore runs
//! in a Worker, in a web page and in a native test. [`messages`] defines the requests and replies.
//!
//! | module | input | output |
//! |---|---|---|
//! | [`messages`] | – | the requests and replies |
//! | `complexity` | a text | an error, if the statement is nested too deeply |
//! | `sizes` | a statement | an error, if planning would take too long |
//! | `plan`, `sessions` | a text | a plan |
//! | `plan_cache` | a statement | the plan of an earlier execution |
//! | `tables` | columns, filters, pages | tables, requests, batches |
//! | `functions` | – | the SQL functions of InfluxDB |
//! | `gapfill` | GROUP BY with `date_bin_gapfill` | every bin, filled |
//! | `set_comparisons` | `> ALL` of a table with itself | the same plan with an alias |
//! | `turns`, `exchange` | a plan and pages | batches, one turn at a time |
//! | `value_sizes` | arrays | the sizes of their values, for limits |
//! | [`output`] | batches | JSON, CSV, a text table, Parquet, Arrow |
//! | `query_session` | request messages | reply messages of a session |
//! | `worker`, `worker.js` | – | the Worker: the numbered sessions of an instance |
//!
//! # Invariants
//!
//! - The thread never blocks. A turn ends when all tasks wait for pages (`turns`).
//! - Dropping a query ends its tasks and scans, and frees its memory reservations.
//! - A scan evaluates a filter only if the scan and SQL interpret the filter in the same way,
//!   including NULL.
//! - The code checks the limits of a statement before using a resource ([`limits`]).

pub mod error;
pub mod limits;
pub mod output;

mod query_session;
mod complexity;
mod exchange;
mod functions;
mod gapfill;
mod plan;
mod plan_cache;
mod session;
mod sessions;
mod set_comparisons;
mod sizes;
mod tables;
mod turns;
mod value_sizes;
#[cfg(target_arch = "wasm32")]
#[expect(unreachable_pub, reason = "wasm-bindgen exports only public items")]
mod worker;

pub use query_session::QuerySession;
pub use session::{Engine, Query, Step};
/// The messages between this crate and the owner of the data.
pub use tidemark_engine::protocol::sql as messages;
