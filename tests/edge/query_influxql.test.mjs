// Tests the results of /api/v3/query_influxql with libraries that read the result formats,
// including Arrow in JavaScript and Python. Includes compressed responses and long responses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { tableFromIPC } from 'apache-arrow';

import { tidemark, token } from './harness.mjs';
import { hasPythonClients, order } from './python.mjs';

const route = '/api/v3/query_influxql';
const db = 'tables';
const rows = 60_000;
const rowsPerWrite = 20_000;
/** The last digits are nanoseconds that a JavaScript number cannot store. */
const firstNs = 1_700_000_000_000_000_001n;

/** Two of three lines do not have all fields. */
function everyType(n) {
  const more = n % 3 === 0 ? `,s="é, ${n}",b=${n % 2 === 0},u=18446744073709551615u` : '';
  return `m,host=h${n % 20} f=${n / 4},i=${n}i${more}`;
}

async function loaded(t, line, options) {
  const server = await tidemark(t, options);
  const body = JSON.stringify({ db });
  const headers = { 'Content-Type': 'application/json' };
  const made = await server.fetch('/api/v3/configure/database', { method: 'POST', body, headers });
  assert.equal(made.status, 200);
  for (let at = 0; at < rows; at += rowsPerWrite) {
    const timed = (_, i) => `${line(at + i)} ${firstNs + BigInt(at + i)}`;
    const lines = Array.from({ length: rowsPerWrite }, timed).join('\n');
    await server.mustWrite(lines, { db, precision: 'ns' });
  }
  return server;
}

const ask = (server, given, headers = {}) =>
  server.fetch(`${route}?${new URLSearchParams({ db, ...given })}`, { headers });

test('libraries can read InfluxQL results in every format', { timeout: 300_000 }, async (t) => {
  const server = await loaded(t, everyType);
  const q = 'SELECT * FROM m';

  await t.test('arrow in JavaScript', async () => {
    const answer = await ask(server, { q, format: 'arrow' });
    assert.equal(answer.headers.get('content-type'), 'application/vnd.apache.arrow.stream');
    // Node's fetch requests gzip.
    assert.equal(answer.headers.get('content-encoding'), 'gzip');
    const table = tableFromIPC(new Uint8Array(await answer.arrayBuffer()));
    assert.equal(table.numRows, rows);
    const columns = table.schema.fields.map(({ name, type }) => [name, String(type)]);
    assert.deepEqual(columns, [
      ['iox::measurement', 'Utf8'], ['time', 'Timestamp<NANOSECOND>'], ['b', 'Bool'],
      ['f', 'Float64'], ['host', 'Utf8'], ['i', 'Int64'], ['s', 'Utf8'], ['u', 'Uint64'],
    ]);
    const of = table.schema.fields.map(({ metadata }) => metadata.get('iox::column::type') ?? null);
    assert.deepEqual(of, [
      null, ...['timestamp', 'field::boolean', 'field::float', 'tag', 'field::integer', 'field::string',
        'field::uinteger'].map((name) => `iox::column_type::${name}`),
    ]);
    assert.equal(table.getChild('time').data[0].values[0], firstNs);
    const value = (name, row) => table.getChild(name).get(row);
    for (const row of [0, 1, 29_999, rows - 1]) {
      assert.equal(value('iox::measurement', row), 'm');
      assert.equal(value('f', row), row / 4);
      assert.equal(value('i', row), BigInt(row));
      assert.equal(value('host', row), `h${row % 20}`);
      assert.equal(value('s', row), row % 3 === 0 ? `é, ${row}` : null);
      assert.equal(value('u', row), row % 3 === 0 ? 18_446_744_073_709_551_615n : null);
    }
  });

  await t.test('arrow in Python, as a data frame', async (t) => {
    if (!(await hasPythonClients(t))) return;
    const seen = await order('arrow', { action: 'read', url: server.url, token, database: db, q });
    assert.equal(seen.error, null);
    assert.equal(seen.rows, rows);
    assert.deepEqual(seen.types, ['string', 'timestamp[ns]', 'bool', 'double', 'string', 'int64', 'string', 'uint64']);
    assert.equal(seen.first, String(firstNs));
    assert.equal(seen.sum, String((BigInt(rows) * BigInt(rows - 1)) / 2n));
    assert.deepEqual(seen.nulls, { s: rows - rows / 3, u: rows - rows / 3, f: 0 });
    assert.ok(seen.batches >= 3, `${seen.batches} batches`);
  });

  await t.test('json, lines and csv contain the same rows', async () => {
    const objects = await (await ask(server, { q })).json();
    assert.equal(objects.length, rows);
    assert.deepEqual(Object.keys(objects[1]), ['iox::measurement', 'time', 'f', 'host', 'i']);
    assert.equal(objects[0].time, '2023-11-14T22:13:20.000000001');
    const lines = (await (await ask(server, { q, format: 'jsonl' })).text()).trimEnd().split('\n');
    assert.deepEqual(lines.map((line) => JSON.parse(line)), objects);
    const csv = (await (await ask(server, { q }, { Accept: 'text/csv' })).text()).trimEnd().split('\n');
    assert.equal(csv.length, rows + 1);
    assert.equal(csv[1], 'm,2023-11-14T22:13:20.000000001,true,0.0,h0,0,"é, 0",18446744073709551615');
  });

  await t.test('a compressed JSON body with parameters is accepted', async () => {
    const text = 'SELECT i FROM m WHERE host = $host AND i < $most';
    const body = gzipSync(JSON.stringify({ db, q: text, format: 'csv', params: { host: 'h3', most: 30 } }));
    const headers = { 'Content-Encoding': 'gzip', 'Content-Type': 'application/json' };
    const answer = await server.fetch(route, { method: 'POST', body, headers });
    const [names, ...found] = (await answer.text()).trimEnd().split('\n');
    assert.equal(names, 'iox::measurement,time,i');
    assert.deepEqual(found.map((line) => line.split(',')[2]), ['3', '23']);
  });

  await t.test('a pretty table is complete if it consists of several chunks', async () => {
    const text = await (await ask(server, { q: 'SELECT i, s FROM m', format: 'pretty' })).text();
    const lines = text.split('\n');
    assert.equal(lines.length, rows + 4);
    assert.equal(new Set(lines.map((line) => [...line].length)).size, 1);
  });
});

test('a response that fails after the first byte is truncated and does not look complete', { timeout: 300_000 }, async (t) => {
  // The server sends much of the response before it reads the last points.
  const long = (n) => `m s="${n}${'x'.repeat(400)}"`;
  const server = await loaded(t, long, { vars: { POINTS_PER_QUERY_MAX: '50000' } });
  const q = 'SELECT s FROM m';
  for (const format of ['json', 'jsonl', 'csv', 'arrow']) {
    const answer = await ask(server, { q, format });
    assert.equal(answer.status, 200, format);
    await assert.rejects(answer.arrayBuffer(), format);
  }
  // In the format `pretty`, the server sends nothing before it has read the whole table.
  const answer = await ask(server, { q, format: 'pretty' });
  assert.equal(answer.status, 400);
  assert.match((await answer.json()).error, /max-select-point/);
});
