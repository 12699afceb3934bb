// SQL next to the database, as a Worker or as a process: the committed wrangler.toml does without it.

import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { SqlSupervisor } from '../packages/tidemark/lib/sql_supervisor.mjs';
import { at } from './project.mjs';

/** The configuration of the Worker of SQL. */
export const sqlConfiguration = at('sql', 'wrangler.toml');

const frontFile = at('packages', 'tidemark', 'lib', 'sql_front.js');

/**
 * Starts the SQL process with the module in `folder`. Returns `{ configuration, stop }`: the configuration of the Worker
 * that passes messages to it, written into `stateDir`.
 */
export async function startSqlProcess({ node, folder, stateDir, limits = {}, tell = undefined }) {
  // A Worker of wrangler cannot call the socket of a file. The secret keeps others away from the port.
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

/** What who starts the database is told of the Worker of SQL; null where it is there and new. */
export function hintOfSql({ has, isOld }) {
  if (!has) return 'For SQL run `npm run sql` once (about ten minutes), then start again.';
  return isOld ? 'The Worker of SQL is older than its sources: `npm run sql` builds it anew.' : null;
}

/** What `parse` makes of wrangler.toml, and of each of its environments, with the binding. */
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
