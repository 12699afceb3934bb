// Tests the unmodified JavaScript clients for InfluxDB.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { InfluxDB, Point, setLogger } from '@influxdata/influxdb-client';
import { BucketsAPI, DeleteAPI } from '@influxdata/influxdb-client-apis';
import * as v3 from '@influxdata/influxdb3-client';
import * as v1 from 'influx';

import { clientTrials, errorOf, everyType, firstSecond, inBatches } from './client_trials.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';

// Disables the clients' log, because these tests cause many failures.
setLogger({ error() {}, warn() {} });
v3.setLogger({ error() {}, warn() {} });

/** The client's default settings for retries, with shorter delays. */
const retries = { maxRetries: 60, minRetryDelay: 100, maxRetryDelay: 1000, retryJitter: 10 };

const gzipThreshold = { off: Number.MAX_SAFE_INTEGER, on: 0 };

const typedPoint = (point, { float, integer, unsigned, string, boolean }) =>
  point
    .floatField('float', float)
    .intField('integer', integer)
    .uintField('unsigned', unsigned)
    .stringField('string', string)
    .booleanField('boolean', boolean);

async function v2Client(gzip, order) {
  const { url, token: secret, database, action, patient } = order;
  const client = new InfluxDB({ url, token: secret });
  const lines = order.count ?? 1;
  let written = 0;
  let failed = 0;
  let failure = { error: null };
  const options = {
    ...(patient ? retries : { maxRetries: 0 }),
    gzipThreshold: gzipThreshold[gzip],
    batchSize: order.batch ?? 1000,
    writeSuccess: (some) => {
      written += some.length;
    },
    writeFailed: ({ message }, some) => {
      if (patient) return;
      failed += some.length;
      failure = { error: message };
    },
  };
  const writer = client.getWriteApi('an org', database, 's', options);
  if (action === 'line') writer.writeRecord(order.line);
  if (action === 'types') {
    const point = new Point(everyType.measurement).tag(...everyType.tag);
    writer.writePoint(typedPoint(point, everyType).timestamp(firstSecond));
  }
  if (action === 'points') {
    for (let i = order.first; i < order.first + order.count; i++) {
      const point = new Point('load').tag('host', `h${i % 3}`).intField('value', i);
      writer.writePoint(point.timestamp(firstSecond + i));
      if ((i + 1) % order.batch === 0) await sleep(order.pauseMs ?? 0);
    }
  }
  // Waits until all lines are written or have failed, because `close` does not wait for running
  // batches, and discards batches that wait for a retry.
  while (written + failed < lines) {
    await writer.flush().catch(() => {});
    await sleep(20);
  }
  await writer.close();
  return failure;
}

function v2Trial() {
  test('@influxdata/influxdb-client', async (t) => {
    const more = {
      'is compressed as asked': async (server, proxy, database) => {
        for (const [gzip, encoding] of [['off', undefined], ['on', 'gzip']]) {
          proxy.takeWrites();
          const order = { url: proxy.url, token, database, action: 'types' };
          assert.deepEqual(await v2Client(gzip, order), { error: null });
          const [write] = proxy.takeWrites();
          assert.equal(write.headers['content-encoding'], encoding);
        }
      },
    };
    await clientTrials(t, (order) => v2Client('on', order), { unsigned: true, more });
  });
}

test('@influxdata/influxdb-client writes points of every type', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE js');
  const client = new InfluxDB({ url: server.url, token });
  const writer = client.getWriteApi('an org', 'js', 'ms', { defaultTags: { region: 'eu west' } });
  for (let i = 0; i < 300; i++) {
    const point = new Point('cpu')
      .tag('host', `server,${i % 3}`)
      .floatField('load', i / 4)
      .intField('n', i)
      .uintField('u', i)
      .booleanField('even', i % 2 === 0)
      .stringField('note', `line "${i}"`)
      .timestamp(1_700_000_000_000 + i);
    writer.writePoint(point);
  }
  await writer.close();
  const rows = await server.rows(
    'SELECT load, n, u, even, note, host, region FROM cpu', { db: 'js', epoch: 'ms' });
  assert.equal(rows.length, 300);
  assert.deepEqual(rows[7], [
    1_700_000_000_007, 1.75, 7, 7, false, 'line "7"', 'server,1', 'eu west',
  ]);
});

