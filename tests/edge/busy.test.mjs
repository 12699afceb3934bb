// Tests that a write does not wait for long queries.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { PlainWorkerd, tidemark } from './harness.mjs';

const db = 'busy';
const queries = 16;

test('writes and small queries succeed while many long queries run', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query(`CREATE DATABASE ${db}`);
  for (let first = 0; first < 200_000; first += 10_000) {
    const line = (n) => `cpu,host=h${n % 40} a=${(n * 7919) % 1000},b=${n % 89} ${n}`;
    const lines = Array.from({ length: 10_000 }, (_, i) => line(first + i));
    await server.mustWrite(lines.join('\n'), { db, precision: 's' });
  }
  const long = 'SELECT median(a), stddev(b) FROM cpu GROUP BY host';
  const expected = await server.series(long, { db });
  let ended = 0;
  const running = Array.from({ length: queries }, async () => {
    assert.deepEqual(await server.series(long, { db }), expected);
    ended += 1;
  });
  let through = 0;
  await sleep(20);
  for (let n = 0; ended < queries; n++) {
    await server.mustWrite(`other v=${n}i ${n}`, { db, precision: 's' });
    const rows = await server.rows('SELECT last(v) FROM other', { db, epoch: 's' });
    assert.deepEqual(rows, [[n, n]], 'what was acknowledged is seen by the next query');
    if (ended < queries) through += 1;
  }
  await Promise.all(running);
  t.diagnostic(`${through} writes, each read back, while ${queries} long queries ran`);
  assert.ok(through >= 3, `only ${through} got through`);
});
