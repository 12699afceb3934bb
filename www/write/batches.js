// Splits a stream of bytes into batches that contain whole lines of line protocol.

const [newline, space, quote, backslash] = [10, 32, 34, 92];

const batchBytesMax = 1_000_000;
const batchLinesMax = 10_000;

/**
 * Divides a file into batches of lines. `first` is the line number in the file at which a batch
 * begins. `taken(bytes)` receives the number of bytes that were read. A line break inside a quoted
 * string is data, so a batch never ends inside a string.
 */
export async function* batches(stream, taken) {
  const reader = stream.getReader();
  let rest = new Uint8Array(0);
  let at = beginning();
  let first = 1;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    taken(value.length);
    rest = joined(rest, value);
    for (;;) {
      const isFull = scan(rest, at);
      if (!isFull) break;
      const bytes = rest.slice(0, at.lineEnd);
      yield { bytes, lines: at.lines, first };
      first += bytes.reduce((sum, byte) => sum + Number(byte === newline), 0);
      rest = rest.slice(at.lineEnd);
      at = beginning();
    }
  }
  if (rest.length > 0)
    yield { bytes: rest, lines: at.lines + Number(at.lineEnd < rest.length), first };
}

const beginning = () => ({ position: 0, lineEnd: 0, lines: 0, section: 'key', isEscaped: false });

function joined(before, after) {
  const all = new Uint8Array(before.length + after.length);
  all.set(before);
  all.set(after, before.length);
  return all;
}

/** Returns whether the batch is full. */
function scan(bytes, at) {
  for (; at.position < bytes.length; at.position += 1) {
    const byte = bytes[at.position];
    if (at.isEscaped) {
      at.isEscaped = false;
      continue;
    }
    if (byte === backslash) at.isEscaped = true;
    else if (at.section === 'string') {
      if (byte === quote) at.section = 'fields';
    } else if (byte === newline) {
      at.section = 'key';
      at.lines += 1;
      at.lineEnd = at.position + 1;
      if (at.lines >= batchLinesMax || at.lineEnd >= batchBytesMax) {
        at.position += 1;
        return true;
      }
    } else if (byte === space) at.section = 'fields';
    else if (byte === quote && at.section === 'fields') at.section = 'string';
  }
  return false;
}

/** Each read from a file is a small fraction of the file, so that the progress bar moves. */
const [pieceBytesMin, pieceBytesMax, pieces] = [4096, 262_144, 200];

/** Decompresses a gzip file. `read(bytes)` receives the progress. */
export async function contentsOf(file, read) {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const pieceBytes = Math.min(
    Math.max(Math.ceil(file.size / pieces), pieceBytesMin),
    pieceBytesMax,
  );
  let at = 0;
  const stream = new ReadableStream({
    async pull(controller) {
      const piece = new Uint8Array(await file.slice(at, at + pieceBytes).arrayBuffer());
      at += piece.length;
      read(piece.length);
      if (piece.length > 0) controller.enqueue(piece);
      else controller.close();
    },
  });
  const isGzip = first === 0x1f && second === 0x8b;
  return isGzip ? stream.pipeThrough(new DecompressionStream('gzip')) : stream;
}
