// The files that `npm run package` adds to the package: the Worker's modules, the console, and
// their description.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { UserError } from './command.mjs';

export const built = fileURLToPath(new URL('../built', import.meta.url));

/** The source of `built/costs.json` in a clone of the repository, which has no folder `built`. */
const costsInClone = fileURLToPath(new URL('../../../docs/costs.json', import.meta.url));

/** Returns null if the package contains no SQL. */
export function builtSql() {
  const folder = join(built, 'sql');
  return existsSync(folder) ? folder : null;
}

export function aboutCosts() {
  const file = existsSync(built) ? join(built, 'costs.json') : costsInClone;
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * Reads the description of the built files. `day` is the compatibility date, and `settings` are the
 * names of the Worker's settings. The paths in `deployment` are relative to `built`.
 */
export function aboutBuilt() {
  const file = join(built, 'about.json');
  if (!existsSync(file)) {
    throw new UserError(
      `This command needs ${file}, which only a built package contains. In a clone of the repository, run ` +
        '`npm run package` and install the package. To deploy without the package, run `npm run deploy`.',
    );
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}
