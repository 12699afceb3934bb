// Tests OpenTelemetry's exporters for OTLP over HTTP: for Python, and for JavaScript as protobuf and
// JSON.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtobufExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';

import { databaseToken, PlainWorkerd, tidemark } from './harness.mjs';
import { hasPythonClients, order } from './python.mjs';

/** Sends the same metrics as tests/edge/python/otlp.py. */
async function send(Exporter, url, token, instance) {
  const exporter = new Exporter({ url, headers: { Authorization: `Bearer ${token}` }, compression: 'gzip' });
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const resource = resourceFromAttributes({ 'service.name': 'shop', 'service.instance.id': instance });
  const provider = new MeterProvider({ readers: [reader], resource });
  const meter = provider.getMeter('trial', '1.0');
  const counter = meter.createCounter('requests', { unit: '1' });
  counter.add(3, { 'http.method': 'GET' });
  counter.add(4, { 'http.method': 'PUT' });
  meter.createUpDownCounter('queue.size').add(-2);
  const histogram = meter.createHistogram('latency', { unit: 's' });
  for (const value of [0.1, 7, 20_000]) histogram.record(value);
  await provider.forceFlush();
  await provider.shutdown();
}

/** Checks the newest values of an instance. */
async function check(server, database, instance) {
  const last = async (measurement, tag) => {
    const q = `SELECT last(value) FROM ${measurement} WHERE instance = '${instance}' AND job = 'shop' GROUP BY ${tag}`;
    const series = await server.series(q, { db: database });
    return Object.fromEntries(series.map(({ tags, values }) => [tags[tag], values[0][1]]));
  };
  assert.deepEqual(await last('requests_total', 'http_method'), { GET: 3, PUT: 4 });
  assert.deepEqual(await last('queue_size', 'otel_scope_name'), { trial: -2 });
  assert.deepEqual(await last('latency_seconds_sum', 'otel_scope_version'), { '1.0': 20_007.1 });
  assert.deepEqual(await last('latency_seconds_count', 'otel_scope_version'), { '1.0': 3 });
  const buckets = await last('latency_seconds_bucket', 'le');
  assert.deepEqual([buckets['0'], buckets['5'], buckets['10'], buckets['10000'], buckets['+Inf']], [0, 1, 2, 2, 3]);
}

test("OpenTelemetry's exporters write metrics", async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const database = 'otlp';
  await server.query(`CREATE DATABASE ${database}`);
  const own = await databaseToken(server, database, { actions: ['write'] });

  await t.test('JavaScript, protobuf, database in the path', async () => {
    await send(ProtobufExporter, `${server.url}/otlp/${database}/v1/metrics`, own, 'protobuf');
    await check(server, database, 'protobuf');
  });
  await t.test('JavaScript, JSON, database of the token', async () => {
    await send(JsonExporter, `${server.url}/v1/metrics`, own, 'json');
    await check(server, database, 'json');
  });
  await t.test('Python', async (inner) => {
    if (!(await hasPythonClients(inner))) return;
    const url = `${server.url}/v1/metrics?db=${database}`;
    const { results, version } = await order('otlp', { action: 'send', url, token: own });
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.ok(results.length >= 1 && results.every(Boolean), `${results}`);
    await check(server, database, 'python');
  });
});
