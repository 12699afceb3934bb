// Tests responses with a very large number of small chunks.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PlainWorkerd, tidemark } from './harness.mjs';

const series = 60_000;
const seriesPerWrite = 5_000;

test('a response with many small chunks is always complete', { timeout: 180_000 }, async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE db WITH DURATION INF');
  for (let at = 0; at < series; at += seriesPerWrite) {
    const lines = Array.from({ length: seriesPerWrite }, (_, i) => `m,host=h${at + i} v=1 ${at + i}`);
    await server.mustWrite(lines.join('\n'), { db: 'db', precision: 's' });
  }
  // Each series is a chunk. The test needs many chunks, because the runtime limits the pending
  // promises per request.
  const search = new URLSearchParams({ db: 'db', q: 'SELECT v FROM m GROUP BY host', chunked: 'true' });
  for (let time = 0; time < 3; time++) {
    const began = Date.now();
    const text = await (await server.fetch(`/query?${search}`)).text();
    t.diagnostic(`${series} chunks took ${Date.now() - began} ms`);
    const chunks = text.trimEnd().split('\n');
    assert.equal(chunks.length, series);
    assert.ok(!('partial' in JSON.parse(chunks.at(-1)).results[0]), 'the last one says that it is the last');
  }
});
