// tidemark export: exports a database as line protocol or as daily Parquet files, or a deployment's
// definitions and access control.

import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import { Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { exportDeployment } from '../lib/deployment.mjs';
import { exportedLines } from '../lib/exported_lines.mjs';
import { exportParquet } from '../lib/parquet_export.mjs';
import { queryOf, untilSuccess } from '../lib/pieces.mjs';

/**
 * Requests the next part of an export, with retries after temporary failures.
 * @param {Connection} connection
 * @param {Record<string, any>} options
 * @param {string} after the position of the previous response; empty for the first request
 */
function partOf(connection, { database, policy, measurement, start, end }, after) {
  const path = `/api/v3/export?${queryOf({ db: database, rp: policy, measurement, start, end, after: after === '' ? '' : undefined })}`;
  // A position has the tags of a series, which may be longer than a URL may be.
  const init = after === '' ? {} : { method: 'POST', body: new URLSearchParams({ after }) };
  return untilSuccess(connection, path, init, async (response) => response);
}

/** Returns the header with the lines' destination, in the format of `tidemark import`. */
const head = ({ database, policy }) =>
  `# DML\n# CONTEXT-DATABASE: ${database}\n${policy ? `# CONTEXT-RETENTION-POLICY: ${policy}\n` : ''}`;

/**
 * Yields the head and all points. Each response ends before the server's limit of calls, with the position of the next
 * request.
 */
async function* linesOf(connection, options, first) {
  yield head(options);
  let [response, after] = [first, ''];
  while (response) {
    const next = yield* exportedLines(response.body);
    if (next !== null && next === after) throw new Sentence('The server returned the same position twice.');
    after = next;
    response = after === null ? null : await partOf(connection, options, after);
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'exports a database as line protocol or as Parquet files',
  usage: '--database DB [--out FILE] … | --database DB --format parquet FOLDER … | --access FILE',
  about: `
\`tidemark import\` and \`influx -import\` read the exported lines. The lines preserve types, escapes and
nanoseconds. The export needs read permission on the database. A failed export leaves no file.

With --format parquet the command writes one file per measurement and day to FOLDER. The server needs SQL for
this format. The command writes manifest.json last: it lists the files with their rows, bytes, SHA-256, first and
last time. Repeat the command to continue after an interruption, or to fetch new data. The command skips a file
if it already has as many rows as the database has for its measurement and day.

With --access the command writes the deployment's databases, retention policies, continuous queries, tokens and
users to FILE. FILE contains the hashes of tokens and passwords, but no secrets. Passwords can be guessed from
their hashes, so protect FILE like the passwords. This export needs the admin token.

${connectionHelp}`,
  options: {
    database: { value: 'DB', help: 'the database to export' },
    policy: { value: 'NAME', help: "the retention policy to export; default: the database's default policy" },
    measurement: { value: 'NAME', help: 'the measurement to export; default: all measurements' },
    start: { value: 'TIME', help: 'the start of the time range (included), in nanoseconds or RFC 3339' },
    end: { value: 'TIME', help: 'the end of the time range (excluded), in nanoseconds or RFC 3339' },
    format: { value: 'FORMAT', fallback: 'lines', help: 'lines (line protocol) or parquet' },
    by: { value: 'SPAN', fallback: 'day', help: 'the time range per Parquet file; day is the only value' },
    access: { value: 'FILE', help: 'exports databases, policies, queries, tokens and users to FILE, instead of points' },
    out: { value: 'FILE', help: 'the output file, in gzip if the name ends with .gz; default: standard output' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark export --database plant --out plant.lp.gz', 'export a database to a file'],
    ['tidemark export --database plant --format parquet --by day plant-parquet', 'export Parquet files for DuckDB, pandas and Spark'],
    ['tidemark export --access deployment.jsonl', 'export definitions, tokens and users for `tidemark import --access`'],
    ['tidemark export --database plant --measurement air --start 2026-01-01T00:00:00Z', 'print one measurement since the start of 2026'],
  ],
  async run(options, words) {
    if (options.access) {
      if (words.length > 0 || options.database) throw new Sentence('--access exports a whole deployment: use it without --database and without a FOLDER.');
      return exportDeployment(new Connection(options), options.access);
    }
    const [folder, ...more] = words;
    const { out, format } = options;
    if (more.length > 0 || (folder && format !== 'parquet') || !options.database) throw new Sentence('Name the database with --database DB. Only --format parquet takes a FOLDER.');
    if (!['lines', 'parquet'].includes(format)) throw new Sentence(`--format is "${format}": choose lines or parquet.`);
    const connection = new Connection(options);
    if (format === 'parquet') {
      if (!folder || out) throw new Sentence('A Parquet export writes several files: name a FOLDER, without --out.');
      return exportParquet(connection, { ...options, folder });
    }
    const response = await partOf(connection, options, '');
    const lines = Readable.from(linesOf(connection, options, response));
    // The file gets its final name only when it is complete.
    const part = `${out}.part`;
    try {
      if (!out) return await pipeline(lines, process.stdout, { end: false });
      const file = createWriteStream(part);
      await (out.endsWith('.gz') ? pipeline(lines, createGzip(), file) : pipeline(lines, file));
      renameSync(part, out);
    } catch (error) {
      if (error.code === 'EPIPE') return 0;
      if (out) rmSync(part, { force: true });
      throw new Sentence(`The export failed: ${error.cause?.message ?? error.message}.`);
    }
  },
};
