// Tests quotas on the real runtime. The test sets a quota over HTTP, reaches the quota, and moves
// the clock to its reset. On the native host, the test waits instead.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { at } from '../../scripts/project.mjs';
import { databaseToken, isNative, PlainWorkerd, tidemark } from './harness.mjs';

const script = at('tests', 'fault', 'worker.mjs');
const route = '/api/v3/configure/quota';

/** Sets the quotas. They apply to all requests after the response. */
async function setQuota(server, limits) {
  const response = await server.fetch(route, { method: 'POST', body: JSON.stringify(limits) });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

function clockOf(server) {
  let shiftMs = 0;
  const pass = async (ms) => {
    if (server.isNative) return sleep(ms);
    shiftMs += ms;
    const response = await server.fetch('/test_fault', { method: 'POST', body: JSON.stringify({ shiftMs }) });
    assert.equal(response.status, 200);
  };
  /** If the current minute has fewer than `seconds` seconds left, passes to the next minute. */
  const withinOneMinute = async (seconds) => {
    const left = 60_000 - ((Date.now() + shiftMs) % 60_000);
    if (left < seconds * 1_000) await pass(left + 50);
  };
  return { pass, withinOneMinute };
}

const points = (count) => Array.from({ length: count }, (_, at) => `m,host=h${at} v=${at}`).join('\n');

function retryAfter(response) {
  const seconds = Number(response.headers.get('Retry-After'));
  assert.ok(seconds >= 1 && seconds <= 60, response.headers.get('Retry-After'));
  return seconds;
}

test('writes beyond a quota are rejected until enough time has passed', async (t) => {
  const server = await tidemark(t, isNative ? {} : { script, stdio: 'ignore' }, PlainWorkerd);
  const { pass, withinOneMinute } = clockOf(server);
  await server.query('CREATE DATABASE one');
  const eight = { method: 'POST', body: '{"db":"eight","shards":8}' };
  assert.equal((await server.fetch('/api/v3/configure/database', eight)).status, 200);
  const agent = { Authorization: `Token ${await databaseToken(server, 'one', { name: 'agent' })}` };

  for (const db of ['one', 'eight']) {
    const shown = await setQuota(server, { db, points_per_minute: 1_000 });
    assert.deepEqual(shown, { db, quota: { points_per_minute: 1_000 }, tokens: [], users: [] });
  }
  await withinOneMinute(30);
  let waitSeconds = 0;
  for (const db of ['one', 'eight']) {
    let taken = 0;
    for (let batch = 0; batch < 20; batch++) {
      const response = await server.write(points(100), { db });
      const text = await response.text();
      if (response.status === 204) {
        taken += 100;
        continue;
      }
      assert.equal(response.status, 503, text);
      assert.match(JSON.parse(text).error, /has reached its quota: points_per_minute .* quota: 1000; /);
      waitSeconds = retryAfter(response);
    }
    assert.ok(taken >= 750 && taken <= 1_250, `${db}: ${taken}`);
    const v2 = { method: 'POST', body: points(100) };
    const limited = await server.fetch(`/api/v2/write?bucket=${db}`, v2);
    assert.equal(limited.status, 429);
    assert.equal((await limited.json()).code, 'too many requests');
    retryAfter(limited);
  }

  await setQuota(server, { db: 'one', token_name: 'agent', cells_per_minute: 5_000 });
  // Each query has a different time range, because a query that repeats a range decodes no blocks.
  let since = 0;
  const ask = () => {
    since += 1;
    return server.fetch(`/query?db=one&q=SELECT+mean(v)+FROM+m+WHERE+time+>+${since}`, { headers: agent });
  };
  let answer = await ask();
  assert.equal(answer.status, 200, await answer.text());
  for (let times = 0; times < 20 && answer.status === 200; times++) answer = await ask();
  assert.equal(answer.status, 429);
  retryAfter(answer);
  assert.match((await answer.json()).error, /^token "agent" on database "one" has reached its quota: cells/);
  assert.equal((await server.rows('SELECT count(v) FROM m', { db: 'one' })).length, 1);
  const stats = await server.series("SHOW STATS FOR 'quota'");
  const used = stats.find(({ tags }) => tags.token === 'agent').values[0];
  assert.equal(used[0], 'cells_per_minute');
  assert.ok(used[2] >= 5_000, JSON.stringify(used));

  // The storage quota is reached. A repeated write fails until the quota is raised.
  await server.query('CREATE DATABASE full');
  await setQuota(server, { db: 'full', stored_bytes: 1 });
  const rejected = await server.write('m v=1\nm v=2', { db: 'full' });
  assert.equal(rejected.status, 400);
  assert.equal(rejected.headers.get('Retry-After'), null);
  assert.match((await rejected.json()).error, /quota exceeded: .* \(stored_bytes\).*2 lines rejected/s);
  await setQuota(server, { db: 'full', stored_bytes: 1_000_000_000 });
  await server.mustWrite('m v=1', { db: 'full' });

  await pass(waitSeconds * 1_000 + 500);
  await withinOneMinute(5);
  for (const db of ['one', 'eight']) await server.mustWrite(points(100), { db });
  answer = await ask();
  assert.equal(answer.status, 200, await answer.text());

  await server.kill();
  await server.start();
  const shown = await (await server.fetch(`${route}?db=one`)).json();
  assert.deepEqual(shown.quota, { points_per_minute: 1_000 });
  assert.equal(shown.tokens[0].cells_per_minute, 5_000);
});
