// Tests SQL over HTTP. On workerd, the SQL Worker is bound to the database.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { at } from '../../scripts/project.mjs';
import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { databaseToken, isNative, PlainWorkerd, tidemark, withoutSql } from './harness.mjs';

const path = '/api/v3/query_sql';
const built = { skip: withoutSql };
const json = { 'Content-Type': 'application/json' };

/** Starts a server with the database `d`, which contains rows of two hosts in 7 shards. */
async function started(t) {
  const it = await tidemark(t, { sql: sqlConfiguration, vars: { DEFAULT_SHARDS: '7' } });
  await it.query('CREATE DATABASE d');
  const lines = Array.from({ length: 700 }, (_, n) => {
    const fields = n % 2 === 0 ? `usage=${n / 4},n=${n}i` : `n=${n}i`;
    return `cpu,host=h${n % 50},region=${n % 2 ? 'eu' : 'us'} ${fields} ${n}`;
  });
  await it.mustWrite(lines.join('\n'), { db: 'd', precision: 's' });
  return it;
}

/** Runs a SQL statement, and asserts that the response has the given status. */
async function asked(it, q, { status = 200, ...more } = {}) {
  const body = JSON.stringify({ db: 'd', q, ...more });
  const response = await it.fetch(path, { method: 'POST', headers: json, body });
  if (response.status !== status) assert.fail(`${q}: ${response.status} ${await response.text()}`);
  return response;
}

const rows = async (it, q, more) => (await asked(it, q, more)).json();
const refused = async (it, q, status, more) => (await rows(it, q, { status, ...more })).error;

test('a statement reads rows of every shard, in every format', built, async (t) => {
  const it = await started(t);
  assert.deepEqual(await rows(it, 'SELECT 1 AS one'), [{ one: 1 }]);
  const whole = 'SELECT count(*) AS all, count(usage) AS some, sum(n) AS n FROM cpu';
  assert.deepEqual(await rows(it, whole), [{ all: 700, some: 350, n: 244650 }]);
  const few = "SELECT time, host, usage FROM cpu WHERE host IN ('h1', 'h2') AND n < 3 ORDER BY n";
  assert.deepEqual(await rows(it, few), [
    { time: '1970-01-01T00:00:01', host: 'h1' },
    { time: '1970-01-01T00:00:02', host: 'h2', usage: 0.5 },
  ]);
  const last = 'SELECT n FROM cpu ORDER BY time DESC LIMIT 3';
  assert.deepEqual(await rows(it, last), [{ n: 699 }, { n: 698 }, { n: 697 }]);
  assert.deepEqual(await rows(it, "SELECT count(*) AS c FROM cpu WHERE region <> 'eu'"), [{ c: 350 }]);
  assert.deepEqual(await rows(it, 'SELECT count(*) AS c FROM cpu WHERE usage IS NULL'), [{ c: 350 }]);
  const join = 'SELECT count(*) AS c FROM cpu a JOIN cpu b ON a.time = b.time AND a.host = b.host';
  assert.deepEqual(await rows(it, join), [{ c: 700 }]);
  const form = async (format) => {
    const response = await asked(it, few, { format });
    return [response.headers.get('content-type'), Buffer.from(await response.arrayBuffer())];
  };
  const text = async (format) => {
    const [type, bytes] = await form(format);
    return [type, bytes.toString()];
  };
  const csv = 'time,host,usage\n1970-01-01T00:00:01,h1,\n1970-01-01T00:00:02,h2,0.5\n';
  assert.deepEqual(await text('csv'), ['text/csv', csv]);
  const lines =
    '{"time":"1970-01-01T00:00:01","host":"h1"}\n' +
    '{"time":"1970-01-01T00:00:02","host":"h2","usage":0.5}\n';
  assert.deepEqual(await text('jsonl'), ['application/jsonl', lines]);
  const [pretty, table] = await text('pretty');
  assert.equal(pretty, 'text/plain; charset=utf-8');
  assert.match(table, /^\+-+\+.*\| 1970-01-01T00:00:02 \| h2 {3}\| 0\.5 {3}\|\n\+[-+]+\+$/s);
  const [parquet, file] = await form('parquet');
  assert.equal(parquet, 'application/vnd.apache.parquet');
  assert.deepEqual([file.subarray(0, 4).toString(), file.subarray(-4).toString()], ['PAR1', 'PAR1']);
  const [arrow, stream] = await form('arrow');
  assert.equal(arrow, 'application/vnd.apache.arrow.stream');
  assert.equal(stream.readUInt32LE(0), 0xffffffff);
});

