// Installs the Python clients into .cache/python and runs the scripts of tests/edge/python.

import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';

import { at } from '../../scripts/project.mjs';
import { isInstalled, quietly } from './program.mjs';

const folder = at('.cache', 'python');
/** The interpreter exists after [hasPythonClients] returned true. */
export const pythonProgram = at('.cache', 'python', 'bin', 'python');
const requirements = 'tests/edge/python/requirements.txt';
const inputs = [requirements];

export const orderMs = 120_000;

async function install() {
  rmSync(folder, { recursive: true, force: true });
  await quietly('python3', ['-m', 'venv', folder]);
  const flags = ['--quiet', '--disable-pip-version-check', '--only-binary', 'pyarrow'];
  await quietly(pythonProgram, ['-m', 'pip', 'install', ...flags, '-r', at(requirements)]);
}

/** Installs the clients if necessary. [isAvailable] describes a failure. */
export const hasPythonClients = (t) =>
  isInstalled(t, 'Python clients', { stamp: '.cache/stamps/python', inputs, outputs: [pythonProgram], work: install });

/**
 * pyinflux3 needs a separate folder, because its module has the same name as the module of
 * influxdb3-python.
 */
export async function hasPyinflux3(t) {
  if (!(await hasPythonClients(t))) return false;
  const outputs = [at('.cache', 'pyinflux3')];
  const flags = ['--quiet', '--disable-pip-version-check', '--no-deps', '--target', outputs[0]];
  return isInstalled(t, 'pyinflux3', {
    stamp: '.cache/stamps/pyinflux3',
    inputs,
    outputs,
    work: async () => {
      rmSync(outputs[0], { recursive: true, force: true });
      await quietly(pythonProgram, ['-m', 'pip', 'install', ...flags, 'pyinflux3==0.9.2']);
    },
  });
}

/**
 * Executes an order (client_trials.mjs) with tests/edge/python/`script`.py. Returns the script's
 * report.
 */
export function order(script, what, timeoutMs = orderMs) {
  const args = ['-B', at('tests', 'edge', 'python', `${script}.py`), JSON.stringify(what)];
  return new Promise((resolve, reject) => {
    execFile(pythonProgram, args, { timeout: timeoutMs }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${script} ${what.action}: ${error.message}\n${stderr}`));
      else resolve(JSON.parse(stdout.trimEnd().split('\n').at(-1)));
    });
  });
}
