// Tests the last line of `npm test`: a run with skipped tests must not look complete.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { slowest, verdict } from '../verdict.mjs';

test('the last line lists skipped tests, and CI fails because of them', () => {
  const all = { passed: 12, failed: 0, failures: [], skipped: [] };
  assert.deepEqual(verdict(all, true), { lines: ['12 passed, 0 failed, 0 skipped'], code: 0 });
  const browser = '/usr/bin/chromium is not installed';
  const some = { ...all, skipped: [`a chart (${browser})`, `a table (${browser})`, 'slow'] };
  const last = `12 passed, 0 failed, 3 skipped, so NOT every test was run: ${browser} (2), slow (1)`;
  const named = some.skipped.map((name) => `skipped: ${name}`);
  assert.deepEqual(verdict(some, false), { lines: [...named, last], code: 0 });
  assert.deepEqual(verdict(some, true), { lines: [...named, last], code: 1 });
});

test('a failure is repeated at the end, so that a truncated log still contains it', () => {
  const one = { passed: 12, failed: 1, failures: ['end to end: kill.test.mjs: a kill'], skipped: [] };
  const lines = ['FAILED end to end: kill.test.mjs: a kill', '12 passed, 1 failed, 0 skipped'];
  assert.deepEqual(verdict(one, false), { lines, code: 1 });
});

test('the slowest ten tests are listed, the slowest first', () => {
  const times = Array.from({ length: 12 }, (_, seconds) => ({ name: `test ${seconds}`, seconds }));
  const lines = slowest(times);
  assert.deepEqual([lines.length, lines[0], lines[9]], [10, '   11.0 s  test 11', '    2.0 s  test 2']);
});
