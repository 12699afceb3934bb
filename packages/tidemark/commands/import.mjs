// tidemark import: imports a file over HTTP.

import { existsSync } from 'node:fs';

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { importDeployment } from '../lib/deployment.mjs';
import { Import } from '../lib/import.mjs';

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'loads line protocol, or an export of InfluxDB 1.x, 2.x or 3',
  usage: 'FILE [--database DB] … | --access FILE',
  about: `
FILE is what \`influx_inspect export\` writes and \`influx -import\` reads, what \`influxd inspect export-lp\` or
\`tidemark export\` write, or bare line protocol; it may be gzip. With --measurement it has rows of SQL, as
\`query_sql\` answers with format=jsonl: --tags says which columns are tags. For FILE \`-\` it is standard input. A database or retention policy that
is not there is created, and keeps its points without expiry; only the admin token may do that. Rejected
lines are printed with their number in the file, and make the exit code 1. Repeat the command to go on
after an interruption: FILE.progress remembers what was acknowledged. At the end the values of each
measurement are counted in the file and in the database, between the file's times.

With --access FILE is what \`tidemark export --access\` wrote: databases, policies and continuous queries are made, and
tokens and users get the rights that they had. What is there already keeps what it has. A user of the same name with
another password gets nothing, and is named.

${connectionHelp}`,
  options: {
    access: { value: 'FILE', help: 'databases, policies, queries, tokens and users of another deployment' },
    path: { value: 'FILE', help: 'another way to say FILE' },
    database: { value: 'DB', help: 'where lines go that stand before any CONTEXT-DATABASE' },
    policy: { value: 'NAME', help: 'the retention policy of such lines; otherwise the default one' },
    measurement: { value: 'NAME', help: 'FILE has rows of SQL as JSON lines, which go here' },
    tags: { value: 'A,B', help: 'the columns of those that are tags; all others are fields' },
    precision: { value: 'UNIT', fallback: 'ns', help: "of the file's timestamps: ns, u, ms, s, m or h" },
    'batch-lines': { value: 'N', fallback: '5000', help: 'lines of a request' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark import export.txt.gz', 'all databases of an export of InfluxDB 1.x'],
    ['tidemark import --access deployment.jsonl', 'what `tidemark export --access` wrote'],
    ['tidemark import --database plant --precision s readings.lp', 'a file of lines'],
    ['tidemark import --database plant --policy year plant.lp.gz', 'a bucket of InfluxDB 2.x'],
    ['tidemark import --database plant --measurement air --tags room,sensor air.jsonl', 'a table of InfluxDB 3'],
    ["echo 'weather,city=Oslo temperature=12.5' | tidemark import --database demo -", 'one point'],
  ],
  async run(options, words) {
    if (options.access) {
      if (words.length > 0 || options.database) throw new Sentence('--access is of the whole deployment: it takes a FILE and nothing else.');
      if (!existsSync(options.access)) throw new Sentence(`${options.access} is not there.`);
      return importDeployment(new Connection(options), options.access);
    }
    const [path, ...more] = [...(options.path ? [options.path] : []), ...words];
    if (path === undefined) throw new Incomplete();
    if (more.length > 0) throw new Sentence(`One FILE at a time: "${more[0]}" is another. See tidemark import --help.`);
    if (path !== '-' && !existsSync(path)) throw new Sentence(`${path} is not there.`);
    const batchLines = Number(options['batch-lines']);
    if (!(batchLines >= 1)) throw new Sentence('--batch-lines has to be a number from 1 on.');
    const connection = new Connection(options);
    // Batches have many retries, so this request reports an unreachable server immediately.
    await connection.fetch('/ping');
    const { url, token } = connection;
    const { database = '', policy = '', precision, measurement } = options;
    if (policy && !database) throw new Sentence('--policy is of a database: say --database too.');
    if (options.tags && !measurement) throw new Sentence('--tags is for rows of SQL: say --measurement too.');
    const tags = (options.tags ?? '').split(',').filter((name) => name !== '');
    const given = { url, path, database, policy, precision, batchLines, measurement, tags };
    const rejected = await new Import(given, token).run();
    if (rejected > 0) throw new Sentence(`${rejected} lines were rejected, see above`);
  },
};
