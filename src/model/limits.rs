//! Every default limit of the service, by name. MB = 10⁶ bytes.

/// Compressed request body, bytes.
pub const BODY_COMPRESSED_BYTES_MAX: usize = 10_000_000;
/// Plain or inflated request body, bytes.
pub const BODY_BYTES_MAX: usize = 25_000_000;
/// For how long the next 128 KB of a body, or its end, are waited for, seconds. Clients give up far
/// sooner; without it one that stalls would keep what is reserved for its body.
pub const BODY_STALL_S_MAX: u32 = 60;
/// Members of one gzip body.
pub const GZIP_MEMBERS_MAX: usize = 10_000;
/// One line of line protocol, bytes.
pub const LINE_BYTES_MAX: usize = 2 << 20;
/// Measurement and tag set of one line as written, bytes (1.x `MaxKeyLength`).
pub const SERIES_KEY_BYTES_MAX: usize = 65_535;
/// One string field value, bytes.
pub const STRING_BYTES_MAX: usize = 1 << 20;
/// Tags of one point.
pub const TAGS_PER_POINT_MAX: usize = 255;
/// Fields of one measurement.
pub const FIELDS_PER_MEASUREMENT_MAX: usize = 1_000;
/// Measurements of one policy.
pub const MEASUREMENTS_PER_POLICY_MAX: usize = 10_000;
/// Ids of dropped measurements that one policy remembers, at most 11 bytes in each shard's row.
pub const DROPPED_MEASUREMENTS_MAX: usize = 100_000;
/// Databases of one deployment.
pub const DATABASES_MAX: usize = 100;
/// Tokens and users of one deployment: each edge remembers them all and compares with each.
pub const GRANTEES_MAX: usize = 1_000;
/// Tokens and users as stored, together, bytes: they are one page.
pub const GRANTEES_BYTES_MAX: usize = PAGE_BYTES_MAX;
/// Age from which on an edge asks for changes of tokens and users, nanoseconds.
pub const GRANTS_FRESH_NS: i64 = 7 * super::time::S_NS;
/// Age past which an edge no longer believes them: then nobody but the administrator is let in.
pub const GRANTS_USABLE_NS: i64 = 10 * super::time::S_NS;
/// Unknown credentials that an isolate remembers.
pub const REFUSED_CREDENTIALS_MAX: usize = 256;
/// For how long after its last use a verified password is not derived again, nanoseconds. A changed
/// password ends it at once: its salt is part of it.
pub const VERIFIED_PASSWORD_NS: i64 = 10 * super::time::M_NS;
/// Questions that credentials which nobody knows may make an isolate ask the Catalog in a second;
/// past it a refusal rests on a copy that is up to a second old.
pub const STRANGERS_ASKED_FOR_MAX: u32 = 10;
/// Rounds of PBKDF2-HMAC-SHA-256 behind a user's password: the most that the platform's WebCrypto
/// takes, some 10 ms.
pub const PASSWORD_ITERATIONS: u32 = 100_000;
/// Failed logins of one name from one address within [`FAILURE_WINDOW_NS`] after which the next
/// ones wait.
pub const FAILURES_MAX: u32 = 20;
/// The same of all names from one address; then only those wait that were not verified there within
/// [`LOGIN_REMEMBERED_NS`].
pub const ADDRESS_FAILURES_MAX: u32 = 100;
/// How long failures are counted together, nanoseconds.
pub const FAILURE_WINDOW_NS: i64 = 60 * super::time::S_NS;
/// For how long an isolate remembers that a name was verified from an address, nanoseconds.
pub const LOGIN_REMEMBERED_NS: i64 = super::time::H_NS;
/// Names, each from an address, that an isolate remembers as failing or verified.
pub const LOGINS_MAX: usize = 10_000;
/// Points below which a write is counted as tiny: its request, call and row cost as much as those
/// of a batch of thousands.
pub const TINY_BATCH_POINTS: u64 = 100;
/// Rejected lines that a reply names; the rest is counted.
pub const REJECTED_LINES_NAMED_MAX: usize = 100;
/// Bodies in flight in one isolate, raw plus inflated, bytes.
pub const BODIES_IN_FLIGHT_BYTES_MAX: usize = 40_000_000;
/// What a database that holds nothing gets for a body, whatever others hold, bytes.
pub const FIRST_BODY_BYTES: usize = 1_000_000;
/// Answers in flight whose readers are waited for, in one isolate, bytes: the pieces that they do
/// not take, and what their queries hold meanwhile.
pub const ANSWERS_WAITING_BYTES_MAX: usize = 24_000_000;
/// What a query holds while its reader is waited for, bytes: a page, and what was made of the last.
pub const WAITING_QUERY_BYTES: usize = 2 * PAGE_BYTES_MAX;
/// How long an upload that nothing comes of, or an answer that nobody takes, may not notice that it
/// was given up, milliseconds.
pub const DISPLACED_NOTICED_MS: u32 = 1_000;
/// What one body and its columns may take while no other is in flight: a line of eight bytes takes
/// twenty in columns, and a new series is more.
pub const LONE_BODY_BYTES_MAX: usize = 72_000_000;
/// Memtables and caches of all objects of one isolate, bytes.
pub const MEMTABLE_BYTES_MAX: usize = 40_000_000;
/// What a frame says of its measurements and columns, bytes: it stands whole in one row of a log,
/// of at most 1.9 MB. A measurement takes some 30, and 2 or 3 for each of its columns.
pub const FRAME_HEADER_BYTES_MAX: usize = 1_800_000;
/// InfluxQL text, bytes.
pub const QUERY_TEXT_BYTES_MAX: usize = 64 << 10;
/// Nesting of expressions and subqueries.
pub const QUERY_DEPTH_MAX: usize = 32;
/// Statements of one query.
pub const STATEMENTS_MAX: usize = 100;
/// Source text of one regex, bytes.
pub const REGEX_BYTES_MAX: usize = 1 << 10;
/// What that may be set to at most; shards check it again.
pub const REGEX_SOURCE_BYTES_MAX: usize = 16 << 10;
/// Different regexes of one query text; compiling one takes milliseconds at worst.
pub const REGEXES_PER_QUERY_MAX: usize = 100;
/// Memory of one compiled regex, bytes.
pub const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;
/// Windows of one query over all series (1.x `max-select-buckets`).
pub const BUCKETS_PER_QUERY_MAX: u64 = 1_000_000;
/// Series of one SELECT, and points that it reads (1.x `max-select-series`, `max-select-point`):
/// without limit unless set, since memory does not grow with them.
pub const UNLIMITED: u32 = u32::MAX;
/// One request message between objects, bytes.
pub const MESSAGE_BYTES_MAX: usize = 26_000_000;
/// One page of a reply between objects, bytes.
pub const PAGE_BYTES_MAX: usize = 1_000_000;
/// Retention policies of one database.
pub const POLICIES_PER_DATABASE_MAX: usize = 100;
/// Shards of one shard group.
pub const SHARDS_PER_GROUP_MAX: u32 = 64;
/// Shards of one policy, all groups together: their ids fit the policy's row.
pub const SHARDS_PER_POLICY_MAX: usize = 10_000;
/// Databases that an isolate remembers.
pub const CACHED_DATABASES_MAX: usize = 100;
/// Columns (and measurements) of schemas that an isolate remembers, about 100 bytes each.
pub const CACHED_SCHEMA_COLUMNS_MAX: usize = 100_000;
/// Queries of more than one page that a shard reads for at the same time; the others wait.
pub const QUERIES_READING_MAX: usize = 2;
/// Pages of queries that wait at one shard. More are refused: repeat the query later.
pub const PAGES_WAITING_MAX: usize = 1_000;
/// Times that a frame is split again or a query restarted because a shard knew better.
pub const STALE_RETRIES_MAX: u32 = 2;
/// Times that a job may fail before the alarm leaves it alone.
pub const JOB_FAILURES_MAX: u32 = 3;
/// Rows times field columns of one write request, padding of absent fields included: at 8 bytes a
/// cell 64 MB. A body of 25 MB has at most 4.2 million one-field lines, so only requests whose
/// lines have very different fields meet it.
pub const CELLS_PER_REQUEST_MAX: usize = 8_000_000;
/// Calls to other objects that one event has in flight; the platform queues past six connections.
pub const CALLS_PER_ROUND_MAX: usize = 32;
/// How long after it was stored a job is first retried by the alarm, nanoseconds; doubled per
/// failure. Long enough for the request that stored it to finish it.
pub const JOB_RETRY_NS: i64 = 30 * super::time::S_NS;
/// How long dropped shards refuse before their storage goes, nanoseconds: a message that was sent
/// before the drop must not find an object that forgot it.
pub const WIPE_DELAY_NS: i64 = 60 * super::time::S_NS;
/// One measurement's columns as stored and sent, bytes: fits a row and a page.
pub const MEASUREMENT_SCHEMA_BYTES_MAX: usize = 900_000;
/// How far after now live data is split, nanoseconds: beyond what writers in flight still send.
pub const SPLIT_AHEAD_NS: i64 = 10 * super::time::S_NS;
/// Pages that one event of a split copies; each is a scan and a write to every new shard.
pub const SPLIT_PAGES_PER_EVENT_MAX: u32 = 100;
/// How often a Database looks at the size of its shards unasked, nanoseconds.
pub const TEND_EVERY_NS: i64 = super::time::D_NS;
/// Continuous queries of one database: all of them fit one reply.
pub const CONTINUOUS_QUERIES_MAX: usize = 100;
/// Text of one continuous query, every name qualified, bytes.
pub const CONTINUOUS_QUERY_BYTES_MAX: usize = 8 << 10;