test('@influxdata/influxdb-client-apis creates a bucket, deletes data from it, and reports errors', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const client = new InfluxDB({ url: server.url, token });
  const [org, bucket] = ['an org', 'js'];
  await new BucketsAPI(client).postBuckets({ body: { orgID: org, name: bucket, retentionRules: [] } });
  const writer = client.getWriteApi(org, bucket, 's');
  for (let i = 0; i < 10; i++)
    writer.writePoint(new Point('cpu').tag('host', `h ${i % 2}`).intField('n', i).timestamp(i));
  await writer.close();
  const deletes = new DeleteAPI(client);
  const [start, stop] = ['1970-01-01T00:00:00Z', '1970-01-01T00:00:05Z'];
  const ofHost = { start, stop, predicate: '_measurement="cpu" AND host="h 1"' };
  await deletes.postDelete({ org, bucket, body: ofHost });
  const times = async () =>
    (await server.rows('SELECT n FROM cpu', { db: bucket, epoch: 's' })).map(([time]) => time);
  assert.deepEqual(await times(), [0, 2, 4, 6, 7, 8, 9]);
  const wrong = deletes.postDelete({ org, bucket, body: { start, stop, predicate: 'n>3' } });
  await assert.rejects(wrong, ({ statusCode, code, message }) => {
    assert.deepEqual([statusCode, code], [400, 'invalid']);
    return /operator > is not supported/.test(message);
  });
  await deletes.postDelete({ org, bucket, body: { start, stop: '1970-01-01T00:00:08Z' } });
  assert.deepEqual(await times(), [9]);
});

/** Executes an order with `@influxdata/influxdb3-client`, which does not retry. */
async function v3Client(noSync, order) {
  const { url, token: secret, database, action } = order;
  const client = new v3.InfluxDBClient({
    host: url,
    token: secret,
    database,
    writeOptions: { precision: 's', noSync, gzipThreshold: 100 },
  });
  try {
    if (action === 'line') return await errorOf(() => client.write(order.line));
    if (action === 'types') {
      const { float, integer, unsigned, string, boolean } = everyType;
      const point = v3.Point.measurement(everyType.measurement)
        .setTag(...everyType.tag)
        .setFloatField('float', float)
        .setIntegerField('integer', integer)
        .setUintegerField('unsigned', unsigned)
        .setStringField('string', string)
        .setBooleanField('boolean', boolean)
        .setTimestamp(firstSecond);
      return await errorOf(() => client.write(point));
    }
    return await inBatches(order, (first, count) => {
      const points = Array.from({ length: count }, (_, i) =>
        v3.Point.measurement('load')
          .setTag('host', `h${(first + i) % 3}`)
          .setIntegerField('value', first + i)
          .setTimestamp(firstSecond + first + i));
      return client.write(points);
    });
  } finally {
    await client.close();
  }
}

function v3Trial(path, noSync) {
  test(`@influxdata/influxdb3-client on ${path}`, async (t) => {
    const more = {
      'uses that path, and reads the version': async (server, proxy, database) => {
        proxy.takeWrites();
        const order = { url: proxy.url, token, database, action: 'types' };
        assert.deepEqual(await v3Client(noSync, order), { error: null });
        const [write] = proxy.takeWrites();
        assert.equal(write.path.split('?')[0], path);
        const client = new v3.InfluxDBClient({ host: server.url, token, database });
        assert.match(await client.getServerVersion(), /^\d+\.\d+\.\d+$/);
        await client.close();
      },
    };
    await clientTrials(t, (order) => v3Client(noSync, order), { unsigned: true, more });
  });
}

// The trials mostly wait for clients that pause between their attempts.
describe('JavaScript clients', { concurrency: 2 }, () => {
  v2Trial();
  for (const [path, noSync] of [['/api/v2/write', false], ['/api/v3/write_lp', true]]) v3Trial(path, noSync);
});

const { FLOAT, INTEGER, STRING, BOOLEAN } = v1.FieldType;

