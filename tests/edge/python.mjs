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

/** Whether what a step installs is there; see [hasPythonClients]. */
async function isInstalled(t, name, { stamp, outputs, work }) {
  try {
    await step(name, { stamp, inputs: fingerprint([requirements]), outputs }, work);
    return true;
  } catch (error) {
    if (process.env.TIDEMARK_REQUIRE_PROGRAMS === '1') throw error;
    t.skip(`${name} cannot be installed: ${error.message}`);
    return false;
  }
}

/**
 * Whether the clients are there; they are installed when they are not. Where that cannot be done
 * the test is skipped by name, or failed where every program has to be there.
 */
export const hasPythonClients = (t) =>
  isInstalled(t, 'Python clients', { stamp: '.cache/stamps/python', outputs: [pythonProgram], work: install });

/** The same of pyinflux3 too, which has the name that influxdb3-python has: it lies beside the others. */
export async function hasPyinflux3(t) {
  if (!(await hasPythonClients(t))) return false;
  const outputs = [at('.cache', 'pyinflux3')];
  const flags = ['--quiet', '--disable-pip-version-check', '--no-deps', '--target', outputs[0]];
  return isInstalled(t, 'pyinflux3', {
    stamp: '.cache/stamps/pyinflux3',
    outputs,
    work: async () => {
      rmSync(outputs[0], { recursive: true, force: true });
      await quietly(pythonProgram, ['-m', 'pip', 'install', ...flags, 'pyinflux3==0.9.2']);
    },
  });
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
