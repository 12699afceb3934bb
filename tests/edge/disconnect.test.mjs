// Tests that a query stops reading when its client disconnects.

import assert from 'node:assert/strict';
import { get } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { tidemark, token } from './harness.mjs';

const rows = 100_000;
const rowsPerWrite = 20_000;
/**
 * The value of each point, so long that the result is much larger than the buffers of the sockets
 * and of the runtime.
 */
const text = 'x'.repeat(400);
const q = 'SELECT s FROM m';

const db = { db: 'db' };

test('a client that disconnects stops its query', { timeout: 180_000 }, async (t) => {
  const server = await tidemark(t);
  await server.query('CREATE DATABASE db WITH DURATION INF');
  for (let at = 0; at < rows; at += rowsPerWrite) {
    const lines = Array.from({ length: rowsPerWrite }, (_, i) => `m s="${text}" ${at + i}`);
    await server.mustWrite(lines.join('\n'), { db: 'db', precision: 's' });
  }
  const search = new URLSearchParams({ ...db, q, chunked: 'true' });
  const listed = async () => (await server.rows('SHOW QUERIES')).map((row) => row[1]);

  // `SHOW QUERIES` does not list a query whose client has read the whole response.
  const began = Date.now();
  const whole = await (await server.fetch(`/query?${search}`)).text();
  const tookMs = Date.now() - began;
  assert.ok(whole.length > rows * text.length);
  assert.deepEqual(await listed(), []);

  const headers = { authorization: `Token ${token}` };
  const response = await new Promise((resolve, reject) => {
    get(`${server.url}/query?${search}`, { headers }, resolve).on('error', reject);
  });
  assert.equal(response.statusCode, 200);
  await new Promise((resolve) => response.once('readable', resolve));
  assert.ok(response.read().length > 0, 'the answer has begun');

  await sleep(500);
  assert.deepEqual(await listed(), [q]);
  response.destroy();
  // The server would list the query for another minute if its client were still connected but did
  // not read.
  const gone = Date.now();
  while ((await listed()).length > 0) {
    assert.ok(Date.now() - gone < tookMs / 2, 'the query goes on without its client');
    await sleep(20);
  }
  t.diagnostic(`answering took ${tookMs} ms, off the list ${Date.now() - gone} ms after leaving`);
  const [[, count]] = await server.rows('SELECT count(s) FROM m', { db: 'db', epoch: 's' });
  assert.equal(count, rows);
});
