// Tests the hosted workflows. Their actions must be pinned, and their permissions must be minimal.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { parse } from 'yaml';

import { at } from '../../scripts/project.mjs';

const folder = at('.github', 'workflows');
const workflows = readdirSync(folder).map((name) => [name, readFileSync(`${folder}/${name}`, 'utf8')]);

/** Only these workflows may publish. */
const writers = ['release.yml'];

for (const [name, text] of workflows) {
  test(`${name} pins its actions and limits its permissions`, () => {
    const { permissions, jobs } = parse(text);
    assert.deepEqual(permissions, { contents: writers.includes(name) ? 'write' : 'read' });
    for (const [job, { steps, 'timeout-minutes': minutes, permissions: more }] of Object.entries(jobs)) {
      assert.deepEqual(more ?? { contents: 'read' }, { contents: 'read' }, `${job} asks for more`);
      assert.ok(minutes > 0, `${job} may run for ever`);
      // Tags and branches are not permitted, because the owner of an action can move them.
      for (const { uses } of steps) if (uses) assert.match(uses, /^[\w.-]+\/[\w.-]+@[0-9a-f]{40}$/, job);
    }
  });

  test(`${name} refers only to existing files`, () => {
    const named = text.match(/\b(?:scripts|tests|fuzz|\.ci)\/[\w./-]+/g) ?? [];
    for (const path of named) assert.ok(existsSync(at(path.replace(/\.$/, ''))), path);
  });
}
