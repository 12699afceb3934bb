// Accounts of the free plan may not set a limit of CPU time, and have one of 10 ms per request.

import { readFileSync, writeFileSync } from 'node:fs';

import { at } from './project.mjs';

/** The platform's number for a limit that the plan does not have. */
const refusal = /code: 100328\b/;

/** Whether `wrangler deploy` failed for the limits alone. */
export const refusesLimits = (output) => refusal.test(output);

/** wrangler.toml without its table of limits, beside it: paths in it are relative. */
export async function freeConfiguration() {
  const { parse, stringify } = await import('smol-toml');
  const file = at('.wrangler.free.toml');
  const { limits: _, ...rest } = parse(readFileSync(at('wrangler.toml'), 'utf8'));
  writeFileSync(file, stringify(rest));
  return file;
}
