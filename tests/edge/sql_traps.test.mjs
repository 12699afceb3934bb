// Tests a trap in the SQL Worker. No real statement is known to cause a trap, so the module of this
// test causes one.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { tidemark, WorkerHost } from './harness.mjs';
import { moduleOfSql, workerOfSql } from './sql_shim.mjs';

const trap = 'now it traps';

/** The module causes a trap if a statement requests one. */
const trapping = `
import { turn as answers } from ${moduleOfSql};
export * from ${moduleOfSql};
export function turn(session, message) {
  if (!new TextDecoder().decode(message).includes('${trap}')) return answers(session, message);
  throw new WebAssembly.RuntimeError('unreachable');
}`;

test('after a trap the next statement succeeds', async (t) => {
  const sql = await workerOfSql(t, trapping);
  if (sql === null) return;
  const it = await tidemark(t, { sql }, WorkerHost);
  await it.query('CREATE DATABASE d');
  const rows = Array.from({ length: 1_000 }, (_, n) => `m n=${n}i ${n}`);
  await it.mustWrite(rows.join('\n'), { db: 'd' });
  const ask = (q, format = 'json') => {
    const search = new URLSearchParams({ db: 'd', q, format });
    return it.fetch(`/api/v3/query_sql?${search}`);
  };
  const count = async () => (await ask('SELECT count(*) AS c FROM m')).json();
  assert.deepEqual(await count(), [{ c: 1_000 }]);
  // This statement runs at the same time, and also loses its memory when the other statement causes
  // the trap.
  const beside = await ask('SELECT a.n, b.n AS m FROM m a CROSS JOIN m b', 'jsonl');
  const reader = beside.body.getReader();
  await reader.read();
  const trapped = await ask(`SELECT '${trap}'`);
  assert.equal(trapped.status, 503);
  assert.match((await trapped.json()).error, /exhausted its stack or its memory/);
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
  });
  assert.deepEqual(await count(), [{ c: 1_000 }]);
  const both = await Promise.all([count(), count(), count()]);
  assert.deepEqual(both, Array(3).fill([{ c: 1_000 }]));
});
