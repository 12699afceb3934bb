// Tests that the table of programs in docs/COMPATIBILITY.md contains the versions that the tests
// install.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';

const read = (path) => readFileSync(at(path), 'utf8');

const installed = {
  npm: {
    ...JSON.parse(read('package.json')).devDependencies,
    ...JSON.parse(read('tests/edge/node_red/package.json')).dependencies,
  },
  PyPI: Object.fromEntries(
    [...`${read('tests/edge/python/requirements.txt')}${read('tests/edge/python.mjs')}`.matchAll(/([\w-]+)==([\w.]+)/g)]
      .map(([, name, version]) => [name, version]),
  ),
};

test('the table of programs lists the versions that the tests install', () => {
  const [, section] = read('docs/COMPATIBILITY.md').split('\n## Programs that are run\n');
  const rows = section.split('\n## ')[0].split('\n').filter((line) => line.startsWith('| '));
  let compared = 0;
  for (const row of rows) {
    const [program, version] = row.slice(2).split(' | ');
    const registry = program.match(/npm|PyPI/)?.[0];
    const name = program.match(/`([^`]+)`/)?.[1];
    if (registry === undefined) continue;
    assert.equal(version, installed[registry][name], row);
    compared += 1;
  }
  assert.ok(compared > 10, `${compared}`);
});
