// Exports and imports a deployment's databases, policies, continuous queries, tokens and users as
// lines of JSON:
//
//   {"kind":"database","name":"plant"}
//   {"kind":"policy","database":"plant","name":"year","duration":"8760h0m0s",…}
//   {"kind":"query","database":"plant","text":"CREATE CONTINUOUS QUERY …"}
//   {"kind":"token","name":"sensors","hash":"…",…}
//   {"kind":"user",…}
//
// A policy also has "shard_duration" ("168h0m0s"), "replication" (1) and "default" (false). Tokens
// and users have the format of /api/v3/configure/access.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';

import { Sentence } from './command.mjs';
import { addAccess } from './pieces.mjs';

/** The number of tokens and users in a request. */
const rowsPerRequest = 10;

const quoted = (name) => `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
const path = '/api/v3/configure/access';

/**
 * Returns the rows of a statement as objects with column names as keys. `of` is the series name.
 */
async function rowsOf(connection, q) {
  const { results } = await (await connection.query(q)).json();
  const { series = [], error } = results[0];
  if (error) throw new Sentence(`${q}: ${error}`);
  const row = (columns, values, of) => ({ ...Object.fromEntries(columns.map((name, n) => [name, values[n]])), of });
  return series.flatMap(({ name, columns, values = [] }) => values.map((one) => row(columns, one, name)));
}

/** Yields all records in the order that an import requires. */
async function* records(connection) {
  const databases = await rowsOf(connection, 'SHOW DATABASES');
  for (const { name } of databases) yield { kind: 'database', name };
  for (const { name: database } of databases) {
    for (const policy of await rowsOf(connection, `SHOW RETENTION POLICIES ON ${quoted(database)}`)) {
      const { name, duration, shardGroupDuration, replicaN, default: isDefault } = policy;
      yield { kind: 'policy', database, name, duration, shard_duration: shardGroupDuration, replication: replicaN, default: isDefault };
    }
  }
  for (const { of, query } of await rowsOf(connection, 'SHOW CONTINUOUS QUERIES')) yield { kind: 'query', database: of, text: query };
  for (let next = { kind: 'token', after: 0 }; next !== null; ) {
    const page = await (await connection.must(`${path}?kind=${next.kind}&after=${next.after}`)).json();
    yield* page.rows;
    ({ next } = page);
  }
}

const counted = (counts) => Object.entries(counts).map(([kind, count]) => `${count} of ${kind}`).join(', ');

/** Exports all records to `file`. */
export async function exportDeployment(connection, file) {
  const counts = { database: 0, policy: 0, query: 0, token: 0, user: 0 };
  const lines = [];
  for await (const record of records(connection)) {
    lines.push(`${JSON.stringify(record)}\n`);
    counts[record.kind] += 1;
  }
  // Only this user may read the password hashes. The file gets its final name only when it is
  // complete.
  writeFileSync(`${file}.part`, lines.join(''), { mode: 0o600 });
  renameSync(`${file}.part`, file);
  console.error(`${file} has ${counted(counts)}.`);
}

/** Converts a duration such as `168h0m0s` to InfluxQL. The duration 0s means unlimited. */
const durationOf = (text) => (text === '0s' ? 'INF' : text.replace(/(?<=\D)0[ms](?=\d|$)/g, ''));

/**
 * Returns the statements that create or alter a policy. The first statement fails if the policy
 * exists.
 */
function statementsOf({ database, name, duration, shard_duration: shard, replication, default: isDefault }) {
  const settings = `ON ${quoted(database)} DURATION ${durationOf(duration)} REPLICATION ${replication} SHARD DURATION ${durationOf(shard)}`;
  const isFirst = isDefault ? ' DEFAULT' : '';
  return [`CREATE RETENTION POLICY ${quoted(name)} ${settings}${isFirst}`, `ALTER RETENTION POLICY ${quoted(name)} ${settings}${isFirst}`];
}

/** Runs a statement and returns its error, if any. */
async function refused(connection, q) {
  const { results } = await (await connection.query(q)).json();
  return results[0].error;
}

/** Imports a record that is neither a token nor a user. */
async function make(connection, record) {
  const { kind } = record;
  let why;
  if (kind === 'database') why = await refused(connection, `CREATE DATABASE ${quoted(record.name)}`);
  else if (kind === 'query') why = await refused(connection, record.text);
  else if (kind === 'policy') {
    const [create, alter] = statementsOf(record);
    if ((await refused(connection, create)) !== undefined) why = await refused(connection, alter);
  } else throw new Sentence(`Unknown kind "${kind}": the file is not an output of tidemark export --access.`);
  return why && `${kind} ${record.name ?? record.text}: ${why}`;
}

/** Reports the import of tokens and users. */
export function tellAccess({ made, widened, unchanged, refused: others }) {
  for (const why of others) console.log(why);
  console.error(`Tokens and users: ${made} created, ${widened} received permissions, ${unchanged} unchanged, ${others.length} rejected.`);
}

/** Imports all records in `file`. Existing definitions remain. */
export async function importDeployment(connection, file) {
  const lines = readFileSync(file, 'utf8').split('\n').filter((line) => line !== '');
  const all = lines.map((line) => JSON.parse(line));
  const isAccess = ({ kind }) => kind === 'token' || kind === 'user';
  const failures = [];
  for (const record of all.filter((one) => !isAccess(one))) {
    const why = await make(connection, record);
    if (why) failures.push(why);
  }
  const rows = all.filter(isAccess);
  const sums = { made: 0, widened: 0, unchanged: 0, refused: [] };
  for (let at = 0; at < rows.length; at += rowsPerRequest) {
    const body = JSON.stringify({ rows: rows.slice(at, at + rowsPerRequest) });
    const response = await connection.must(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    addAccess(sums, await response.json());
  }
  for (const why of failures) console.log(why);
  tellAccess(sums);
  console.error(`${all.length - rows.length - failures.length} databases, policies and queries match ${file}.`);
  if (failures.length > 0) throw new Sentence(`${failures.length} databases, policies and queries were rejected, see above.`);
}
