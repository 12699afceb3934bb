// Reads a file of `influx_inspect export` or `influx -import`, plain or gzip, or bare line
// protocol.

import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** The first bytes of a gzip file. */
const gzipMagic = Buffer.from([0x1f, 0x8b]);

/** Yields the pieces of `source` and adds their size to `count.bytes`. */
async function* counted(source, count) {
  for await (const piece of source) {
    count.bytes += piece.length;
    yield piece;
  }
}

/** Returns the bytes of a file, or of standard input for `-`, decompressed if they are gzip. */
async function plainBytes(path, count) {
  const pieces = counted(path === '-' ? process.stdin : createReadStream(path), count);
  let head = Buffer.alloc(0);
  while (head.length < gzipMagic.length) {
    const { value, done } = await pieces.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const all = Readable.from(
    (async function* () {
      yield head;
      yield* pieces;
    })(),
  );
  if (!head.subarray(0, gzipMagic.length).equals(gzipMagic)) return all;
  const inflated = createGunzip();
  all.on('error', (error) => inflated.destroy(error));
  return all.pipe(inflated);
}

/** Yields the lines of a file. `count.bytes` is the number of bytes read from the file. */
export async function* textLines(path, count) {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const piece of await plainBytes(path, count)) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}

/**
 * Returns whether a string is open at the end of `line`. `inString` is whether a string was open at
 * its start.
 */
function endsInString(line, inString) {
  let at = 0;
  if (!inString) {
    // The series key ends at the first unescaped space.
    while (at < line.length && (line[at] !== ' ' || line[at - 1] === '\\')) at += 1;
  }
  let open = inString;
  for (; at < line.length; at += 1) {
    if (open && line[at] === '\\') at += 1;
    else if (line[at] === '"' && (open || line[at - 1] === '=')) open = !open;
  }
  return open;
}

/**
 * Returns the meaning of a comment: the start of a section, or the destination of the following
 * lines.
 */
function directive(comment) {
  if (comment.startsWith('# DDL')) return { section: 'DDL' };
  if (comment.startsWith('# DML')) return { section: 'DML' };
  const found = /^# CONTEXT-(DATABASE|RETENTION-POLICY): *(.*?) *$/.exec(comment);
  if (!found) return {};
  return { context: found[1] === 'DATABASE' ? { database: found[2] } : { policy: found[2] } };
}

/**
 * @typedef {{ number: number, statement?: string, text?: string, begins?: boolean,
 *   context?: { database?: string, policy?: string } }} Item
 */

/**
 * Yields the items of a dump in order. Each item has the `number` of its line in the file, starting
 * at 1, and one of:
 *
 * - `statement`: an InfluxQL statement.
 * - `context`: the destination of the following lines.
 * - `text`: a line of line protocol. `begins` is whether a point starts with the line, because a
 *   string may span several lines.
 *
 * `count` receives the `bytes` and `lines` that were read so far.
 *
 * @returns {AsyncGenerator<Item>}
 */
export async function* dumpItems(path, count) {
  let section = 'DML';
  let inString = false;
  for await (const line of textLines(path, count)) {
    count.lines += 1;
    const number = count.lines;
    // Inside a string, a carriage return is data.
    const bare = line.replace(/\r$/, '');
    if (!inString && (bare === '' || bare.startsWith('#'))) {
      const found = directive(bare);
      section = found.section ?? section;
      if (found.context) yield { number, context: found.context };
    } else if (section === 'DDL') {
      yield { number, statement: bare };
    } else {
      const begins = !inString;
      inString = endsInString(line, inString);
      yield { number, text: line, begins };
    }
  }
}
