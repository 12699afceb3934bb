//! Every limit of the service, by name: how large a request may be, how much is kept, how long
//! something is waited for. MB = 10⁶ bytes.
//!
//! [`super::configurable_limits`] says which of them an operator may set. Sizes of the engine's
//! blocks and pages stand with the engine; bounds that InfluxQL itself has stand with its grammar.

// Bodies of requests, and answers that wait for their readers.

/// Compressed request body, bytes.
pub const BODY_COMPRESSED_BYTES_MAX: usize = 10_000_000;
/// Plain or inflated request body, bytes.
pub const BODY_BYTES_MAX: usize = 25_000_000;
/// For how long the next 128 KB of a body, or its end, are waited for, seconds. Clients give up far
/// sooner; without it one that stalls would keep what is reserved for its body.
pub const BODY_STALL_S_MAX: u32 = 60;
/// Members of one gzip body.
pub const GZIP_MEMBERS_MAX: usize = 10_000;
/// Bodies in flight in one isolate, raw plus inflated, and their columns, bytes.
pub const BODIES_IN_FLIGHT_BYTES_MAX: usize = 36_000_000;
/// What bodies of databases that held nothing may take beyond it, bytes.
pub const FIRST_BODIES_BYTES_MAX: usize = 4_000_000;
/// What a database that holds nothing gets whatever others hold, for bodies and for queries, bytes.
pub const FIRST_BYTES: usize = 1_000_000;
/// How long an upload that nothing comes of, or an answer that nobody takes, may not notice that it
/// was given up, milliseconds.
pub const DISPLACED_NOTICED_MS: u32 = 1_000;

/// The body of a management request, which is a short JSON document, bytes.
pub const MANAGEMENT_BODY_BYTES_MAX: usize = 64 << 10;
/// How many times larger than its text the body of a query may be: it may be percent-encoded and
/// may carry bound parameters.
pub const QUERY_BODY_PER_TEXT: usize = 4;
/// Memory that is reserved when the first piece of a body arrives, bytes.
pub const BODY_FIRST_ROOM_BYTES: usize = 512 << 10;
/// Bytes of a body that one read waits for, unless the body ends before.
pub const BODY_READ_BYTES_MIN: u32 = 128 << 10;
/// Bytes of a body that one read may return.
pub const BODY_READ_BYTES_MAX: u32 = 256 << 10;
/// Bytes of a body that are read as fast as they come; what follows leaves room for others.
pub const BODY_PACED_AFTER_BYTES: usize = 2_000_000;
/// Bytes of a refused body that are read and discarded, because a client that is still sending
/// does not look for the refusal.
pub const DISCARDED_BODY_BYTES_MAX: usize = 64_000_000;
/// A reply of up to so many bytes is sent whole.
pub const WHOLE_REPLY_BYTES_MAX: usize = 1_000_000;
/// A longer reply is sent in pieces of about so many bytes.
pub const REPLY_PIECE_BYTES: usize = 256_000;
/// Fewer bytes of a reply are sent together with those behind them if these are there: each piece
/// costs the runtime as much as thousands of bytes.
pub const REPLY_PIECE_BYTES_MIN: usize = 32_000;
/// Rows that are written before what is written may be sent: a series of windows comes as one.
pub const REPLY_PIECE_ROWS: usize = 8_192;
/// Rows of a batch of an Arrow stream, which may also end by its bytes ([`REPLY_PIECE_BYTES`]).
pub const ARROW_BATCH_ROWS_MAX: usize = 8_192;
/// Characters of a format, or of a header `Accept`, that its refusal repeats.
pub const MEDIA_TYPE_CHARS_MAX: usize = 100;
/// Characters of an error that a header repeats; 1.x truncates there too.
pub const ERROR_HEADER_CHARS_MAX: usize = 1_024;
/// Text of an error in the trailers of a call of gRPC, percent-encoded, bytes: clients take 8 KB of
/// trailers.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 6_000;
/// One batch of a Flight answer as it was made, bytes: it is held until all of it is there.
pub const FLIGHT_MESSAGE_BYTES_MAX: usize = 16_000_000;
/// Characters of a foreign page's origin that its refusal repeats.
pub const ORIGIN_CHARS_MAX: usize = 200;
/// Characters of a database's name that a line of the log repeats.
pub const LOGGED_DATABASE_CHARS_MAX: usize = 64;
/// How long `/health` waits for the Catalog, milliseconds.
pub const CATALOG_HEALTH_WAIT_MS: u32 = 2_000;
/// How long `/health` repeats what the Catalog answered, nanoseconds.
pub const CATALOG_HEALTH_REMEMBERED_NS: i64 = 5 * super::time::S_NS;

