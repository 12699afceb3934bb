// The limits of `tidemark flight`. Each error names the limit that was exceeded.

/**
 * The limits per process. A call buffers no whole messages, only data in transit: two windows or
 * stream buffers per side. Calls whose clients do not read hold `callsMax` × 2 ×
 * `streamWindowBytes`, about 130 MB; other calls hold very little.
 */
export const limits = Object.freeze({
  /** The maximum number of client connections. Further connections are closed immediately. */
  connectionsMax: 256,
  /** The maximum number of concurrent calls per connection. Clients queue further calls. */
  callsPerConnectionMax: 100,
  /** The maximum number of concurrent calls. Further calls end with ResourceExhausted. */
  callsMax: 256,
  /** The maximum size of the headers in a request or response. */
  headerBytesMax: 16_384,
  /**
   * The maximum size of a message in either direction. Messages pass through in pieces, so this
   * limit protects the receiver's memory.
   */
  messageBytesMax: 64 * 1024 * 1024,
  /** The maximum size of a response's trailer frame. gRPC clients accept 8 to 16 KB. */
  trailerBytesMax: 16_384,
  /** The maximum number of bytes that are read from the body of an HTTP error. */
  errorBodyBytesMax: 16_384,
  /** The maximum size of unread data in a stream. */
  streamWindowBytes: 256 * 1024,
  /** The maximum memory of an HTTP/2 session. */
  sessionMemoryMegabytesMax: 64,
  /**
   * The maximum number of HTTP/2 connections to the server. With HTTP/1.1, each call has a separate
   * connection.
   */
  upstreamSessionsMax: 8,
  /** The maximum number of idle HTTP/1.1 connections. */
  upstreamIdleMax: 32,
  /** The time until an idle connection is closed. Servers close idle connections after 5 s. */
  upstreamIdleMs: 2_000,
  /** The timeout for connecting to the server, and for a TLS handshake on either side. */
  connectMs: 10_000,
  /** The interval between two PINGs on a connection, and the timeout for a reply. */
  pingMs: 30_000,
  pingAnswerMs: 20_000,
  /**
   * The time for a client to read the status of a failed call, and for a server to end its response
   * after the trailers.
   */
  lingerMs: 5_000,
  /** The time for running calls to finish after SIGTERM. */
  graceMs: 10_000,
});
