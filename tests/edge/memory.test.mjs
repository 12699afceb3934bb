// Tests that results of any size, in every format and for slow clients, are streamed in bounded
// memory. With LONG_TESTS=1, reads three million rows, a gigabyte of JSON.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { get } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { at } from '../../scripts/project.mjs';
import { tidemark, token } from './harness.mjs';

const rows = process.env.LONG_TESTS === '1' ? 3_000_000 : 700_000;
const rowsPerWrite = 20_000;
const text = 'x'.repeat(310);
/** Texts of the second half need little memory until a query reads them. */
const textOf = (row) => (row < rows / 2 ? randomBytes(text.length / 2).toString('hex') : text);
/**
 * An isolate has 128 MB. WebAssembly memory never shrinks, so its size is the highest past usage.
 * The size does not include the code, JavaScript's heap, or the memory of the runtime and of
 * SQLite.
 */
const memoryBytesMax = 96e6;
const isolateBytes = 128e6;
const slowly = { bytes: 8e6, ms: 100 };

async function read(server, params, accept) {
  const search = new URLSearchParams({ db: 'db', epoch: 's', ...params });
  const headers = { authorization: `Token ${token}`, accept };
  const response = await new Promise((resolve, reject) => {
    get(`${server.url}/query?${search}`, { headers }, resolve).on('error', reject);
  });
  let [bytes, looked, end] = [0, 0, Buffer.alloc(0)];
  for await (const piece of response) {
    bytes += piece.length;
    end = Buffer.concat([end, piece]).subarray(-300);
    if (bytes - looked > slowly.bytes) {
      looked = bytes;
      await sleep(slowly.ms);
    }
  }
  return { status: response.statusCode, bytes, end: end.toString('latin1') };
}

test('a result of any size is streamed in bounded memory', { timeout: 900_000 }, async (t) => {
  const server = await tidemark(t, { script: at('tests', 'fault', 'memory.mjs') });
  /** Returns megabytes. The size must be below the limit. */
  const memory = async (what) => {
    const memories = await (await server.fetch('/test_memory')).json();
    assert.equal(memories.length, 1, 'the module was made once, and never anew after a panic');
    t.diagnostic(`${what}: ${(memories[0] / 1e6).toFixed(1)} MB of memory`);
    assert.ok(memories[0] > 1e6 && memories[0] < memoryBytesMax, `${what}: ${memories[0]} bytes`);
  };
  await server.query('CREATE DATABASE db WITH DURATION INF');
  for (let first = 0; first < rows; first += rowsPerWrite) {
    const line = (_, i) => `m s="${textOf(first + i)}" ${first + i}`;
    const lines = Array.from({ length: rowsPerWrite }, line).join('\n');
    await server.mustWrite(lines, { db: 'db', precision: 's' });
  }
  await memory('writes');
  const msgpack = 'application/x-msgpack';
  for (const [name, params, accept, ends] of [
    ['chunked JSON', { chunked: 'true' }, 'application/json', `${rows - 1},"${text}"]]}]}]}\n`],
    ['whole JSON', {}, 'application/json', `[${rows - 1},"${text}"]]}]}]}\n`],
    ['CSV', {}, 'application/csv', `,${rows - 1},${text}\n`],
    ['chunked MessagePack', { chunked: 'true' }, msgpack, text],
  ]) {
    const answer = await read(server, { q: 'SELECT * FROM m', ...params }, accept);
    assert.equal(answer.status, 200);
    const least = Math.max(rows * text.length, isolateBytes);
    assert.ok(answer.bytes > least, `${name}: ${answer.bytes} bytes`);
    assert.ok(answer.end.endsWith(ends.slice(-200)), `${name} ends with ${answer.end}`);
    await memory(`${name} of ${(answer.bytes / 1e6).toFixed(0)} MB`);
  }
  // A response in one document cannot be aborted after it has started, so the server rejects the
  // query.
  const whole = await read(server, { q: 'SELECT * FROM m' }, msgpack);
  assert.match(whole.end, /exceeds the 16000000 bytes of a MessagePack document: use chunked/);
  await memory('a refused document');
});
