// Tests that a build step runs again if one of its inputs has changed, and the checks before the first build.

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { isCurrent, step } from '../../scripts/freshness.mjs';
import { checkLinker, hasCargo } from '../../scripts/setup.mjs';
import { temporaryFolder } from './harness.mjs';

test('a missing path is an error', () => {
  assert.throws(() => isCurrent(['package.json'], ['no/such/file']), { code: 'ENOENT' });
});

test('the error for a missing C compiler names the packages', async () => {
  await assert.rejects(checkLinker('no-such-compiler'), /A C compiler is not installed.*`apt-get install gcc libc6-dev`/);
  await checkLinker(process.execPath);
});

test('a failure of rustup is shown, and is not a missing cargo', async (t) => {
  const { PATH } = process.env;
  t.after(() => (process.env.PATH = PATH));
  process.env.PATH = temporaryFolder(t);
  assert.equal(await hasCargo(), false);
  const program = '#!/bin/sh\necho "error: no space left on device" >&2\nexit 1\n';
  writeFileSync(join(process.env.PATH, 'cargo'), program, { mode: 0o755 });
  await assert.rejects(hasCargo(), { message: 'cargo is installed, but fails:\nerror: no space left on device' });
});

test('a step runs again if an input is newer than an output, or if an output is missing', async (t) => {
  const folder = temporaryFolder(t);
  const [input, output] = [join(folder, 'inputs', 'deep', 'input'), join(folder, 'output')];
  mkdirSync(dirname(input), { recursive: true });
  writeFileSync(input, '');
  const about = { inputs: [join(folder, 'inputs')], outputs: [output] };
  let runs = 0;
  const run = () => step('A step', about, async () => writeFileSync(output, String((runs += 1))));
  const age = (path, seconds) => utimesSync(path, new Date(), Date.now() / 1000 - seconds);
  assert.equal(isCurrent(about.outputs, about.inputs), false);
  await run();
  await run();
  assert.equal(runs, 1);
  age(output, 60);
  await run();
  assert.equal(runs, 2);
  rmSync(output);
  await run();
  assert.equal(runs, 3);
  // A deleted input changes only its folder.
  for (const path of [input, dirname(input), join(folder, 'inputs'), output]) age(path, 60);
  rmSync(input);
  assert.equal(isCurrent(about.outputs, about.inputs), false);
  rmSync(output);
  await assert.rejects(step('A step', about, () => Promise.reject(new Error('no'))), /no/);
  assert.equal(isCurrent(about.outputs, about.inputs), false);
});
