// What is built is built anew whenever something that it is made of has changed.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { engineSources } from '../../scripts/setup.mjs';
import { fingerprint } from '../../scripts/steps.mjs';

test('a path that is not there is an error, not a part without content', () => {
  assert.throws(() => fingerprint(['package.json', 'no/such/file']), { code: 'ENOENT' });
});

test('the database for the browser is made of all that its crate is built from', () => {
  const sources = engineSources();
  assert.deepEqual(
    sources.filter((path) => !existsSync(at(path))),
    [],
  );
  const manifest = readFileSync(at('Cargo.toml'), 'utf8');
  const script = /^build = "(.+)"$/m.exec(manifest)?.[1];
  assert.ok(script, 'Cargo.toml names its build script');
  assert.ok(
    sources.some((path) => script === path || script.startsWith(`${path}/`)),
    `${script} is not among ${sources}`,
  );
  assert.match(fingerprint(sources), /^[0-9a-f]{64}$/);
});
