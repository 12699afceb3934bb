//! The limits of `tidemark flight`.

use std::time::Duration;

use serde_json::Value;

/// The window of one HTTP/2 stream, in bytes. Calls whose clients do not read keep at most
/// `calls_max` × 2 × `STREAM_WINDOW_BYTES` in memory.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;

#[derive(Debug)]
pub struct Limits {
    pub connections_max: usize,
    /// A client queues calls above this limit itself.
    pub calls_per_connection_max: usize,
    pub calls_max: usize,
    pub header_bytes_max: usize,
    pub message_bytes_max: usize,
    /// gRPC clients accept 8 to 16 KB of trailers.
    pub trailer_bytes_max: usize,
    /// The maximum number of HTTP/2 connections to which new calls are sent. A connection without
    /// free streams does not count. With HTTP/1.1, each call has a separate connection.
    pub upstream_sessions_max: usize,
    /// The time after which an HTTP/1.1 connection is not used again. Servers close idle
    /// connections after 5 s.
    pub upstream_idle: Duration,
    /// The timeout for connecting to the server, for a TLS handshake on either side, and for a free
    /// stream of a connection to the server.
    pub connect: Duration,
    /// The maximum silence of the server after it has received the whole request.
    pub answer: Duration,
    /// The interval between two PINGs on a connection.
    pub ping: Duration,
    /// The timeout for the reply to a PING.
    pub ping_answer: Duration,
    /// The time for the rest of a message after a deadline, and for the end of the server's
    /// response after the trailers.
    pub linger: Duration,
    /// The time for running calls to finish after SIGTERM.
    pub grace: Duration,
}

impl Limits {
    /// Returns the limits. Tests replace defaults with a JSON object in the variable
    /// `FLIGHT_LIMITS`. Errors contain the names in this object.
    pub fn read() -> Self {
        let text = std::env::var("FLIGHT_LIMITS").unwrap_or_default();
        let given = serde_json::from_str::<Value>(&text).unwrap_or_default();
        let number =
            |name: &str, default: u64| given.get(name).and_then(Value::as_u64).unwrap_or(default);
        let count = |name: &str, default: u64| number(name, default) as usize;
        let time = |name: &str, default_ms: u64| Duration::from_millis(number(name, default_ms));
        Self {
            connections_max: count("connectionsMax", 256),
            calls_per_connection_max: count("callsPerConnectionMax", 100),
            calls_max: count("callsMax", 256),
            header_bytes_max: count("headerBytesMax", 16 << 10),
            message_bytes_max: count("messageBytesMax", 64 << 20),
            trailer_bytes_max: count("trailerBytesMax", 16 << 10),
            upstream_sessions_max: count("upstreamSessionsMax", 8),
            upstream_idle: time("upstreamIdleMs", 2_000),
            connect: time("connectMs", 10_000),
            answer: time("answerMs", 300_000),
            ping: time("pingMs", 30_000),
            ping_answer: time("pingAnswerMs", 20_000),
            linger: time("lingerMs", 5_000),
            grace: time("graceMs", 10_000),
        }
    }

    /// Returns the size of the flow-control window of an HTTP/2 connection. It is so large that one
    /// blocked stream does not block the other streams.
    pub fn connection_window_bytes(&self) -> u32 {
        self.calls_per_connection_max as u32 * STREAM_WINDOW_BYTES
    }
}