// Lines and points of a write.

/// One line of line protocol, bytes.
pub const LINE_BYTES_MAX: usize = 2 << 20;
/// Measurement and tag set of one line as written, bytes (1.x `MaxKeyLength`).
pub const SERIES_KEY_BYTES_MAX: usize = 65_535;
/// One string field value, bytes.
pub const STRING_BYTES_MAX: usize = 1 << 20;
/// Tags of one point.
pub const TAGS_PER_POINT_MAX: usize = 255;
/// Values of one write request, and tags of its series; padding of absent fields is about as much
/// at most (`batch/row_runs.rs`), and counted too: at 8 bytes a cell 64 MB. A body of 25 MB has at
/// most 4.2 million one-field lines, so only requests in which each line has other fields than the
/// one before meet it.
pub const CELLS_PER_REQUEST_MAX: usize = 8_000_000;
/// Points below which a write is counted as tiny: its request, call and row cost as much as those
/// of a batch of thousands.
pub const TINY_BATCH_POINTS: u64 = 100;
/// Rejected lines that a reply names; the rest is counted.
pub const REJECTED_LINES_NAMED_MAX: usize = 100;
/// Characters of a rejected line that its error repeats.
pub const QUOTED_CHARS_MAX: usize = 64;

/// Bytes that are worth turning into columns before the body's end: a shorter body takes one pass.
pub const PARSED_PIECE_BYTES: usize = 128 << 10;
/// Bodies of v3 up to this size are kept until the reply, which repeats the beginnings of rejected
/// lines, bytes.
pub const KEPT_TEXT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a rejected line that InfluxDB 3 repeats.
pub const REJECTED_LINE_EXCERPT_BYTES_MAX: usize = 20;
/// Bytes after which an exported row goes on in another line of the same series and time: values
/// that came in several lines may be more than one line takes.
pub const EXPORTED_LINE_BYTES: usize = LINE_BYTES_MAX / 2;
/// Parentheses inside one another in the predicate of a v2 deletion.
pub const DELETE_PREDICATE_DEPTH_MAX: usize = 32;

// Databases, policies and their schemas.

/// Databases of one deployment.
pub const DATABASES_MAX: usize = 10_000;
/// Databases whose durations an isolate counts (`COUNT_DURATIONS`): 150 bytes each.
pub const DATABASES_TIMED_MAX: usize = 1_000;
/// Retention policies of one database.
pub const POLICIES_PER_DATABASE_MAX: usize = 100;
/// Duration of a retention policy, and of its shard groups, at least, nanoseconds (1.x
/// `MinRetentionPolicyDuration`).
pub const POLICY_DURATION_MIN_NS: i64 = super::time::H_NS;
/// Measurements of one policy.
pub const MEASUREMENTS_PER_POLICY_MAX: usize = 10_000;
/// Fields of one measurement.
pub const FIELDS_PER_MEASUREMENT_MAX: usize = 1_000;
/// One measurement's columns as stored and sent, bytes: fits a row and a page.
pub const MEASUREMENT_SCHEMA_BYTES_MAX: usize = 900_000;
/// Ids of dropped measurements that one policy remembers, at most 11 bytes in each shard's row.
pub const DROPPED_MEASUREMENTS_MAX: usize = 100_000;
/// What an isolate remembers of databases, policies and shard maps, bytes: some 7,000 small ones.
pub const CACHED_DATABASES_BYTES_MAX: usize = 4_000_000;
/// Columns (and measurements) of schemas that an isolate remembers, about 100 bytes each.
pub const CACHED_SCHEMA_COLUMNS_MAX: usize = 100_000;

