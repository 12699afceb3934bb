// Tests a statement that computes without a pause, in the SQL process of `npm start`. The limits
// prevent this for real statements, so this test's module simulates such a statement.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { tidemark, WorkerHost } from './harness.mjs';
import { moduleOfProcess, processOfSql } from './sql_shim.mjs';

const hang = 'now it hangs';

const hanging = `
import * as sql from ${moduleOfProcess};
export * from ${moduleOfProcess};
export function turn(session, message) {
  while (new TextDecoder().decode(message).includes('${hang}'));
  return sql.turn(session, message);
}`;

test('a statement that hangs is stopped, other statements run, and InfluxQL does not wait', { timeout: 300_000 }, async (t) => {
  const folder = await processOfSql(t, hanging);
  if (folder === null) return;
  const events = [];
  const logEvent = (event) => events.push(event);
  const it = await tidemark(t, { sqlProcess: { folder, logEvent, limits: { turnMs: 2_000 } } }, WorkerHost);
  await it.query('CREATE DATABASE d');
  const rows = Array.from({ length: 1_000 }, (_, n) => `m n=${n}i ${n}`);
  await it.mustWrite(rows.join('\n'), { db: 'd' });
  const ask = async (q) => {
    const response = await it.fetch(`/api/v3/query_sql?${new URLSearchParams({ db: 'd', q, format: 'json' })}`);
    return [response.status, await response.json()];
  };
  const count = () => ask('SELECT count(*) AS c FROM m');
  const counted = [200, [{ c: 1_000 }]];
  assert.deepEqual(await count(), counted);
  const hung = ask(`SELECT '${hang}'`);
  await sleep(200);
  const others = [count(), count(), count()];
  let isHanging = true;
  hung.finally(() => (isHanging = false));
  assert.deepEqual(await it.rows('SELECT count(n) FROM m', { db: 'd' }), [['1970-01-01T00:00:00Z', 1_000]]);
  assert.ok(isHanging, 'InfluxQL is answered first');
  const [status, { error }] = await hung;
  assert.equal(status, 507);
  assert.match(error, /^the statement was stopped: it ran for more than 2 seconds without a pause; use /);
  assert.deepEqual(await Promise.all(others), Array(3).fill(counted));
  assert.deepEqual(await count(), counted);
  assert.deepEqual(events, ['sql_stopped']);
});
