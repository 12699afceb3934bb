// tidemark import: a file of lines, over HTTP.

import { existsSync } from 'node:fs';

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { Import } from '../lib/import.mjs';

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'loads line protocol, or an export of InfluxDB 1.x',
  usage: 'FILE [--database DB] …',
  about: `
FILE is what \`influx_inspect export\` writes and \`influx -import\` reads, what \`tidemark export\` writes, or
bare line protocol; it may be gzip. For FILE \`-\` it is standard input. A database or retention policy that
is not there is created, and keeps its points without expiry; only the admin token may do that. Rejected
lines are printed with their number in the file, and make the exit code 1. Repeat the command to go on
after an interruption: FILE.progress remembers what was acknowledged.

${connectionHelp}`,
  options: {
    path: { value: 'FILE', help: 'another way to say FILE' },
    database: { value: 'DB', help: 'where lines go that stand before any CONTEXT-DATABASE' },
    precision: { value: 'UNIT', fallback: 'ns', help: "of the file's timestamps: ns, u, ms, s, m or h" },
    'batch-lines': { value: 'N', fallback: '5000', help: 'lines of a request' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark import export.txt.gz', 'all databases of an export of InfluxDB 1.x'],
    ['tidemark import --database plant --precision s readings.lp', 'a file of lines'],
    ["echo 'weather,city=Oslo temperature=12.5' | tidemark import --database demo -", 'one point'],
  ],
  async run(options, words) {
    const [path, ...more] = [...(options.path ? [options.path] : []), ...words];
    if (path === undefined) throw new Incomplete();
    if (more.length > 0) throw new Sentence(`One FILE at a time: "${more[0]}" is another. See tidemark import --help.`);
    if (path !== '-' && !existsSync(path)) throw new Sentence(`${path} is not there.`);
    const batchLines = Number(options['batch-lines']);
    if (!(batchLines >= 1)) throw new Sentence('--batch-lines has to be a number from 1 on.');
    const connection = new Connection(options);
    // Batches are sent again and again: whether anybody is there at all is said at once.
    await connection.fetch('/ping');
    const { url, token } = connection;
    const { database = '', precision } = options;
    const rejected = await new Import({ url, path, database, precision, batchLines }, token).run();
    if (rejected > 0) throw new Sentence(`${rejected} lines were rejected, see above`);
  },
};
