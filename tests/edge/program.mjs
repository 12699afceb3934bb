// Runs programs of other projects for a test. Installs each program once, collects its log, and
// ends it.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { step } from '../../scripts/freshness.mjs';
import { endGroup, run, startGroup } from '../../scripts/processes.mjs';
import { at } from '../../scripts/project.mjs';

/** The maximum time until a program produces a result. */
const resultMs = 60_000;
const pollMs = 100;

/**
 * Runs a program without showing its output. If it fails, the error contains the last line of the
 * output.
 */
export async function quietly(command, args, options = {}) {
  const { code, output } = await run(command, args, { ...options, quiet: true });
  if (code === 0) return;
  const last = output.trim().split('\n').at(-1);
  throw new Error(code === null ? `${command} is not installed` : `${command} ${args[1]}: ${last}`);
}

/**
 * Returns whether `check` succeeds. If not, skips the test, or fails if all programs are required.
 */
export async function isAvailable(t, name, check) {
  try {
    await check();
    return true;
  } catch (error) {
    if (process.env.TIDEMARK_REQUIRE_PROGRAMS === '1') throw error;
    t.skip(`${name} cannot be run: ${error.message}`);
    return false;
  }
}

/** The installations of this process by stamp, because several tests may wait for the same one. */
const installations = new Map();

async function install(name, { stamp, inputs, outputs, work }) {
  const file = at(stamp);
  // The times of the outputs are those of the program's package.
  if (!outputs.every(existsSync)) rmSync(file, { force: true });
  await step(name, { inputs, outputs: [file] }, async () => {
    await work();
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '');
  });
}

/** Installs a program. Repeats an installation only if one of the files in `inputs` has changed. */
export const isInstalled = (t, name, about) =>
  isAvailable(t, name, () => {
    if (!installations.has(about.stamp)) installations.set(about.stamp, install(name, about));
    return installations.get(about.stamp);
  });

class Program {
  constructor(command, args, options) {
    this.name = command;
    this.log = '';
    this.isRunning = true;
    this.child = startGroup(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (text) => (this.log += text));
    }
    this.child.ended.then(() => (this.isRunning = false));
  }

  /** Repeats `attempt` until it returns a value other than undefined. */
  async until(what, attempt) {
    const deadline = Date.now() + resultMs;
    for (;;) {
      const value = await attempt();
      if (value !== undefined) return value;
      assert.ok(this.isRunning, `${this.name} ended before ${what}:\n${this.log}`);
      assert.ok(Date.now() < deadline, `${this.name}: no ${what}:\n${this.log}`);
      await sleep(pollMs);
    }
  }

  async stop() {
    if (this.isRunning) await endGroup(this.child);
  }
}

export function startProgram(t, command, args, options = {}) {
  const program = new Program(command, args, options);
  t.after(() => program.stop());
  return program;
}
