// Tests VictoriaMetrics' vmctl. It reads a Tidemark database like an InfluxDB 1.x database, and
// imports the points.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { freePort } from '../../scripts/dev-server.mjs';
import { run } from '../../scripts/processes.mjs';
import { databaseToken, has, PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';
import { startProgram } from './program.mjs';

const ms = 1_700_000_000_000;
const count = 5000;

/** Returns the stored series by their labels, with timestamps in milliseconds and values. */
async function exported(url) {
  const response = await fetch(`${url}/api/v1/export?match[]={db="moved"}`);
  const lines = (await response.text()).trim().split('\n').map((line) => JSON.parse(line));
  return Object.fromEntries(lines.map(({ metric, timestamps, values }) => {
    const { __name__: name, db: _, ...labels } = metric;
    return [`${name} ${JSON.stringify(labels)}`, timestamps.map((time, i) => [time, values[i]])];
  }));
}

test('vmctl copies a database to VictoriaMetrics', async (t) => {
  if (!has(t, 'vmctl') || !has(t, 'victoria-metrics', ['-version'])) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE moved');
  const load = Array.from({ length: count }, (_, i) => `load,host=h${i % 2} value=${i / 4},count=${i}i ${ms + i}`);
  const other = [`room,place=a\\,\\ b\\=c temp=21.5,open=true ${ms}`, `room,place=x temp=-3e-9 ${ms}`];
  await server.mustWrite([...load, ...other].join('\n'), { db: 'moved', precision: 'ms' });

  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  const victoria = startProgram(t, 'victoria-metrics', [
    '-httpListenAddr', address, '-storageDataPath', temporaryFolder(t), '-retentionPeriod', '100y',
  ]);
  await victoria.until('health', () => fetch(`${url}/health`).catch(() => undefined));
  const words = [
    'vmctl', 'influx', '-s', '--influx-addr', server.url, '--influx-user', 'any', '--influx-database', 'moved',
    '--influx-password', await databaseToken(server, 'moved'), '--influx-chunk-size', '1000', '--vm-addr', url,
  ];
  // vmctl needs a terminal for its progress bar.
  const { code, output } = await run('script', ['--quiet', '--return', '--command', words.join(' '), '/dev/null'], { quiet: true });
  assert.equal(code, 0, output);
  assert.match(output, /Import finished!/);
  assert.match(output, /import requests retries: 0;/);
  await fetch(`${url}/internal/force_flush`);

  const numbers = Array.from({ length: count }, (_, i) => i);
  const ofHost = (host, value) => numbers.filter((i) => i % 2 === host).map((i) => [ms + i, value(i)]);
  const expected = {
    'load_value {"host":"h0"}': ofHost(0, (i) => i / 4),
    'load_value {"host":"h1"}': ofHost(1, (i) => i / 4),
    'load_count {"host":"h0"}': ofHost(0, (i) => i),
    'load_count {"host":"h1"}': ofHost(1, (i) => i),
    'room_temp {"place":"a, b=c"}': [[ms, 21.5]],
    'room_open {"place":"a, b=c"}': [[ms, 1]],
    'room_temp {"place":"x"}': [[ms, -3e-9]],
  };
  assert.deepEqual(await exported(url), expected);
});
