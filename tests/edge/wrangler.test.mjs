// What the documents tell to run is run with whatever Node `npm` has: 20 is enough.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { at } from '../../scripts/project.mjs';

test('npm run wrangler is the locked wrangler, by a Node that it accepts', async () => {
  const args = ['run', '--silent', 'wrangler', '--', '--version'];
  const env = { ...process.env, WRANGLER_SEND_METRICS: 'false' };
  const { stdout } = await promisify(execFile)('npm', args, { cwd: at(), env });
  const { devDependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  assert.ok(stdout.includes(devDependencies.wrangler), stdout);
});
