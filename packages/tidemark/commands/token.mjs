// tidemark token: creates, lists and revokes tokens for databases.

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { printTable } from '../lib/table.mjs';

const path = '/api/v3/enterprise/configure/token';
const secondsOf = { m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** Converts a duration such as `30d` to seconds. */
function seconds(text) {
  const [, count, unit] = /^(\d+)([mhdw])$/.exec(text) ?? [];
  if (unit === undefined) throw new Sentence(`--expires is "${text}": it has to be a duration such as 12h, 30d or 52w.`);
  return Number(count) * secondsOf[unit];
}

function permissionsOf({ database, read, write, metrics }) {
  if (!database) throw new Sentence('The token needs a database: use --database with NAME, NAME/POLICY, or \'*\' for all databases.');
  const actions = Object.entries({ read, write, metrics }).filter(([, given]) => given).map(([action]) => action);
  if (actions.length === 0) throw new Sentence('The token needs a permission: use --read, --write or --metrics, or several of these options.');
  return [{ resource_type: 'db', resource_identifier: [database], actions }];
}

async function create(connection, name, options) {
  const body = JSON.stringify({
    token_name: name,
    permissions: permissionsOf(options),
    ...(options.expires && { expiry_secs: seconds(options.expires) }),
  });
  const headers = { 'Content-Type': 'application/json' };
  const response = await connection.must(path, { method: 'POST', headers, body });
  const { token } = await response.json();
  // The token is the only text on standard output, so that a script can store it in a variable.
  console.log(token);
  console.error('This is the only time that it is shown.');
}

const may = ({ resource_identifier: [database], actions }) => `${actions.join(' and ')} ${database}`;

async function list(connection) {
  const tokens = [];
  for (let after = '0'; after !== null; ) {
    const response = await connection.must(`/api/v3/configure/token?after=${after}`);
    tokens.push(...(await response.json()));
    after = response.headers.get('x-tidemark-next');
  }
  const rows = tokens.map(({ name, permissions, expiry, last_used: used }) => [
    name,
    permissions.map(may).join(', '),
    expiry ?? 'never',
    used ?? 'not yet',
  ]);
  printTable(['name', 'may', 'expires', 'last used'], rows);
}

async function revoke(connection, name) {
  const target = `/api/v3/configure/token?${new URLSearchParams({ token_name: name })}`;
  const response = await connection.must(target, { method: 'DELETE' });
  if (response.status === 202) {
    const { remaining } = await response.json();
    console.error(`${name} is revoked, but ${remaining} databases have not been notified yet. Repeat the command to check again.`);
  } else {
    console.error(`${name} is revoked everywhere.`);
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'creates, lists and revokes tokens for single databases',
  usage: 'create NAME --database DB [--read] [--write] [--metrics] [--expires 30d] | list | revoke NAME',
  about: `
A token is valid for one database, for one of its retention policies, or for all databases. It permits
reading, writing or both, or only reading the metrics. The command prints the token once, when it creates the
token. The command needs the admin token.

${connectionHelp}`,
  options: {
    database: { value: 'DB', help: "the scope of the token: a database, DATABASE/POLICY, or '*' for all databases" },
    read: { help: 'permits queries and exports' },
    write: { help: 'permits writes and deletes' },
    metrics: { help: "permits reading the database's metrics, but not its points" },
    expires: { value: 'TIME', help: 'the lifetime of the token, such as 12h, 30d or 52w; default: until the token is revoked' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark token create sensors --database plant --write', 'create a token for a sender of measurements'],
    ['TIDEMARK_TOKEN=$(tidemark token create viewer --database plant --read --expires 30d)', 'store a token in a variable'],
    ['tidemark token revoke sensors', 'revoke a leaked token'],
  ],
  async run(options, [what, name, ...more]) {
    if (more.length > 0) throw new Sentence(`What is "${more[0]}"? See tidemark token --help.`);
    if (what === undefined) throw new Incomplete();
    const connection = new Connection(options);
    if (what === 'list' && name === undefined) return list(connection);
    if (what === 'create' && name) return create(connection, name, options);
    if (what === 'revoke' && name) return revoke(connection, name);
    throw new Sentence('Use create NAME, list, or revoke NAME. See tidemark token --help.');
  },
};
