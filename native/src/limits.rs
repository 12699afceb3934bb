//! The limits of this host. The limits of the engine are in `tidemark::model::limits`.

use std::time::Duration;

/// The maximum number of open client connections. Further connections wait until one closes.
pub const CONNECTIONS_MAX: usize = 10_000;
/// The maximum time between a connection's start, or a response, and the end of the next head.
pub const HEAD_S_MAX: Duration = Duration::from_secs(75);
/// The maximum number of calls on one HTTP/2 connection at the same time.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 200;
/// The maximum size of a request's head, in bytes.
pub const HEAD_BYTES_MAX: usize = 128 << 10;
/// The maximum time of a TLS handshake.
pub const HANDSHAKE_S_MAX: Duration = Duration::from_secs(10);
/// The maximum number of messages that wait between two threads. Further calls are refused as
/// overload.
pub const LETTERS_MAX: usize = 10_000;
/// The maximum number of messages that wait for one object. Further calls are refused as overload.
pub const INBOX_MESSAGES_MAX: usize = 1_000;
/// The maximum number of events that one commit makes durable.
pub const EVENTS_PER_COMMIT_MAX: usize = 256;
/// The duration of an object's events after which the object commits and other objects run.
pub const EVENTS_TIME_MAX: Duration = Duration::from_millis(5);
/// The time without an event after which an object leaves memory and its file is closed.
pub const OBJECT_IDLE: Duration = Duration::from_secs(600);
/// The maximum number of objects in memory per thread. Above this number, objects without an event
/// for [`OBJECT_CROWDED_IDLE`] leave memory.
pub const OBJECTS_PER_THREAD_MAX: usize = 400;
/// See [`OBJECTS_PER_THREAD_MAX`].
pub const OBJECT_CROWDED_IDLE: Duration = Duration::from_secs(5);
/// The maximum number of threads, per engine thread, that wait for the disk or derive keys.
pub const BLOCKING_THREADS_MAX: usize = 16;
/// The time after which an alarm fires again if its event could not be committed.
pub const ALARM_RETRY_NS: i64 = 2_000_000_000;
/// The longest sleep of the alarm clock. It is limited because the system's clock may be changed.
pub const ALARM_SLEEP_MAX: Duration = Duration::from_secs(30);
/// The maximum number of changed alarms that one commit makes durable.
pub const ALARMS_PER_COMMIT_MAX: usize = 1_000;
/// The time after a signal for running requests to finish.
pub const GRACE: Duration = Duration::from_secs(10);
/// The size of SQLite's write-ahead log, in pages, above which a commit copies it into the file.
pub const WAL_PAGES: u32 = 2_000;
/// The size of a SQLite page, in bytes. Rows are mostly blobs of many kilobytes.
pub const PAGE_BYTES: u32 = 8_192;
/// The size of SQLite's page cache per open object, in KiB. The engine has its own cache.
pub const PAGE_CACHE_KIB: u32 = 1_024;
/// The number of prepared statements that SQLite keeps per object.
pub const STATEMENTS_KEPT: usize = 64;
/// The maximum number of engine threads that `THREADS` may set.
pub const THREADS_MAX: usize = 64;
/// The default of `MEMORY_BYTES`.
pub const MEMORY_BYTES: usize = 256_000_000;
/// The maximum length of an object's id.
pub const OBJECT_ID_CHARACTERS_MAX: usize = 64;
/// The minimum size of a whole response that is compressed, in bytes. A smaller response fits in a
/// packet.
pub const PACKED_BYTES_MIN: usize = 1_000;
/// The maximum number of SQL statements that run at the same time. They share the memory of the SQL
/// process. Further statements wait.
pub const SQL_STATEMENTS_MAX: usize = 2;
/// The maximum time that an SQL statement waits for its start.
pub const SQL_WAIT_MAX: Duration = Duration::from_secs(10);
/// The time without a message after which an SQL statement ends if another statement waits. Its
/// client does not read the result.
pub const SQL_IDLE: Duration = Duration::from_secs(8);
/// The maximum time of a turn of an SQL statement, in milliseconds. Turns of ordinary statements take
/// less than one second.
pub const SQL_TURN_MS_MAX: usize = 5_000;
/// The maximum time of a turn that uses little CPU time, because the machine is busy or the process
/// does not respond.
pub const SQL_WALL_MAX: Duration = Duration::from_secs(60);
/// The maximum memory of the SQL process during a turn, in bytes.
pub const SQL_PROCESS_BYTES_MAX: u64 = 1 << 30;
/// The memory above which an SQL process ends when no statement runs. The limit is needed because
/// allocators keep freed memory.
pub const SQL_KEPT_BYTES_MAX: u64 = 64 << 20;
/// The time between two checks of an SQL turn.
pub const SQL_CHECK: Duration = Duration::from_millis(250);
/// The maximum size of a message to or from the SQL process, in bytes: the maximum size of the
/// engine's messages plus a margin.
pub const SQL_MESSAGE_BYTES_MAX: usize = 32 << 20;
/// The stack size of the thread that plans statements, in bytes. A WebAssembly module has 8 MiB; a
/// debug build needs several times more.
#[cfg(feature = "sql")]
pub const SQL_STACK_BYTES: usize = 32 << 20;
