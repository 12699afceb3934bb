// Clients as their users run them, unmodified.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { InfluxDB, Point } from '@influxdata/influxdb-client';

import { has, tidemark, token } from './harness.mjs';

test('@influxdata/influxdb-client writes points of every type', async (t) => {
  const server = await tidemark(t);
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

test('@influxdata/influxdb-client reports what the server says', async (t) => {
  const server = await tidemark(t);
  const failing = async (secret, line) => {
    const client = new InfluxDB({ url: server.url, token: secret });
    const writer = client.getWriteApi('', 'js', 'ns', { maxRetries: 0 });
    writer.writeRecord(line);
    try {
      await writer.close();
    } catch (error) {
      return error;
    }
    return assert.fail('the write should have failed');
  };
  const unauthorized = await failing('wrong', 'cpu v=1');
  assert.equal(unauthorized.statusCode, 401);
  assert.match(unauthorized.message, /unauthorized access/);
  await server.query('CREATE DATABASE js');
  const bad = await failing(token, 'cpu v=');
  assert.equal(bad.statusCode, 400);
  assert.match(bad.message, /no data written.*line 1/s);
});

test('the 1.x shell connects, creates, inserts and selects', async (t) => {
  if (!has(t, 'influx', ['-version'])) return;
  const server = await tidemark(t);
  const { hostname, port } = new URL(server.url);
  const shell = (execute, ...more) => {
    const login = ['-host', hostname, '-port', port, '-username', 'any', '-password', token];
    const result = spawnSync('influx', [...login, '-execute', execute, ...more], { encoding: 'utf8' });
    assert.equal(result.status, 0, result.stderr + result.stdout);
    return result.stdout;
  };
  assert.equal(shell('CREATE DATABASE shop'), '');
  assert.match(shell('SHOW DATABASES'), /^name: databases\nname\n----\nshop\n/);
  shell('INSERT tills,shop=a takings=12.5,open=true 1000', '-database', 'shop');
  shell('INSERT tills,shop=b takings=3,open=false 2000', '-database', 'shop');
  const table = shell('SELECT * FROM tills', '-database', 'shop');
  assert.equal(
    table,
    'name: tills\ntime open  shop takings\n---- ----  ---- -------\n' +
      '1000 true  a    12.5\n2000 false b    3\n',
  );
  const csv = shell('SELECT sum(takings) FROM tills', '-database', 'shop', '-format', 'csv');
  assert.equal(csv, 'name,time,sum\ntills,0,15.5\n');
  const json = shell('SHOW TAG VALUES WITH KEY = shop', '-database', 'shop', '-format', 'json');
  assert.deepEqual(JSON.parse(json).results[0].series[0].values, [['shop', 'a'], ['shop', 'b']]);
  const rfc3339 = shell('SELECT takings FROM tills LIMIT 1', '-database', 'shop', '-precision', 'rfc3339');
  assert.match(rfc3339, /1970-01-01T00:00:00\.000001Z 12\.5/);
});
