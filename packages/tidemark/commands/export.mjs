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

/**
 * Returns the path of an export with its parameters.
 * @param {Record<string, any>} options
 * @param {string} after the position of the previous response; empty for the first request
 */
function pathOf({ database, policy, measurement, start, end }, after) {
  const given = { db: database, rp: policy, measurement, start, end, after };
  return `/api/v3/export?${new URLSearchParams(Object.entries(given).filter(([, value]) => value !== undefined))}`;
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
    response = after === null ? null : await connection.must(pathOf(options, after));
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'writes a database as line protocol, or as Parquet files',
  usage: '--database DB [--out FILE] … | --database DB --format parquet FOLDER … | --access FILE',
  about: `
What it writes is read by \`tidemark import\` and by \`influx -import\`: types, escapes and nanoseconds are
kept. It needs the right to read. An export that breaks off leaves no file.

With --format parquet FOLDER gets a file for each day of each measurement, by SQL, which the server has to speak.
manifest.json, which comes last, lists them with their rows, bytes, SHA-256, first and last time. Repeat it to go on
after an interruption, or to fetch what is new: days that have as many rows as their files are left as they are.

With --access FILE gets what a deployment has beside points: databases, retention policies, continuous queries, and
tokens and users with the hashes that they are found by. There is no secret in it, yet passwords can be guessed by their
hashes: keep it as you keep those. This needs the admin token.

${connectionHelp}`,
  options: {
    database: { value: 'DB', help: 'which one' },
    policy: { value: 'NAME', help: 'of this retention policy instead of the default one' },
    measurement: { value: 'NAME', help: 'of this measurement alone' },
    start: { value: 'TIME', help: 'from here on: nanoseconds or RFC 3339' },
    end: { value: 'TIME', help: 'up to here, which is left out' },
    format: { value: 'FORMAT', fallback: 'lines', help: 'lines, or parquet' },
    by: { value: 'SPAN', fallback: 'day', help: 'what a file of Parquet has; there is day alone' },
    access: { value: 'FILE', help: 'databases, policies, queries, tokens and users instead of points' },
    out: { value: 'FILE', help: 'where to; gzip if it ends with .gz; otherwise standard output' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark export --database plant --out plant.lp.gz', 'a copy to keep'],
    ['tidemark export --database plant --format parquet --by day plant-parquet', 'for DuckDB, pandas and Spark'],
    ['tidemark export --access deployment.jsonl', 'what `tidemark import --access` takes in elsewhere'],
    ['tidemark export --database plant --measurement air --start 2026-01-01T00:00:00Z', 'one measurement of this year, to look at'],
  ],
  async run(options, words) {
    if (options.access) {
      if (words.length > 0 || options.database) throw new Sentence('--access is of the whole deployment: it takes a FILE and nothing else.');
      return exportDeployment(new Connection(options), options.access);
    }
    const [folder, ...more] = words;
    const { out, format } = options;
    if (more.length > 0 || (folder && format !== 'parquet') || !options.database) throw new Sentence('Which database? Use --database NAME.');
    if (!['lines', 'parquet'].includes(format)) throw new Sentence(`--format is lines or parquet, not "${format}".`);
    const connection = new Connection(options);
    if (format === 'parquet') {
      if (!folder || out) throw new Sentence('Parquet is many files: say the FOLDER that they go to.');
      return exportParquet(connection, { ...options, folder });
    }
    const response = await connection.must(pathOf(options, ''));
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
      throw new Sentence(`The export broke off: ${error.cause?.message ?? error.message}.`);
    }
  },
};
