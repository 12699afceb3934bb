//! Defines the limits of this host. The limits of the engine are in `tidemark_model::limits`.

use std::time::Duration;

use tidemark_model::limits::CANCEL_CHECK_MS;

/// The maximum number of open connections. If half of the open-file limit is lower, that half is
/// the maximum. At the maximum, new connections wait. A single client may use half of the
/// connections, and further connections of this client are refused.
pub const CONNECTIONS_MAX: usize = 10_000;
/// The minimum time between two log events of refused connections.
pub const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(10);
/// The maximum time from the start of a connection until the client has sent the head of the first
/// request.
pub const FIRST_HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// The maximum time until the client has sent the head of a further request. The timeout starts
/// after each HTTP/1.1 response, and at the start of each HTTP/2 request. If an HTTP/2 request runs
/// at the timeout, the timeout starts again.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(75);
/// The time without a running request after which the program ends a connection to which it has
/// sent GOAWAY.
pub const CLOSE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Like [`CLOSE_WAIT_MAX`], for a connection whose client has sent no request.
pub const FIRST_CLOSE_WAIT_MAX: Duration = Duration::from_secs(1);
/// The maximum number of concurrent requests on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 200;
/// The size of the receive window of an HTTP/2 connection and of each of its streams, in bytes. For
/// each connection, the program keeps at most this many bytes of bodies that it has not read.
pub const RECEIVE_WINDOW_BYTES: u32 = 256 << 10;
/// The maximum number of bytes of all responses that are not sent. Above this number, the program
/// closes the connections of clients that do not read.
pub const UNSENT_BYTES_MAX: usize = 128_000_000;
/// The interval between two checks of a stalled upload or an unread response.
pub const CANCEL_CHECK: Duration = Duration::from_millis(CANCEL_CHECK_MS as u64);
/// The maximum size of a request's head, in bytes. The text of a query may have 64 KB
/// (`QUERY_TEXT_BYTES_MAX`), and percent-encoding makes it up to three times as long.
pub const HEAD_BYTES_MAX: usize = 256 << 10;
/// The number of bytes of a request line that hyper receives. hyper rejects a URL of 64 KB or more,
/// so the rest of a longer query does not pass through hyper.
pub const REQUEST_LINE_BYTES: usize = 60_000;
/// The size of a head, in bytes, up to which the head does not count as large.
pub const SMALL_HEAD_BYTES: usize = 64 << 10;
/// The maximum number of bytes of all large heads, in addition to [`SMALL_HEAD_BYTES`] for each
/// head. Above this number, requests with large heads get 503.
pub const LARGE_HEADS_BYTES_MAX: usize = 32 << 20;
/// The maximum duration of a TLS handshake.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The maximum number of messages that wait between two threads. Further calls fail with an
/// overload error.
pub const THREAD_MESSAGES_MAX: usize = 10_000;
/// The maximum number of messages that wait for one object. Further calls fail with an overload
/// error.
pub const INBOX_MESSAGES_MAX: usize = 1_000;
/// The maximum number of events that one commit makes durable.
pub const EVENTS_PER_COMMIT_MAX: usize = 256;
/// The time that an object may spend on events. After this time, the object commits and other
/// objects run.
pub const EVENTS_TIME_MAX: Duration = Duration::from_millis(5);
/// The time without events after which an object is removed from memory and its file is closed.
pub const OBJECT_IDLE: Duration = Duration::from_secs(600);
/// The maximum number of objects in memory per thread. Above this number, the thread removes
/// objects without events for [`OBJECT_CROWDED_IDLE`].
pub const OBJECTS_PER_THREAD_MAX: usize = 400;
/// The time without events after which an object is removed from memory if a thread has more than
/// [`OBJECTS_PER_THREAD_MAX`] objects.
pub const OBJECT_CROWDED_IDLE: Duration = Duration::from_secs(5);
/// The maximum number of threads that wait for the disk or derive keys, for each engine thread.
pub const BLOCKING_THREADS_MAX: usize = 16;
/// The minimum number of key derivations that may run at a time. Clients without credentials can
/// cause derivations, and each takes 10 to 40 ms of CPU time.
pub const DERIVATIONS_MIN: usize = 2;
/// The maximum time that a key derivation waits before it starts. A derivation that waits longer
/// fails with an overload error.
pub const DERIVATION_WAIT_MAX: Duration = Duration::from_secs(5);
/// The time after which an alarm fires again if its event could not be committed.
pub const ALARM_RETRY_NS: i64 = 2_000_000_000;
/// The number of panics after which the program postpones an object's alarms, or refuses the
/// requests to the object.
pub const CRASHES_MAX: u32 = 3;
/// The time after which a panic no longer counts.
pub const CRASH_REMEMBERED_NS: i64 = 24 * 3_600_000_000_000;
/// The time for which the program postpones alarms or refuses requests after [`CRASHES_MAX`]
/// panics. Each further panic doubles the time.
pub const CRASH_WAIT_NS: i64 = 60_000_000_000;
/// The maximum time for which the program postpones alarms or refuses requests after panics.
pub const CRASH_WAIT_NS_MAX: i64 = 3_600_000_000_000;
/// The maximum time for which the alarm clock sleeps. Longer sleeps could miss an alarm after a
/// change of the system's clock.
pub const ALARM_SLEEP_MAX: Duration = Duration::from_secs(30);
/// The interval between the first alarms of the objects if the file of the alarms was lost, in
/// nanoseconds.
pub const FIRST_ALARMS_EVERY_NS: usize = 10_000_000;
/// The maximum number of changed alarms that one commit makes durable.
pub const ALARMS_PER_COMMIT_MAX: usize = 1_000;
/// The maximum size of the name of a file or folder in the folder of backups, in bytes. Most file
/// systems have this limit.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// The maximum number of log lines that wait for the writer.
pub const LOG_LINES_MAX: usize = 10_000;
/// The maximum time for the last log lines at the end of the program.
pub const LOG_END_MAX: Duration = Duration::from_secs(1);
/// The time that running requests have to finish after a termination signal. Docker ends the
/// program 10 s after the signal.
pub const GRACE: Duration = Duration::from_secs(7);
/// The time after a failed commit from which a successful commit of another file ends the failed
/// check in `/health`.
pub const COMMIT_FAILURE_SHOWN: Duration = Duration::from_secs(10);
/// The size of SQLite's write-ahead log, in pages, above which a commit copies the log into the
/// database file.
pub const WAL_PAGES: u32 = 2_000;
/// The size of a SQLite page, in bytes. Most rows are blobs of many kilobytes.
pub const PAGE_BYTES: u32 = 8_192;
/// The size of SQLite's page cache for each open object, in KiB. The engine has a separate cache.
pub const PAGE_CACHE_KIB: u32 = 1_024;
/// The memory of SQLite, in bytes, above which the page caches no longer grow. Each open file keeps
/// a few pages.
pub const SQLITE_BYTES_MAX: u32 = 64_000_000;
/// The number of prepared statements that SQLite caches for each object.
pub const STATEMENTS_KEPT: usize = 64;
/// The maximum number of engine threads that `THREADS` may set.
pub const THREADS_MAX: usize = 64;
/// The default of `MEMORY_BYTES`, for up to eight threads.
pub const MEMORY_BYTES: usize = 192_000_000;
/// The default of `MEMORY_BYTES` for each thread, if the program has more than eight threads. A
/// memtable of the size that causes a flush and the read cache must fit.
pub const THREAD_MEMORY_BYTES: usize = MEMORY_BYTES / 8;
/// The maximum length of an object's id.
pub const OBJECT_ID_CHARACTERS_MAX: usize = 64;
/// The minimum size of a complete response that is compressed, in bytes. A smaller response fits in
/// one packet.
pub const PACKED_BYTES_MIN: usize = 1_000;
/// The maximum number of SQL processes. The second process starts when statements overlap.
pub const SQL_PROCESSES_MAX: usize = 2;
/// The maximum number of concurrent SQL statements of one SQL process, whose memory they share.
/// Further statements wait.
pub const SQL_STATEMENTS_MAX: usize = 2;
/// The maximum time that an SQL statement waits before it starts.
pub const SQL_WAIT_MAX: Duration = Duration::from_secs(10);
/// The time without messages after which an SQL statement ends if another statement waits. A
/// statement without messages is idle because its client does not read the result.
pub const SQL_IDLE: Duration = Duration::from_secs(8);
/// The maximum duration of one turn of an SQL statement, in milliseconds. Turns of ordinary
/// statements take less than one second.
pub const SQL_TURN_MS_MAX: usize = 5_000;
/// The maximum duration of a turn that uses little CPU time. Slow turns with little CPU time mean
/// that the machine is busy or the process does not respond.
pub const SQL_WALL_MAX: Duration = Duration::from_secs(60);
/// The maximum memory of an SQL process during a turn, in bytes.
pub const SQL_PROCESS_BYTES_MAX: usize = 1 << 30;
/// The memory, in bytes, above which an SQL process ends when it runs no statement. Allocators
/// do not return freed memory to the system, so the process must end.
pub const SQL_IDLE_BYTES_MAX: u64 = 64 << 20;
/// The time without statements after which an SQL process ends, in milliseconds. An unused process
/// would keep 40 MB of memory. The process also contains the plans of recent statements, so the
/// next statement starts a process and is planned again.
pub const SQL_UNUSED_MS_MAX: usize = 30_000;
/// The time between two checks of an SQL turn.
pub const SQL_CHECK: Duration = Duration::from_millis(250);
/// The maximum size of a message to or from an SQL process, in bytes. The limit is the maximum
/// size of the engine's messages plus a margin.
pub const SQL_MESSAGE_BYTES_MAX: usize = 32 << 20;
/// The stack size of the thread that plans statements, in bytes. A WebAssembly module has a stack
/// of 8 MiB. A debug build needs several times as much.
#[cfg(feature = "sql")]
pub const SQL_STACK_BYTES: usize = 32 << 20;
/// The time after which another thread may take the processor from a thread of the engine.
pub const ENGINE_SLICE: Duration = Duration::from_micros(300);
/// The `nice` value of the SQL processes. If all cores are busy, writes and InfluxQL come first,
/// and SQL gets a tenth of a core.
#[cfg(feature = "sql")]
pub const SQL_NICE: i32 = 10;
