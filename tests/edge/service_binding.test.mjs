// Another Worker reaches Tidemark over a service binding: the example, and the same HTTP contract.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { startTidemark } from '../../examples/miniflare/tidemark.mjs';
import { at } from '../../scripts/project.mjs';
import { token } from './harness.mjs';

/** Hands every request on as it is. */
const passesOn = `export default { fetch: (request, env) => env.TIDEMARK.fetch(request) };`;

/** A Worker of this source, bound to Tidemark, in front of it. */
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

test('the example counts visits over its binding', async (t) => {
  const example = readFileSync(at('examples', 'service-binding', 'worker.mjs'), 'utf8');
  const it = await startTidemark({
    token,
    settings: { LOG_REQUESTS: 'none' },
    inFront: bound(example),
  });
  t.after(() => it.stop());
  const visit = async (path) => (await fetch(`${it.url}${path}`)).json();
  assert.deepEqual(await visit('/a'), [['/a', 1]]);
  assert.deepEqual(await visit('/b,c=d'), [['/a', 1], ['/b,c=d', 1]]);
  assert.deepEqual(await visit('/a'), [['/a', 2], ['/b,c=d', 1]]);
});

test('what goes over a binding is answered as at the public address', async (t) => {
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
    ['/api/v3/query_sql', { headers }, 501],
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
