// Measures the memory of SQL while ten heavy statements run at the same time.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { tidemark, WorkerHost } from './harness.mjs';
import { moduleOfSql, workerOfSql } from './sql_shim.mjs';

/** The maximum size of the module's memory in bytes replaces this placeholder in a statement. */
const mostBytes = '0000000000';
/** An isolate has 128 MB, and JavaScript uses little of it here. */
const memoryBytesMax = 126 * 1024 * 1024;

/** The module records the size of its memory after each message. */
const noting = `
import { turn as answers, memory_bytes } from ${moduleOfSql};
export * from ${moduleOfSql};
let most = 0;
const asked = new TextEncoder().encode('${mostBytes}');
export function turn(session, message) {
  const at = message.length > 4_000 ? -1 : message.findIndex((_, from) => asked.every((byte, i) => message[from + i] === byte));
  if (at >= 0) {
    message = message.slice();
    message.set(new TextEncoder().encode(String(most).padStart(asked.length, '0')), at);
  }
  const reply = answers(session, message);
  most = Math.max(most, memory_bytes());
  return reply;
}`;

const heavy = [
  'SELECT * FROM m ORDER BY s, n DESC',
  'SELECT s, array_agg(n) AS a FROM m GROUP BY s',
  'SELECT n, row_number() OVER (PARTITION BY t ORDER BY n DESC) AS r FROM m',
  'SELECT a.n FROM m a JOIN m b ON a.n = b.n ORDER BY a.s',
  'SELECT s, n, median(n) OVER (PARTITION BY t) AS x FROM m',
  'SELECT DISTINCT s, n FROM m',
  "SELECT string_agg(s, ',') AS all FROM m",
  'SELECT count(*) AS c FROM m a CROSS JOIN (SELECT n FROM m LIMIT 200) b',
  'SELECT s, n FROM m UNION SELECT s, n + 1 FROM m',
  'SELECT t, s, n, sum(n) AS x FROM m GROUP BY CUBE (t, s, n)',
];

test('ten concurrent heavy statements stay within the memory of an isolate', { timeout: 600_000 }, async (t) => {
  const sql = await workerOfSql(t, noting);
  if (sql === null) return;
  const it = await tidemark(t, { sql }, WorkerHost);
  await it.query('CREATE DATABASE d');
  for (let from = 0; from < 200_000; from += 20_000) {
    const line = (_, i) => `m,t=t${i % 50} n=${from + i}i,s="some text ${(from + i) * 7919}" ${from + i}`;
    await it.mustWrite(Array.from({ length: 20_000 }, line).join('\n'), { db: 'd' });
  }
  const ask = async (q) => {
    const response = await it.fetch(`/api/v3/query_sql?${new URLSearchParams({ db: 'd', q, format: 'jsonl' })}`);
    try {
      return { status: response.status, text: await response.text() };
    } catch (error) {
      return { status: response.status, text: `cut: ${error.message}` };
    }
  };
  const most = async () => Number(JSON.parse((await ask(`SELECT '${mostBytes}' AS bytes`)).text).bytes);
  const idle = await most();
  await ask('SELECT t, avg(n) AS mean FROM m GROUP BY t');
  const withMeans = await most();
  await ask(heavy[0]);
  const withSort = await most();
  const answers = await Promise.all(heavy.map(ask));
  const statuses = answers.map(({ status }) => status);
  answers.forEach(({ status, text }, i) => {
    // A statement that waits too long gets a status that permits a retry.
    assert.ok([200, 503, 507].includes(status), `${heavy[i]}: ${status} ${text.slice(0, 300)}`);
  });
  assert.ok(statuses.filter((status) => status === 200).length >= 3, String(statuses));
  const bytes = await most();
  const megabytes = (count) => (count / 1024 / 1024).toFixed(0);
  t.diagnostic(`MiB: ${megabytes(idle)} before, ${megabytes(withMeans)} with means, ${megabytes(withSort)} with a sort, ${megabytes(bytes)} at most; ${statuses.join(' ')}`);
  assert.ok(bytes > idle && bytes <= memoryBytesMax, `${bytes} bytes`);
  assert.equal((await ask('SELECT count(*) AS c FROM m')).text, '{"c":200000}\n');
});
