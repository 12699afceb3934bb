//! The limits of `tidemark flight`, with the names that errors contain.

use std::time::Duration;

use serde_json::Value;

/// The window of one HTTP/2 stream, in bytes. Calls whose clients do not read keep at most
/// `callsMax` × 2 × `STREAM_WINDOW_BYTES` in memory.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;

const DEFAULTS: &[(&str, u64)] = &[
    ("connectionsMax", 256),
    // A client queues calls above this limit itself.
    ("callsPerConnectionMax", 100),
    ("callsMax", 256),
    ("headerBytesMax", 16 << 10),
    ("messageBytesMax", 64 << 20),
    // gRPC clients accept 8 to 16 KB of trailers.
    ("trailerBytesMax", 16 << 10),
    // The maximum number of HTTP/2 connections to which new calls are sent. A connection without
    // free streams does not count. With HTTP/1.1, each call has a separate connection.
    ("upstreamSessionsMax", 8),
    // The time after which an HTTP/1.1 connection is not used again. Servers close idle
    // connections after 5 s.
    ("upstreamIdleMs", 2_000),
    // The timeout for connecting to the server, for a TLS handshake on either side, and for a free
    // stream of a connection to the server.
    ("connectMs", 10_000),
    // The maximum silence of the server after it has received the whole request.
    ("answerMs", 300_000),
    // The interval between two PINGs on a connection, and the timeout for a reply.
    ("pingMs", 30_000),
    ("pingAnswerMs", 20_000),
    // The time for the rest of a message after a deadline, and for the end of the server's
    // response after the trailers.
    ("lingerMs", 5_000),
    // The time for running calls to finish after SIGTERM.
    ("graceMs", 10_000),
];

/// The limits that differ from [`DEFAULTS`], for tests.
#[derive(Debug)]
pub struct Limits(Value);

impl Limits {
    /// Returns the limits: the defaults, except those that the variable `FLIGHT_LIMITS` replaces
    /// with a JSON object.
    pub fn read() -> Self {
        let text = std::env::var("FLIGHT_LIMITS").unwrap_or_default();
        Self(serde_json::from_str(&text).unwrap_or_default())
    }

    pub fn number(&self, name: &str) -> usize {
        let default = DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        self.0.get(name).and_then(Value::as_u64).or(default).unwrap_or_default() as usize
    }

    pub fn time(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name) as u64)
    }

    /// Returns the size of the flow-control window of an HTTP/2 connection. It is so large that one
    /// blocked stream does not block the other streams.
    pub fn connection_window_bytes(&self) -> u32 {
        self.number("callsPerConnectionMax") as u32 * STREAM_WINDOW_BYTES
    }
}
