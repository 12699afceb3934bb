// Writes a configuration with bindings that the committed wrangler.toml omits: the SQL Worker and a
// bucket for backups.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

import { at } from './project.mjs';

/**
 * The paths in the configuration are relative to its folder. Servers with different bindings run at
 * the same time, so each combination has its own file. An unchanged file is not written again,
 * because `wrangler dev` would restart each Worker that uses the file, and abort its requests.
 * @param {{ sql?: boolean, backups?: boolean }} wanted
 */
export async function configurationWith({ sql = false, backups = false }) {
  const { parse, stringify } = await import('smol-toml');
  const whole = /** @type {any} */ (parse(readFileSync(at('wrangler.toml'), 'utf8')));
  if (sql) whole.services = [...(whole.services ?? []), { binding: 'SQL', service: 'tidemark-sql' }];
  if (backups) whole.r2_buckets = [...(whole.r2_buckets ?? []), { binding: 'BACKUPS', bucket_name: 'tidemark-backups' }];
  const words = [...(sql ? ['sql'] : []), ...(backups ? ['backups'] : [])];
  const file = at(`.wrangler.${words.join('-')}.toml`);
  const text = stringify(whole);
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  return file;
}
