// The Python clients, in an environment of their own inside .cache, and how one is given an order.

import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';

import { run } from '../../scripts/processes.mjs';
import { at } from '../../scripts/project.mjs';
import { fingerprint, step } from '../../scripts/steps.mjs';

const folder = at('.cache', 'python');
/** Python with the clients, once [hasPythonClients] said so. */
export const pythonProgram = at('.cache', 'python', 'bin', 'python');
const requirements = 'tests/edge/python/requirements.txt';

/** Longer than any order takes, a restart of the server included. */
const orderMs = 120_000;

/** One line that says why a program failed: the last that it printed. */
async function quietly(command, args) {
  const { code, output } = await run(command, args, { quiet: true });
  if (code === 0) return;
  const last = output.trim().split('\n').at(-1);
  throw new Error(code === null ? `${command} is not installed` : `${command} ${args[1]}: ${last}`);
}

async function install() {
  rmSync(folder, { recursive: true, force: true });
  await quietly('python3', ['-m', 'venv', folder]);
  const flags = ['--quiet', '--disable-pip-version-check', '--only-binary', 'pyarrow'];
  await quietly(pythonProgram, ['-m', 'pip', 'install', ...flags, '-r', at(requirements)]);
}

/**
 * Whether the clients are there; they are installed when they are not. Where that cannot be done
 * the test is skipped by name, or failed where every program has to be there.
 */
export async function hasPythonClients(t) {
  const stamp = '.cache/stamps/python';
  const inputs = fingerprint([requirements]);
  try {
    await step('Python clients', { stamp, inputs, outputs: [pythonProgram] }, install);
    return true;
  } catch (error) {
    if (process.env.TIDEMARK_REQUIRE_PROGRAMS === '1') throw error;
    t.skip(`the Python clients cannot be installed: ${error.message}`);
    return false;
  }
}

/** Runs tests/edge/python/`script`.py with an order and returns what it reports. */
export function order(script, what) {
  const args = ['-B', at('tests', 'edge', 'python', `${script}.py`), JSON.stringify(what)];
  return new Promise((resolve, reject) => {
    execFile(pythonProgram, args, { timeout: orderMs }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${script} ${what.action}: ${error.message}\n${stderr}`));
      else resolve(JSON.parse(stdout.trimEnd().split('\n').at(-1)));
    });
  });
}