/**
 * The client needs a schema. The type of a field is wrong in one of the schemas, so that the server
 * rejects the point.
 */
const schemas = {
  good: [
    { measurement: 'load', tags: ['host'], fields: { value: INTEGER } },
    {
      measurement: everyType.measurement,
      tags: [everyType.tag[0]],
      fields: { float: FLOAT, integer: INTEGER, string: STRING, boolean: BOOLEAN },
    },
  ],
  bad: [{ measurement: everyType.measurement, tags: [], fields: { float: STRING } }],
};

const v1Options = ({ url, token: password, database }, schema) => {
  const { hostname: host, port } = new URL(url);
  return { host, port, database, username: 'any', password, schema };
};

/** Executes an order with `influx`, which does not retry if it has only one host. */
async function v1Client(order) {
  const { action } = order;
  const client = new v1.InfluxDB(v1Options(order, schemas[action === 'line' ? 'bad' : 'good']));
  const { measurement, float, integer, string, boolean, tag: [key, value] } = everyType;
  if (action === 'line') {
    // A field with the wrong type is the only invalid line that this client can send.
    return errorOf(() => client.writePoints([{ measurement, fields: { float: 'text' } }]));
  }
  if (action === 'types') {
    const fields = { float, integer, string, boolean };
    const point = { measurement, tags: { [key]: value }, fields, timestamp: firstSecond };
    return errorOf(() => client.writePoints([point], { precision: 's' }));
  }
  return inBatches(order, (first, count) => {
    const points = Array.from({ length: count }, (_, i) => ({
      measurement: 'load',
      tags: { host: `h${(first + i) % 3}` },
      fields: { value: first + i },
      timestamp: firstSecond + first + i,
    }));
    return client.writePoints(points, { precision: 's' });
  });
}

test('influx', async (t) => {
  const more = {
    'with two hosts it repeats at the other what one refused': async (server, proxy, database) => {
      const { username, password, host, port } = v1Options({ url: proxy.url, token, database });
      const hosts = [{ host, port: Number(port) }, { host, port: Number(port) }];
      const client = new v1.InfluxDB({ hosts, database, username, password, schema: schemas.good });
      proxy.refuse = [503];
      const point = { measurement: 'load', tags: { host: 'two' }, fields: { value: 9999 } };
      await client.writePoints([point]);
      assert.deepEqual(proxy.refuse, [], 'nothing was refused');
      const q = "SELECT count(value) FROM load WHERE host = 'two'";
      assert.deepEqual(await server.rows(q, { db: database, epoch: 's' }), [[0, 1]]);
    },
    'pings, creates, queries and drops': async (server) => {
      const options = v1Options({ url: server.url, token, database: 'made' }, schemas.good);
      const client = new v1.InfluxDB(options);
      const [ping] = await client.ping(5000);
      assert.ok(ping.online);
      assert.match(ping.version, /^\d+\.\d+\.\d+$/);
      await client.createDatabase('made');
      assert.deepEqual((await client.getDatabaseNames()).sort(), ['made', 'trials']);
      const points = [1, 2, 3].map((n) => ({
        measurement: 'load',
        tags: { host: `h${n}` },
        fields: { value: n },
        timestamp: firstSecond + n,
      }));
      await client.writePoints(points, { precision: 's' });
      assert.deepEqual(await client.getMeasurements(), ['load']);
      const rows = await client.query('SELECT value, host FROM load WHERE value > 1');
      assert.deepEqual(rows.map(({ value, host }) => [value, host]), [[2, 'h2'], [3, 'h3']]);
      assert.equal(rows[0].time.getTime(), (firstSecond + 2) * 1000);
      const text = 'SELECT value FROM load WHERE host = $host';
      const [bound] = await client.query(text, { placeholders: { host: 'h3' } });
      assert.equal(bound.value, 3);
      await assert.rejects(client.query('SELECT'), /error parsing query/);
      await client.dropDatabase('made');
      assert.deepEqual(await client.getDatabaseNames(), ['trials']);
    },
  };
  // For a status of 500 or more, the client shows only HTTP's reason phrase.
  await clientTrials(t, v1Client, { unsigned: false, hides: [503], more });
});
