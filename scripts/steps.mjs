// Steps of the set-up: each says what it does, and is skipped while its inputs are what they were.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { at } from './project.mjs';

const seconds = (from) => `${((Date.now() - from) / 1000).toFixed(1)} s`;

function addTo(hash, path) {
  if (statSync(path).isDirectory()) {
    for (const name of readdirSync(path).sort()) addTo(hash, join(path, name));
    return;
  }
  hash.update(`${path}\0`).update(readFileSync(path)).update('\0');
}

/**
 * A hash over the contents of files and folders of the repository, and over `more` strings. A path
 * that is not there is an error: what is misspelt here changes without anybody noticing.
 */
export function fingerprint(paths, more = []) {
  const hash = createHash('sha256');
  for (const path of paths) addTo(hash, at(path));
  for (const text of more) hash.update(`${text}\0`);
  return hash.digest('hex');
}

/** Whether a step was done with these inputs, and what it made is there. */
export function isDone({ stamp, inputs, outputs }) {
  const file = at(stamp);
  const wasDone = existsSync(file) && readFileSync(file, 'utf8') === inputs;
  return wasDone && outputs.every((path) => existsSync(path));
}

/**
 * Does `work` unless the file `stamp` already holds `inputs` and every path of `outputs` exists.
 * The stamp is written only after `work` succeeded. `lasts` says beforehand how long it takes, where
 * that is long.
 */
export async function step(title, { stamp, inputs, outputs, lasts = '' }, work) {
  if (isDone({ stamp, inputs, outputs })) {
    console.log(`- ${title}: up to date`);
    return;
  }
  console.log(`- ${title} … ${lasts}`.trimEnd());
  const from = Date.now();
  await work();
  const file = at(stamp);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, inputs);
  console.log(`- ${title}: done in ${seconds(from)}`);
}
