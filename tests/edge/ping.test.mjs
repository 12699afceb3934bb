// The server answers, is fresh, and outlives a kill.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { tidemark } from './harness.mjs';

test('ping answers without a token, also after kill -9 and restart', async (t) => {
  const db = await tidemark(t);
  const first = await fetch(`${db.url}/ping`);
  assert.equal(first.status, 204);
  assert.match(first.headers.get('X-Influxdb-Version'), /^\d+\.\d+\.\d+$/);
  await db.kill();
  await assert.rejects(fetch(`${db.url}/ping`));
  await db.start();
  assert.equal((await fetch(`${db.url}/ping`, { method: 'HEAD' })).status, 204);
});
