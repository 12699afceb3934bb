// Tests storage that fails at each step, storage that is full at any size, evicted objects and
// failing alarms. The server must have exactly the acknowledged points in each case.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { begin, db, pointsFrom } from './fault_hooks.mjs';

/**
 * Repeats `work`, and each time lets a later storage step fail, until no step fails. In the first
 * series of runs, the failing step has no effect. In the second series, the step takes effect and
 * then fails. Returns the number of steps of `work`.
 */
async function everyStep(it, work) {
  let most = 0;
  for (const effect of ['never', 'before']) {
    for (let step = 1; ; step++) {
      const { failed, steps } = await work({ at: step, effect });
      most = Math.max(most, steps);
      await it.heal();
      await it.check(`step ${step} failed, effect ${effect}`);
      if (failed === 0) break;
      assert.ok(step < 60, 'steps without end');
    }
  }
  return most;
}

async function compactions(server) {
  const body = new URLSearchParams({ q: "SHOW STATS FOR 'shard'" });
  const answer = await (await server.fetch('/query', { method: 'POST', body })).json();
  const count = ({ columns, values }) => values[0][columns.indexOf('compactions')];
  return answer.results[0].series.map(count).reduce((sum, n) => sum + n, 0);
}

test('a write, a flush or a compaction that fails at any storage step loses and duplicates no point', async (t) => {
  const it = await begin(t);
  let value = 0;
  const fill = async () => assert.ok(await it.write(pointsFrom((value % 7) * 20, 30, ++value)));

  await fill();
  const ofWrite = await everyStep(it, async (plan) => {
    const points = pointsFrom(10, 30, ++value);
    await it.hook(plan);
    const before = new Map(it.ledger);
    const isDone = await it.write(points);
    const { before: seen } = await it.hook({ at: 0, abort: 'Shard' });
    if (!isDone) {
      // A write with an unknown result is stored completely or not at all.
      const found = await it.found();
      for (const [time, v] of points) it.ledger.set(time, v);
      const all = [...it.ledger].sort(([a], [b]) => a - b);
      const none = [...before].sort(([a], [b]) => a - b);
      const expected = found.get(points[0][0]) === points[0][1] ? all : none;
      assert.deepEqual([...found], expected, 'a torn batch');
      assert.ok(await it.write(points));
    }
    return seen;
  });

  // One run of an alarm flushes, merges and cleans up.
  const ofAlarm = await everyStep(it, async (plan) => {
    await fill();
    const before = await compactions(it.server);
    const { now } = await it.alarm(plan);
    // The last run has no failing step, so its alarm must also have merged.
    if (now.failed === 0) assert.ok((await compactions(it.server)) > before, 'an alarm without a merge');
    return now;
  });
  t.diagnostic(`storage steps of a write, an alarm: ${[ofWrite, ofAlarm]}`);
  assert.ok(ofWrite >= 1, 'a write without a step');
});

const hash = (n) => Number((BigInt(n) * 0x9e3779b97f4a7c15n) % (1n << 48n));

test('full storage of any size rejects whole batches, and works again when space is free', async (t) => {
  const it = await begin(t);
  assert.ok(await it.write([[0, 1]]));
  let time = 1;
  let refused = 0;
  for (let pages = 20; pages <= 200; pages += 1) {
    await it.hook({ pages });
    for (let tries = 0; tries < 3; tries++) {
      // The values cannot be compressed, and fill about one page.
      const points = Array.from({ length: 600 }, (_, i) => [time + i, hash(time + i)]);
      if (!(await it.write(points))) {
        refused += 1;
        break;
      }
      time += points.length;
    }
    if (pages % 20 === 0) {
      await it.alarm();
      await it.check(`${pages} pages`);
    }
  }
  await it.check('at the end');
  assert.ok(refused > 100, `${refused} writes met full storage`);
  t.diagnostic(`${refused} writes refused at 181 sizes`);
  await it.server.query(`DROP DATABASE ${db}`);
  await it.server.query(`CREATE DATABASE ${db}`);
  it.ledger.clear();
  assert.ok(await it.write(pointsFrom(0, 30, 1)));
  await it.check('after a drop');
});

test('queries succeed while the platform resets their object', async (t) => {
  const it = await begin(t);
  assert.ok(await it.write(pointsFrom(0, 30, 1)));
  for (let round = 0; round < 40; round++) {
    const queries = Array.from({ length: 4 }, () => it.found());
    await new Promise((resolve) => setTimeout(resolve, round % 8));
    await it.hook({ abort: 'Shard' });
    for (const rows of await Promise.all(queries)) await it.check(`round ${round}`, rows);
  }
});

test('no request fails if an alarm cannot be set, and the next event sets the alarm', async (t) => {
  const it = await begin(t);
  await it.hook({ refusesAlarms: true });
  assert.ok(await it.write(pointsFrom(0, 30, 1)));
  await it.check('while none can be set');
  const { before, unarmed } = await it.hook({ refusesAlarms: false, armed: true });
  assert.ok(before.alarmsSet >= 2 && unarmed === 1, `${before.alarmsSet} tries, ${unarmed} objects without one`);
  await it.check('once one can be set');
  assert.equal((await it.hook({ armed: true })).unarmed, 0);
});

