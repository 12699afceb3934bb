// Tests that responses are compressed if the client accepts compression, in every format, and on
// every kind of server.

import assert from 'node:assert/strict';
import { get } from 'node:http';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { startTidemark } from '../../examples/miniflare/tidemark.mjs';
import { isNative, tidemark, token } from './harness.mjs';

/** Returns the status, the headers and the received bytes in chunks. */
function raw(url, headers) {
  return new Promise((resolve, reject) => {
    const asked = get(url, { headers: { Authorization: `Token ${token}`, ...headers } });
    asked.on('error', reject);
    asked.on('response', (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status, headers: answered } = response;
        resolve({ status, headers: answered, pieces, bytes: Buffer.concat(pieces) });
      });
    });
  });
}

const formats = {
  'application/json': 'application/json',
  'application/csv': 'text/csv',
  'application/x-msgpack': 'application/x-msgpack',
};

async function looksRight(url) {
  const q = encodeURIComponent('SELECT * FROM m');
  for (const chunked of [false, true]) {
    for (const [accept, type] of Object.entries(formats)) {
      const target = `${url}/query?db=packed&chunked=${chunked}&q=${q}`;
      const plain = await raw(target, { Accept: accept });
      const packed = await raw(target, { Accept: accept, 'Accept-Encoding': 'gzip' });
      const refused = await raw(target, { Accept: accept, 'Accept-Encoding': 'gzip;q=0' });
      const what = `${accept}, chunked ${chunked}`;
      for (const { status, headers } of [plain, packed, refused]) {
        assert.equal(status, 200, what);
        assert.equal(headers['content-type'], type, what);
      }
      assert.equal(plain.headers['content-encoding'], undefined, what);
      assert.equal(refused.headers['content-encoding'], undefined, what);
      assert.equal(packed.headers['content-encoding'], 'gzip', what);
      assert.deepEqual(gunzipSync(packed.bytes), plain.bytes, what);
      assert.deepEqual(refused.bytes, plain.bytes, what);
      assert.ok(plain.bytes.length > 2_000_000, `${what}: ${plain.bytes.length} bytes`);
      assert.ok(packed.bytes.length < plain.bytes.length / 3, `${what}: ${packed.bytes.length}`);
      assert.equal(packed.headers['content-length'], undefined, what);
      assert.ok(packed.pieces.length > 1, what);
    }
  }
}

async function filled(url) {
  const headers = { Authorization: `Token ${token}` };
  for (let batch = 0; batch < 12; batch++) {
    const line = (_, i) =>
      `m,host=server-${i % 7} text="as long as it takes ${i}",v=${i}i ${batch * 5000 + i}`;
    const init = { method: 'POST', headers, body: Array.from({ length: 5000 }, line).join('\n') };
    const { status } = await fetch(`${url}/api/v2/write?bucket=packed&precision=ms`, init);
    assert.equal(status, 204);
  }
}

const create = { method: 'POST', headers: { Authorization: `Token ${token}` } };

test('responses are compressed on wrangler dev or on the native host', async (t) => {
  const server = await tidemark(t);
  await server.query('CREATE DATABASE packed');
  await filled(server.url);
  await looksRight(server.url);
  // A response without a body is not compressed: status 204, and an empty CSV result.
  const q = encodeURIComponent('SELECT * FROM nothing');
  for (const path of ['/ping', `/query?db=packed&q=${q}`]) {
    const { headers, bytes } = await raw(server.url + path, { Accept: 'text/csv', 'Accept-Encoding': 'gzip' });
    assert.equal(bytes.length, 0, path);
    assert.notEqual(headers['content-encoding'], 'gzip', path);
  }
});

test('responses are compressed under Miniflare, alone and behind another Worker', async () => {
  if (isNative) return;
  const contents = 'export default { fetch: (request, env) => env.TIDEMARK.fetch(request) };';
  const inFront = {
    name: 'in-front',
    compatibilityDate: '2026-11-01',
    manifest: { mainModule: 'main.js', modules: { 'main.js': { type: 'esm', contents } } },
    env: { TIDEMARK: { type: 'worker', worker: 'tidemark' } },
  };
  for (const front of [undefined, inFront]) {
    const { url, stop } = await startTidemark({ token, inFront: front });
    try {
      const q = encodeURIComponent('CREATE DATABASE packed');
      assert.equal((await fetch(`${url}/query?q=${q}`, create)).status, 200);
      await filled(url);
      await looksRight(url);
    } finally {
      await stop();
    }
  }
});