/// Names and policies of the databases that one request lists, bytes: of some 50,000 databases.
pub const DESCRIBED_BYTES_MAX: usize = 8_000_000;
/// Buckets that a page of `/api/v2/buckets` has unless the client says how many.
pub const BUCKETS_PER_PAGE_DEFAULT: usize = 20;
/// Buckets that a client may ask for in one page of `/api/v2/buckets`.
pub const BUCKETS_PER_PAGE_MAX: usize = 100;

// Shard groups, and what is done to them unasked.

/// Shards of one shard group.
pub const SHARDS_PER_GROUP_MAX: u32 = 64;
/// Shards of one policy, all groups together: their ids fit the policy's row.
pub const SHARDS_PER_POLICY_MAX: usize = 10_000;
/// How far after now live data is split, nanoseconds: beyond what writers in flight still send.
pub const SPLIT_AHEAD_NS: i64 = 10 * super::time::S_NS;
/// Pages that one event of a split copies; each is a scan and a write to every new shard.
pub const SPLIT_PAGES_PER_EVENT_MAX: u32 = 100;
/// How often a Database looks at the size of its shards unasked, nanoseconds.
pub const TEND_EVERY_NS: i64 = super::time::D_NS;
/// How long dropped shards refuse before their storage goes, nanoseconds: a message that was sent
/// before the drop must not find an object that forgot it.
pub const WIPE_DELAY_NS: i64 = 60 * super::time::S_NS;
/// Shards that one job to wipe them names: they bound the job's row.
pub const SHARDS_PER_WIPE_MAX: usize = 1_000;

// Quotas.

/// Tokens and users with limits of their own on one database: every edge that knows it has them.
pub const QUOTAS_PER_DATABASE_MAX: usize = 1_000;

/// Tokens and users whose writes may create so many databases and no more: they fit the Catalog's
/// row.
pub const CREATOR_QUOTAS_MAX: usize = 1_000;

// Tokens, users and logins.

/// Tokens and users of one deployment: what the Catalog remembers of each is some 100 bytes.
pub const GRANTEES_MAX: usize = 100_000;
/// Databases that a token or user may name, and its bytes as it is stored.
pub const GRANTEE_BYTES_MAX: usize = 100_000;
/// Tokens of one page of a list, unless it says how many.
pub const GRANTEES_PER_PAGE: usize = 1_000;
/// Databases that are told at once of a change of a token or user.
pub const DATABASES_TOLD_AT_ONCE: usize = 32;
/// Rounds of such calls that one request may take, before it is answered with what remains, and
/// those that the alarm takes before it comes back at once.
pub const TELLING_ROUNDS_MAX: [u32; 2] = [4, 24];
/// How long, at most, the alarm waits between two tries to end a right, nanoseconds.
pub const REVOKE_RETRY_NS_MAX: i64 = 4 * super::time::S_NS;
/// How often, at most, an edge tells the Catalog of a token or user that it goes on letting in,
/// once the request is answered, nanoseconds. Within it a right ends at databases that cannot be
/// told.
pub const CONFIRMED_NS: i64 = super::time::H_NS;
/// The same where the Catalog did not answer.
pub const CONFIRM_RETRY_NS: i64 = super::time::MINUTE_NS;
/// For how long the secret before lets in once a token has another one, unless the request says it,
/// and at most, seconds.
pub const SECRET_KEPT_S: i64 = 86_400;
/// See [`SECRET_KEPT_S`].
pub const SECRET_KEPT_S_MAX: i64 = 30 * 86_400;
/// Tokens and users that an isolate remembers, each once for each database that it uses.
pub const CALLERS_REMEMBERED_MAX: usize = 10_000;
/// Unknown credentials that an isolate remembers.
pub const REFUSED_CREDENTIALS_MAX: usize = 256;
/// Names of no user that an isolate remembers, so that guessing passwords for them asks nobody.
pub const UNKNOWN_NAMES_MAX: usize = 1_000;
/// For how long either is remembered, nanoseconds.
pub const REFUSED_CREDENTIALS_NS: i64 = 7 * super::time::S_NS;
/// Strangers for whom an isolate asks Databases and the Catalog in a second; past it whoever it has
/// not met yet is answered 503. Those that it has met ask neither.
pub const STRANGERS_ASKED_FOR_MAX: u32 = 250;
/// Rounds of PBKDF2-HMAC-SHA-256 behind a user's password: the most that the platform's WebCrypto
/// takes, some 10 ms.
pub const PASSWORD_ITERATIONS: u32 = 100_000;
/// For how long after its last use a verified password is not derived again, nanoseconds. A changed
/// password ends it at once: its salt is part of it.
pub const VERIFIED_PASSWORD_NS: i64 = 10 * super::time::MINUTE_NS;
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

