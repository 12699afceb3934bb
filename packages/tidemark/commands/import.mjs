// tidemark import: imports a file over HTTP.

import { existsSync } from 'node:fs';

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { importDeployment } from '../lib/deployment.mjs';
import { Import } from '../lib/import.mjs';

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'imports line protocol, or an export of InfluxDB 1.x, 2.x or 3',
  usage: 'FILE [--database DB] … | --access FILE',
  about: `
FILE is the output of \`influx_inspect export\`, \`influxd inspect export-lp\` or \`tidemark export\`, an input of
\`influx -import\`, or plain line protocol. It may be in gzip. With --measurement FILE contains SQL rows, in the
JSON lines of \`query_sql\` with format=jsonl; --tags lists the tag columns. FILE \`-\` is standard input.

The command creates absent databases and retention policies without expiry; only the admin token may do this. If
lines are rejected, it prints them with their line numbers in the file, and the exit code is 1. Repeat the
command to continue after an interruption: FILE.progress records the acknowledged lines. At the end the command
counts the values of each measurement in the file and in the database, within the file's time range.

With --access FILE is an output of \`tidemark export --access\`. The command creates databases, policies and
continuous queries, and gives tokens and users their former permissions. Existing permissions remain. If a user
of the same name has another password, the command grants no permissions and prints the user's name.

${connectionHelp}`,
  options: {
    access: { value: 'FILE', help: 'imports databases, policies, queries, tokens and users from another deployment' },
    path: { value: 'FILE', help: 'the same as the argument FILE' },
    database: { value: 'DB', help: 'the database for lines before the first CONTEXT-DATABASE' },
    policy: { value: 'NAME', help: "the retention policy for these lines; default: the database's default policy" },
    measurement: { value: 'NAME', help: 'the measurement for SQL rows; FILE then contains rows as JSON lines' },
    tags: { value: 'A,B', help: 'the tag columns of the SQL rows; all other columns are fields' },
    precision: { value: 'UNIT', fallback: 'ns', help: 'the unit of the timestamps in FILE: ns, u, ms, s, m or h' },
    'batch-lines': { value: 'N', fallback: '5000', help: 'the maximum number of lines in one request' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark import export.txt.gz', 'import all databases of an InfluxDB 1.x export'],
    ['tidemark import --access deployment.jsonl', 'import the definitions, tokens and users from `tidemark export --access`'],
    ['tidemark import --database plant --precision s readings.lp', 'import line protocol with timestamps in seconds'],
    ['tidemark import --database plant --policy year plant.lp.gz', 'import a bucket of InfluxDB 2.x'],
    ['tidemark import --database plant --measurement air --tags room,sensor air.jsonl', 'import a table of InfluxDB 3'],
    ["echo 'weather,city=Oslo temperature=12.5' | tidemark import --database demo -", 'import one point'],
  ],
  async run(options, words) {
    if (options.access) {
      if (words.length > 0 || options.database) throw new Sentence('--access imports a whole deployment: use it without --database and without another FILE.');
      if (!existsSync(options.access)) throw new Sentence(`${options.access} does not exist.`);
      return importDeployment(new Connection(options), options.access);
    }
    const [path, ...more] = [...(options.path ? [options.path] : []), ...words];
    if (path === undefined) throw new Incomplete();
    if (more.length > 0) throw new Sentence(`Name only one FILE, without "${more[0]}". See tidemark import --help.`);
    if (path !== '-' && !existsSync(path)) throw new Sentence(`${path} does not exist.`);
    const batchLines = Number(options['batch-lines']);
    if (!(batchLines >= 1)) throw new Sentence('--batch-lines has to be a number of at least 1.');
    const connection = new Connection(options);
    // Batches have many retries, so this request reports an unreachable server immediately.
    await connection.fetch('/ping');
    const { url, token } = connection;
    const { database = '', policy = '', precision, measurement } = options;
    if (policy && !database) throw new Sentence('--policy needs a database: add --database.');
    if (options.tags && !measurement) throw new Sentence('--tags is for SQL rows: add --measurement.');
    const tags = (options.tags ?? '').split(',').filter((name) => name !== '');
    const given = { url, path, database, policy, precision, batchLines, measurement, tags };
    const rejected = await new Import(given, token).run();
    if (rejected > 0) throw new Sentence(`${rejected} lines were rejected, see above`);
  },
};