test('objects respond as before after an eviction', async (t) => {
  const it = await begin(t, { DEFAULT_SHARDS: '3' });
  const kinds = ['Shard', 'Database', 'Catalog'];
  let evicted = 0;
  for (let round = 0; round < 60; round++) {
    await it.hook({ abort: kinds[round % 3], ...(round % 10 === 9 ? { at: 0 } : {}) });
    evicted += 1;
    assert.ok(await it.write(pointsFrom((round * 13) % 90, 20, round + 1)), `round ${round}`);
    await it.hook({ abort: kinds[(round * 7 + 1) % 3] });
    evicted += 1;
    const sum = [...it.ledger.values()].reduce((a, b) => a + b, 0);
    const rows = await it.server.rows('SELECT count(v), sum(v) FROM m', { db });
    assert.deepEqual(rows.map((row) => row.slice(1)), [[it.ledger.size, sum]], `round ${round}`);
    if (round % 5 === 4) await it.alarm();
  }
  await it.check('at the end');
  t.diagnostic(`${evicted} evictions`);
});

test('after a panic the module gets a new memory, and every object continues from its storage', async (t) => {
  const it = await begin(t, { DEFAULT_SHARDS: '3' });
  const { memories: first } = await it.hook();
  for (let round = 0; round < 6; round++) {
    await it.hook({ panic: true });
    // The rounds differ in the first call after the panic: a write, a query or an alarm.
    if (round % 3 === 1) await it.check(`asked after panic ${round}`);
    if (round % 3 === 2) await it.alarm();
    assert.ok(await it.write(pointsFrom((round * 13) % 60, 20, round + 1)), `round ${round}`);
    await it.check(`round ${round}`);
  }
  const { memories } = await it.hook();
  assert.ok(memories >= first + 6, `${memories} memories after ${first}`);
});

test('after an alarm has failed six times and after a restart, the next write sets the alarm and the log is flushed', async (t) => {
  const it = await begin(t);
  // The clock is eleven minutes slow while the alarm is set. Then the clock is correct again, so an
  // alarm that waits ten minutes for further writes is due immediately.
  const shiftMs = -11 * 60_000;
  await it.hook({ shiftMs, failingAlarms: 1_000 });
  assert.ok(await it.write(pointsFrom(0, 30, 1)));
  let failures = 0;
  while (failures < 6) failures += (await it.hook({ alarm: 'Shard' })).now.alarmsFailed;
  await it.check('after six failures');
  await it.server.stop();
  await it.server.start();
  await it.check('after a restart');
  // The platform repeats a failed alarm at most six times. After that, the alarm may no longer be
  // set.
  await it.hook({ shiftMs, alarmShiftMs: 0 });
  assert.ok(await it.write(pointsFrom(20, 30, 2)));
  let [isSet, alarms, steps, alarmsBehind] = [false, 0, 0, 0];
  const look = async (plan) => {
    const { before, unarmed } = await it.hook(plan);
    isSet ||= unarmed === 0;
    [alarms, steps, alarmsBehind] = [alarms + before.alarms, steps + before.steps, alarmsBehind + before.alarmsBehind];
  };
  await look({ shiftMs: 0, armed: true });
  // Repeats the check, because a running alarm is neither set nor counted as finished.
  for (let tries = 0; tries < 100 && !isSet && !(alarms > 0 && steps >= 5); tries++) {
    await sleep(50);
    await look({ armed: true });
  }
  assert.ok(isSet || (alarms > 0 && steps >= 5), 'after the write an alarm is set, or it has come already');
  for (let tries = 0; tries < 600 && steps < 6; tries++) {
    await sleep(50);
    await look();
  }
  assert.ok(steps >= 6, 'the platform called the alarm, and it wrote parts');
  assert.equal(alarmsBehind, 0, 'alarms that a handler sets for now or before may never come');
  await it.check('after the backlog drained');
});

test('without the Catalog, known databases still work and /health warns, and later the Catalog is used again', async (t) => {
  const it = await begin(t);
  const health = async () => {
    const response = await it.server.fetch('/health');
    const { status, checks } = await response.json();
    return [response.status, status, ...checks.map((check) => `${check.name}: ${check.status}`)];
  };
  assert.ok(await it.write(pointsFrom(0, 10, 1)));
  assert.deepEqual(await health(), [200, 'pass']);
  // The clock passes the time for which the Worker caches the Catalog's responses.
  await it.hook({ lost: 'Catalog', shiftMs: 5_500 });
  assert.deepEqual(await health(), [200, 'pass', 'catalog: fail']);
  assert.ok(await it.write(pointsFrom(10, 10, 2)), 'a database that is known is not written');
  await it.check('read without the Catalog');
  const created = await it.server.fetch('/query?q=CREATE+DATABASE+other', { method: 'POST' });
  assert.equal(created.status, 503, await created.text());
  await it.hook({ lost: '', shiftMs: 11_000 });
  assert.deepEqual(await health(), [200, 'pass']);
  await it.server.query('CREATE DATABASE other');
  await it.check('read with the Catalog again');
});
