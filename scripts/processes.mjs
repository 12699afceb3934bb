// Starts programs in separate process groups, and ends the remaining groups when this process
// exits.

import { spawn } from 'node:child_process';

import { root, UserError } from './project.mjs';

/** The time between SIGTERM and SIGKILL. */
const graceMs = 4000;
/**
 * The maximum time until a killed process has ended. It ends only when the system has freed its
 * memory.
 */
const killedMsMax = 1000;
const pollMs = 10;

/**
 * A child process that leads a process group. `ended` resolves with its exit code, signal or error.
 *
 * @typedef {import('node:child_process').ChildProcess
 *   & { ended: Promise<{ code: number | null, signal?: NodeJS.Signals, error?: Error }> }} Group
 */

/** @type {Set<Group>} */
const runningChildren = new Set();

/** Returns whether the group has a process. */
export function signalGroup(child, signal) {
  try {
    return process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
    return false;
  }
}

/**
 * One signal reaches all processes of the new group.
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 */
export function startGroup(command, args, options = {}) {
  const child = /** @type {Group} */ (spawn(command, args, { cwd: root, detached: true, ...options }));
  runningChildren.add(child);
  child.ended = new Promise((resolve) => {
    child.once('error', (error) => {
      runningChildren.delete(child);
      resolve({ code: null, error });
    });
    child.once('close', (code, signal) => {
      runningChildren.delete(child);
      resolve({ code, signal });
    });
  });
  return child;
}

/** Sends SIGTERM, and SIGKILL after a grace period. Resolves after the child has ended. */
export async function endGroup(child) {
  signalGroup(child, 'SIGTERM');
  const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
  const result = await child.ended;
  clearTimeout(timer);
  // Ends the processes of the group that are still running after the child has ended.
  signalGroup(child, 'SIGKILL');
  return result;
}

/**
 * With `quiet`, collects the output and does not show it. With `quiet: 'stdout'`, shows only the error output. With
 * `tee`, collects and shows the output. `code` is null if a signal ended the program or if the program does not exist.
 * Only a missing program has an `error`.
 * @param {string} command
 * @param {string[]} args
 * @param {{ quiet?: boolean | 'stdout', tee?: boolean, env?: object }} [options]
 */
export async function run(command, args, { quiet = false, tee = false, env = {} } = {}) {
  const piped = quiet || tee;
  const child = startGroup(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', piped ? 'pipe' : 'inherit', piped && quiet !== 'stdout' ? 'pipe' : 'inherit'],
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

/** Throws if the program fails, and shows its collected output. */
export async function must(what, command, args, options) {
  const { code, output, error } = await run(command, args, options);
  if (code === 0) return output;
  // This process ends its children when it exits. Such a child has not failed, so this call never
  // returns.
  if (ending) await new Promise(() => {});
  if (options?.quiet) process.stderr.write(output);
  const how = error ? `${command} is not installed` : code === null ? `${command} was ended` : `${command} ended with code ${code}`;
  throw new UserError(`${what} failed: ${how}.`);
}

/**
 * Ends a process group, and waits until all its processes have ended. A compiler with much memory
 * ends some time after its parent.
 */
async function endWithDescendants(child) {
  await endGroup(child);
  for (let left = killedMsMax; left > 0 && signalGroup(child, 'SIGKILL'); left -= pollMs) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

let ending = false;

export function endAllOnSignals() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, async () => {
      if (ending) return;
      ending = true;
      await Promise.all([...runningChildren].map(endWithDescendants));
      process.exit(signal === 'SIGINT' ? 130 : 143);
    });
  }
}

process.on('exit', () => {
  for (const child of runningChildren) signalGroup(child, 'SIGKILL');
});
