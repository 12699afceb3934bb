// Runs build steps whose outputs are older than their inputs, as make does. Cargo decides this itself for Rust.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { root } from './project.mjs';

const modified = (path) => statSync(path).mtimeMs;

/** Returns the time of the last change of a file, or of any file or folder in a folder. A missing path is an error. */
function lastChange(path) {
  const own = statSync(path);
  if (!own.isDirectory()) return own.mtimeMs;
  return readdirSync(path).reduce((last, name) => Math.max(last, lastChange(join(path, name))), own.mtimeMs);
}

/** Returns whether all outputs exist and are newer than the inputs. Inputs may be folders. */
export function isCurrent(outputs, inputs) {
  const [from, to] = [inputs, outputs].map((paths) => paths.map((path) => resolve(root, path)));
  const changed = Math.max(...from.map(lastChange));
  return to.every((path) => existsSync(path) && modified(path) >= changed);
}

/** Skips `work` if the outputs are current. `lasts` describes the duration of a long step. */
export async function step(title, { outputs, inputs, lasts = '' }, work) {
  if (isCurrent(outputs, inputs)) {
    console.log(`- ${title}: up to date`);
    return;
  }
  console.log(`- ${title} … ${lasts}`.trimEnd());
  const from = Date.now();
  await work();
  console.log(`- ${title}: done in ${((Date.now() - from) / 1000).toFixed(1)} s`);
}