/// Fewest characters of the admin token.
pub const ADMIN_TOKEN_CHARACTERS_MIN: usize = 16;
/// A token's name, bytes.
pub const TOKEN_NAME_BYTES_MAX: usize = 256;

// Texts of queries.

/// InfluxQL text, bytes.
pub const QUERY_TEXT_BYTES_MAX: usize = 64 << 10;
/// Nesting of expressions and subqueries.
pub const QUERY_DEPTH_MAX: usize = 32;
/// Levels of one expression's tree. [`QUERY_DEPTH_MAX`] bounds the nesting that a text shows; this
/// also bounds what chains of operators add, because `a + b + c + …` nests to the left.
pub const EXPR_DEPTH_MAX: usize = 512;
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
/// How often the text of a subquery may be read: the number doubles with each depth at which
/// functions that want the window before their range stand beside others.
pub const SUBQUERY_READINGS_MAX: u32 = 64;

// Execution of queries.

/// Windows of one query over all series (1.x `max-select-buckets`).
pub const BUCKETS_PER_QUERY_MAX: u64 = 1_000_000;
/// Series of one SELECT, and points that it reads (1.x `max-select-series`, `max-select-point`):
/// without limit unless set, since memory does not grow with them.
pub const UNLIMITED: u32 = u32::MAX;
/// Streams of later measurements that are asked for their first page ahead of time, so that a
/// statement over many measurements is not one round trip for each. Each holds one page.
pub const STREAMS_AHEAD_MAX: usize = 256;
/// First pages of further scans that one call to a shard asks for. It answers as many as fit one
/// event and one page.
pub const FURTHER_SCANS_MAX: usize = 255;
/// Shards that are asked at the same time for one scan; a piece of each may be on its way.
pub const SHARDS_ASKED_AT_ONCE_MAX: usize = 6;
/// What the queries of one isolate hold, bytes.
pub const QUERIES_BYTES_MAX: usize = 10_000_000;
/// What queries of databases that held nothing may take beyond it, bytes.
pub const FIRST_QUERIES_BYTES_MAX: usize = 4_000_000;
/// How much of that any query may begin with, bytes: so much is left for small queries however much
/// large ones hold.
pub const BEGINNINGS_BYTES_MAX: usize = 2_000_000;
/// What a query has to begin with, bytes: a half for the pieces that are on their way, a half for
/// what is gathered of them.
pub const QUERY_START_BYTES: usize = FIRST_BYTES;
/// What queries may take of what bodies leave free for what has to be held whole, bytes.
pub const QUERY_SPARE_BYTES_MAX: usize = 24_000_000;
/// From when on a reader who takes nothing of an answer is slow, and the answer may be given up for
/// others, nanoseconds.
pub const SLOW_READER_NS: i64 = super::time::S_NS;
/// Queries of one database, in one isolate, that may need more than the first pages of their shards
/// at the same time; the others begin anew in turn, and small ones pass them. As many as shards
/// read for: more would hold memory while they wait.
pub const LONG_QUERIES_MAX: usize = QUERIES_READING_MAX;
/// What one of them may gather although others wait to begin, bytes: with half of it fifty such
/// queries take twice as long, with more of it writes wait for longer while it is merged.
pub const LONG_QUERY_BYTES_MAX: usize = 3_000_000;
/// How long one of them keeps others waiting, nanoseconds.
pub const LONG_QUERY_NS: i64 = 5 * super::time::S_NS;
/// Queries of one database that need more pages, with those that have taken longer.
pub const LONG_QUERIES_EVER_MAX: usize = 4;
/// How long a query waits for the room to begin, and again if it has to begin anew, nanoseconds.
pub const QUERY_WAIT_NS_MAX: i64 = 30 * super::time::S_NS;
/// Queries of one isolate that wait so; more are refused at once.
pub const QUERIES_WAITING_MAX: usize = 500;
/// After which pause it looks again, milliseconds.
pub const QUERY_WAIT_PAUSE_MS: u32 = 20;
/// The least that a piece of a shard's answer is asked to hold, bytes.
pub const PIECE_BYTES_MIN: u32 = 64_000;
/// What the pieces of all shards of one query are asked to hold together, bytes: the larger they
/// are, the less room there is for what is gathered.
pub const PIECES_BYTES_MAX: usize = 4_000_000;
/// What is gathered of the answer of all shards to one scan before it is shown, bytes.
pub const SLICE_BYTES_MAX: usize = 8_000_000;
/// Groups and windows of one page that SQL is given.
pub const SQL_PAGE_ROWS_MAX: usize = 1 << 16;
/// Values that a statement reads or computes in one millisecond, at 50 ns each in WebAssembly.
pub const WORK_PER_MS: u64 = 20_000;
/// The work after which a statement pauses so that other requests run: 10 ms.
pub const WORK_PER_TURN: u64 = 10 * WORK_PER_MS;
/// The default of `QUERY_CPU_MS_MAX`: the computing time of one statement, milliseconds.
pub const QUERY_CPU_MS_MAX: usize = 60_000;
/// The most that `QUERY_CPU_MS_MAX` may be set to: the CPU limit of one invocation (wrangler.toml).
pub const QUERY_CPU_MS_CEILING: usize = 300_000;
/// The columns of one statement and its subqueries after `*` and regexes are expanded. A column
/// with several calls counts once for each call.
pub const COLUMNS_PER_QUERY_MAX: usize = 5_000;
/// The measurements and subqueries in FROM of one statement and its subqueries after regexes are
/// expanded.
pub const SOURCES_PER_QUERY_MAX: usize = 20_000;
/// The databases and policies that one statement reads: each is loaded by a call.
pub const POLICIES_PER_QUERY_MAX: usize = 100;
/// How often FROM may name the same measurement: the rows of all of them are merged.
pub const SOURCES_PER_MEASUREMENT_MAX: usize = 100;
/// The entries of a statement's plan: columns, dimensions and conditions, once per source.
pub const PLAN_ENTRIES_MAX: usize = 1_000_000;
/// The parameters of one prepared statement.
pub const PLACEHOLDERS_MAX: usize = 1_000;
/// The text of one prepared statement, bytes; the crate `sql` accepts 256 KiB.
pub const PREPARED_TEXT_BYTES_MAX: usize = 256_000;
/// Tables whose names are looked for in a statement of SQL, so that it need not ask for them.
pub const SQL_TABLES_LOOKED_FOR_MAX: usize = 1_000;
/// Values of one window that are held for a function that needs all of them.
pub const GATHERED_VALUES_MAX: usize = 1_000_000;
/// What these values may take, with what stands beside them, bytes; as much again while they are
/// answered.
pub const GATHERED_BYTES_MAX: usize = 16_000_000;
/// Rows of one subquery that are held, bytes. While the last of them are added and while they are
/// sorted they take up to three times as much.
pub const SUBQUERY_BYTES_MAX: usize = 10_000_000;
/// What the names of one measurement that a SHOW statement lists may take, bytes.
pub const LISTED_NAMES_BYTES_MAX: usize = 32_000_000;
/// Series, or values of tags, of one measurement that one statement may count.
pub const COUNTED_NAMES_MAX: usize = 4 << 20;
/// Values, past and future, of one series of a forecast: each is looked at up to 32,000 times.
pub const FORECAST_VALUES_MAX: usize = 5_000;
/// Length of the season of a forecast: fitting it takes memory by its square.
pub const FORECAST_SEASON_MAX: usize = 500;
/// Steps of the search for the parameters of one forecast (1.x `query/neldermead`).
pub const FORECAST_STEPS_MAX: usize = 1_000;
/// One MessagePack document, bytes: it is held until its lengths are known.
pub const MSGPACK_BYTES_MAX: usize = 16_000_000;
/// Text of string columns that is put side by side at once while rows are printed, bytes.
pub const PRINTED_TEXT_BYTES_MAX: usize = 256 << 10;

