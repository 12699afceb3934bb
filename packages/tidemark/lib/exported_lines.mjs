// Reads a response of /api/v3/export.

const newline = 0x0a;

/** Returns where the last line of `bytes` begins. A newline at the end belongs to that line. */
const lastLineOf = (bytes) => (bytes.length < 2 ? 0 : bytes.lastIndexOf(newline, bytes.length - 2) + 1);

/**
 * Yields the points of `body`. Returns the position at which the next request continues, which is the last line of the
 * body, or null after the last point.
 *
 * @param {AsyncIterable<Uint8Array>} body
 * @returns {AsyncGenerator<Buffer, string | null>}
 */
export async function* exportedLines(body) {
  let held = Buffer.alloc(0);
  for await (const piece of body) {
    const bytes = Buffer.concat([held, piece]);
    const at = lastLineOf(bytes);
    if (at > 0) yield bytes.subarray(0, at);
    held = bytes.subarray(at);
  }
  // A line of a string value may begin like this, but has a quote and a time.
  const [, after] = /^# after: ([^\s"]+)\n$/.exec(held.toString()) ?? [];
  if (after === undefined && held.length > 0) yield held;
  return after ?? null;
}
