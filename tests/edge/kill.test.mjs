// Kills a server at random times while eight clients write, and restarts it with the same data.
//
// Every acknowledged point must be stored exactly once with its value. Each shard must store an
// unacknowledged batch completely or not at all. After the client has repeated the batch, all
// shards must contain it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Random } from '../generator/random.mjs';
import { commandProgram } from './commands.mjs';
import { isNative, NativeHost, PlainWorkerd, tidemark } from './harness.mjs';
import { shardOf, xxh64 } from './routing_hash.mjs';

/** The number of kills. kill_steps.test.mjs and native/tests/host/steps.rs kill the server at each step. */
const rounds = process.env.TIDEMARK_NIGHTLY === '1' ? 10 : 5;
const writers = 8;
const hosts = 12;
const pointsMax = 400;
/** The clients repeat this fraction of the acknowledged batches after each kill. */
const repeatedShare = 0.1 / rounds;

/** Returns points of many series. Each value encodes the client and the batch. */
function batch(writer, sequence, size) {
  const points = [];
  for (let i = 0; i < size; i++) {
    const time = sequence * pointsMax + i;
    const host = `h${(i * 7 + sequence) % hosts}`;
    points.push({ host, writer: `w${writer}`, time, value: writer * 1e9 + time });
  }
  return { writer, sequence, points, acknowledged: false };
}

const lines = (entry) =>
  entry.points.map((p) => `load,host=${p.host},writer=${p.writer} value=${p.value}i ${p.time}`).join('\n');
const key = (p) => `${p.host} ${p.writer} ${p.time}`;

async function write(server, ledger, number, next, draw) {
  for (;;) {
    const entry = batch(number, next.value++, 1 + Math.floor(draw() * pointsMax));
    ledger.push(entry);
    try {
      const response = await server.write(lines(entry), { db: 'killed', precision: 's' });
      // The connection may break before the whole response arrives.
      entry.acknowledged = response.status === 204;
      await response.arrayBuffer();
    } catch {
      return;
    }
    if (!entry.acknowledged) return;
  }
}

async function stored(server) {
  const found = new Map();
  const q = 'SELECT host, writer, value FROM load';
  for (const [time, host, writer, value] of await server.rows(q, { db: 'killed', epoch: 's' })) {
    const id = key({ host, writer, time });
    assert.ok(!found.has(id), `${id} is there twice`);
    found.set(id, value);
  }
  return found;
}

function check(ledger, found, shards) {
  let present = 0;
  for (const entry of ledger) {
    const what = `batch ${entry.writer}/${entry.sequence}`;
    const byShard = new Map();
    for (const point of entry.points) {
      const value = found.get(key(point));
      const there = value !== undefined;
      if (there) assert.equal(value, point.value, `${what}: ${key(point)} has a foreign value`);
      if (entry.acknowledged) assert.ok(there, `${what}: ${key(point)} was acknowledged and is gone`);
      present += there;
      const shard = shardOf('load', { host: point.host, writer: point.writer }, shards);
      byShard.set(shard, (byShard.get(shard) ?? new Set()).add(there));
    }
    for (const [shard, presence] of byShard) {
      assert.equal(presence.size, 1, `${what} is torn on shard ${shard}`);
    }
  }
  assert.equal(found.size, present, 'the server has points that nobody wrote');
}

test("the test's implementation of the routing hash returns the golden values", () => {
  const n = 1_000_003;
  assert.equal(shardOf('cpu', {}, n), Number(14101580467338032407n % BigInt(n)));
  const tags = { host: 'a', region: 'eu' };
  assert.equal(shardOf('cpu', tags, n), Number(7926629250477632278n % BigInt(n)));
  assert.equal(xxh64(Buffer.from('')), 0xef46db3751d8e999n);
});

async function startNativeHost(t, options) {
  await commandProgram();
  return tidemark(t, options, NativeHost);
}

const startHost = (t, options) => tidemark(t, options, PlainWorkerd);
const host = isNative ? 'the host under test' : 'plain workerd';
const kinds = [
  { shards: 1, by: host, start: startHost },
  { shards: 4, by: host, start: startHost },
  ...(process.env.TIDEMARK_USUAL === '1' ? [] : [{ shards: 4, by: 'the native host', start: startNativeHost }]),
];

for (const { shards, by, start } of kinds) {
  const name = `${rounds} kills of ${by} with ${shards} shard(s) lose nothing that was acknowledged`;
  test(name, { timeout: 300_000 }, async (t) => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    t.diagnostic(`SEED=${seed}`);
    const random = new Random(seed);
    const draw = () => random.unit();
    const server = await start(t, { vars: { DEFAULT_SHARDS: String(shards) } });
    await server.query('CREATE DATABASE killed');
    const ledger = [];
    const sequences = Array.from({ length: writers }, () => ({ value: 0 }));
    let unknown = 0;
    let repeats = 0;
    for (let round = 0; round < rounds; round++) {
      const writing = sequences.map((next, number) => write(server, ledger, number, next, draw));
      await new Promise((resolve) => setTimeout(resolve, 50 + draw() * 300));
      await server.kill();
      await Promise.all(writing);
      await server.start();
      check(ledger, await stored(server), shards);
      // Like clients, repeats every unacknowledged batch. Also repeats some acknowledged batches,
      // because a client may not have received the acknowledgement.
      for (const entry of ledger.filter((e) => !e.acknowledged || draw() < repeatedShare)) {
        if (entry.acknowledged) repeats++;
        else unknown++;
        await server.mustWrite(lines(entry), { db: 'killed', precision: 's' });
        entry.acknowledged = true;
      }
      check(ledger, await stored(server), shards);
    }
    const points = ledger.reduce((sum, entry) => sum + entry.points.length, 0);
    t.diagnostic(`${ledger.length} batches, ${points} points, ${unknown} repeated after a kill, ${repeats} without need`);
    assert.ok(unknown > 0, 'no kill hit a write: the test proves nothing');
    const [[, count]] = await server.rows('SELECT count(value) FROM load', { db: 'killed', epoch: 'ns' });
    assert.equal(count, points);
  });
}