/// Rows of a chunk when `chunked=true` does not say how many (1.x `DefaultChunkSize`).
pub const CHUNK_ROWS_DEFAULT: usize = 10_000;
/// Rows of a chunk at most: a chunk is held in memory.
pub const CHUNK_ROWS_MAX: usize = 100_000;

// Queries under way.

/// Queries of more than one page that a shard reads for at the same time; the others wait.
pub const QUERIES_READING_MAX: usize = 2;
/// Pages of queries that wait at one shard. More are refused: repeat the query later.
pub const PAGES_WAITING_MAX: usize = 1_000;
/// Queries that SHOW QUERIES lists at once; the oldest make room.
pub const QUERIES_LISTED_MAX: usize = 1_000;
/// How long a query stays listed after its last report, nanoseconds.
pub const QUERY_LISTED_NS: i64 = 60 * super::time::S_NS;
/// How often a query that goes on is reported to the Catalog again, nanoseconds.
pub const QUERY_REPORT_EVERY_NS: i64 = 5 * super::time::S_NS;
/// Shards of one query that its report names: those that KILL QUERY reaches.
pub const QUERY_SHARDS_NAMED_MAX: usize = 1_000;

// Continuous queries.

/// Continuous queries of one database: all of them fit one reply.
pub const CONTINUOUS_QUERIES_MAX: usize = 100;
/// Text of one continuous query, every name qualified, bytes.
pub const CONTINUOUS_QUERY_BYTES_MAX: usize = 8 << 10;
/// How much later, at most, a continuous query is tried again after failures, nanoseconds.
pub const CONTINUOUS_RETRY_NS_MAX: i64 = 60 * JOB_RETRY_NS;
/// Windows of one run of a continuous query, unless FOR asks for more: it catches up in steps.
pub const WINDOWS_PER_RUN_MAX: i64 = 1_000;

