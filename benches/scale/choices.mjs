// What is run and how large: the words of `npm run bench -- scale`, and what each scenario is given.

import { parseArgs } from 'node:util';

import { Sentence } from '../../scripts/project.mjs';

export const sizes = ['small', 'full'];

/** `name=1e6` as a pair. */
function pair(text) {
  const [name, value, ...more] = text.split('=');
  const number = Number(value);
  if (!name || !value || more.length > 0 || !(number >= 0)) {
    throw new Sentence(`--with ${text}: it has to be a name, = and a number, such as larger=3e6.`);
  }
  return /** @type {[string, number]} */ ([name, number]);
}

/**
 * The arguments after `scale`, as `{ size, only, changes }`: one of [sizes], the scenarios to run
 * (none: all), and numbers that take the place of those of the size.
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
    throw new Sentence(`--size ${values.size}: it has to be one of ${sizes.join(', ')}.`);
  }
  const changes = Object.fromEntries(values.with.map(pair));
  return { size: values.size, only: values.only, changes };
}

/** The scenarios that were asked for; names that none has and numbers that none takes are refused. */
export function chosen(scenarios, { size, only, changes }) {
  const names = scenarios.map(({ name }) => name);
  const unknown = only.find((name) => !names.includes(name));
  if (unknown) throw new Sentence(`There is no scenario ${unknown}: say one of ${names.join(', ')}.`);
  const wanted = scenarios.filter(({ name }) => only.length === 0 || only.includes(name));
  const taken = new Set(wanted.flatMap((scenario) => Object.keys(scenario.sizes[size])));
  const idle = Object.keys(changes).find((name) => !taken.has(name));
  if (idle) throw new Sentence(`No scenario takes ${idle}: there are ${[...taken].join(', ')}.`);
  return wanted;
}

/** What a scenario of this size is given: its own numbers, those of `changes` in their place. */
export function planOf({ sizes: own }, { size, changes }) {
  const plan = { ...own[size] };
  for (const [name, value] of Object.entries(changes)) if (name in plan) plan[name] = value;
  return plan;
}
