// Accounts of the free plan may not set a limit of CPU time, and have one of 10 ms per request.

import { readFileSync, writeFileSync } from 'node:fs';

import { at } from './project.mjs';

/** wrangler.toml without its table of limits, beside it: paths in it are relative. */
export async function freeConfiguration() {
  const { parse, stringify } = await import('smol-toml');
  const file = at('.wrangler.free.toml');
  const { limits: _, ...rest } = parse(readFileSync(at('wrangler.toml'), 'utf8'));
  writeFileSync(file, stringify(rest));
  return file;
}