test('a query with parameters can be in the URL, a form, JSON or gzip', built, async (t) => {
  const it = await started(t);
  const q = 'SELECT n FROM cpu WHERE host = $host AND n < $n';
  const params = { host: 'h3', n: 100 };
  const expected = [{ n: 3 }, { n: 53 }];
  const same = async (response) => {
    const found = await response.json();
    assert.deepEqual([response.status, found.sort((a, b) => a.n - b.n)], [200, expected]);
  };
  const search = new URLSearchParams({ db: 'd', q, params: JSON.stringify(params) });
  await same(await it.fetch(`${path}?${search}`));
  await same(await it.fetch(path, { method: 'POST', body: search }));
  await same(await asked(it, q, { params }));
  const body = gzipSync(JSON.stringify({ db: 'd', q, params }));
  const headers = { ...json, 'Content-Encoding': 'gzip' };
  await same(await it.fetch(path, { method: 'POST', headers, body }));
  const csv = await it.fetch(`${path}?${search}`, { headers: { Accept: 'text/csv' } });
  assert.match(await csv.text(), /^n\n\d+\n\d+\n$/);
  assert.match(await refused(it, q, 400), /No value found for placeholder with name \$host/);
});

test('the status and text of an error show its reason, and whether the client caused it', built, async (t) => {
  const it = await started(t);
  assert.match(await refused(it, 'SELEC 1', 400), /Expected: an SQL statement/);
  assert.match(await refused(it, 'SELECT * FROM nope', 400), /table 'public\.iox\.nope' not found/);
  assert.match(await refused(it, 'SELECT nope FROM cpu', 400), /No field named nope/);
  assert.match(await refused(it, 'DROP TABLE cpu', 400), /use the InfluxQL statements DELETE and DROP MEASUREMENT/);
  assert.match(await refused(it, '', 400), /No SQL statements/);
  assert.match(await refused(it, 'SELECT 1', 404, { db: 'none' }), /database not found/);
  assert.match(await refused(it, 'SELECT 1', 404, { db: 'd/none' }), /retention policy not found/);
  assert.match(await refused(it, 'SELECT 1; SELECT 2', 400), /single SQL statement/);
  const ors = Array(1_000).fill('n = 1').join(' OR ');
  assert.match(await refused(it, `SELECT n FROM cpu WHERE ${ors}`, 400), /128 chained operators/);
  const heavy = 'SELECT array_agg(a.n ORDER BY b.n) FROM cpu a, cpu b, cpu c, cpu d';
  assert.match(await refused(it, heavy, 507), /narrow the time range or aggregate first|rows/);
  assert.deepEqual(await rows(it, 'SELECT count(*) AS c FROM cpu'), [{ c: 700 }]);
  await it.mustWrite('cpu,host=h1 fresh=1 999\nlater v=1 1', { db: 'd', precision: 's' });
  assert.deepEqual(await rows(it, 'SELECT fresh FROM cpu WHERE fresh > 0'), [{ fresh: 1 }]);
  assert.deepEqual(await rows(it, 'SELECT v FROM later'), [{ v: 1 }]);
});

test('a token that may read one database cannot read another', built, async (t) => {
  const it = await started(t);
  await it.query('CREATE DATABASE other');
  await it.mustWrite('secret v=1 1', { db: 'other' });
  const token = await databaseToken(it, 'd', { actions: ['read'] });
  const headers = { ...json, Authorization: `Bearer ${token}` };
  const ask = async (db, q) => {
    const body = JSON.stringify({ db, q });
    const response = await it.fetch(path, { method: 'POST', headers, body });
    return [response.status, await response.text()];
  };
  assert.deepEqual(await ask('d', 'SELECT count(*) AS c FROM cpu'), [200, '[{"c":700}]']);
  assert.equal((await ask('other', 'SELECT * FROM secret'))[0], 403);
  const [status, text] = await ask('d', 'SELECT * FROM other.autogen.secret');
  assert.equal(status, 400, text);
  assert.equal((await ask('d', 'SELECT * FROM secret'))[0], 400);
  assert.equal((await ask('d', 'SELECT * FROM system.queries'))[0], 403);
  const anonymous = await fetch(`${it.url}${path}?db=d&q=SELECT+1`);
  assert.equal(anonymous.status, 401);
});

