// Tests a gradual deployment while clients write and read. Requests reach isolates of two releases,
// and objects change between the releases. No client is rejected for long, and no point is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { version } from '../../scripts/release.mjs';
import { built, mixture, released } from './mixture.mjs';

const before = '0.1.0';

/**
 * The maximum time for which the server may reject a client. On a machine whose idle server needs
 * more than `writeMs` for a write, the limit is proportionally longer.
 */
const refusedMsMax = 2_000;
const writeMs = 50;
/** A client gives up after this time. */
const giveUpMs = 15_000;

const writers = 3;
const pointsPerBatch = 50;
/** The duration of each mixture, and the minimum number of reads during each mixture. */
const stageMs = 1_200;
const readsPerStage = 3;

/**
 * The version that the newer release reports. It does not exist, and is as long as the current
 * version.
 */
const after = version().replace(/\d/g, '9');

/**
 * The protocol versions of releases before and after a change of the protocol. They are simulated,
 * because no module with the next protocol version exists.
 */
const prepares = { writes: 1, reads: [1, 2] };
const writesNext = { writes: 2, reads: [1, 2] };

const either = () => (Math.random() < 0.5 ? 'older' : 'newer');

/** The value of a client's point number `i`. */
const value = (writer, i) => writer * 1_000_000 + i;

const linesOf = (writer, from) =>
  Array.from({ length: pointsPerBatch }, (_, i) => `load,writer=w${writer},host=h${i % 7} v=${value(writer, from + i)}i ${from + i}`).join('\n');

/**
 * Repeats a request until the server accepts it. Records in `load` how long the server rejected the
 * request.
 */
async function patiently(load, what, once) {
  let since = null;
  for (;;) {
    const asked = performance.now();
    const { answer, refusal } = await once();
    if (answer === undefined) since ??= performance.now();
    // The response time depends on the machine, so only the time until the last request counts.
    const ms = since === null ? 0 : Math.max(asked - since, 0);
    if (ms > load.longest.ms) load.longest = { ms, what };
    if (answer !== undefined) return answer;
    load.refusals += 1;
    load.said.add(refusal);
    if (ms > giveUpMs) throw new Error(`${what} was refused for ${ms} ms: ${refusal}`);
    await sleep(20);
  }
}

async function query(server, release, q) {
  const body = new URLSearchParams({ db: 'up', epoch: 's', q });
  const response = await server.ask(release, '/query', { method: 'POST', body });
  const text = await response.text();
  const parsed = response.status === 200 ? JSON.parse(text) : { error: text };
  const error = parsed.error ?? parsed.results[0].error;
  return error === undefined ? { answer: parsed.results[0].series ?? [] } : { refusal: `${response.status} ${error}` };
}

/** Writes batches until `load.over` is set. Repeats each batch until the server accepts it. */
async function write(server, load, writer) {
  while (!load.over) {
    const from = load.written[writer];
    const body = linesOf(writer, from);
    await patiently(load, `a write of ${writer}`, async () => {
      const response = await server.ask(either(), '/write?db=up&precision=s', { method: 'POST', body });
      const text = await response.text();
      assert.ok(response.status === 204 || response.status === 503, `${response.status} ${text}`);
      return response.status === 204 ? { answer: true } : { refusal: text };
    });
    load.written[writer] = from + pointsPerBatch;
  }
}

/** Returns the expected result of `SELECT count(v), sum(v)` over the first points of a client. */
const summed = (writer, count) => [count, count * writer * 1_000_000 + (count * (count - 1)) / 2];

/**
 * Queries until `load.over` is set, and asserts that each acknowledged point is stored exactly once
 * with its value.
 */
async function read(server, load) {
  for (let round = 0; !load.over; round += 1) {
    const writer = round % writers;
    const count = load.written[writer];
    if (count === 0) {
      await sleep(20);
      continue;
    }
    const release = either();
    const q = `SELECT count(v), sum(v) FROM load WHERE writer = 'w${writer}' AND time < ${count}s`;
    const [series] = await patiently(load, 'a query', () => query(server, release, q));
    assert.deepEqual(series?.values[0].slice(1), summed(writer, count), `${release}, writer ${writer}`);
    load.reads += 1;
  }
}

/** Returns the objects for which `SHOW DIAGNOSTICS` lists another release, as `database object`. */
async function others(server, release) {
  const { answer, refusal } = await query(server, release, "SHOW DIAGNOSTICS FOR 'releases'");
  if (answer === undefined) return refusal;
  return (answer[0].values ?? []).map(([database, object, runs]) => ({ object: `${database} ${object}`.trim(), runs }));
}

/**
 * Repeats `ask` until its result satisfies `isSo`. While an object is being reset, it cannot report
 * its release.
 */
async function until(what, ask, isSo) {
  for (const since = performance.now(); ; await sleep(50)) {
    const seen = await ask();
    if (isSo(seen)) return;
    assert.ok(performance.now() - since < giveUpMs, `${what}: ${JSON.stringify(seen)}`);
  }
}

