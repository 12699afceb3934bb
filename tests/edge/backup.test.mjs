// Tests backups into an R2 bucket with `wrangler dev`, and into a folder with the native host.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { isNative, PlainWorkerd, tidemark } from './harness.mjs';

/**
 * With this many rows, the stored data takes several megabytes, so that a backup needs more than
 * one request.
 */
const rows = 20_000;

/** Returns a text that cannot be compressed, and that is the same in every run. */
function noise(seed) {
  let state = BigInt(seed) * 0x9e3779b97f4a7c15n + 1n;
  let text = '';
  while (text.length < 160) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    text += (state >> 11n).toString(36);
  }
  return text.slice(0, 160);
}

/**
 * Repeats a request until the status is 200. Resolves to the members of the last response, and the
 * number of requests.
 */
async function finish(server, method, path) {
  for (let requests = 1; requests < 200; requests += 1) {
    const response = await server.fetch(path, { method });
    const text = await response.text();
    if (response.status === 200) return { ...JSON.parse(text), requests };
    assert.equal(response.status, 202, `${path}: ${response.status} ${text}`);
  }
  throw new Error(`${path} comes to no end`);
}

const asked = ['SELECT count(f), sum(i) FROM m GROUP BY host', 'SELECT * FROM m WHERE time < 1700000000000000050', 'SHOW SERIES', 'SHOW FIELD KEYS'];

async function answers(server, db) {
  return Promise.all(asked.map((q) => server.series(q, { db, epoch: 'ns' })));
}

async function loadBackUpDeleteRestore(server) {
  const made = { method: 'POST', body: '{"db":"a","shards":2}' };
  assert.equal((await server.fetch('/api/v3/configure/database', made)).status, 200);
  for (let part = 0; part < 3; part += 1) {
    const lines = Array.from({ length: rows }, (_, n) => {
      const at = 1_700_000_000_000_000_000n + BigInt(part * rows + n);
      return `m,host=h${n % 7} f=${n}.25,i=${n}i,s="${noise(part * rows + n)}" ${at}`;
    });
    await server.mustWrite(lines.join('\n'), { db: 'a' });
  }
  await server.query("DELETE FROM m WHERE host = 'h3'", { db: 'a' });
  const before = await answers(server, 'a');

  const backup = await finish(server, 'POST', '/api/v3/backup?db=a');
  assert.equal(backup.shards, 2);
  const again = await finish(server, 'POST', '/api/v3/backup?db=a');
  assert.notEqual(again.id, backup.id);
  assert.ok(again.requests <= backup.requests && again.bytes < 100_000, JSON.stringify(again));
  const { backups } = await (await server.fetch('/api/v3/backup?db=a')).json();
  assert.deepEqual(backups.map(({ id, state }) => [id, state]), [[backup.id, 'whole'], [again.id, 'whole']]);

  await server.mustWrite('m,host=late f=1 1800000000000000000', { db: 'a' });
  await server.query('DROP DATABASE a');
  await finish(server, 'DELETE', `/api/v3/backup?id=${backup.id}`);
  let checked = 0;
  for (let resume = ''; resume !== null; ) {
    const response = await server.fetch(`/api/v3/backup/verify?id=${again.id}&resume=${resume}`, { method: 'POST' });
    const page = await response.json();
    assert.deepEqual(page.damaged, [], JSON.stringify(page));
    checked += page.bytes;
    ({ resume } = page);
  }
  assert.ok(checked > 5_000_000, `${checked} bytes`);
  for (const db of ['b', 'a']) {
    const restored = await finish(server, 'POST', `/api/v3/restore?db=${db}&from=${again.id}`);
    assert.equal(restored.remaining, 0);
    assert.deepEqual(await answers(server, db), before);
    await server.mustWrite('m,host=h1 f=7 1700000000000000001', { db });
  }
  return again;
}

test('a database is backed up to a bucket or a folder, and restored from it', async (t) => {
  const server = await tidemark(t, { backups: true });
  const { id } = await loadBackUpDeleteRestore(server);
  if (isNative) {
    const kept = join(server.folder, 'data', 'backups', 'db-a');
    assert.deepEqual(readdirSync(kept).filter((name) => !/^\d{12}$/.test(name)).sort(), ['begun', 'done', 'going', 'value']);
    assert.deepEqual(['begun', 'going'].map((mark) => readdirSync(join(kept, mark))), [[], []]);
    assert.equal(readdirSync(join(kept, 'done')).length, 1);
  }
  await server.kill();
  await server.start();
  const restored = await finish(server, 'POST', `/api/v3/restore?db=c&from=${id}`);
  assert.equal(restored.shards, 2);
  assert.equal((await answers(server, 'c')).length, asked.length);
});

test('without a backup store the response explains how to configure one', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const response = await server.fetch('/api/v3/backup?db=a', { method: 'POST' });
  assert.equal(response.status, 501);
  assert.match((await response.json()).error, /bind an R2 bucket as BACKUPS .* --backups FOLDER$/);
});
