// Imports a file in descending order of time, several times as large as SHARD_SPLIT_BYTES. Some
// points are in the year 2100. Kills the whole server during the import. Each acknowledged point
// must be stored exactly once. kill_steps.test.mjs kills the server at each step of a split.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { isNative, PlainWorkerd, tidemark } from './harness.mjs';

const points = 24_000;
const batchPoints = 1_500;
const kills = 4;
const splitBytes = 300_000;
const year2100 = 4_102_444_800;

const line = (n) => {
  const time = n % 100 === 99 ? year2100 + n : 1_500_000_000 + n * 300;
  return `m,host=h${n % 9} i=${n}i,f=${Math.sin(n)},s="text ${(n * 7919) % 100_003}" ${time}`;
};

/** Repeats the write, because the server may be splitting, busy or restarting. */
async function write(server, lines) {
  for (let tries = 0; ; tries++) {
    assert.ok(tries < 500, 'the write is never taken');
    try {
      const response = await server.write(lines, { db: 'd', precision: 's' });
      const text = await response.text();
      if (response.status === 204) return;
      assert.equal(response.status, 503, text);
      assert.ok(Number(response.headers.get('retry-after')) >= 1);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
    }
    await sleep(100);
  }
}

function shardCount(server) {
  const [folder, name] = isNative ? ['data', /shard.*\.sqlite$/] : ['plain', /Shard.*\.sqlite$/];
  const files = readdirSync(join(server.folder, folder), { recursive: true });
  return files.filter((file) => name.test(String(file))).length;
}

test('a descending import with splits is complete although the server is killed several times', { timeout: 300_000 }, async (t) => {
  const server = await tidemark(t, { vars: { SHARD_SPLIT_BYTES: String(splitBytes) } }, PlainWorkerd);
  await server.query('CREATE DATABASE d');
  const numbers = Array.from({ length: points }, (_, n) => points - 1 - n);
  const batches = [];
  while (numbers.length > 0) batches.push(numbers.splice(0, batchPoints).map(line).join('\n'));
  const killAfter = new Set(Array.from({ length: kills }, (_, k) => Math.floor(((k + 1) * batches.length) / (kills + 1))));
  for (const [number, lines] of batches.entries()) {
    const written = write(server, lines);
    if (killAfter.has(number)) {
      // The server starts a split after a response that reports the shard's size.
      await sleep(5 + 25 * (number % 4));
      await server.kill();
      await server.start();
    }
    await written;
  }
  const ask = async () => {
    const [all] = await server.rows('SELECT count(i), sum(i), count(s) FROM m', { db: 'd', epoch: 's' });
    const far = await server.rows(`SELECT count(i) FROM m WHERE time >= ${year2100}s`, { db: 'd', epoch: 's' });
    return [all.slice(1), far[0][1]];
  };
  const sum = (points * (points - 1)) / 2;
  assert.deepEqual(await ask(), [[points, sum, points], points / 100]);
  const times = await server.rows('SELECT i FROM m', { db: 'd', epoch: 's' });
  assert.equal(times.length, points);
  assert.equal(new Set(times.map(([, i]) => i)).size, points);
  await server.stop();
  const shards = shardCount(server);
  t.diagnostic(`${shards} shards`);
  assert.ok(shards >= 3, `${shards} shards`);
  await server.start();
  assert.deepEqual(await ask(), [[points, sum, points], points / 100]);
});
