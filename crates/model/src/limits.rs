//! Defines the limits of the service: sizes, counts and timeouts. MB = 10⁶ bytes.
//!
//! [`super::configurable_limits`] lists the limits that an operator may set. The engine's modules
//! define the sizes of blocks and pages. The InfluxQL grammar defines the bounds of its literals.

use std::fmt::Debug;

/// A limit with its description, for the page `docs/reference/limits.md`.
#[derive(Debug)]
pub struct LimitConstant {
    /// The name of the constant.
    pub name: &'static str,
    /// The value of the constant.
    pub value: &'static (dyn Debug + Sync),
    /// The lines of the description. Each begins with a space.
    pub description: &'static [&'static str],
}

/// Defines the constants, and lists them in [`SECTIONS`].
macro_rules! limits {
    ($(section $title:literal: $($(#[doc = $line:literal])* pub const $name:ident: $type:ty = $value:expr;)*)*) => {
        $($($(#[doc = $line])* pub const $name: $type = $value;)*)*

        /// All limits, by section. The page of limits is generated from this table.
        pub const SECTIONS: &[(&str, &[LimitConstant])] = &[
            $(($title, &[$(LimitConstant { name: stringify!($name), value: &$name, description: &[$($line),*] }),*])),*
        ];
    };
}

limits! {
section "Request bodies and responses":

/// The maximum size of a compressed request body, in bytes.
pub const BODY_COMPRESSED_BYTES_MAX: usize = 10_000_000;
/// The maximum size of a plain or inflated request body, in bytes.
pub const BODY_BYTES_MAX: usize = 25_000_000;
/// The maximum time to wait for the next 128 KB of a body or for the end of the body, in seconds.
/// Clients time out long before this limit. Without this limit, a stalled client would keep the
/// memory that is reserved for its body.
pub const BODY_STALL_S_MAX: u32 = 60;
/// The maximum number of members of a gzip body.
pub const GZIP_MEMBERS_MAX: usize = 10_000;
/// The maximum size of all bodies in flight in one isolate, in bytes: raw bodies, inflated bodies
/// and their columns.
pub const BODIES_IN_FLIGHT_BYTES_MAX: usize = 36_000_000;
/// The additional memory, in bytes, for the bodies of databases that have no other body in flight.
/// This memory is not part of [`BODIES_IN_FLIGHT_BYTES_MAX`].
pub const FIRST_BODIES_BYTES_MAX: usize = 4_000_000;
/// The maximum memory, in bytes, of a database that may use the additional memory:
/// [`FIRST_BODIES_BYTES_MAX`] for its bodies, and [`FIRST_QUERIES_BYTES_MAX`] for its queries. A
/// database that uses more memory must leave the additional memory to the other databases.
pub const FIRST_BYTES: usize = 1_000_000;
/// The interval between two checks of a stalled upload or an unread response, in milliseconds. The
/// check detects whether the server has cancelled the upload or response in favour of another
/// request.
pub const CANCEL_CHECK_MS: u32 = 1_000;

/// The maximum size of a management request's body, in bytes. The body is a short JSON document.
pub const MANAGEMENT_BODY_BYTES_MAX: usize = 64 << 10;
/// The maximum size of a query request's body, as a multiple of the maximum size of its text. The
/// body may be percent-encoded and may contain bound parameters.
pub const QUERY_BODY_PER_TEXT: usize = 4;
/// The memory that is reserved when the first piece of a body arrives, in bytes.
pub const BODY_FIRST_ROOM_BYTES: usize = 512 << 10;
/// The minimum size of a read from a body, in bytes. The last read may be shorter.
pub const BODY_READ_BYTES_MIN: u32 = 128 << 10;
/// The maximum size of a read from a body, in bytes.
pub const BODY_READ_BYTES_MAX: u32 = 256 << 10;
/// The size of a body above which the Worker pauses between pieces, in bytes. The pauses give other
/// requests a turn. The native program pauses after every `PARSED_PIECE_BYTES`.
pub const BODY_PACED_AFTER_BYTES: usize = 2_000_000;
/// The maximum number of bytes of a rejected body that are read and discarded. The server reads the
/// body because a client that is still sending does not read the error response.
pub const DISCARDED_BODY_BYTES_MAX: usize = 64_000_000;
/// The maximum size of a response that is sent as a whole, in bytes.
pub const WHOLE_REPLY_BYTES_MAX: usize = 1_000_000;
/// The approximate size of the pieces of a longer response, in bytes. The server writes such a piece
/// in a few milliseconds, and then lets other requests run.
pub const REPLY_PIECE_BYTES: usize = 256_000;
/// The minimum size of a response piece if more bytes follow, in bytes. Sending a piece takes the
/// runtime as much time as several thousand bytes.
pub const REPLY_PIECE_BYTES_MIN: usize = 32_000;
/// The number of rows after which the written bytes may be sent. All windows of a series arrive as
/// one chunk, so the number of chunks does not limit the number of bytes.
pub const REPLY_PIECE_ROWS: usize = 8_192;
/// The maximum number of rows in one batch of an Arrow stream. A batch may end earlier because of
/// [`REPLY_PIECE_BYTES`].
pub const ARROW_BATCH_ROWS_MAX: usize = 8_192;
/// The maximum number of characters of a format or an `Accept` header that an error message
/// repeats.
pub const MEDIA_TYPE_CHARS_MAX: usize = 100;
/// The maximum number of characters of an error message in a header. InfluxDB 1.x truncates at the
/// same length.
pub const ERROR_HEADER_CHARS_MAX: usize = 1_024;
/// The maximum size, in bytes, of a percent-encoded error message in gRPC trailers. Clients accept
/// 8 KB of trailers.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 6_000;
/// The maximum size of a batch of a Flight response before encoding, in bytes. The batch remains in
/// memory until it is complete.
pub const FLIGHT_MESSAGE_BYTES_MAX: usize = 16_000_000;
/// The maximum number of characters of a foreign page's origin that an error message repeats.
pub const ORIGIN_CHARS_MAX: usize = 200;
/// The maximum number of characters of a database's name in a log line.
pub const LOGGED_DATABASE_CHARS_MAX: usize = 64;
/// The maximum time that `/health` waits for the Catalog, in milliseconds.
pub const CATALOG_HEALTH_WAIT_MS: u32 = 2_000;
/// The time for which `/health` caches the Catalog's status, in nanoseconds.
pub const CATALOG_HEALTH_REMEMBERED_NS: i64 = 5 * super::time::S_NS;

/// The maximum number of parameters of a URL or a URL-encoded form. A parameter without a value has
/// two bytes in the text, and needs about 24 times as much memory while the request runs.
pub const PARAMETERS_MAX: usize = 1_000;

section "Names, and lines and points of a write":

/// The maximum size of a database or policy name, in bytes (1.x `MaxNameLen`).
pub const NAME_BYTES_MAX: usize = 255;

/// The maximum size of a line of line protocol, in bytes.
pub const LINE_BYTES_MAX: usize = 2 << 20;
/// The maximum size of a line's measurement and tag set as written, in bytes (1.x `MaxKeyLength`).
pub const SERIES_KEY_BYTES_MAX: usize = 65_535;
/// The maximum size of a string field value, in bytes.
pub const STRING_BYTES_MAX: usize = 1 << 20;
/// The maximum number of tags per point.
pub const TAGS_PER_POINT_MAX: usize = 255;
/// The maximum number of cells of a write request: field values, tags of its series, and the
/// padding of absent fields. The number of padding cells is at most about the number of values
/// (`batch/measurement_writer.rs`). With 8 bytes per cell, 8 million cells use 64 MB. A body of 25
/// MB has at most 4.2 million lines with one field each. Therefore only requests whose lines have
/// different fields reach the limit.
pub const CELLS_PER_REQUEST_MAX: usize = 8_000_000;
/// The number of points below which a write counts as tiny. A tiny write causes as many requests,
/// calls and stored rows as a batch of thousands of points.
pub const TINY_BATCH_POINTS: u64 = 100;
/// The maximum number of rejected lines that a response names. The response contains only the
/// number of the other rejected lines.
pub const REJECTED_LINES_NAMED_MAX: usize = 100;
/// The maximum number of characters of a rejected line that its error repeats.
pub const QUOTED_CHARS_MAX: usize = 64;

/// The maximum size of an OTLP body in JSON, in bytes. JSON is parsed without a pause. A body in
/// protobuf may have [`BODY_BYTES_MAX`].
pub const OTLP_JSON_BYTES_MAX: usize = 4_000_000;
/// The maximum nesting of lists and maps in an attribute of OTLP.
pub const ATTRIBUTE_DEPTH_MAX: usize = 8;
/// The maximum number of buckets of one sign of a histogram, and of quantiles of a summary.
pub const HISTOGRAM_BUCKETS_MAX: usize = 1_000;

/// The number of received bytes that are converted to columns together, while the rest of the body
/// still arrives. A shorter body is converted in one pass.
pub const PARSED_PIECE_BYTES: usize = 128 << 10;
/// The maximum size of a v3 body that is retained until the response, in bytes. The response
/// repeats the beginnings of rejected lines.
pub const RETAINED_TEXT_BYTES_MAX: usize = 1 << 20;
/// The number of bytes of a rejected line that InfluxDB 3 repeats.
pub const REJECTED_LINE_EXCERPT_BYTES_MAX: usize = 20;
/// The size, in bytes, after which an exported row continues in another line with the same series
/// and time. One row can contain the values of several written lines and thus exceed the size limit
/// of a line.
pub const EXPORTED_LINE_BYTES: usize = LINE_BYTES_MAX / 2;
/// The maximum nesting of parentheses in the predicate of a v2 delete.
pub const DELETE_PREDICATE_DEPTH_MAX: usize = 32;

section "Databases, policies and schemas":

/// The maximum number of databases in a deployment.
pub const DATABASES_MAX: usize = 10_000;
/// The maximum number of databases whose durations an isolate records (`COUNT_DURATIONS`), 150
/// bytes each.
pub const DATABASES_TIMED_MAX: usize = 1_000;
/// The maximum number of retention policies per database.
pub const POLICIES_PER_DATABASE_MAX: usize = 100;
/// The minimum duration of a retention policy and of its shard groups, in nanoseconds (1.x
/// `MinRetentionPolicyDuration`).
pub const POLICY_DURATION_MIN_NS: i64 = super::time::H_NS;
/// The maximum number of measurements per policy.
pub const MEASUREMENTS_PER_POLICY_MAX: usize = 10_000;
/// The maximum number of fields per measurement.
pub const FIELDS_PER_MEASUREMENT_MAX: usize = 1_000;
/// The maximum number of tag keys per measurement. Some reads need time proportional to the square
/// of this number.
pub const TAG_KEYS_PER_MEASUREMENT_MAX: usize = 1_000;
/// The maximum size of a measurement's columns as stored and sent, in bytes. Columns of this size
/// fit into one row. A page contains them alone if they exceed `SCHEMA_PAGE_BYTES_MAX`.
pub const MEASUREMENT_SCHEMA_BYTES_MAX: usize = 900_000;
/// The maximum size, in bytes, of the measurements and columns of all policies of a database as
/// stored: 16 bytes and the key for each column. About 700,000 columns with short keys fit. These
/// columns take at most 40 MB in the memory of the Database and of an edge.
pub const DATABASE_SCHEMA_BYTES_MAX: usize = 18_000_000;
/// The maximum number of ids of dropped measurements in one policy. Each id takes at most 11 bytes
/// in each shard's row.
pub const DROPPED_MEASUREMENTS_MAX: usize = 100_000;
/// The maximum size, in bytes, of an isolate's cache of databases, policies and shard maps. About
/// 7,000 small databases fit.
pub const CACHED_DATABASES_BYTES_MAX: usize = 4_000_000;
/// The maximum size, in bytes, of the schemas that an isolate caches. About 180,000 columns with
/// short keys fit. In addition, the isolate caches one schema that alone exceeds this limit.
pub const CACHED_SCHEMAS_BYTES_MAX: usize = 10_000_000;

/// The maximum size, in bytes, of the names and policies of the databases that one request lists.
/// About 50,000 databases fit.
pub const DESCRIBED_BYTES_MAX: usize = 8_000_000;
/// The default number of buckets in one page of `/api/v2/buckets`.
pub const BUCKETS_PER_PAGE_DEFAULT: usize = 20;
/// The maximum number of buckets in one page of `/api/v2/buckets`.
pub const BUCKETS_PER_PAGE_MAX: usize = 100;

section "Shard groups and their maintenance":

/// The maximum number of shards in one shard group.
pub const SHARDS_PER_GROUP_MAX: u32 = 64;
/// The maximum number of shards in all groups of a policy. The policy's row has space for the ids
/// of this many shards.
pub const SHARDS_PER_POLICY_MAX: usize = 10_000;
/// The distance of a split time from the current time, in nanoseconds, if the group receives
/// current data. The distance is longer than the delay of writes in flight.
pub const SPLIT_AHEAD_NS: i64 = 10 * super::time::S_NS;
/// The maximum number of pages that one event of a split copies. Each page costs a scan and a write
/// to every new shard.
pub const SPLIT_PAGES_PER_EVENT_MAX: u32 = 100;
/// The interval at which a Database checks the size of its shards, in nanoseconds.
pub const SIZE_CHECK_NS: i64 = super::time::D_NS;
/// The time during which dropped shards reject messages before their storage is deleted, in
/// nanoseconds. The delay lets messages arrive that were sent before the drop, while the storage
/// still records the drop.
pub const WIPE_DELAY_NS: i64 = 60 * super::time::S_NS;
/// The maximum number of shards in one wipe job. This limit bounds the size of the job's row.
pub const SHARDS_PER_WIPE_MAX: usize = 1_000;

section "Quotas":

/// The maximum number of tokens and users with a quota on one database. Every edge that caches the
/// database also caches these quotas.
pub const QUOTAS_PER_DATABASE_MAX: usize = 1_000;

section "Tokens, users and logins":

/// The maximum number of tokens and users in a deployment. The Catalog uses about 100 bytes of
/// memory for each of these tokens and users.
pub const GRANTEES_MAX: usize = 100_000;
/// The maximum size of a token or user as stored, in bytes. This limit also bounds the number of
/// databases on which the token or user can have permissions.
pub const GRANTEE_BYTES_MAX: usize = 100_000;
/// After a database is dropped, the Catalog removes the permissions of its users in steps. This is
/// the maximum number of users in one step. Each removal rewrites the user's row, and other events
/// can run between two steps.
pub const USERS_REVOKED_PER_STEP: usize = 200;
/// The default and the maximum number of tokens in one page of a list.
pub const GRANTEES_PER_PAGE: usize = 1_000;
/// The number of databases that are notified concurrently about a change of a token or user.
pub const DATABASES_NOTIFIED_AT_ONCE: usize = 32;
/// The maximum number of rounds of notifications about a change of a token or user. The first
/// number is for one request, and the second number is for one run of the alarm. After these
/// rounds, the request reports the remaining databases, or the alarm schedules itself again
/// immediately.
pub const NOTIFICATION_ROUNDS_MAX: [u32; 2] = [4, 24];
/// The maximum pause between two attempts of the alarm to notify a database of a revoked
/// permission, in nanoseconds.
pub const REVOKE_RETRY_NS_MAX: i64 = 4 * super::time::S_NS;
/// The minimum interval between two confirmations of a token or user by the Catalog, in
/// nanoseconds. An edge requests the confirmation after it has sent the response. A revoked
/// permission ends within this time, even on databases that could not be notified.
pub const CONFIRMED_NS: i64 = super::time::H_NS;
/// The interval before the next confirmation if the Catalog did not respond, in nanoseconds.
pub const CONFIRM_RETRY_NS: i64 = super::time::MINUTE_NS;
/// The maximum number of tokens and users that an isolate caches, counted once for each database
/// they use.
pub const CALLERS_REMEMBERED_MAX: usize = 10_000;
/// The maximum number of refused credentials that an isolate caches. The Catalog confirms each
/// refusal, but no key is derived again.
pub const REFUSED_CREDENTIALS_MAX: usize = 256;
/// The maximum number of unknown callers per second for which an isolate calls Databases and the
/// Catalog. Above this rate, the server returns 503 for callers that the isolate has not cached.
/// Cached callers cause no calls.
pub const UNKNOWN_CALLERS_PER_SECOND_MAX: u32 = 250;
/// The number of PBKDF2-HMAC-SHA-256 iterations for a user's password. The platform's WebCrypto
/// allows at most this number. A derivation takes 10 to 40 ms of CPU time.
pub const PASSWORD_ITERATIONS: u32 = 100_000;
/// The time for which a verified password is not derived again after its last use, in nanoseconds.
/// A changed password takes effect immediately, because a cache entry is valid only for its salt.
pub const VERIFIED_PASSWORD_NS: i64 = 10 * super::time::MINUTE_NS;
/// The number of failed logins of a name from one address within [`FAILURE_WINDOW_NS`] after which
/// further logins must wait.
pub const FAILURES_MAX: u32 = 20;
/// The number of failed logins of all names from one address. Above this number, a name must wait
/// unless it was verified from this address within [`LOGIN_REMEMBERED_NS`].
pub const ADDRESS_FAILURES_MAX: u32 = 100;
/// The length of the time window in which failed logins are counted, in nanoseconds.
pub const FAILURE_WINDOW_NS: i64 = 60 * super::time::S_NS;
/// The time for which an isolate remembers that a name was verified from an address, in
/// nanoseconds.
pub const LOGIN_REMEMBERED_NS: i64 = super::time::H_NS;
/// The maximum number of pairs of name and address for which an isolate remembers logins.
pub const LOGINS_MAX: usize = 10_000;

/// The minimum number of characters of the admin token.
pub const ADMIN_TOKEN_CHARACTERS_MIN: usize = 16;
/// The maximum size of a token's name, in bytes.
pub const TOKEN_NAME_BYTES_MAX: usize = 256;

section "Texts of queries":

/// The maximum size of an InfluxQL text, in bytes.
pub const QUERY_TEXT_BYTES_MAX: usize = 64 << 10;
/// The maximum nesting of expressions and subqueries.
pub const QUERY_DEPTH_MAX: usize = 32;
/// The maximum depth of an expression's tree. [`QUERY_DEPTH_MAX`] bounds the nesting in the text.
/// This limit also bounds chains of operators, because `a + b + c + …` nests to the left.
pub const EXPR_DEPTH_MAX: usize = 512;
/// The maximum number of statements in one query.
pub const STATEMENTS_MAX: usize = 100;
/// The maximum size of a regex's source text, in bytes. Grafana sends a regex that lists the
/// selected values of a variable. Shards check this limit again.
pub const REGEX_BYTES_MAX: usize = 16 << 10;
/// The maximum number of comparisons in the condition of a delete. Comparisons of one tag with
/// several texts count once. Until merges have removed the rows, each read evaluates the condition
/// for every series.
pub const DELETE_COMPARISONS_MAX: usize = 100;
/// The maximum number of deletes of a shard that wait for the merges that remove their rows.
pub const PENDING_DELETES_MAX: usize = 1_000;
/// The maximum size of the pending deletes of a shard as stored, in bytes. The shard keeps them in
/// memory, and a backup stores them in one message with the columns (`BACKUP_POINT_BYTES_MAX`).
pub const PENDING_DELETES_BYTES_MAX: usize = 2_000_000;
/// The maximum memory, in bytes, of the regexes in a shard's deletes. This memory includes the
/// compiled regexes, and the states that the regexes keep between two events.
pub const DELETE_PATTERNS_BYTES_MAX: usize = 4_000_000;
/// The maximum number of different regexes in one query text, and in all pending deletes of a
/// shard.
pub const REGEXES_PER_QUERY_MAX: usize = 100;
/// The maximum memory of a regex while it is compiled, in bytes. A regex that lists texts, such as
/// `a|b|c`, needs at most 40 bytes for each byte of its source, and about 90 bytes with `(?i)`.
pub const REGEX_COMPILED_BYTES_MAX: usize = 2 << 20;
/// The maximum memory of all different compiled regexes in one query text, and in all pending
/// deletes of a shard, in bytes. A regex that lists texts needs about 24 bytes for each byte of its
/// source, and about 45 bytes with `(?i)`. Compiling the regexes takes up to twenty milliseconds.
pub const REGEXES_COMPILED_BYTES_MAX: usize = 768 << 10;
/// The maximum number of Unicode classes such as `\pL` in a regex's source text. `\pL` has about
/// 650 ranges of characters.
pub const REGEX_PROPERTIES_MAX: usize = 30;
/// The maximum number of ranges of non-ASCII characters in a regex. Each repetition counts.
/// Compiling a range takes up to half a microsecond.
pub const REGEX_UNICODE_RANGES_MAX: u64 = 20_000;
/// The number of bytes of a compiled regex that count as one unit of work ([`WORK_PER_MS`]).
pub const REGEX_BYTES_PER_UNIT: usize = 2;
/// The maximum memory, in bytes, of the states that a regex builds while it matches. If a few
/// states need more memory than this, their memory is the limit.
pub const REGEX_CACHE_BYTES_MAX: usize = 256 << 10;
/// The maximum number of steps of slow matches of a statement or of a page. A step takes about
/// seven nanoseconds.
pub const REGEX_STEPS_MAX: u64 = 10_000_000;
/// The maximum work to build all states of a delete's regexes: the memory of the states, in bytes,
/// multiplied by the number of byte classes. A delete accepts only regexes whose states fit this
/// limit and the cache, because merges cannot stop at a slow match. A regex that lists 40 names of
/// 16 characters fits.
pub const REGEX_STATES_WORK_MAX: u64 = 10_000_000;
/// The maximum number of times that the text of a subquery is compiled. The functions of a SELECT
/// can read different numbers of windows before the range. The SELECT compiles its subqueries once
/// for each of these numbers. The compilations of nested SELECTs multiply.
pub const SUBQUERY_COMPILATIONS_MAX: u32 = 64;
/// The maximum number of sources, operands and operators in the subqueries of a SELECT, counted
/// once for each time that a subquery is compiled. A text in which no subquery is compiled twice
/// cannot reach the limit.
pub const SUBQUERY_PARTS_MAX: usize = 100_000;

section "Execution of queries":

/// The maximum number of windows in the time range of a query. Each series may have this number of
/// windows (1.x `max-select-buckets`).
pub const BUCKETS_PER_QUERY_MAX: u64 = 1_000_000;
/// The default of two limits: the number of series of one SELECT, and the number of points that it
/// reads (1.x `max-select-series`, `max-select-point`). Operators can set both limits. By default,
/// there is no limit, because memory usage does not grow with these numbers.
pub const UNLIMITED: u32 = u32::MAX;
/// The maximum number of measurements whose first page a statement requests ahead of time. As a
/// result, a statement over many measurements does not wait for one round trip per measurement.
/// Each requested page is kept in memory until it is merged.
pub const STREAMS_AHEAD_MAX: usize = 256;
/// The maximum number of further scans whose first pages are requested in one call to a shard. The
/// shard returns as many of these pages as the work limit of one event and the size limit of one
/// reply permit.
pub const FURTHER_SCANS_MAX: usize = 255;
/// The maximum number of shards that are called concurrently for one scan. One page of each shard
/// may be in flight.
pub const SHARDS_REQUESTED_AT_ONCE_MAX: usize = 6;
/// The memory of all queries of an isolate, in bytes.
pub const QUERIES_BYTES_MAX: usize = 10_000_000;
/// The additional memory, in bytes, for the queries of databases that have no other running query.
/// This memory is not part of [`QUERIES_BYTES_MAX`].
pub const FIRST_QUERIES_BYTES_MAX: usize = 4_000_000;
/// The part of [`QUERIES_BYTES_MAX`] that is reserved for the start of queries, in bytes. Large
/// queries cannot use up this memory, so small queries can always start.
pub const QUERY_STARTS_BYTES_MAX: usize = 2_000_000;
/// The memory of a query at its start, in bytes: one half for pages in flight, and one half for
/// rows that are merged.
pub const QUERY_START_BYTES: usize = FIRST_BYTES;
/// The maximum memory, in bytes, that queries may borrow from the free part of the bodies' budget.
/// This memory is for functions that need all their values in memory at once.
pub const QUERY_SPARE_BYTES_MAX: usize = 24_000_000;
/// The time after which a client that reads nothing of its response is slow, in nanoseconds. The
/// response may then be cancelled in favour of other requests.
pub const SLOW_READER_NS: i64 = super::time::S_NS;
/// The maximum number of concurrent long queries of a database in an isolate. A long query needs
/// more than the first pages of its shards. Further long queries wait and restart one after the
/// other. Small queries overtake the waiting queries. A shard also processes at most this number of
/// queries at a time. With a larger number, additional queries would only use memory while they
/// wait for a shard.
pub const LONG_QUERIES_MAX: usize = QUERIES_READING_MAX;
/// The memory, in bytes, that a long query may use for merging while other queries wait to start.
/// With half of this memory, fifty long queries take twice as long. With more memory, writes wait
/// longer during a merge.
pub const LONG_QUERY_BYTES_MAX: usize = 3_000_000;
/// The time after which a running long query no longer counts towards [`LONG_QUERIES_MAX`], in
/// nanoseconds. Another long query of the database can then start.
pub const LONG_QUERY_NS: i64 = 5 * super::time::S_NS;
/// The maximum number of long queries of a database in an isolate, including queries that run for
/// longer than [`LONG_QUERY_NS`].
pub const LONG_QUERIES_TOTAL_MAX: usize = 4;
/// The maximum time that a query waits for memory to start, in nanoseconds. A restarted query may
/// wait for this time again.
pub const QUERY_WAIT_NS_MAX: i64 = 30 * super::time::S_NS;
/// The maximum number of waiting queries in one isolate. Further queries are rejected immediately.
pub const QUERIES_WAITING_MAX: usize = 500;
/// The interval at which a waiting query checks for free memory, in milliseconds.
pub const QUERY_WAIT_PAUSE_MS: u32 = 20;
/// The minimum page size that the edge requests from a shard, in bytes.
pub const PAGE_BYTES_MIN: usize = 64_000;
/// The maximum total size, in bytes, of the pages that one query requests from all shards. Larger
/// pages leave less memory for merging.
pub const PAGES_BYTES_MAX: usize = 4_000_000;
/// The maximum size, in bytes, of the merged result of a scan before it is written to the response.
pub const SLICE_BYTES_MAX: usize = 8_000_000;
/// The maximum number of groups and windows in one page that is passed to SQL.
pub const SQL_PAGE_ROWS_MAX: usize = 1 << 16;
/// The number of values that a statement reads or computes in one millisecond, at 50 ns each in
/// WebAssembly.
pub const WORK_PER_MS: u64 = 20_000;
/// The amount of work after which a statement pauses so that other requests run (5 ms). A step can
/// take two or three times as long, because the counted work is an estimate.
pub const WORK_PER_TURN: u64 = 5 * WORK_PER_MS;
/// The amount of work that counts for resolving one column or measurement in a statement.
pub const WORK_PER_NAME: usize = 20;
/// The default of the setting `QUERY_CPU_MS_MAX`, in milliseconds: the maximum computing time of a
/// statement.
pub const QUERY_CPU_MS_MAX: usize = 60_000;
/// The maximum of the setting `QUERY_CPU_MS_MAX`, in milliseconds. The value equals the CPU limit
/// of an invocation (wrangler.toml).
pub const QUERY_CPU_MS_CEILING: usize = 300_000;
/// The maximum number of columns in a statement and its subqueries, after `*` and regexes are
/// expanded. A column with several calls counts once for each call.
pub const COLUMNS_PER_QUERY_MAX: usize = 5_000;
/// The maximum number of measurements and subqueries in the FROM clauses of a statement and its
/// subqueries, after regexes are expanded.
pub const SOURCES_PER_QUERY_MAX: usize = 20_000;
/// The maximum number of sources that the text of one statement lists. The text is parsed without a
/// pause.
pub const SOURCES_WRITTEN_MAX: usize = 2_000;
/// The maximum number of databases and policies that one statement reads. Loading a database or a
/// policy takes one call.
pub const POLICIES_PER_QUERY_MAX: usize = 100;
/// The maximum number of times that FROM may name the same measurement. The rows of all sources are
/// merged.
pub const SOURCES_PER_MEASUREMENT_MAX: usize = 100;
/// The maximum number of entries in a statement's plan: columns, dimensions, conditions and calls,
/// counted once per source. The compiler pauses only between sources, and the whole plan is freed
/// without a pause.
pub const PLAN_ENTRIES_MAX: usize = 300_000;
/// The number of entries ([`PLAN_ENTRIES_MAX`]) for each operand and each operator of a condition.
/// Compiling an operand or operator takes as long as compiling this number of columns.
pub const ENTRIES_PER_CONDITION: usize = 3;
/// The number of entries for a call, for each source that has the call's field. Each column that
/// the call reads in addition to the field counts as one more entry.
pub const ENTRIES_PER_CALL: usize = 3;
/// The number of clock changes of a time zone that count as one entry. Each scan with windows
/// contains the clock changes in the statement's time range.
pub const CLOCK_CHANGES_PER_ENTRY: usize = 4;
/// The maximum number of parameters in a prepared statement.
pub const PLACEHOLDERS_MAX: usize = 1_000;
/// The maximum number of Arrow messages in a request that binds parameters.
pub const FLIGHT_MESSAGES_MAX: usize = 100;
/// The maximum number of tables, such as fields and their types, in the header of an Arrow message
/// that binds parameters. A table that occurs at several places counts several times.
pub const FLIGHT_TABLES_MAX: usize = 10_000;
/// The maximum size of the header of an Arrow message that binds parameters, in bytes. Data that
/// occurs at several places counts several times.
pub const FLIGHT_HEADER_BYTES_MAX: usize = 1_000_000;
/// The maximum number of ids in a request for Flight SQL's `SqlInfo`.
pub const SQL_INFO_IDS_MAX: usize = 1_000;
/// The maximum size of the pattern in a request for Flight SQL's schemas, in bytes.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1_000;
/// The maximum size of a prepared statement's text, in bytes. The crate `sql` accepts 256 KiB.
pub const PREPARED_TEXT_BYTES_MAX: usize = 256_000;
/// The maximum work of searching the text of a SQL statement for the names of measurements. The
/// work is the number of measurements, but at least 1,000, multiplied by the bytes of the text. The
/// caller sends the schemas of the found measurements with the statement. If the work would exceed
/// the limit, the caller sends no schemas, and the SQL session requests them.
pub const SQL_NAMES_SEARCH_MAX: usize = 10_000_000;
/// The maximum number of points with the same time that `first` and `last` keep for a text column.
/// The functions need these points to select the same point as 1.x.
pub const TIED_POINTS_MAX: usize = 64;
/// The maximum number of values in one window that are kept in memory for a function that needs all
/// values.
pub const WHOLE_WINDOW_VALUES_MAX: usize = 1_000_000;
/// The maximum memory, in bytes, of the [`WHOLE_WINDOW_VALUES_MAX`] values and the data stored with
/// them. The result takes the same amount again.
pub const WHOLE_WINDOW_BYTES_MAX: usize = 16_000_000;
/// The maximum size of a subquery's rows in memory, in bytes. Adding the last rows and sorting the
/// rows temporarily take up to three times this memory.
pub const SUBQUERY_BYTES_MAX: usize = 10_000_000;
/// The maximum size, in bytes, of the names that a SHOW statement lists for one measurement.
pub const LISTED_NAMES_BYTES_MAX: usize = 32_000_000;
/// The maximum number of series or tag values of a measurement that one statement may count.
pub const COUNTED_NAMES_MAX: usize = 4 << 20;
/// The maximum number of values of a series in a forecast, past and future. The search reads each
/// value up to 32,000 times.
pub const FORECAST_VALUES_MAX: usize = 5_000;
/// The maximum season length of a forecast. The memory for fitting the model grows with the square
/// of the season length.
pub const FORECAST_SEASON_MAX: usize = 500;
/// The maximum period of a function of technical analysis. On WebAssembly, the number of values in
/// memory has 32 bits.
pub const TECHNICAL_PERIOD_MAX: i64 = 4_294_967_295;
/// The maximum number of steps in the search for a forecast's parameters (1.x `query/neldermead`).
pub const FORECAST_STEPS_MAX: usize = 1_000;
/// The maximum size of one MessagePack document, in bytes. The document remains in memory until its
/// lengths are known.
pub const MSGPACK_BYTES_MAX: usize = 16_000_000;
/// The size of the rows, in bytes, after which a MessagePack document ends early with
/// `chunked=true`.
pub const MSGPACK_CHUNK_BYTES_MAX: usize = 4_000_000;
/// The maximum size, in bytes, of the buffer for the text of string columns while rows are printed.
pub const PRINTED_TEXT_BYTES_MAX: usize = 256 << 10;

/// The default number of rows in a chunk with `chunked=true` (1.x `DefaultChunkSize`).
pub const CHUNK_ROWS_DEFAULT: usize = 10_000;
/// The maximum number of rows in a chunk.
pub const CHUNK_ROWS_MAX: usize = 100_000;

section "Running queries":

/// The maximum number of queries with more than one page that a shard processes at the same time.
/// Other queries wait.
pub const QUERIES_READING_MAX: usize = 2;
/// The maximum number of query pages that wait at one shard. The shard rejects further pages, and
/// the client must repeat the query later.
pub const PAGES_WAITING_MAX: usize = 1_000;
/// The maximum number of queries that SHOW QUERIES lists. New queries replace the oldest queries.
pub const QUERIES_LISTED_MAX: usize = 1_000;
/// The maximum size of all queries that SHOW QUERIES lists, in bytes: their texts and the ids of
/// their shards. New queries replace the oldest queries.
pub const QUERIES_LISTED_BYTES_MAX: usize = 8_000_000;
/// The maximum size of a query's text in SHOW QUERIES, in bytes. A longer text is truncated.
pub const QUERY_LISTED_TEXT_BYTES_MAX: usize = 4_000;
/// The time for which a query remains listed after its last report, in nanoseconds.
pub const QUERY_LISTED_NS: i64 = 60 * super::time::S_NS;
/// The interval at which a running query is reported to the Catalog, in nanoseconds.
pub const QUERY_REPORT_EVERY_NS: i64 = 5 * super::time::S_NS;
/// The maximum number of shards in a query's report to the Catalog. KILL QUERY reaches only these
/// shards.
pub const QUERY_SHARDS_NAMED_MAX: usize = 1_000;

section "Continuous queries":

/// The maximum number of continuous queries per database. ntopng creates about 205.
pub const CONTINUOUS_QUERIES_MAX: usize = 1_000;
/// The maximum size of the texts of all continuous queries of a database, in bytes. A restore
/// stores the texts and the names, which the texts contain, in one row of at most 1.9 MB. A
/// database of an earlier version can have up to 800 KB of text: the database keeps its queries,
/// but refuses new queries until enough queries are dropped.
pub const CONTINUOUS_QUERIES_BYTES_MAX: usize = 512 << 10;
/// The maximum size of a continuous query's text with qualified names, in bytes.
pub const CONTINUOUS_QUERY_BYTES_MAX: usize = 8 << 10;
/// The maximum duration of a run of a continuous query, in nanoseconds. The platform ends an alarm
/// after 15 minutes.
pub const CONTINUOUS_RUN_NS_MAX: i64 = 10 * super::time::MINUTE_NS;
/// The minimum time between the starts of two runs of a continuous query, in nanoseconds, as with
/// 1.x's default of `run-interval`. A run that was too large is repeated immediately.
pub const CONTINUOUS_PAUSE_NS: i64 = super::time::S_NS;
/// The maximum pause before a failed continuous query is retried, in nanoseconds.
pub const CONTINUOUS_RETRY_NS_MAX: i64 = 60 * JOB_RETRY_NS;
/// A query with at most this number of windows is never rejected because of a stray point. A stray
/// point has a time far from all other points, usually in 1970 because of a wrong precision. Nulls
/// for this number of windows need about 3 MB.
pub const STRAY_WINDOWS_MIN: i64 = 100_000;
/// The maximum number of windows in one run of a continuous query, unless FOR requires more
/// windows. The query then catches up in several runs.
pub const WINDOWS_PER_RUN_MAX: i64 = 1_000;

section "Backups":

/// The maximum time for which a shard keeps the values of a snapshot for a backup, in nanoseconds.
/// A backup that takes longer must be restarted.
pub const BACKUP_HOLD_NS: i64 = super::time::D_NS;
/// The maximum number of objects that one request of a backup, restore or check copies or reads.
/// Such a request moves about 24 MB and makes about 35 calls. The platform's free plan allows 1,000
/// calls to objects and bindings per request, and R2 is a binding.
pub const BACKUP_OBJECTS_PER_REQUEST: u32 = 12;
/// The maximum size of a shard's snapshot without its values, in bytes: manifest, columns and
/// deletes.
pub const BACKUP_POINT_BYTES_MAX: usize = 4_000_000;
/// The maximum number of complete backups per database. Deleting a backup reads the value lists of
/// all other backups.
pub const BACKUPS_PER_DATABASE_MAX: usize = 16;
/// The maximum number of names in one reply of the backup storage, as in R2.
pub const BACKUP_NAMES_MAX: usize = 1_000;
/// The maximum number of objects that one call deletes.
pub const BACKUP_DELETES_MAX: usize = 100;
/// The maximum number of tokens and users that one request imports. Importing a token or user takes
/// at most three calls.
pub const ACCESS_ROWS_PER_REQUEST: usize = 10;
/// The maximum number of names that are tried for an imported token whose name is taken.
pub const ACCESS_NAMES_MAX: u32 = 10;
/// The maximum size of a request body with tokens and users, in bytes. Each token or user takes at
/// most `GRANTEE_BYTES_MAX`.
pub const ACCESS_BODY_BYTES_MAX: usize = 4 << 20;
/// The shortest interval between two backups of a schedule, in nanoseconds.
pub const BACKUP_EVERY_NS_MIN: i64 = super::time::MINUTE_NS;
/// The longest interval between two backups of a schedule, in nanoseconds.
pub const BACKUP_EVERY_NS_MAX: i64 = 366 * super::time::D_NS;
/// The maximum number of backups that a schedule keeps. While the next backup is made, one more
/// backup exists.
pub const SCHEDULED_BACKUPS_MAX: u32 = BACKUPS_PER_DATABASE_MAX as u32 - 1;
/// The pause between two passes of a scheduled backup, in nanoseconds. Each pass does as much work
/// as one request.
pub const BACKUP_PASS_NS: i64 = super::time::S_NS;
/// The maximum pause before a failed scheduled backup is retried, in nanoseconds.
pub const BACKUP_RETRY_NS_MAX: i64 = super::time::H_NS;
/// The maximum size of a scheduled backup's stored error message, in bytes.
pub const SCHEDULE_REASON_BYTES_MAX: usize = 1_000;
/// The maximum duration of a restore, in nanoseconds. A restore that takes longer is undone.
pub const RESTORE_NS_MAX: i64 = 7 * super::time::D_NS;

section "Messages between objects, and jobs":

/// The maximum size of a request message between objects, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 26_000_000;
/// The maximum size of a page of a reply between objects, in bytes.
pub const PAGE_BYTES_MAX: usize = 1_000_000;
/// The maximum size of a page of a policy's schema, in bytes, unless the page contains one
/// measurement. The page has about 10,000 columns. Encoding and decoding a larger page would delay
/// other requests.
pub const SCHEMA_PAGE_BYTES_MAX: usize = 200_000;
/// The maximum number of columns or calls in one group of a page. This limit is far above the
/// number that one query can name.
pub const PAGE_COLUMNS_MAX: usize = 1 << 16;
/// The maximum number of calls to other objects that one event has in flight. The platform queues
/// calls above six connections.
pub const CALLS_PER_ROUND_MAX: usize = 32;
/// The maximum number of calls to objects and bindings for one request: the platform's number of
/// subrequests on the paid plan.
pub const CALLS_PER_REQUEST_MAX: usize = 10_000;
/// The maximum value of the setting `CALLS_PER_REQUEST_MAX`: the platform's maximum of
/// `limits.subrequests`.
pub const CALLS_PER_REQUEST_CEILING: usize = 10_000_000;
/// The number of days for which an object stores its usage: today and the week before.
pub const USAGE_DAYS_MAX: usize = 8;
/// The number of a request's calls that are reserved for its end: the calls after the response, and
/// one repeated round.
pub const CALLS_RESERVED: usize = 40;
/// The maximum number of times that the edge divides a batch among shards again, or restarts a
/// query, because a shard had newer state.
pub const STALE_RETRIES_MAX: u32 = 2;
/// The time after which the alarm first retries a stored job, in nanoseconds. The time doubles with
/// each failure. The request that stored the job usually finishes the job within this time.
pub const JOB_RETRY_NS: i64 = 30 * super::time::S_NS;
/// The number of failures after which the alarm no longer retries a job.
pub const JOB_FAILURES_MAX: u32 = 3;
/// The maximum number of shards of a database for a point-in-time recovery. One row contains the
/// names of these shards two or three times.
pub const RECOVERY_SHARDS_MAX: usize = 2_000;
/// The maximum age of a recovery's target time, in nanoseconds. The platform keeps a history of 30
/// days.
pub const RECOVERY_AGO_NS_MAX: i64 = 30 * super::time::D_NS;
/// The minimum age of a recovery's target time, in nanoseconds. The platform's history may lag by
/// up to one minute.
pub const RECOVERY_AGO_NS_MIN: i64 = 2 * super::time::MINUTE_NS;
/// The time after the end of a recovery in which a request for the same target time starts no other
/// recovery, in nanoseconds. The request returns the status of the ended recovery.
pub const RECOVERY_REPEAT_NS: i64 = super::time::D_NS;
/// The maximum time between the creation of an object and the start of its recoverable history, in
/// nanoseconds. This time is shorter than [`RECOVERY_AGO_NS_MIN`] plus the duration of a recovery.
/// Therefore an object that was created after a recovery needs no history from before the recovery.
pub const HISTORY_START_NS_MAX: i64 = 90 * super::time::S_NS;
/// The number of consecutive failures after which the pause between two attempts of a recovery
/// stops growing.
pub const RECOVERY_PAUSES_MAX: u32 = 4;

/// The number of times that a call is repeated if the platform reports a retryable error or resets
/// the object. Every message may be repeated.
pub const CALL_REPEATS_MAX: u32 = 1;
/// The delay after which the server assumes that the platform has lost an alarm and sets it again,
/// in milliseconds.
pub const ALARM_LATE_MS_MAX: i64 = 5 * 60_000;
/// The maximum number of alarms that one request runs if all objects share one process. Each alarm
/// does bounded work. The remaining alarms wait for the next request.
pub const ALARMS_PER_REQUEST_MAX: usize = 64;

section "Memory of an isolate":

/// The memory, in bytes, of the memtables and caches of all objects of an isolate.
pub const MEMTABLE_BYTES_MAX: usize = 28_000_000;
/// The part of [`MEMTABLE_BYTES_MAX`] that is reserved for data that queries have read and decoded,
/// in bytes. This cache may also use memory that the memtables leave free.
pub const READ_CACHE_BYTES_MAX: usize = 12_000_000;
}
