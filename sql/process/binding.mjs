// Runs SQL next to the database, either as a Worker or as a process.

import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { at } from '../../scripts/project.mjs';
import { SqlSupervisor } from './supervisor.mjs';

export const sqlConfiguration = at('sql', 'wrangler.toml');

const frontFile = at('sql', 'process', 'front.js');

/** Starts a placeholder that returns an error for every statement, until the module is compiled. */
async function startPlaceholder() {
  let reason = 'SQL is still being compiled; retry in a few minutes';
  const server = createServer((request, response) => {
    request.resume();
    response.statusCode = 503;
    response.end(`lost: ${reason}`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const stop = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return { port, stop, failed: () => (reason = 'SQL was not compiled; run `npm run sql`, and start again') };
}

/**
 * `configuration` is a file that configures a Worker, which forwards messages to the process. Until
 * the promise `built` resolves, statements get an error.
 * @param {{ node: string, folder: string, stateDir: string, limits?: object, logEvent?: any, built?:
 *   Promise<boolean> }} options
 */
export async function startSqlProcess({ node, folder, stateDir, limits = {}, logEvent = undefined, built = undefined }) {
  // A Worker under wrangler cannot connect to a Unix socket. Other users could connect to a port
  // without a secret path.
  const base = `/${randomBytes(16).toString('hex')}/`;
  const env = { SQL_BASE: base, SQL_LIMITS: JSON.stringify(limits) };
  const placeholder = built && (await startPlaceholder());
  const supervisor = new SqlSupervisor({ node, folder, port: placeholder?.port ?? 0, env, logEvent });
  const port = placeholder?.port ?? (await supervisor.start());
  let isOver = false;
  const replaced = built?.then(async (isBuilt) => {
    if (!isBuilt) return placeholder.failed();
    await placeholder.stop();
    if (!isOver) await supervisor.start();
  });
  replaced?.catch((error) => console.error(error.message));
  mkdirSync(stateDir, { recursive: true });
  const configuration = join(stateDir, 'sql.toml');
  const lines = [
    'name = "tidemark-sql"',
    `main = ${JSON.stringify(frontFile)}`,
    'compatibility_date = "2026-11-01"',
    '[vars]',
    `PROCESS_URL = "http://127.0.0.1:${port}${base}"`,
  ];
  writeFileSync(configuration, `${lines.join('\n')}\n`, { mode: 0o600 });
  const stop = async () => {
    isOver = true;
    await placeholder?.stop();
    await supervisor.stop();
  };
  return { configuration, stop };
}
