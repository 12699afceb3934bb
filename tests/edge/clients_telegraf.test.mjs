// Tests Telegraf's two outputs. Valid metrics are buffered until they are delivered. Invalid
// metrics are dropped, and a log line contains the reason.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { firstSecond, pointLines } from './client_trials.mjs';
import { faultProxy } from './fault_proxy.mjs';
import { databaseToken, PlainWorkerd, tidemark, token } from './harness.mjs';
import { TelegrafV1, TelegrafV2 } from './telegraf_outputs.mjs';

const inNs = (lines) => lines.map((line) => `${line}000000000`);
const database = 'telegraf';

const outputs = {
  influxdb_v2: (settings) => new TelegrafV2({ bucket: database, token, ...settings }),
  influxdb: (settings) => new TelegrafV1({ database, token, ...settings }),
};

async function count(server) {
  const rows = await server.rows('SELECT count(value) FROM load', { db: database, epoch: 's' });
  return rows.length === 0 ? 0 : rows[0][1];
}

async function drain(output, intervalMs = 50) {
  for (let flushesLeft = 400; output.buffer.length > 0; flushesLeft -= 1) {
    assert.ok(flushesLeft > 0, `still waiting: ${output.log.slice(-3).join('\n')}`);
    await output.flush();
    await sleep(intervalMs);
  }
}

/** Starts a server with the database, and a proxy in front of the server. */
async function scene(t, vars = {}) {
  const server = await tidemark(t, { vars }, PlainWorkerd);
  const proxy = await faultProxy(t, server.url);
  await server.query(`CREATE DATABASE ${database}`);
  return { server, proxy };
}

for (const [name, make] of Object.entries(outputs)) {
  test(`Telegraf's outputs.${name}`, async (t) => {
    const { server, proxy } = await scene(t);
    const output = make({ url: proxy.url, batchSize: 100 });

    await t.test('each batch is stored completely and only once', async () => {
      output.buffer = inNs(pointLines(0, 250));
      await drain(output, 0);
      assert.deepEqual([output.requests, output.dropped.length], [3, 0]);
      assert.equal(await count(server), 250);
    });

    await t.test("a token for one database can write", async () => {
      const own = make({ url: server.url, token: await databaseToken(server, database) });
      own.buffer = inNs(pointLines(0, 5));
      await drain(own, 0);
      assert.deepEqual([own.requests, own.dropped.length, own.log], [1, 0, []]);
      assert.equal(await count(server), 250);
      // The token cannot create databases, so the v1 output logs one line when it tries.
      await own.createDatabase?.();
      if (own.createDatabase) assert.match(own.log.at(-1), /creation failed: 403: /);
    });

    await t.test('an invalid line adds one message to the log, and the valid lines are stored', async () => {
      output.buffer = [...inNs(pointLines(250, 5)), 'load,host=h0 value=text 1'];
      await output.flush();
      assert.equal(output.buffer.length, 0);
      assert.match(output.log.at(-1), /will be dropped: 400.*partial write has occurred.*line 6/s);
      assert.equal(await count(server), 255);
    });

    await t.test('an overloaded server: batches are buffered and delivered later', async () => {
      output.buffer = inNs(pointLines(255, 50));
      proxy.refuse = [503, 503];
      await drain(output);
      assert.match(output.log.join('\n'), /503.*: the service is busy|503.*: unavailable: the ser/);
      assert.equal(output.dropped.length, 6);
      assert.equal(await count(server), 305);
    });

    await t.test('a restart: batches are buffered and delivered later', async () => {
      const direct = make({ url: server.url, batchSize: 2 });
      direct.buffer = inNs(pointLines(305, 400));
      let isBack = false;
      // Telegraf continues to flush while the server is stopped.
      const flushing = (async () => {
        for (; !isBack; await sleep(20)) await direct.flush();
      })();
      while ((await count(server)) === 305) await sleep(10);
      await server.kill();
      await server.start();
      isBack = true;
      await flushing;
      await drain(direct, 20);
      assert.equal(direct.dropped.length, 0);
      assert.ok(direct.requests > 200, 'no request met the restart');
      assert.equal(await count(server), 705);
    });
  });
}

test("Telegraf's v2 output keeps metrics when the token is rejected, and waits for the time in Retry-After", async (t) => {
  const { server, proxy } = await scene(t);
  const output = outputs.influxdb_v2({ url: proxy.url, token: 'wrong' });
  output.buffer = inNs(pointLines(0, 10));
  await output.flush();
  assert.equal(output.buffer.length, 10);
  assert.match(output.log.at(-1), /\(401\): unauthorized: unauthorized access/);
  output.token = token;
  proxy.refuse = [429];
  const from = Date.now();
  await drain(output, 20);
  assert.ok(Date.now() - from >= 1000, 'it came back before Retry-After');
  assert.equal(output.requests, 3);
  assert.equal(await count(server), 10);
});

test("Telegraf's v2 output splits a batch that is too large", async (t) => {
  const { server } = await scene(t);
  const output = outputs.influxdb_v2({ url: server.url, batchSize: 40 });
  const note = 'x'.repeat(1_000_000);
  output.buffer = Array.from({ length: 40 }, (_, i) => {
    return `load,host=h value=${i}i,note="${note}" ${firstSecond + i}000000000`;
  });
  await drain(output);
  assert.match(output.log[0], /413.*request too large: .*BODY_BYTES_MAX/);
  assert.equal(output.dropped.length, 0);
  assert.equal(output.requests, 3);
  assert.equal(await count(server), 40);
});

test("Telegraf's v1 output creates its database, at the start and after the database was dropped", async (t) => {
  const server = await tidemark(t, { vars: { AUTO_CREATE_DATABASES: 'false' } }, PlainWorkerd);
  const output = outputs.influxdb({ url: server.url });
  await output.createDatabase();
  assert.deepEqual(output.log, []);
  output.buffer = inNs(pointLines(0, 10));
  await drain(output, 0);
  await server.query(`DROP DATABASE ${database}`);
  output.buffer = inNs(pointLines(10, 10));
  await drain(output, 0);
  assert.match(output.log[0], /404: database not found: "telegraf"/);
  assert.equal(output.dropped.length, 0);
  assert.equal(await count(server), 10);
  output.token = 'wrong';
  await output.createDatabase();
  assert.match(output.log.at(-1), /creation failed: 401: .*unauthorized access/);
});

test("Telegraf's v1 output drops metrics whose error text or status is permanent", async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query(`CREATE DATABASE ${database} WITH DURATION 1h NAME short`);
  const output = outputs.influxdb({ url: server.url });
  output.buffer = inNs(pointLines(0, 10));
  await output.flush();
  assert.equal(output.dropped.length, 10);
  assert.match(output.log.at(-1), /dropped: 422\): partial write: no data written.*retention/s);
  output.policy = 'nowhere';
  output.buffer = ['load value=1'];
  await output.flush();
  assert.equal(output.buffer.length, 0);
  assert.match(output.log.at(-1), /retention policy not found: nowhere/);
});