async function prepared(t, releases) {
  const server = await mixture({ ...releases, settings: { DEFAULT_SHARDS: '8', AUTO_CREATE_RETENTION: 'INF' } });
  t.after(() => server.stop());
  await server.mix({ share: 0 });
  const made = await query(server, 'older', 'CREATE DATABASE up');
  assert.deepEqual(made, { answer: [] });
  return server;
}

async function writeTakes(server) {
  const times = [];
  while (times.length < 5) {
    const since = performance.now();
    const response = await server.ask('older', '/write?db=up&precision=s', { method: 'POST', body: 'rest v=1 1' });
    await response.arrayBuffer();
    // Objects may still be resetting after the mixture changed.
    if (response.status === 204) times.push(performance.now() - since);
  }
  return times.sort((a, b) => a - b)[2];
}

/**
 * Sets the share of the newer release to each of the percentages in `shares`, while clients write
 * and read. Checks all points at the end.
 */
async function underLoad(t, server, shares, look = async (_) => {}) {
  const refusedMs = refusedMsMax * Math.max(1, (await writeTakes(server)) / writeMs);
  const stages = async () => {
    for (const share of shares) {
      await server.mix({ share });
      const [reads, written] = [load.reads, [...load.written]];
      await sleep(stageMs);
      // On a slow machine, each mixture still gets a minimum number of requests.
      while (load.reads < reads + readsPerStage || load.written.some((count, writer) => count === written[writer])) await sleep(20);
      await look(share);
    }
  };
  const load = { over: false, written: Array(writers).fill(0), reads: 0, refusals: 0, said: new Set(), longest: { ms: 0, what: '' } };
  const running = [...load.written.keys()].map((writer) => write(server, load, writer));
  running.push(read(server, load), read(server, load));
  // If one client fails, the test fails immediately.
  const failed = Promise.race(running.map((one) => one.then(() => new Promise(() => {}))));
  await Promise.race([failed, stages()]);
  load.over = true;
  await Promise.all(running);
  for (const release of ['older', 'newer']) {
    const { answer } = await query(server, release, 'SELECT count(v), sum(v) FROM load GROUP BY writer');
    const expected = load.written.map((count, writer) => summed(writer, count));
    assert.deepEqual(answer.map(({ values: [[, count, sum]] }) => [count, sum]), expected, release);
  }
  assert.ok(load.longest.ms < refusedMs, `${load.longest.what} was refused for ${load.longest.ms} ms: ${[...load.said]}`);
  const points = load.written.reduce((a, b) => a + b, 0);
  t.diagnostic(`${points} points, ${load.reads} queries, ${load.refusals} refusals, the longest for ${Math.round(load.longest.ms)} ms`);
}

test('an upgrade from 0.1.0 in several steps, and back, loses no points under load', async (t) => {
  const server = await prepared(t, { older: released(before), newer: built(version(), after) });
  const both = async () => [await others(server, 'newer'), await others(server, 'older')];
  const isHalf = ([old, young]) =>
    old.every?.(({ runs }) => runs === before) && young.every?.(({ runs }) => runs === after)
    && old.length > 0 && young.length > 0
    && new Set([...old, ...young].map(({ object }) => object)).size === 10;
  const isEmpty = (seen) => seen.length === 0;
  let isBack = false;
  await underLoad(t, server, [0, 25, 50, 100, 50, 0], async (share) => {
    if (share === 50) await until('half of the objects', both, isHalf);
    if (share === 100) await until('the upgrade is complete', () => others(server, 'newer'), isEmpty);
    if (share === 0 && isBack) await until('it is taken back', () => others(server, 'older'), isEmpty);
    isBack ||= share === 100;
  });
});

test('a release that writes a new protocol version works together with a release that only reads it', async (t) => {
  const [older, newer] = [built(version()), built(version(), after)];
  const server = await prepared(t, { older, newer });
  await server.mix({ protocols: { older: prepares, newer: writesNext } });
  await underLoad(t, server, [0, 50, 100, 50, 0]);
});

test('a release that only reads a new protocol version works together with 0.1.0', async (t) => {
  const server = await prepared(t, { older: released(before), newer: built(version(), after) });
  await server.mix({ protocols: { older: null, newer: prepares } });
  await underLoad(t, server, [50, 100, 0]);
});

test('if releases are two protocol versions apart, requests are rejected with the reason, and no point is lost', async (t) => {
  const server = await prepared(t, { older: released(before), newer: built(version(), after) });
  const body = linesOf(0, 0);
  const writeBy = (release) => server.ask(release, '/write?db=up&precision=s', { method: 'POST', body });
  assert.equal((await writeBy('older')).status, 204);
  await server.mix({ protocols: { older: null, newer: writesNext } });
  const refused = await writeBy('newer');
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /protocol version \d+ is not (?:supported \(this release supports|spoken here \(this end speaks) \d to \d\)/);
  const { refusal } = await query(server, 'newer', 'SELECT count(v) FROM load');
  assert.match(refusal, /protocol version \d+ is not (?:supported|spoken here)/);
  // A query over either release must succeed, whether the deployment ended with the older or the
  // newer release.
  const { answer } = await query(server, 'older', 'SELECT count(v) FROM load');
  assert.deepEqual(answer[0].values, [[0, pointsPerBatch]]);
});
