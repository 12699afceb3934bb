// The limits of `tidemark flight`. Each error names the limit that was exceeded.

/** Calls whose clients do not read hold `callsMax` × 2 × `streamWindowBytes`, about 130 MB. */
export const limits = Object.freeze({
  /** Further connections are closed immediately. */
  connectionsMax: 256,
  /** Clients queue further calls. */
  callsPerConnectionMax: 100,
  /** Further calls end with ResourceExhausted. */
  callsMax: 256,
  headerBytesMax: 16_384,
  /** The limit per message and direction protects the receiver's memory. */
  messageBytesMax: 64 * 1024 * 1024,
  /** gRPC clients accept 8 to 16 KB of trailers. */
  trailerBytesMax: 16_384,
  /** The maximum number of bytes that are read from the body of an HTTP error. */
  errorBodyBytesMax: 16_384,
  streamWindowBytes: 256 * 1024,
  sessionMemoryMegabytesMax: 64,
  /** With HTTP/1.1, each call has a separate connection. */
  upstreamSessionsMax: 8,
  /** The limit applies to HTTP/1.1 connections. */
  upstreamIdleMax: 32,
  /** Servers close idle connections after 5 s. */
  upstreamIdleMs: 2_000,
  /** The timeout for connecting to the server, and for a TLS handshake on either side. */
  connectMs: 10_000,
  /** The interval between two PINGs on a connection, and the timeout for a reply. */
  pingMs: 30_000,
  pingAnswerMs: 20_000,
  /**
   * A client must read the status of a failed call, and a server must end its response after the
   * trailers.
   */
  lingerMs: 5_000,
  /** The time for running calls to finish after SIGTERM. */
  graceMs: 10_000,
});
