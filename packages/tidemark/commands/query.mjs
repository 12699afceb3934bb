// tidemark query: runs InfluxQL, once or in a shell.

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { answerLines, resultsOf } from '../lib/answer.mjs';
import { Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { shell } from '../lib/shell.mjs';

const formats = { table: 'application/json', json: 'application/json', csv: 'application/csv' };

/** Runs a query and prints its result. Resolves to whether every statement succeeded. */
async function show(connection, q, { db, format, epoch }) {
  const response = await connection.query(q, { db, epoch, accept: formats[format] });
  if (format !== 'table') {
    await pipeline(Readable.fromWeb(response.body), process.stdout, { end: false });
    return true;
  }
  const { lines, errors } = answerLines(resultsOf(await response.text()));
  // The last empty line only separates tables.
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) console.log(line);
  for (const error of errors) console.error(error);
  return errors.length === 0;
}

async function standardInput() {
  const pieces = [];
  for await (const piece of process.stdin) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8').trim();
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'runs InfluxQL statements, once or in a shell',
  usage: "['STATEMENT; …'] [--database DB] [--format table|csv|json]",
  about: `
Without a statement the command opens a shell with history and completion. If standard input is not a terminal,
the command reads statements from standard input. The exit code is 1 if a statement fails.

${connectionHelp}`,
  options: {
    database: { value: 'DB', help: 'the database to query' },
    format: { value: 'NAME', fallback: 'table', help: 'table, csv, or json (the unchanged response)' },
    epoch: { value: 'UNIT', help: 'prints times as numbers in this unit (ns, u, ms, s, m or h) instead of RFC 3339' },
    ...connectionOptions,
  },
  examples: [
    ["tidemark query 'SHOW DATABASES'", 'list the databases'],
    ["tidemark query --database demo --format csv 'SELECT * FROM weather' > weather.csv", 'write CSV for a spreadsheet'],
    ['tidemark query --database demo', 'open a shell'],
  ],
  async run(options, words) {
    if (words.length > 1) throw new Sentence('Put the statements into one pair of quotes. See tidemark query --help.');
    const { database: db = '', format, epoch } = options;
    if (!Object.hasOwn(formats, format)) throw new Sentence(`--format is "${format}": choose table, csv or json.`);
    const connection = new Connection(options);
    const state = { db, format, epoch };
    if (words.length === 0 && process.stdin.isTTY) {
      return shell({ connection, state, show: (q) => show(connection, q, state) });
    }
    const q = words[0] ?? (await standardInput());
    return (await show(connection, q, state)) ? 0 : 1;
  },
};