test('a query stops when its client disconnects, and long results are streamed', built, async (t) => {
  const it = await started(t);
  const long = 'SELECT a.n, b.n AS m, a.host FROM cpu a CROSS JOIN cpu b';
  const lines = (await (await asked(it, long, { format: 'jsonl' })).text()).trimEnd().split('\n');
  assert.equal(lines.length, 490_000);
  // Each client disconnects after the first row. At most two statements run at a time, so every
  // third statement would wait if the plans of disconnected clients continued to run.
  const from = Date.now();
  for (let n = 0; n < 5; n += 1) {
    const response = await asked(it, long, { format: 'jsonl' });
    const reader = response.body.getReader();
    await reader.read();
    await reader.cancel();
    await sleep(50);
  }
  assert.deepEqual(await rows(it, 'SELECT 1 AS one'), [{ one: 1 }]);
  assert.ok(Date.now() - from < 7_000, `${Date.now() - from} ms`);
  const many = Array.from({ length: 12 }, (_, n) => rows(it, `SELECT ${n} AS n, count(*) AS c FROM cpu`));
  assert.deepEqual(await Promise.all(many), Array.from({ length: 12 }, (_, n) => [{ n, c: 700 }]));
});

test('a statement that needs no pages allows other statements to run between its turns', built, async (t) => {
  const it = await started(t);
  await asked(it, 'SELECT 1');
  // The debug build of the native host is much slower than the SQL Worker.
  const series = (name) => `generate_series(1, ${isNative ? 1_500 : 7_000}) ${name}`;
  const q = `SELECT count(*) AS c FROM ${series('a')} JOIN ${series('b')} ON a.value + b.value < 0`;
  let isOver = false;
  const heavy = rows(it, q).finally(() => (isOver = true));
  let served = 0;
  for (; !isOver; served += 1) {
    assert.equal((await it.fetch('/ping')).status, 204);
    assert.deepEqual(await rows(it, 'SELECT count(*) AS c FROM cpu'), [{ c: 700 }]);
  }
  assert.deepEqual(await heavy, [{ c: 0 }]);
  assert.ok(served >= 3, `${served} times`);
});

test('the SQL examples in the documentation return the results that the pages show', built, async (t) => {
  const it = await tidemark(t, { sql: sqlConfiguration });
  await it.query('CREATE DATABASE demo');
  const points = 'weather,city=Oslo temperature=12.5,wind=4i,note="calm" 1700000000\n' +
    'weather,city=Rome temperature=19.25,wind=2i 1700000000';
  await it.mustWrite(points, { db: 'demo', precision: 's' });
  let [asked, compared] = [0, 0];
  for (const page of ['docs/SQL.md']) {
    const blocks = readFileSync(at(page), 'utf8').matchAll(/```sh\n(curl [^`]*query_sql[^`]*)```(?:\n\n(?:<!--[^>]*-->\n)?```text\n([^`]*)```)?/g);
    for (const [, command, expected] of blocks) {
      const values = [...command.matchAll(/--data-urlencode '([^']*)'/g)].map(([, value]) => value);
      const search = new URLSearchParams(values.map((value) => value.split(/=(.*)/s).slice(0, 2)));
      const response = await it.fetch(`${path}?${search}`);
      const text = await response.text();
      assert.equal(response.status, 200, text);
      if (expected) assert.equal(text, expected);
      else assert.match(text, /"Oslo"/);
      asked += 1;
      compared += expected ? 1 : 0;
    }
  }
  assert.deepEqual([asked, compared], [2, 1]);
});

test('without the SQL Worker, the SQL route explains how to add it', async (t) => {
  // The native host always includes SQL.
  if (isNative) return;
  const it = await tidemark(t, {}, PlainWorkerd);
  const response = await it.fetch(`${path}?db=d&q=SELECT+1`);
  assert.equal(response.status, 501);
  assert.match((await response.json()).error, /npm run sql/);
});
