// Starts `wrangler dev` with the built Worker, for `npm start` and the end-to-end tests.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { endGroup, startGroup } from './processes.mjs';
import { at, UserError, wrangler } from './project.mjs';
import { configurationWith } from './bound-configuration.mjs';
import { startSqlProcess } from '../sql/process/binding.mjs';

/** The listening address, to which only programs on this machine can connect. */
const host = '127.0.0.1';

/** The maximum time until the Worker responds. */
const startMs = 60_000;
const pollMs = 50;

/** The names of the configurable limits. `npm run reference` writes the file from the table in the code. */
const limitNames = JSON.parse(readFileSync(at('scripts', 'settable_limits.json'), 'utf8'));

/** The Worker reads these settings from environment variables. */
export const settings = [
  ...limitNames,
  'DEFAULT_SHARDS',
  'DEFAULT_LOCATION',
  'JURISDICTION',
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

export function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

export async function mustBeFree(port) {
  if (await isFree(port)) return;
  throw new UserError(`Port ${port} is in use: stop the program that listens there, or set PORT to another port.`);
}

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
    // By default, wrangler stores a trace of every request in a local database.
    X_LOCAL_OBSERVABILITY: String(observability),
    X_LOCAL_EXPLORER: String(observability),
    WRANGLER_LOG: observability ? 'log' : 'error',
    WRANGLER_WRITE_LOGS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
    // Disables wrangler's requests to other hosts.
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_SEND_ERROR_REPORTS: 'false',
    // Node stores the compiled code of wrangler, so that later starts need a seventh less CPU time.
    NODE_COMPILE_CACHE: at('.cache', 'node'),
    // All instances have the same name, so each instance needs its own registry.
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
 * Starts the server and waits until it responds. `sql` is the configuration of a SQL Worker, which
 * runs in the same process. `sqlProcess` is `{ folder }` of a SQL module, which runs in a separate
 * process. `backups` binds a bucket. `envFile` replaces `.dev.vars`. `script` replaces the built
 * Worker and may use the runtime's test features.
 */
export async function startServer(options) {
  const { node, port, stateDir, vars = {}, envFile, observability = false } = options;
  await mustBeFree(port);
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
  if (options.assets) args.push('--assets', options.assets);
  // For each log line, workerd sends a stack trace through the inspector to wrangler's Node
  // process. This takes about 1.5 ms of CPU time.
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
    if (over) throw new UserError('wrangler dev ended before it responded; see its output above.');
    if (Date.now() > deadline) {
      await endGroup(child);
      throw new UserError(`wrangler dev did not respond within ${startMs / 1000} seconds.`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return { url, child, stop: () => endGroup(child) };
}
