// Runs the steps of the set-up. Each step prints its title. A step is skipped if its inputs have
// not changed.

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
 * Returns a hash of files, folders and strings. A missing path is an error, because the hash would
 * not depend on a misspelt path.
 */
export function fingerprint(paths, more = []) {
  const hash = createHash('sha256');
  for (const path of paths) addTo(hash, at(path));
  for (const text of more) hash.update(`${text}\0`);
  return hash.digest('hex');
}

export function isDone({ stamp, inputs, outputs }) {
  const file = at(stamp);
  const wasDone = existsSync(file) && readFileSync(file, 'utf8') === inputs;
  return wasDone && outputs.every((path) => existsSync(path));
}

export function markDone({ stamp, inputs }) {
  const file = at(stamp);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, inputs);
}

/**
 * Skips `work` if the file `stamp` contains `inputs` and every path in `outputs` exists. `lasts`
 * describes the duration of long steps.
 */
export async function step(title, { stamp, inputs, outputs, lasts = '' }, work) {
  if (isDone({ stamp, inputs, outputs })) {
    console.log(`- ${title}: up to date`);
    return;
  }
  console.log(`- ${title} … ${lasts}`.trimEnd());
  const from = Date.now();
  await work();
  markDone({ stamp, inputs });
  console.log(`- ${title}: done in ${seconds(from)}`);
}