// Backups.

/// How long the values of a point are held for a backup, nanoseconds: one that is not finished by
/// then is begun anew.
pub const BACKUP_HOLD_NS: i64 = super::time::D_NS;
/// Objects that one request of a backup, a restore or a check copies or reads: half of the fifty
/// calls that a request may make on the platform's free plan are left for finding out where it is.
pub const BACKUP_OBJECTS_PER_REQUEST: u32 = 12;
/// A shard's point without its values, bytes: manifest, columns, deletes.
pub const BACKUP_POINT_BYTES_MAX: usize = 4_000_000;
/// Whole backups of one database: who deletes one asks all others which values they share.
pub const BACKUPS_PER_DATABASE_MAX: usize = 16;
/// Names in one reply of the place that backups are kept in, as R2 has it.
pub const BACKUP_NAMES_MAX: usize = 1_000;
/// Objects that are deleted with one call.
pub const BACKUP_DELETES_MAX: usize = 100;
/// Tokens and users that one request takes in: each takes three calls at most, and a request of the
/// platform's free plan may make fifty.
pub const ACCESS_ROWS_PER_REQUEST: usize = 10;
/// Names that are tried for a token whose own another one has.
pub const ACCESS_NAMES_MAX: u32 = 10;
/// The body of a request that has tokens and users, bytes: each is at most `GRANTEE_BYTES_MAX`.
pub const ACCESS_BODY_BYTES_MAX: usize = 4 << 20;
/// The shortest time between two backups of a schedule, nanoseconds.
pub const BACKUP_EVERY_NS_MIN: i64 = super::time::MINUTE_NS;
/// The longest time between two backups of a schedule, nanoseconds.
pub const BACKUP_EVERY_NS_MAX: i64 = 366 * super::time::D_NS;
/// Backups that a schedule keeps at most: while the next one is made there is one more.
pub const SCHEDULED_BACKUPS_MAX: u32 = BACKUPS_PER_DATABASE_MAX as u32 - 1;
/// Between two passes of a scheduled backup, nanoseconds: each does what one request does.
pub const BACKUP_PASS_NS: i64 = super::time::S_NS;
/// How much later, at most, a scheduled backup is tried again after failures, nanoseconds.
pub const BACKUP_RETRY_NS_MAX: i64 = super::time::H_NS;
/// What is kept of why a scheduled backup failed, bytes.
pub const SCHEDULE_WHY_BYTES_MAX: usize = 1_000;
/// How long a restore may take, nanoseconds: one that is not finished by then is undone.
pub const RESTORE_NS_MAX: i64 = 7 * super::time::D_NS;

