// Tests Prometheus with remote_write. Prometheus scrapes itself, and sends its samples to a server
// that is killed in between. Afterwards both have the same samples.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from '../../scripts/dev-server.mjs';
import { databaseToken, has, PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';
import { startProgram } from './program.mjs';

const database = 'metrics';
/** The metrics to compare: a counter with labels, a histogram and the state of the target. */
const metrics = ['prometheus_http_requests_total', 'prometheus_http_request_duration_seconds_bucket', 'up'];
const seconds = 8;

const configuration = (address, url, token) => `
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: self
    static_configs: [{ targets: ['${address}'] }]
remote_write:
  - url: ${url}/prometheus/${database}/api/v1/write
    authorization: { credentials: '${token}' }
    queue_config: { batch_send_deadline: 1s, min_backoff: 100ms, max_backoff: 1s }
`;

/** Returns the samples of Prometheus between two times, by their labels. */
async function ofPrometheus(url, metric, fromMs, toMs) {
  const query = `${metric}[${Math.ceil((toMs - fromMs) / 1000)}s]`;
  const search = new URLSearchParams({ query, time: String(toMs / 1000) });
  const { data } = await (await fetch(`${url}/api/v1/query?${search}`)).json();
  const all = data.result.map(({ metric: { __name__: _, ...labels }, values }) => {
    const samples = values.map(([second, value]) => [Math.round(second * 1000), Number(value)]);
    return [key(labels), samples.filter(([ms]) => ms > fromMs && ms <= toMs)];
  });
  return Object.fromEntries(all.filter(([, samples]) => samples.length > 0));
}

async function ofTidemark(server, metric, fromMs, toMs) {
  const q = `SELECT value FROM ${metric} WHERE time > ${fromMs}ms AND time <= ${toMs}ms GROUP BY *`;
  const series = await server.series(q, { db: database, epoch: 'ms' });
  return Object.fromEntries(series.map(({ tags, values }) => {
    const labels = Object.entries(tags).filter(([, value]) => value !== '');
    return [key(Object.fromEntries(labels)), values];
  }));
}

const key = (labels) => JSON.stringify(Object.entries(labels).sort());

test('Prometheus sends every sample to a server that is killed and restarted', async (t) => {
  if (!has(t, 'prometheus')) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query(`CREATE DATABASE ${database}`);
  const folder = temporaryFolder(t);
  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  const token = await databaseToken(server, database, { actions: ['write'] });
  writeFileSync(join(folder, 'prometheus.yml'), configuration(address, server.url, token));
  const program = startProgram(t, 'prometheus', [
    '--config.file', join(folder, 'prometheus.yml'), '--storage.tsdb.path', join(folder, 'data'),
    '--web.listen-address', address,
  ]);
  const count = async () => (await server.rows('SELECT count(value) FROM up', { db: database }))[0]?.[1] ?? 0;
  await program.until('the first samples', async () => await count() >= 3 || undefined);

  await server.kill();
  await sleep(3000);
  await server.start();
  const before = await count();
  await program.until('samples after the restart', async () => await count() >= before + seconds || undefined);

  const toMs = Date.now() - 2000;
  const fromMs = toMs - (seconds + 5) * 1000;
  for (const metric of metrics) {
    const expected = await ofPrometheus(url, metric, fromMs, toMs);
    assert.ok(Object.keys(expected).length > 0, metric);
    const equal = async () => {
      const stored = await ofTidemark(server, metric, fromMs, toMs);
      return JSON.stringify(sorted(stored)) === JSON.stringify(sorted(expected)) || undefined;
    };
    await program.until(`equal samples of ${metric}`, equal);
  }
  await program.stop();
});

const sorted = (series) => Object.entries(series).sort(([a], [b]) => (a < b ? -1 : 1));
