// A bucket for backups: the committed wrangler.toml does without one.

import { readFileSync, writeFileSync } from 'node:fs';

import { at } from './project.mjs';

/** wrangler.toml with a bucket, which is local in development, in a file beside it: paths in it are relative. */
export async function configurationWithBackups() {
  const { parse, stringify } = await import('smol-toml');
  const file = at('.wrangler.backups.toml');
  const bucket = { binding: 'BACKUPS', bucket_name: 'tidemark-backups' };
  writeFileSync(file, stringify({ ...parse(readFileSync(at('wrangler.toml'), 'utf8')), r2_buckets: [bucket] }));
  return file;
}
