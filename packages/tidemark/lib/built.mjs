// What `npm run package` puts beside the programs: the Worker's modules, the console, and what is known
// of them.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Their folder. */
export const built = fileURLToPath(new URL('../built', import.meta.url));

/** The folder of the Worker of SQL; null in a package that was made without it. */
export function builtSql() {
  const folder = join(built, 'sql');
  return existsSync(folder) ? folder : null;
}

/** Prices and measured counts: docs/costs.json of the repository. */
export function aboutCosts() {
  return JSON.parse(readFileSync(join(built, 'costs.json'), 'utf8'));
}

/**
 * `{ day, paths, settings, wrangler, deployment }`: the Worker's compatibility date, the paths that it
 * answers, the names of its settings, the version of wrangler, and its configuration for `built`.
 */
export function aboutBuilt() {
  const file = join(built, 'about.json');
  if (!existsSync(file)) throw new Error(`${file} is missing: this is no whole package.`);
  return JSON.parse(readFileSync(file, 'utf8'));
}
