//! SQL over Tidemark: Apache DataFusion, and tables whose rows come from elsewhere.
//!
//! # The flow
//!
//! ```text
//! text → statement → tables wanted → plan → pages wanted → batches → bytes
//! ```
//!
//! [`Engine::open`] begins a [`Query`]. [`Query::step`] takes what was answered and says what is
//! wanted: columns of tables, then pages of scans. Whoever asks knows the objects, the rights and
//! the network; in here nothing waits, reads a clock or draws randomness, so that the same code
//! runs in a Worker, in a page and in a native test. [`messages`] are what both sides say.
//!
//! | module | turns | into |
//! |---|---|---|
//! | [`messages`] | – | what is wanted, and what is answered |
//! | `complexity` | a text | a refusal, before anything goes down into it |
//! | `widths` | a statement | a refusal, before it is planned |
//! | `plan`, `sessions` | a text | a plan |
//! | `tables` | columns, filters, pages | tables, requests, batches |
//! | `functions` | – | what InfluxDB adds to SQL |
//! | `gapfill` | GROUP BY with `date_bin_gapfill` | every bin, filled |
//! | `set_comparisons` | `> ALL` of a table with itself | the same, with a name |
//! | `turns`, `desk` | a plan and pages | batches, a turn at a time |
//! | [`output`] | batches | JSON, CSV, a table, Parquet, Arrow |
//! | `answering` | messages | messages: a session, from its first to its last |
//! | `worker`, `worker.js` | – | the Worker: sessions of one instance by number |
//!
//! # Invariants
//!
//! - Nothing parks. A turn ends when nothing can go on without a page (`turns`).
//! - A query that was dropped leaves no task, no scan and no reservation behind.
//! - A filter is handed to a scan only if both sides mean the same by it, NULL included.
//! - What a statement may take is limited before it is taken ([`limits`]).

pub mod error;
pub mod limits;
pub mod output;

mod answering;
mod complexity;
mod desk;
mod functions;
mod gapfill;
mod plan;
mod session;
mod sessions;
mod set_comparisons;
mod tables;
mod turns;
mod widths;
#[cfg(target_arch = "wasm32")]
#[expect(unreachable_pub, reason = "wasm-bindgen exports what is public, and nothing else")]
mod worker;

pub use answering::Answering;
pub use session::{Engine, Query, Step};
/// What this crate and whoever has the data say to each other.
pub use tidemark::protocol::sql as messages;
