// Starts programs, each in a process group of its own, and ends every group that is left.

import { spawn } from 'node:child_process';

import { root, Sentence } from './project.mjs';

/** Time for a group to end by itself after SIGTERM. */
const graceMs = 4000;

/**
 * A child that heads a process group; `ended` resolves with how.
 *
 * @typedef {import('node:child_process').ChildProcess
 *   & { ended: Promise<{ code: number | null, signal?: NodeJS.Signals, error?: Error }> }} Group
 */

/** Children that have not ended yet. @type {Set<Group>} */
const living = new Set();

/** Sends `signal` to the child and to everything that it started. */
export function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * Starts `command` as the head of a new process group, so that all of it can be ended together.
 * `options` are those of `spawn`.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 */
export function startGroup(command, args, options = {}) {
  const child = /** @type {Group} */ (spawn(command, args, { cwd: root, detached: true, ...options }));
  living.add(child);
  child.ended = new Promise((resolve) => {
    child.once('error', (error) => {
      living.delete(child);
      resolve({ code: null, error });
    });
    child.once('close', (code, signal) => {
      living.delete(child);
      resolve({ code, signal });
    });
  });
  return child;
}

/** SIGTERM to the group, SIGKILL after a grace period; resolves when the child has ended. */
export async function endGroup(child) {
  signalGroup(child, 'SIGTERM');
  const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
  const result = await child.ended;
  clearTimeout(timer);
  // What the child left behind has no reason to live either.
  signalGroup(child, 'SIGKILL');
  return result;
}

/**
 * Runs a program to its end. With `quiet` its output is collected instead of shown; with `tee` both.
 * Returns `{ code, output, error }`; `code` is null if it was ended by a signal, or, with an `error`, does not exist.
 */
export async function run(command, args, { quiet = false, tee = false, env = {} } = {}) {
  const piped = quiet || tee;
  const child = startGroup(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', piped ? 'pipe' : 'inherit', piped ? 'pipe' : 'inherit'],
  });
  let output = '';
  const collect = (shown) => (piece) => {
    output += piece;
    if (tee) shown.write(piece);
  };
  child.stdout?.on('data', collect(process.stdout));
  child.stderr?.on('data', collect(process.stderr));
  const { code, error } = await child.ended;
  return { code, output, error };
}

/** Runs a program that has to succeed; its collected output is shown if it does not. */
export async function must(what, command, args, options) {
  const { code, output, error } = await run(command, args, options);
  if (code === 0) return output;
  // What is ended with this process did not fail.
  if (ending) await new Promise(() => {});
  if (options?.quiet) process.stderr.write(output);
  const how = error ? `${command} is not installed` : code === null ? `${command} was ended` : `${command} ended with code ${code}`;
  throw new Sentence(`${what} failed: ${how}.`);
}

let ending = false;

/** Ends every process group on SIGINT, SIGTERM and SIGHUP, then this process. */
export function endAllOnSignals() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, async () => {
      if (ending) return;
      ending = true;
      await Promise.all([...living].map(endGroup));
      process.exit(signal === 'SIGINT' ? 130 : 143);
    });
  }
}

// Whatever ends this process, nothing that it started stays.
process.on('exit', () => {
  for (const child of living) signalGroup(child, 'SIGKILL');
});
