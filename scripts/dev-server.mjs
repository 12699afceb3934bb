// One `wrangler dev` over the built Worker: used by `npm start` and by the end-to-end tests.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { endGroup, startGroup } from './processes.mjs';
import { at, Sentence, wrangler } from './project.mjs';
import { configurationWith } from './bound-configuration.mjs';
import { startSqlProcess } from './sql-binding.mjs';

/** Only this machine can reach it. */
const host = '127.0.0.1';

/** How long it may take until the Worker answers. */
const startMs = 60_000;
const pollMs = 50;

/** Names of the limits that are settings: the rows of the Worker's own table. */
function limitNames() {
  const table = readFileSync(at('src', 'model', 'configurable_limits.rs'), 'utf8');
  return [...table.matchAll(/\brow\(\s*"([A-Z_]+)"/g)].map((row) => row[1]);
}

/** Settings of the Worker that are taken from the environment; the names are the Worker's own. */
export const settings = [
  ...limitNames(),
  'DEFAULT_SHARDS',
  'SHARD_SPLIT_BYTES',
  'SHARD_FULL_BYTES',
  'ACCESS_TEAM',
  'ACCESS_AUDIENCE',
  'CORS_ORIGINS',
  'AUTO_CREATE_DATABASES',
  'AUTO_CREATE_RETENTION',
  'LOG_REQUESTS',
  'URL_CREDENTIALS',
  'COUNT_DURATIONS',
];

/** Whether nothing listens on `port`. */
export function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** A port on which nothing listens at this moment. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ port: 0, host }, () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(port));
    });
  });
}

function environment(stateDir, observability) {
  return {
    ...process.env,
    // Wrangler traces every request into a database of its own unless told not to.
    X_LOCAL_OBSERVABILITY: String(observability),
    X_LOCAL_EXPLORER: String(observability),
    WRANGLER_LOG: observability ? 'log' : 'error',
    WRANGLER_WRITE_LOGS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
    // Nothing is fetched from, or told to, anyone outside.
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_SEND_ERROR_REPORTS: 'false',
    // Instances must not find each other: they have the same name.
    WRANGLER_REGISTRY_PATH: join(stateDir, 'registry'),
  };
}

async function answers(url) {
  try {
    const response = await fetch(`${url}/ping`);
    return response.status === 204;
  } catch {
    return false;
  }
}

/**
 * Starts the server and waits until it answers.
 *
 * `sql` is the configuration of a SQL Worker, which runs in the same process, as a deployment runs it. `sqlProcess` is
 * `{ folder }` of a SQL module, which runs in a process of its own. With `backups` a bucket is bound.
 * `vars` are variables of the Worker. `envFile` replaces `.dev.vars`. `script` is started instead of
 * the built Worker, and may use what the runtime has for tests. `stdio` is where the output goes. Returns `{ url, child, stop }`.
 */
export async function startServer(options) {
  const { node, port, stateDir, vars = {}, envFile, observability = false } = options;
  if (!(await isFree(port))) {
    throw new Sentence(`Port ${port} is in use: end what listens there, or set PORT to another one.`);
  }
  const flags = ['--compatibility-flags', 'experimental'];
  const dev = options.script ? ['dev', options.script, ...flags] : ['dev'];
  const sqlProcess = options.sqlProcess && (await startSqlProcess({ node, stateDir, ...options.sqlProcess }));
  const sql = sqlProcess?.configuration ?? options.sql;
  const wanted = { sql: Boolean(sql), backups: Boolean(options.backups) };
  if (wanted.sql || wanted.backups) dev.push('--config', await configurationWith(wanted));
  if (sql) dev.push('--config', sql);
  const args = [wrangler, ...dev, '--ip', host, '--port', String(port), '--persist-to', stateDir];
  args.push('--inspector-port', '0', '--local', '--show-interactive-dev-session', 'false');
  if (envFile) args.push('--env-file', envFile);
  // Without observability nobody sees a log line, and each one takes a stack trace through the
  // inspector and wrangler's Node: a millisecond and a half of a request's CPU time.
  const told = observability ? vars : { LOG_REQUESTS: 'none', ...vars };
  for (const [name, value] of Object.entries(told)) args.push('--var', `${name}:${value}`);
  const child = startGroup(node, args, {
    env: environment(stateDir, observability),
    stdio: options.stdio ?? ['ignore', 'inherit', 'inherit'],
  });
  let over = false;
  child.ended.then(() => {
    over = true;
    return sqlProcess?.stop();
  });

  const url = `http://${host}:${port}`;
  const deadline = Date.now() + startMs;
  while (!(await answers(url))) {
    if (over) throw new Sentence('wrangler dev ended before it answered; its last words are above.');
    if (Date.now() > deadline) {
      await endGroup(child);
      throw new Sentence(`wrangler dev did not answer within ${startMs / 1000} seconds.`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return { url, child, stop: () => endGroup(child) };
}
