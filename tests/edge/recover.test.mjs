// Tests point-in-time recovery on the real runtime. workerd keeps no earlier states, so the server
// reports this and changes nothing. With the Worker `past_worker.js`, objects stop and start in the
// same way as on the platform.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { version } from '../../scripts/release.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';
import { built, runWorker } from './mixture.mjs';

const minuteMs = 60_000;
/** The maximum number of alarms that one recovery may need. */
const alarmsMax = 40;

test('if the runtime keeps no earlier states, the server returns 501 with a hint about backups and changes nothing', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const made = { method: 'POST', body: '{"db":"d","shards":2}' };
  assert.equal((await server.fetch('/api/v3/configure/database', made)).status, 200);
  await server.mustWrite('m,host=a f=1 1000000000\nm,host=b f=2 2000000000', { db: 'd' });
  const ago = new Date(Date.now() - 3_600_000).toISOString();
  for (const dry of ['', '&dry_run=true']) {
    const response = await server.fetch(`/api/v3/recover?db=d&time=${ago}${dry}`, { method: 'POST' });
    const { error } = await response.json();
    assert.equal(response.status, 501, error);
    const expected = server.isNative ? /use backups .*keeps no earlier states/u : /use backups .*does not implement point-in-time recovery/u;
    assert.match(error, expected);
  }
  const status = await server.fetch('/api/v3/recover?db=d');
  assert.deepEqual([status.status, await status.json()], [200, { db: 'd', recovery: null }]);
  await server.mustWrite('m,host=a f=3,g=1i 3000000000', { db: 'd' });
  const series = await server.series('SELECT count(f), count(g) FROM m', { db: 'd', epoch: 's' });
  assert.deepEqual(series[0].values, [[0, 3, 1]]);
});

/** Starts a server with `past_worker.js`. `past` controls the clock and the earlier states. */
async function withPast(t) {
  const { script, module } = built(version());
  const modules = {
    'past_worker.js': { type: 'esm', contents: readFileSync(new URL('past_worker.js', import.meta.url), 'utf8') },
    'built/index.js': { type: 'esm', contents: script },
    'built/index_bg.wasm': { type: 'wasm', contents: module },
  };
  const { miniflare, url } = await runWorker('past', modules);
  t.after(() => miniflare.dispose());
  const ask = (path, init = {}) => fetch(`${url}${path}`, { ...init, headers: { Authorization: `Token ${token}` } });
  const past = async (change) => (await ask('/past', { method: 'POST', body: JSON.stringify(change) })).json();
  return { ask, past };
}

async function goBack({ ask, past }, time) {
  for (let alarms = 0; alarms < alarmsMax; alarms += 1) {
    const response = await ask(`/api/v3/recover?db=d&time=${time}`, { method: 'POST' });
    const { recovery, error } = await response.json();
    assert.equal(error, undefined);
    if (response.status === 200) return recovery;
    assert.deepEqual([response.status, recovery.trouble], [202, null]);
    await past({ aheadMs: minuteMs, runAlarm: true });
  }
  return assert.fail('it comes to no end');
}

test('objects restart with their earlier state and continue to work', async (t) => {
  const server = await withPast(t);
  const { ask, past } = server;
  const write = async (lines) => {
    const response = await ask('/write?db=d', { method: 'POST', body: lines });
    assert.equal(response.status, 204, await response.text());
  };
  const counts = async () => {
    const q = encodeURIComponent('SELECT count(*) FROM m');
    const { results } = await (await ask(`/query?db=d&q=${q}`)).json();
    const [{ columns, values }] = results[0].series;
    return Object.fromEntries(columns.map((column, at) => [column, values[0][at]]).slice(1));
  };
  const made = await ask('/api/v3/configure/database', { method: 'POST', body: '{"db":"d","shards":2}' });
  assert.equal(made.status, 200);
  await write('m,host=a f=1 1000000000\nm,host=b f=2 2000000000');
  const { now } = await past({ keep: true });
  await past({ aheadMs: 10 * minuteMs });
  await write('m,host=a f=3,g=1i 3000000000\nn,host=b v=1 1000000000');
  await past({ keep: true });
  await past({ aheadMs: 10 * minuteMs });

  const status = await goBack(server, new Date(now + minuteMs).toISOString());
  assert.deepEqual([status.state, status.shards_back], ['done', 2]);
  assert.deepEqual((await past({})).back, { CATALOG: 0, DATABASE: 1, SHARD: 2 });
  assert.deepEqual(await counts(), { count_f: 2 });
  await write('m,host=a f=4,h=1i 4000000000');
  assert.deepEqual(await counts(), { count_f: 3, count_h: 1 });

  await past({ aheadMs: 10 * minuteMs });
  const undone = await goBack(server, status.undo);
  assert.equal(undone.state, 'done');
  assert.deepEqual(await counts(), { count_f: 3, count_g: 1 });
});
