// Tests a Worker that uses Tidemark through a service binding. The example must work, and requests
// must get the same HTTP responses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { build } from 'esbuild';

import { startTidemark } from '../../examples/miniflare/tidemark.mjs';
import { at } from '../../scripts/project.mjs';
import { token } from './harness.mjs';

const passesOn = `export default { fetch: (request, env) => env.TIDEMARK.fetch(request) };`;

function bound(contents) {
  const modules = { 'worker.mjs': { type: 'esm', contents } };
  return {
    name: 'caller',
    compatibilityDate: '2026-11-01',
    manifest: { mainModule: 'worker.mjs', modules },
    env: {
      TIDEMARK: { type: 'worker', worker: 'tidemark' },
      TIDEMARK_TOKEN: { type: 'text', value: token },
    },
  };
}

/** Bundles in the same way as wrangler. */
async function bundled(path) {
  const alias = { 'tidemark/client': at('packages', 'tidemark', 'client', 'client.js') };
  const options = { entryPoints: [path], bundle: true, alias, external: ['cloudflare:workers'], format: 'esm', write: false };
  const { outputFiles } = await build(/** @type {any} */ (options));
  return outputFiles[0].text;
}

async function shards({ miniflare, url }) {
  const tidemark = await miniflare.getWorker('tidemark');
  const headers = { Authorization: `Token ${token}` };
  const q = encodeURIComponent("SHOW STATS FOR 'shard'");
  const answer = await tidemark.fetch(`${url}/query?q=${q}`, { method: 'POST', headers });
  return (await answer.json()).results[0].series;
}

test('the example counts visits over its binding', async (t) => {
  const it = await startTidemark({
    token,
    settings: { LOG_REQUESTS: 'none' },
    inFront: bound(await bundled(at('examples', 'service-binding', 'worker.mjs'))),
  });
  t.after(() => it.stop());
  const visit = async (path) => (await fetch(`${it.url}${path}`)).text();
  const paths = Array.from({ length: 30 }, (_, n) => (n % 3 === 0 ? '/b,c=d' : '/a'));
  assert.deepEqual(await Promise.all(paths.map(visit)), paths.map((path) => `${path} was visited\n`));
  const expected = [['/a', 20], ['/b,c=d', 10]];
  for (let triesLeft = 100; ; triesLeft -= 1) {
    const counts = await (await fetch(`${it.url}/counts`)).text();
    if (counts === JSON.stringify(expected)) break;
    assert.ok(triesLeft > 0, counts);
    await sleep(50);
  }
  // Thirty visits cause far fewer than thirty writes.
  const [{ columns, values }] = await shards(it);
  const requests = values[0][columns.indexOf('writeReqOk')];
  assert.ok(requests >= 1 && requests <= 3, `${requests} writes`);
});

test('requests over a binding get the same responses as at the public address', async (t) => {
  const settings = { AUTO_CREATE_RETENTION: 'none', LOG_REQUESTS: 'none' };
  const it = await startTidemark({ token, settings, inFront: bound(passesOn) });
  t.after(() => it.stop());
  const tidemark = await it.miniflare.getWorker('tidemark');
  const headers = { Authorization: `Token ${token}` };
  const lines = Array.from({ length: 5_000 }, (_, i) => `m,h=h${i % 7} v=${i}i ${i}`).join('\n');
  const requests = [
    ['/ping', {}, 204],
    ['/api/v3/export?db=d', {}, 401],
    ['/write?db=d', { method: 'POST', headers, body: lines }, 204],
    ['/write?db=d', { method: 'POST', headers, body: 'm v=' }, 400],
    ['/query?db=d&q=SELECT+v+FROM+m', { headers }, 200],
    ['/query?db=d&chunked=true&q=SELECT+v+FROM+m', { headers }, 200],
    ['/api/v3/export?db=d', { headers }, 200],
    ['/api/v2/buckets', { headers }, 200],
    ['/api/v3/query_sql?db=d&q=SELECT+1', { headers }, 501],
  ];
  for (const [path, init, status] of requests) {
    const answers = [];
    for (const ask of [fetch, (url, init) => tidemark.fetch(url, init)]) {
      const response = await ask(`${it.url}${path}`, init);
      const names = ['Content-Type', 'X-Influxdb-Version', 'X-Influxdb-Error', 'Cache-Control'];
      const kept = names.map((name) => response.headers.get(name));
      answers.push([response.status, kept, await response.text()]);
    }
    assert.deepEqual(answers[0], answers[1], path);
    assert.equal(answers[0][0], status, path);
  }
});