// Messages between objects, and jobs.

/// One request message between objects, bytes.
pub const MESSAGE_BYTES_MAX: usize = 26_000_000;
/// One page of a reply between objects, bytes.
pub const PAGE_BYTES_MAX: usize = 1_000_000;
/// The same as a request says it.
pub const PIECE_BYTES_MAX: u32 = PAGE_BYTES_MAX as u32;
/// Columns or calls of one group of a page, far above what one query can name.
pub const PAGE_COLUMNS_MAX: usize = 1 << 16;
/// Calls to other objects that one event has in flight; the platform queues past six connections.
pub const CALLS_PER_ROUND_MAX: usize = 32;
/// Times that a frame is split again or a query restarted because a shard knew better.
pub const STALE_RETRIES_MAX: u32 = 2;
/// How long after it was stored a job is first retried by the alarm, nanoseconds; doubled per
/// failure. Long enough for the request that stored it to finish it.
pub const JOB_RETRY_NS: i64 = 30 * super::time::S_NS;
/// Times that a job may fail before the alarm leaves it alone.
pub const JOB_FAILURES_MAX: u32 = 3;
/// Shards of a database that may go back in time together: their names are in one row, twice or
/// three times.
pub const RECOVERY_SHARDS_MAX: usize = 2_000;
/// How long ago a time may be that a database goes back to, nanoseconds: what the platform keeps.
pub const RECOVERY_AGO_NS_MAX: i64 = 30 * super::time::D_NS;
/// How long ago it must be, nanoseconds. What the platform keeps is up to a minute behind.
pub const RECOVERY_AGO_NS_MIN: i64 = 2 * super::time::MINUTE_NS;
/// How long after an object was made its past begins at the latest, nanoseconds. Less than what a
/// recovery takes and that: what is made after one needs no past of before it.
pub const PAST_BEGINS_NS_MAX: i64 = 90 * super::time::S_NS;
/// After how many failures in a row the pause between two tries of a recovery grows no more.
pub const RECOVERY_PAUSES_MAX: u32 = 4;

/// How often a call that the platform calls retryable is repeated; every message may be repeated.
pub const CALL_REPEATS_MAX: u32 = 1;
/// An alarm that is later than this was given up by the platform and is set again, milliseconds.
pub const ALARM_LATE_MS_MAX: i64 = 5 * 60_000;
/// Alarms that one request sets off where all objects live in one process. Each does bounded work;
/// what is left waits for the next request.
pub const ALARMS_PER_REQUEST_MAX: usize = 64;

// Memory of an isolate.

/// Memtables and caches of all objects of one isolate, bytes.
pub const MEMTABLE_BYTES_MAX: usize = 28_000_000;
/// Of that, what questions have read and decoded, whatever memtables would take, bytes. It has
/// more where they leave it.
pub const READ_CACHE_BYTES_MAX: usize = 12_000_000;
