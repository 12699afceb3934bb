// Tests that a build step runs again if one of its inputs has changed.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';

import { at, lockedCrate } from '../../scripts/project.mjs';
import { checkLinker, engineSources, hasCargo } from '../../scripts/setup.mjs';
import { fingerprint, isDone, step } from '../../scripts/setup_steps.mjs';
import { temporaryFolder } from './harness.mjs';

test('a missing path is an error', () => {
  assert.throws(() => fingerprint(['package.json', 'no/such/file']), { code: 'ENOENT' });
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

test('the browser database is built again when any source of its crate changes', () => {
  const sources = engineSources();
  assert.deepEqual(
    sources.filter((path) => !existsSync(at(path))),
    [],
  );
  const manifest = readFileSync(at('Cargo.toml'), 'utf8');
  const crates = [...manifest.matchAll(/^tidemark-.* path = "(.+?)"/gm)].map(([, path]) => path);
  assert.ok(crates.length > 3, 'Cargo.toml names the crates of the workspace');
  for (const crate of crates) {
    assert.ok(sources.some((path) => crate.startsWith(path)), `${crate} is not among ${sources}`);
  }
  assert.match(fingerprint(sources), /^[0-9a-f]{64}$/);
});

test('the JavaScript generator has the same version as the wasm-bindgen crate', () => {
  const manifest = readFileSync(at('scripts', 'bindgen', 'Cargo.toml'), 'utf8');
  const [, version] = /^wasm-bindgen-cli-support = "=(.+)"$/m.exec(manifest) ?? [];
  assert.equal(version, lockedCrate('wasm-bindgen'));
});

test('a step runs once for its inputs, and again after an input changes or an output is deleted', async (t) => {
  const folder = mkdtempSync(at('.cache', 'step-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const output = join(folder, 'output');
  const about = { stamp: relative(at(), join(folder, 'stamp')), inputs: 'a', outputs: [output] };
  let runs = 0;
  const run = (more = {}) => step('A step', { ...about, ...more }, async () => writeFileSync(output, String((runs += 1))));
  assert.equal(isDone(about), false);
  await run();
  await run();
  assert.deepEqual([runs, isDone(about), isDone({ ...about, inputs: 'b' })], [1, true, false]);
  await run({ inputs: 'b' });
  rmSync(output);
  assert.equal(isDone({ ...about, inputs: 'b' }), false);
  await run({ inputs: 'b' });
  assert.equal(runs, 3);
  await assert.rejects(step('Another', { ...about, inputs: 'c' }, () => Promise.reject(new Error('no'))));
  assert.equal(isDone({ ...about, inputs: 'c' }), false);
});
