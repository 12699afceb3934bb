// Tests that a fresh server responds and survives a kill.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isNative, PlainWorkerd, tidemark } from './harness.mjs';

test('/ping responds without a token, even after kill -9 and a restart', async (t) => {
  const db = await tidemark(t);
  const first = await fetch(`${db.url}/ping`);
  assert.equal(first.status, 204);
  assert.match(first.headers.get('X-Influxdb-Version'), /^\d+\.\d+\.\d+$/);
  await db.kill();
  await assert.rejects(fetch(`${db.url}/ping`));
  await db.start();
  assert.equal((await fetch(`${db.url}/ping`, { method: 'HEAD' })).status, 204);
});

test('a response header shows how long the request waited for its body and for objects', async (t) => {
  const db = await tidemark(t, {}, PlainWorkerd);
  const answer = await db.write('m v=1', { db: 'demo' });
  assert.equal(answer.status, 204);
  const timing = answer.headers.get('Server-Timing');
  const [, body, objects, total] = /^body;dur=([\d.]+), objects;dur=([\d.]+), total;dur=([\d.]+)$/.exec(timing);
  assert.ok(Number(objects) > 0, timing);
  assert.ok(Number(body) + Number(objects) <= Number(total) + 0.001, timing);
});

test('with a location outside of the jurisdiction, every request is rejected before an object is created', async (t) => {
  // The native host ignores both settings.
  if (isNative) return;
  const db = await tidemark(t, { vars: { DEFAULT_LOCATION: 'oc', JURISDICTION: 'eu' } }, PlainWorkerd);
  const answer = await db.write('m v=1', { db: 'demo' });
  const { error } = await answer.json();
  assert.match(error, /DEFAULT_LOCATION is "oc", which is outside of JURISDICTION "eu"/);
  assert.equal(answer.status, 503);
});
