//! Tidemark: an InfluxDB-compatible time-series database that runs at the edge.
//!
//! This page is the architecture: what flows where, where to find it, and what is never done.
//!
//! # The flow
//!
//! ```text
//! request → params → batch → shard → segment → scan → result → response
//! ```
//!
//! A **write** is authenticated, its parameters become one [`api::params::WriteParams`] whichever
//! dialect it speaks, its body is inflated within a budget and parsed straight into columns
//! ([`line_protocol`] → [`batch`]). [`route`] checks the columns against the schema, splits the
//! rows by shard and sends each shard one binary frame. The shard appends the frame to its [`wal`],
//! adds it to its [`memtable`] and acknowledges; flushes turn frames into [`segment`]s.
//!
//! A **query** is parsed ([`influxql`]), compiled against the schema ([`query`]) and scattered as
//! scan requests to every shard that may hold rows. A shard answers with partial aggregates or
//! column pages ([`scan`]); the edge merges, finishes and writes them ([`response`]).
//!
//! # The four places code runs
//!
//! *Edge* (the Worker, many isolates, caches only), *Catalog* (one object: names, tokens),
//! *Database* (one object per database: policies, schema, shard map) and *Shard* (the columnar
//! store). They exchange the messages of [`protocol`]. What needs several messages is a sans-IO
//! state machine: `step(reply) → calls | answer`. `edge/` drives it with `fetch`, tests with every
//! order and loss, the browser in process.
//!
//! # Codemap, in reading order
//!
//! | module | turns | into |
//! |---|---|---|
//! | [`model`] | – | the nouns: time, names, ids, schema, shard map, limits |
//! | [`line_protocol`] | bytes | lines, each accepted or rejected with its number |
//! | [`batch`] | lines | columns; columns and a frame's bytes |
//! | [`codec`] | slices | bytes, and back |
//! | [`store`] | – | the port to an object's SQLite, and its twin in memory |
//! | [`wal`], [`memtable`], [`segment`] | frames | log rows, columns in memory, blocks at rest |
//! | [`scan`] | blocks and a request | pages of rows or partial aggregates |
//! | [`protocol`] | messages | bytes, and back |
//! | [`shard`] | messages | what wal, memtable and segments do together |
//! | [`influxql`] | text | statements |
//! | [`query`] | statements and pages | plans and series |
//! | [`response`] | series | JSON, CSV, piece by piece |
//! | [`catalog`], [`database`] | messages | their objects' state |
//! | [`route`] | a batch or a statement | calls to objects, and the answer |
//! | [`api`] | HTTP requests | the whole of the above, and HTTP responses |
//! | `browser` | – | the same, in one page |
//! | `edge` | – | the only async code: fetch, alarms, SQLite, secrets |
//!
//! Who may use whom is a table in `tests/it/tidy.rs`, checked by every test run. Formats have pages
//! of their own: [`batch`] (frame), [`wal`], [`segment`], [`protocol`].
//!
//! # Invariants
//!
//! - Nothing outside `edge/` is `async`, reads a clock or draws randomness: `now` and seeds are
//!   arguments. A shard is synchronous, so nothing can interleave with an update.
//! - A rejected line never reaches a column. On one shard a batch is never half visible.
//! - No cache at the edge can lose or corrupt data: a refusal that rests on one is checked again at
//!   its owner, and a shard answers *stale* to whoever knows less than it does.
//! - WAL, memtable and segment never name each other. Segments are immutable.
//! - A point is never a row: SQLite bills per row.
//! - No i64 passes through a JavaScript number. No `usize` is in any format.
//! - No response depends on the order of a hash map.
//! - No panic is reachable from the network: it would take every database in the isolate with it.

pub mod model;

pub mod line_protocol;
pub mod batch;
pub mod codec;
pub mod store;
pub mod wal;
pub mod memtable;
pub mod segment;
pub mod scan;
pub mod protocol;
pub mod shard;
pub mod influxql;
pub mod query;
pub mod response;
pub mod catalog;
pub mod database;
pub mod route;
pub mod api;
#[cfg(any(not(target_arch = "wasm32"), feature = "browser"))]
pub mod browser;

#[cfg(all(target_arch = "wasm32", feature = "edge"))]
mod edge;
