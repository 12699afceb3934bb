// What the committed wrangler.toml does without: the Worker of SQL, and a bucket for backups.

import { readFileSync, writeFileSync } from 'node:fs';

import { withBucket } from './backup-binding.mjs';
import { at } from './project.mjs';
import { withBinding } from './sql-binding.mjs';

/**
 * wrangler.toml with what is asked for, in one file beside it: paths in it are relative. It has a name of its own
 * for each choice, since servers of several choices run at once.
 *
 * @param {{ sql?: boolean, backups?: boolean }} wanted
 */
export async function configurationWith({ sql = false, backups = false }) {
  const { parse, stringify } = await import('smol-toml');
  const whole = parse(readFileSync(at('wrangler.toml'), 'utf8'));
  const bound = [...(sql ? [withBinding] : []), ...(backups ? [withBucket] : [])];
  const words = [...(sql ? ['sql'] : []), ...(backups ? ['backups'] : [])];
  const file = at(`.wrangler.${words.join('-')}.toml`);
  writeFileSync(file, stringify(bound.reduce((one, bind) => bind(one), whole)));
  return file;
}
