// Parses the options of `npm run bench -- scale`.

import { parseArgs } from 'node:util';

import { UserError } from '../../scripts/project.mjs';

const sizes = ['small', 'full'];

/** Returns the options and the wanted scenarios. Without `--only`, these are all scenarios. */
export function choices(args, scenarios) {
  const options = /** @type {const} */ ({
    size: { type: 'string', default: sizes[0] },
    only: { type: 'string', multiple: true, default: [] },
  });
  const { size, only } = parseArgs({ args, options, allowPositionals: true }).values;
  if (!sizes.includes(size)) throw new UserError(`--size ${size}: it has to be one of ${sizes.join(', ')}.`);
  const names = scenarios.map(({ name }) => name);
  const unknown = only.find((name) => !names.includes(name));
  if (unknown) throw new UserError(`There is no scenario ${unknown}: say one of ${names.join(', ')}.`);
  return { size, wanted: scenarios.filter(({ name }) => only.length === 0 || only.includes(name)) };
}
