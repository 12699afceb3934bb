// Parses the options of `npm run bench -- scale`, and computes the parameters of each scenario.

import { parseArgs } from 'node:util';

import { UserError } from '../../scripts/project.mjs';

export const sizes = ['small', 'full'];

function pair(text) {
  const [name, value, ...more] = text.split('=');
  const number = Number(value);
  if (!name || !value || more.length > 0 || !(number >= 0)) {
    throw new UserError(`--with ${text}: it has to be a name, = and a number, such as larger=3e6.`);
  }
  return /** @type {[string, number]} */ ([name, number]);
}

/**
 * If `only` is empty, all scenarios run. `changes` contains numbers that replace the numbers of the
 * size.
 */
export function choices(args) {
  const strings = /** @type {const} */ ({ type: 'string', multiple: true, default: [] });
  const options = /** @type {const} */ ({
    size: { type: 'string', default: sizes[0] },
    only: strings,
    with: strings,
  });
  const { values } = parseArgs({ args, options, allowPositionals: true });
  if (!sizes.includes(values.size)) {
    throw new UserError(`--size ${values.size}: it has to be one of ${sizes.join(', ')}.`);
  }
  const changes = Object.fromEntries(values.with.map(pair));
  return { size: values.size, only: values.only, changes };
}

/** Throws if a scenario does not exist, or if no selected scenario uses a given number. */
export function chosen(scenarios, { size, only, changes }) {
  const names = scenarios.map(({ name }) => name);
  const unknown = only.find((name) => !names.includes(name));
  if (unknown) throw new UserError(`There is no scenario ${unknown}: say one of ${names.join(', ')}.`);
  const wanted = scenarios.filter(({ name }) => only.length === 0 || only.includes(name));
  const taken = new Set(wanted.flatMap((scenario) => Object.keys(scenario.sizes[size])));
  const idle = Object.keys(changes).find((name) => !taken.has(name));
  if (idle) throw new UserError(`No scenario takes ${idle}: there are ${[...taken].join(', ')}.`);
  return wanted;
}

/** Returns the parameters for the size, after applying `changes`. */
export function planOf({ sizes: own }, { size, changes }) {
  const plan = { ...own[size] };
  for (const [name, value] of Object.entries(changes)) if (name in plan) plan[name] = value;
  return plan;
}
