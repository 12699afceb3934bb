//! Tidemark: an InfluxDB-compatible time-series database. This crate contains the database without
//! SQL, and its hosts for Cloudflare and for web pages.
//!
//! `docs/ARCHITECTURE.md` describes the path of a write, a query and a delete. This page describes
//! the places where code runs, the modules and the invariants.
//!
//! # The four places where code runs
//!
//! - *Edge*: the Cloudflare Worker, which runs in many isolates. An isolate stores nothing except
//!   caches. Comments call one isolate *an edge*.
//! - *Catalog*: one object with the names of all databases, and with tokens and users.
//! - *Database*: one object per database, with its retention policies, schema and shard map (the
//!   list of shards by time range).
//! - *Shard*: one or more objects per shard group, with the points in columns. A shard group covers
//!   a time range of one policy.
//!
//! An *object* is a Durable Object: a single-threaded instance with its own SQLite database. Edge
//! and objects exchange the messages of [`protocol`]; a *call* is one message and its reply. An
//! operation with several calls is an async function that can await only these calls
//! ([`coordinator::task`]). There is no executor: `step(reply)` resumes the function and returns
//! the next calls, or the result. `edge/` makes the calls by RPC. The browser and the native
//! program make the calls in one process. Tests make the calls in every order and with losses.
//!
//! # Modules, in reading order
//!
//! | module | input | output |
//! |---|---|---|
//! | [`model`] | – | the basic types: time, names, ids, schema, shard map, limits |
//! | [`admission`] | – | an isolate's memory for requests, divided among databases |
//! | [`line_protocol`] | bytes | accepted lines; rejected lines by line number |
//! | [`batch`] | lines | columns; from columns, the bytes of a frame |
//! | [`codec`] | slices of values | bytes, and back |
//! | [`store`] | – | the interface to an object's SQLite, and its implementation in memory |
//! | [`wal`], [`memtable`] | frames | log rows, columns in memory |
//! | [`merge`] | sorted sources of rows | one sorted source; the last write wins |
//! | [`part`] | merged rows | stored values: blocks and their directories, and back |
//! | [`scan`] | blocks and a request | pages of rows or partial aggregates |
//! | [`protocol`] | messages | bytes, and back |
//! | [`shard`] | messages | the state of a shard: log, memtable and parts |
//! | [`influxql`] | text | statements |
//! | [`query`] | statements and pages | plans and series |
//! | [`response`] | series | JSON, CSV, Arrow, piece by piece |
//! | [`catalog`], [`database`] | messages | the state of the Catalog and of a Database |
//! | [`coordinator`] | a batch or a statement | calls to objects, and the result |
//! | [`api`] | HTTP requests | HTTP responses, with all modules above |
//! | `browser` | – | the whole database in a web page |
//! | `edge` | – | the Worker's host: fetch, alarms, SQLite, secrets |
//!
//! `crates/` contains the modules that do not depend on the rest: `model`, `line-protocol`,
//! `influxql`, and `engine` (`batch` to `shard`, and `protocol`). The other modules are in `src/`.
//! The pages of these modules describe formats: [`batch::frame`], [`wal`], [`part`], [`shard`] (its
//! tables), [`shard::manifest`] (the list of parts), [`protocol`]. The pages in `docs/design`
//! explain the reasons for the design: `README.md` lists these pages.
//!
//! # Where to look first
//!
//! A path begins with the name of a module: `api/` is `src/api/`, and `shard/` is
//! `crates/engine/src/shard/`.
//!
//! | to change | look at |
//! |---|---|
//! | the text of a rejected line | `line-protocol/src/error.rs`; for its type: `protocol/database.rs` |
//! | replies to rejected lines | `api/routes/write.rs` |
//! | the list and count of rejected lines | `coordinator/write/rejections.rs` |
//! | path, methods, access of a route | `api/routes/mod.rs`; the rest: the route's file |
//! | receiving and inflating a body | `api/exchange/receive_body.rs`; `api/content_encoding/` |
//! | memory for uploads | `admission/mod.rs`; for queries: `admission/queries/` |
//! | conversion of lines to columns | `api/body_parser.rs`; `batch/from_lines/mod.rs` |
//! | the syntax of a field's value | `line-protocol/src/value.rs` |
//! | `precision` of a timestamp | `line-protocol/src/parser.rs`; the units: `model/src/time.rs` |
//! | database and policy of a bucket name | `model/src/name.rs` |
//! | a write that creates its database | `coordinator/write/mod.rs` |
//! | the shard of a row | `batch/shard_rows.rs`; the series' hash: `model/src/series.rs` |
//! | the status and body of an error | `api/error.rs` |
//! | the text of an error | `error.rs` of the module that returns the error |
//! | a limit: default; name and bounds | `model/src/limits.rs`; `model/src/configurable_limits.rs` |
//! | a limit of the native program | `native/src/limits.rs` |
//! | any other setting or secret | `api/settings.rs` |
//! | authentication | `api/auth.rs`, `coordinator/identify/` |
//! | login by Cloudflare Access | `coordinator/cloudflare_access/` |
//! | the expiry of a token | `coordinator/grants.rs` |
//! | the permissions that a statement needs | `coordinator/privileges.rs` |
//! | passwords; repeated wrong passwords | `coordinator/users_and_tokens.rs`; `coordinator/logins/` |
//! | notifications of changed permissions | `catalog/access.rs`; in a database: `database/access/` |
//! | a token's permissions and limits | `api/routes/tokens.rs`, `catalog/grants/mod.rs` |
//! | a token's last use; unsent revocations | `coordinator/confirmations/mod.rs` |
//! | quotas, and the measured usage | `model/src/quota.rs`; `shard/usage.rs` |
//! | the quota of series | `shard/series_quota.rs`; the estimate: `model/src/series_sketch.rs` |
//! | the shards of a group | `database/groups.rs`; for a row's time: `model/src/shard_map.rs` |
//! | the shard group duration | `model/src/shard_map.rs`, from the policy's duration |
//! | start and time of a split | `database/groups.rs`; `shard/split.rs` |
//! | the steps of a split | `database/split.rs`; driven by: `database/object.rs` |
//! | permitted settings of a policy | `database/policies.rs` |
//! | the syntax of a statement | `influxql/src/statement.rs` calls the statement's parser |
//! | the execution of a statement | the module that `coordinator/statement.rs` calls |
//! | a function of InfluxQL | the function's row in `query/functions.rs` |
//! | functions over all values of a window | `query/whole_window.rs`, `query/operators/whole_window.rs` |
//! | WHERE; time conditions | `query/compile/predicate.rs`; `query/compile/time_range.rs` |
//! | regexes and their maximum size | `model/src/regex/mod.rs` |
//! | the start of windows; `tz()` | `scan/window.rs`; `query/compile/dimensions.rs` |
//! | names and regexes in FROM | `query/compile/prepare.rs` |
//! | the names of result columns | `query/compile/result_names.rs` |
//! | wildcards, regexes for fields and tags | `query/compile/expand.rs` |
//! | the maximum size of a plan | `query/compile/plan_size.rs` |
//! | pauses and the end of long statements | `query/work.rs` |
//! | the maximum number of windows | `query/compile/lower.rs` |
//! | statements that compiling rejects | `query/compile/statement.rs`, `query/error.rs` |
//! | SHOW, including cardinalities | `query/metadata/`; on a shard: `scan/show/` |
//! | SHOW STATS, SHARDS, DIAGNOSTICS | `coordinator/diagnostics.rs` |
//! | running queries, KILL QUERY | `catalog/live_queries.rs`; `coordinator/live_queries.rs` |
//! | the report of a running query | `coordinator/live_queries.rs` |
//! | `INTO` | `coordinator/into.rs` |
//! | a delete; hiding of rows | `coordinator/delete.rs`; `shard/tombstone.rs` |
//! | the order of groups from shards | `query/stream/`; on a shard: `scan/slice/mod.rs` |
//! | the cache of decoded values | `shard/read_cache.rs` |
//! | scans of SQL on shards | `coordinator/sql/`; the rest of SQL: the crate `sql/` |
//! | `fill`, `LIMIT`, joins of calls | `query/operators/`; SLIMIT: `query/executor.rs` |
//! | the format of a number or time | `response/number.rs`, `response/time.rs` |
//! | the start of a flush or merge | `shard/alarm.rs` |
//! | rows that are not flushed; damaged rows | `shard/log.rs`; `shard/damage.rs` |
//! | a flush; the width of time slots | `shard/flush.rs`; `shard/slots.rs` |
//! | choice and steps of merges | `shard/compact/choose/mod.rs`; `shard/compact/job.rs` |
//! | freeing the space of deleted rows | `shard/compact/scrub.rs` |
//! | dropping expired parts | `shard/manifest/mod.rs`; driven by: `shard/retention.rs` |
//! | the list of parts, and due work | `shard/manifest/mod.rs`; `shard/due_work.rs` |
//! | writes that wait for a merge | `shard/due_work.rs`; refused writes: `shard/append.rs` |
//! | reading a stored value for a query | `shard/values.rs` |
//! | the pause between tries of a failing job | `shard/alarm.rs`; in a Database: `database/job.rs` |
//! | the schedule of continuous queries | `protocol/continuous.rs` |
//! | rows and values in memory | `memtable/mod.rs`; `batch/slabs.rs` |
//! | the codec of a column | `batch/column_bytes.rs`; the codecs: `codec/` |
//! | the order of queries on a shard | `shard/page_queue/mod.rs` |
//! | a subquery's rows | `query/subquery_rows/` |
//! | memory of memtables and caches | `shard/budget.rs` |
//! | the Worker's cache | `coordinator/cache.rs` |
//! | retries after a stale cache | `coordinator/load_schemas.rs` |
//! | the maximum size of a stored value | `store/mod.rs` |
//! | an object's alarm | `shard/alarm.rs`; `database/object.rs` |
//! | the function for a shard's message | `shard/messages.rs` |
//! | a message, and its sender | the receiver's file in `protocol/`; `protocol/PROTOCOL.md` |
//! | streaming or abandoning a response | `api/routes/query.rs`, `api/drive.rs` |
//! | v3 queries; the result as a table | `api/routes/query_v3/`; `response/table/` |
//! | Flight; gRPC messages in HTTP bodies | `api/routes/flight/`; `api/grpc_web/` |
//! | the keys of a backup's objects | `coordinator/backup/store.rs` |
//! | backups, restores; the schedule | `coordinator/backup/`; `database/schedules.rs` |
//! | point-in-time recovery | `catalog/recovery.rs`, `catalog/point_in_time.rs`; `edge/point_in_time.rs` |
//! | restores and recoveries in a database | `database/restore_and_recover.rs` |
//! | moving tokens and users to another deployment | `coordinator/users_and_tokens.rs`, `docs/design/backup-schedules.md` |
//! | a trap (abort) in the WebAssembly module | `edge/worker.js`; in SQL: `sql/worker.js` |
//! | a header, CORS, the reported version | `api/headers.rs` |
//! | a line of the log | `api/log.rs` |
//! | the parameters of writes and queries | `api/params.rs` |
//! | a file of `influx_inspect export` | `native/src/commands/import/dump.rs` |
//! | the database in a web page | `browser/`, `www/engine/engine.js` |
//! | the console | `docs/CONSOLE.md` lists its folders |
//!
//! `CONTRIBUTING.md` lists the other files that such a change affects.
//!
//! # Invariants
//!
//! - Only the hosts (`edge/`, `browser/`, the native program) read a clock or draw random numbers:
//!   `now` and seeds are arguments.
//! - `coordinator` awaits only its calls, and `api/drive.rs` only its host. A shard is synchronous,
//!   so no other code can run during an update.
//! - A rejected line never reaches a column. On one shard, a batch is either fully visible or not
//!   visible.
//! - A cache in the Worker cannot lose or corrupt data. Before the Worker refuses a request because
//!   of cached state, it loads the state from the object that owns it. Each message to a shard
//!   contains the version of the sender's state, and a shard with newer state replies *stale*.
//! - WAL, memtable and part never use each other. A written part never changes.
//! - A point is never a separate row, because SQLite bills per row.
//! - An i64 never passes through a JavaScript number. No format contains a `usize`.
//! - No response depends on the order of a hash map.
//! - A bug returns an error, never a wrong number. Code that does not find a value that must exist
//!   calls `or_bug` (`model/src/bug.rs`), which fails tests.
//! - No panic is reachable from the network: a panic would stop every database in the isolate.

pub use tidemark_engine::{batch, codec, memtable, merge, part, protocol, scan, shard, store, wal};
pub use tidemark_influxql as influxql;
pub use tidemark_line_protocol as line_protocol;
pub use tidemark_model as model;

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
