// What `tidemark flight` takes at most. Each error names the limit that it met.

/**
 * Of one process. A call holds no message, but what is on its way: on each side a window or two buffers of a stream, so
 * that calls that nobody reads hold `callsMax` × 2 × `streamWindowBytes`, some 130 MB, and others next to nothing.
 */
export const limits = Object.freeze({
  /** Connections of clients; further ones are closed at once. */
  connectionsMax: 256,
  /** Calls of one connection at a time; a client keeps back what is more. */
  callsPerConnectionMax: 100,
  /** Calls at a time; further ones end with ResourceExhausted. */
  callsMax: 256,
  /** Headers of a request or of an answer. */
  headerBytesMax: 16_384,
  /** One message, either way. It passes in pieces: this bounds what the other side has to hold. */
  messageBytesMax: 64 * 1024 * 1024,
  /** The last frame of an answer: gRPC's clients take 8 to 16 KB. */
  trailerBytesMax: 16_384,
  /** What is read of an answer that is an error of HTTP, for its text. */
  errorBodyBytesMax: 16_384,
  /** What may be on its way in a stream and was not read. */
  streamWindowBytes: 256 * 1024,
  /** What a session of HTTP/2 may hold in all. */
  sessionMemoryMegabytesMax: 64,
  /** Connections to the server over HTTP/2; over HTTP/1.1 each call has its own. */
  upstreamSessionsMax: 8,
  /** Connections over HTTP/1.1 that wait for their next call. */
  upstreamIdleMax: 32,
  /** How long one waits: servers close them after 5 s. */
  upstreamIdleMs: 2_000,
  /** How long a connection to the server, or a TLS handshake on either side, may take. */
  connectMs: 10_000,
  /** Between two PINGs of a connection, and how long the answer to one may take. */
  pingMs: 30_000,
  pingAnswerMs: 20_000,
  /** How long a client may take to read how a call failed, and a server to end its answer after the trailers. */
  lingerMs: 5_000,
  /** How long calls may go on after SIGTERM. */
  graceMs: 10_000,
});
