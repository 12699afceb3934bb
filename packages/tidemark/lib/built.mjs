// The files that `npm run package` adds to the package: the Worker's modules, the console, and
// their description.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const built = fileURLToPath(new URL('../built', import.meta.url));

/** Returns null if the package contains no SQL. */
export function builtSql() {
  const folder = join(built, 'sql');
  return existsSync(folder) ? folder : null;
}

export function aboutCosts() {
  return JSON.parse(readFileSync(join(built, 'costs.json'), 'utf8'));
}

/**
 * `day` is the compatibility date, and `settings` are the names of the Worker's settings. The paths
 * in `deployment` are relative to `built`.
 */
export function aboutBuilt() {
  const file = join(built, 'about.json');
  if (!existsSync(file)) throw new Error(`${file} is missing: the package is incomplete. Install it again.`);
  return JSON.parse(readFileSync(file, 'utf8'));
}
