// Kills the server at a storage step of a flush, a merge or a split, before or after the step takes
// effect. After the restart, the server must have exactly the acknowledged points.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { begin, pointsFrom } from './fault_hooks.mjs';

/**
 * The timeout of a request to `/ping`. After two timeouts, the test assumes that the server hangs
 * at a step.
 */
const stillMs = 250;

/** The maximum time between a response and the first step of background work. */
const behindMs = 50;

async function isStill({ server }) {
  for (let tries = 0; tries < 2; tries++) {
    try {
      await server.fetch('/ping', { signal: AbortSignal.timeout(stillMs) });
      return false;
    } catch (error) {
      if (error.name !== 'TimeoutError') throw error;
    }
  }
  return true;
}

/** Returns whether `work` reached the step in `plan`, at which the server is killed. */
async function killedAt(it, plan, work) {
  await it.hook({ ...plan, failingAlarms: 0, hangs: true });
  let isOver = false;
  const end = () => (isOver = true);
  const working = work().then(end, end);
  while (!isOver && !(await isStill(it))) await sleep(20);
  // Background work continues after the response and may reach the step.
  if (isOver) await sleep(behindMs);
  const wasReached = !isOver || (await isStill(it));
  if (wasReached) {
    await it.server.kill();
    await working;
    await it.server.start();
  } else {
    await it.heal();
  }
  return wasReached;
}

/** Kills the server at every `stride`-th step of `work`, alternately after and before the step. */
async function everyStep(it, { kind, stride = 1 }, prepare, work) {
  let kills = 0;
  for (let step = 1; ; step += stride) {
    await prepare();
    const effect = kills % 2 === 0 ? 'before' : 'never';
    if (!(await killedAt(it, { kind, at: step, effect }, work))) return kills;
    kills += 1;
    await it.check(`killed at step ${step} of ${kind}, effect ${effect}`);
    assert.ok(step < 60, 'steps without end');
  }
}

test('a server that is killed during a flush and a compaction has all acknowledged points', { timeout: 300_000 }, async (t) => {
  const it = await begin(t);
  let value = 0;
  const fill = async () => assert.ok(await it.write(pointsFrom((value % 7) * 20, 30, ++value)));
  const flush = () => it.alarm();
  // One run of an alarm flushes, merges and cleans up.
  const kills = await everyStep(it, { kind: 'Shard' }, fill, flush);
  await it.check('at the end');
  t.diagnostic(`killed at ${kills} steps of an alarm`);
  assert.ok(kills >= 13, `${kills}`);
});

const hash = (n) => Number((BigInt(n) * 0x9e3779b97f4a7c15n) % (1n << 48n));

for (const [kind, stride] of [['Database', 4], ['Shard', 2]]) {
  test(`a server that is killed during a split, at a step of the ${kind}, has all acknowledged points`, { timeout: 300_000 }, async (t) => {
    const it = await begin(t, { SHARD_SPLIT_BYTES: '60000' });
    let time = 0;
    const count = 400;
    const fill = async () => {
      const points = Array.from({ length: count }, (_, i) => [time + i, hash(time + i)]);
      if (await it.write(points)) time += count;
      else await sleep(50);
    };
    const prepare = async () => {
      // Disables splits until the test starts to observe them.
      await it.hook({ kind: 'Database', failingAlarms: 1_000_000 });
      for (let batch = 0; batch < 20; batch++) await fill();
    };
    const groups = async () => (await it.server.rows('SHOW SHARD GROUPS')).length;
    const split = async () => {
      const before = await groups();
      for (let turn = 0; turn < 12 && (await groups()) === before; turn++) {
        await it.alarm({ alarm: 'Database' });
      }
    };
    // Writes enough points for two shards, so that each round causes another split.
    for (let more = 0; more < 2; more++) await prepare();
    const kills = await everyStep(it, { kind, stride }, prepare, split);
    await it.check('at the end');
    t.diagnostic(`killed at ${kills} steps, ${await groups()} groups`);
    assert.ok(kills >= 3 && (await groups()) >= 2, `${kills}`);
  });
}
