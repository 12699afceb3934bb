// Tests a continuous query with a real alarm. The query runs without a request, and computes every
// window after a downtime.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { PlainWorkerd, tidemark } from './harness.mjs';

const windowS = 2;
/** The downtime, during which at least two windows end. */
const downS = 2 * windowS;
const patienceMs = 60_000;
const db = { db: 'db', epoch: 's' };

async function sums(server, lastS) {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const rows = await server.rows('SELECT total FROM sums', db);
    if ((rows.at(-1)?.[0] ?? 0) >= lastS) return rows;
    assert.ok(Date.now() < deadline, `no window of ${lastS} in time: ${JSON.stringify(rows.slice(-3))}`);
    await sleep(250);
  }
}

test('the alarm runs a continuous query, which catches up after a kill', { timeout: 180_000 }, async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE db WITH DURATION INF');
  // Writes two points per second for the next minutes in advance, so that only the clock determines
  // which windows are due.
  const nowS = Math.floor(Date.now() / 1000);
  const firstS = nowS - (nowS % windowS);
  const lines = Array.from({ length: 600 }, (_, i) => `m v=${i}i ${firstS * 1000 + i * 500}`);
  await server.mustWrite(lines.join('\n'), { db: 'db', precision: 'ms' });
  const cq = `SELECT sum(v) AS total INTO sums FROM m GROUP BY time(${windowS}s)`;
  await server.query(`CREATE CONTINUOUS QUERY cq ON db BEGIN ${cq} END`, db);

  // Only the alarm writes the results, and only for windows that have ended.
  const before = await sums(server, firstS + windowS);
  assert.ok(before.at(-1)[0] + windowS <= Math.floor(Date.now() / 1000) + 1, 'a window that is not over');

  const lastS = before.at(-1)[0];
  await server.kill();
  await sleep(downS * 1000);
  await server.start();
  const rows = await sums(server, lastS + downS);
  const total = (startS) => {
    const from = (startS - firstS) * 2;
    return Array.from({ length: 2 * windowS }, (_, i) => from + i).reduce((sum, v) => sum + v, 0);
  };
  const expected = rows.map((_, i) => rows[0][0] + i * windowS).map((startS) => [startS, total(startS)]);
  assert.deepEqual(rows, expected, 'a window is missing or was summed too early');
});
