// Binds SQL to the database, as a Worker or as a process. The committed wrangler.toml has no SQL
// binding.

import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { SqlSupervisor } from '../packages/tidemark/lib/sql_supervisor.mjs';
import { at } from './project.mjs';

/** The configuration of the SQL Worker. */
export const sqlConfiguration = at('sql', 'wrangler.toml');

const frontFile = at('packages', 'tidemark', 'lib', 'sql_front.js');

/**
 * Starts the SQL process with the module in `folder`. Returns `{ configuration, stop }`.
 * `configuration` is the file in `stateDir` that configures a Worker to forward messages to the
 * process.
 */
export async function startSqlProcess({ node, folder, stateDir, limits = {}, tell = undefined }) {
  // A Worker under wrangler cannot connect to a Unix socket, so the process listens on a port. The
  // secret path protects the port.
  const base = `/${randomBytes(16).toString('hex')}/`;
  const env = { SQL_BASE: base, SQL_LIMITS: JSON.stringify(limits) };
  const supervisor = new SqlSupervisor({ node, folder, place: 0, env, tell });
  const port = await supervisor.start();
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
  return { configuration, stop: () => supervisor.stop() };
}

/** Returns a hint to show at the start, or null if the SQL Worker exists and is up to date. */
export function hintOfSql({ has, isOld }) {
  if (!has) return 'For SQL run `npm run sql` once (about ten minutes), then start again.';
  return isOld ? 'The Worker of SQL is older than its sources: `npm run sql` builds it anew.' : null;
}

/**
 * Returns the parsed wrangler.toml with the SQL binding at the top level and in each environment.
 */
export function withBinding(configuration) {
  const bound = (one) => ({
    ...one,
    services: [...(one.services ?? []), { binding: 'SQL', service: 'tidemark-sql' }],
  });
  const environments = Object.entries(configuration.env ?? {});
  const env = environments.map(([name, one]) => [name, bound(one)]);
  const more = env.length > 0 ? { env: Object.fromEntries(env) } : {};
  return { ...bound(configuration), ...more };
}
