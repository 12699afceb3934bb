//! Tidemark: an InfluxDB-compatible time-series database that runs at the edge.
//!
//! This page is the architecture: what flows where, where to find it, and what is never done.
//!
//! # The flow
//!
//! ```text
//! request → params → batch → shard → part → scan → result → response
//! ```
//!
//! A **write** is authenticated, its parameters become one [`api::params::WriteParams`] whichever
//! dialect it speaks, its body is inflated within a budget and parsed straight into columns
//! ([`line_protocol`] → [`batch`]). [`coordinator`] checks the columns against the schema, splits
//! the rows by shard and sends each shard one binary frame. The shard appends the frame to its
//! [`wal`], adds it to its [`memtable`] and acknowledges; flushes turn frames into sorted
//! [`part`]s, and merges many parts into few.
//!
//! A **query** is parsed ([`influxql`]), compiled against the schema ([`query`]) and scattered as
//! scan requests to every shard that may hold rows. A shard answers with partial aggregates or
//! column pages ([`scan`]); the edge merges, finishes and writes them ([`response`]).
//!
//! # The four places code runs
//!
//! *Edge* (the Worker, many isolates, caches only), *Catalog* (one object: names, tokens),
//! *Database* (one object per database: policies, schema, shard map) and *Shard* (the columnar
//! store). They exchange the messages of [`protocol`]. An operation that needs several messages is
//! an async function that can await only its calls ([`coordinator::task`]). It needs no executor:
//! `step(reply)` resumes it and returns the next calls, or the result. `edge/` makes the calls with
//! `fetch`, tests with every order and loss, the browser in process.
//!
//! # Codemap, in reading order
//!
//! | module | turns | into |
//! |---|---|---|
//! | [`model`] | – | the nouns: time, names, ids, schema, shard map, limits |
//! | [`admission`] | – | what requests hold of an isolate's memory, shared among databases |
//! | [`line_protocol`] | bytes | lines, each accepted or rejected with its number |
//! | [`batch`] | lines | columns; columns and a frame's bytes |
//! | [`codec`] | slices | bytes, and back |
//! | [`store`] | – | the port to an object's SQLite, and its twin in memory |
//! | [`wal`], [`memtable`] | frames | log rows, columns in memory |
//! | [`merge`] | sorted sources of rows | one, the last write winning |
//! | [`part`] | merged rows | values: blocks at rest and their directories, and back |
//! | [`scan`] | blocks and a request | pages of rows or partial aggregates |
//! | [`protocol`] | messages | bytes, and back |
//! | [`shard`] | messages | what wal, memtable and parts do together |
//! | [`influxql`] | text | statements |
//! | [`query`] | statements and pages | plans and series |
//! | [`response`] | series | JSON, CSV, Arrow, piece by piece |
//! | [`catalog`], [`database`] | messages | their objects' state |
//! | [`coordinator`] | a batch or a statement | calls to objects, and the answer |
//! | [`api`] | HTTP requests | the whole of the above, and HTTP responses |
//! | `browser` | – | the same, in one page |
//! | `edge` | – | the Worker's host: fetch, alarms, SQLite, secrets |
//!
//! Who may use whom is a table in `tests/it/tidy/mod.rs`, checked by every test run. Formats have
//! pages of their own: [`batch`] (frame), [`wal`], [`part`], [`shard`] (its tables),
//! [`shard::manifest`] (which parts there are), [`protocol`]. Why it is built so, path by path, is
//! in `docs/design/README.md`: `write-path.md`, `query-path.md`, `shard-store.md`,
//! `groups-and-splits.md`, `deletes.md`, `access.md`, `quotas.md`, `backups.md`,
//! `backup-schedules.md`, `local-runtime.md`, `threats.md`.
//!
//! # Where to look first
//!
//! | to change | look at |
//! |---|---|
//! | the text of a refused line | `line_protocol/error.rs`; by its type: `protocol/database.rs` |
//! | replies to bad lines | `api/routes/write/rejected_lines.rs` |
//! | which of them are named, and counted | `coordinator/write/rejections.rs` |
//! | path, methods, access of a route | `api/routes/mod.rs`; the rest: its file beside |
//! | how a body is received; inflated | `api/exchange/receive_body.rs`; `api/content_encoding/` |
//! | memory for uploads, slow ones too | `admission/mod.rs`; for queries: `admission/queries/` |
//! | how lines become columns | `batch/from_lines/mod.rs` |
//! | `precision` of a timestamp | `line_protocol/parser.rs`; the units: `model/time.rs` |
//! | database and policy of a bucket's name | `model/name.rs` |
//! | a write that makes its database | `coordinator/write/auto_create.rs` |
//! | which shard gets a row | `batch/shard_rows.rs`; its series' hash: `model/series.rs` |
//! | status of an error; its body | `api/error.rs`; `api/error_body.rs` |
//! | text of an error | `error.rs` of the room that refuses |
//! | a limit: default; name and bounds | `model/limits.rs`; `model/configurable_limits.rs` |
//! | any other setting or secret, its check | `api/settings.rs` |
//! | who a caller is | `api/auth.rs`, `coordinator/identify/` |
//! | whom Cloudflare Access lets in | `coordinator/cloudflare_access/` |
//! | whether a token has expired | `coordinator/grants.rs` |
//! | which right a statement needs | `coordinator/privileges.rs` |
//! | passwords; wrong ones again and again | `coordinator/users.rs`; `coordinator/logins/` |
//! | who hears that a right has ended | `catalog/access.rs`; of a database: `database/access/` |
//! | what a token may hold, and its limits | `api/routes/tokens/`, `catalog/grants/mod.rs` |
//! | the last use of a token, rights that cannot be ended | `coordinator/confirm.rs` |
//! | two secrets of a token | `catalog/rotation.rs`, `api/routes/tokens/secrets.rs` |
//! | what a tenant may use; who counts it | `model/quota.rs`; `shard/usage.rs` |
//! | how many series it may have | `shard/series_quota.rs`; how many: `model/series_sketch.rs` |
//! | how many databases it may create | `catalog/creators.rs` |
//! | how many shards a group gets | `database/groups.rs`; which: `model/shard_map.rs` |
//! | how much time a group covers | `model/shard_map.rs`, from the policy's duration |
//! | when a group splits; at which time | `database/maintenance.rs`; `shard/split.rs` |
//! | a split's steps, after a restart too | `database/split.rs`; driven by: `events.rs` beside |
//! | what a policy may be | `database/policies/mod.rs` |
//! | the syntax of a statement | the file of `influxql/` that is called like it |
//! | what a statement but SELECT does | the file that `coordinator/statement.rs` gives it to |
//! | a function of InfluxQL | its row in `query/functions/` |
//! | what needs all values of a window | `scan/gathered/`; held by: `query/operators/gather.rs` |
//! | what WHERE means; its time | `query/compile/predicate.rs`; `query/compile/time_range.rs` |
//! | a regex, and how large it may get | `model/regex/mod.rs` |
//! | where windows begin, with `tz()` too | `scan/window.rs`; `query/compile/dimensions.rs` |
//! | names and regexes of FROM | `query/compile/prepare.rs` |
//! | wildcards, regexes of fields and tags | `query/compile/expand.rs` |
//! | how large a plan may get | `query/compile/plan_size.rs` |
//! | when a statement pauses or ends | `query/work.rs` |
//! | how many windows are too many | `query/compile/lower.rs` |
//! | what compiling refuses | `query/compile/statement.rs`, `query/error.rs` |
//! | what SHOW lists, cardinalities too | `query/metadata/`; on a shard: `scan/show/` |
//! | SHOW STATS, SHARDS, DIAGNOSTICS | `coordinator/diagnostics/` |
//! | running queries, KILL QUERY | `catalog/live_queries.rs`; `coordinator/live_queries.rs` |
//! | from when on a query is listed | `coordinator/live_query_report.rs` |
//! | `INTO` | `coordinator/into/` |
//! | a delete; how it hides rows | `coordinator/delete.rs`; `shard/tombstone.rs` |
//! | pieces of shards to groups in order | `query/stream/`; on a shard: `scan/slice/mod.rs` |
//! | what is kept of what was read | `shard/read_cache.rs` |
//! | what a scan of SQL asks of shards | `coordinator/sql/`; the rest of SQL: the crate `sql/` |
//! | `fill`, `LIMIT`, joins of calls | `query/operators/`; SLIMIT: `query/executor.rs` |
//! | how a number or time is printed | `response/number.rs`, `response/time.rs` |
//! | when a shard flushes or merges | `shard/alarm.rs`; after which pause: `shard/pace.rs` |
//! | how it flushes; how wide slots are | `shard/flush.rs`; `shard/slots.rs` |
//! | which parts are merged; how, in steps | `shard/compact/choose/mod.rs`; `job.rs` beside |
//! | when deleted rows leave the storage | `shard/compact/scrub.rs` |
//! | what retention drops | `shard/manifest/expiry.rs`; driven by: `shard/retention.rs` |
//! | which parts there are, and their rows | `shard/manifest/mod.rs`; what they ask: `plan.rs` |
//! | when writes wait for merges | `shard/plan.rs`; when they are refused: `shard/append.rs` |
//! | what a query reads of a value's row | `shard/values.rs` |
//! | what becomes of a job that fails | `shard/alarm.rs`; of a Database: `database/job.rs` |
//! | when a continuous query is due | `protocol/continuous.rs` |
//! | how rows lie in memory | `memtable/table.rs`; their values: `batch/slabs.rs` |
//! | which codec a column has | `batch/column_bytes.rs`; its bytes: `codec/` |
//! | who reads next | `shard/turns/mod.rs` |
//! | a subquery's rows | `query/subquery_rows/` |
//! | what is dropped from memory, and when | `shard/budget.rs` |
//! | what an edge remembers | `coordinator/cache.rs` |
//! | what follows when it was too old | `coordinator/retries.rs` |
//! | how large a stored value may be | `store/mod.rs` |
//! | what an object's alarm does | `shard/alarm.rs`; `database/maintenance.rs` |
//! | a message, and when it is sent | the receiver's file in `protocol/`; `protocol/PROTOCOL.md` |
//! | how an answer is sent, or given up | `api/routes/query.rs`, `edge/reply.rs` |
//! | what v3 queries take; their tables | `api/routes/query_v3/`; `response/table/` |
//! | backups and restores; by a schedule | `coordinator/backup/`; `database/backup_schedule.rs` |
//! | going back to a time | `catalog/recovery.rs`, `database/recover.rs`, `edge/past.rs` |
//! | rights that move | `coordinator/give_access.rs`, `docs/design/backup-schedules.md` |
//! | a header, CORS, the version shown | `api/headers.rs` |
//! | a line of the log | `api/log.rs` |
//! | parameters: where they stand; meaning | `api/form_body.rs`; `api/params.rs` |
//! | the database inside the page | `browser/`, `www/engine/engine.js` |
//! | the console | `docs/CONSOLE.md` lists its folders |
//!
//! What else such a change touches is listed in `CONTRIBUTING.md`.
//!
//! # Invariants
//!
//! - Nothing outside `edge/` reads a clock or draws randomness: `now` and seeds are arguments.
//!   `coordinator` and `api` await only their calls. A shard is synchronous, so nothing can
//!   interleave with an update.
//! - A rejected line never reaches a column. On one shard a batch is never half visible.
//! - No cache at the edge can lose or corrupt data: a refusal that rests on one is checked again at
//!   its owner, and a shard answers *stale* to whoever knows less than it does.
//! - WAL, memtable and part never name each other. What is written of a part never changes.
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
pub mod merge;
pub mod scan;
pub mod part;
pub mod protocol;
pub mod shard;
pub mod influxql;
pub mod query;
pub mod response;
pub mod catalog;
pub mod database;
pub mod coordinator;
pub mod admission;
pub mod api;
#[cfg(any(not(target_arch = "wasm32"), feature = "browser"))]
pub mod browser;

#[cfg(all(target_arch = "wasm32", feature = "edge"))]
mod edge;
