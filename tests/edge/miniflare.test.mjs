// Tests the built module with Miniflare's own API and without wrangler, as users' tests do.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { startTidemark } from '../../examples/miniflare/tidemark.mjs';
import { at } from '../../scripts/project.mjs';
import { temporaryFolder, token } from './harness.mjs';

const headers = {
  Authorization: `Token ${token}`,
  'Content-Type': 'application/x-www-form-urlencoded',
};

/** `ask` uses the network or calls the Worker directly. */
async function rows(ask, url, q) {
  const body = new URLSearchParams({ db: 'mini', epoch: 's', q });
  const response = await ask(`${url}/query`, { method: 'POST', headers, body: String(body) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text).results[0].series?.[0].values ?? [];
}

test('writes, queries, evicted objects and a persistent folder work under Miniflare', async (t) => {
  const folder = temporaryFolder(t);
  const options = { token, settings: { DEFAULT_SHARDS: '4' }, folder };
  const lines = Array.from({ length: 100 }, (_, i) => `m,host=h${i % 10} v=${i}i ${i}`);
  const q = 'SELECT count(v), sum(v) FROM m';
  const expected = [[0, 100, 4950]];

  const first = await startTidemark(options);
  try {
    const dispatch = (url, init) => first.miniflare.dispatchFetch(url, init);
    assert.deepEqual(await rows(dispatch, first.url, 'CREATE DATABASE mini'), []);
    const init = { method: 'POST', headers, body: lines.join('\n') };
    const written = await fetch(`${first.url}/write?db=mini&precision=s`, init);
    assert.equal(written.status, 204, await written.text());
    assert.deepEqual(await rows(fetch, first.url, q), expected);
    // The runtime compresses the response if the client accepts it.
    const asking = { headers: { ...headers, 'Accept-Encoding': 'gzip' } };
    const packed = await fetch(`${first.url}/query?db=mini&q=${encodeURIComponent(q)}`, asking);
    assert.equal(packed.headers.get('content-encoding'), 'gzip');
    assert.match(await packed.text(), /"results"/);

    const shards = await first.miniflare.listDurableObjectIds('SHARD');
    assert.equal(shards.length, 4);
    for (const id of shards) {
      await first.miniflare.unsafeEvictDurableObject('tidemark', 'Shard', { id });
    }
    assert.deepEqual(await rows(dispatch, first.url, q), expected);
  } finally {
    await first.stop();
  }

  const second = await startTidemark(options);
  try {
    assert.deepEqual(await rows(fetch, second.url, q), expected);
  } finally {
    await second.stop();
  }
});

test('the program in examples/miniflare works', async () => {
  const example = at('examples', 'miniflare', 'example.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [example], { cwd: at() });
  assert.match(stdout, /^time city temperature\n\d{4}-\S+Z Oslo 12\.5\n$/);
});
