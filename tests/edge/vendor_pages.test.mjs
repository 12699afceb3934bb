// Follows the pages of InfluxDB's documentation for users of v2 that docs/CLIENTS.md lists, except
// those that clients_curl.test.mjs runs. The test inserts only names, addresses and tokens.
// Comments describe all other changes.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import { InfluxDB } from '@influxdata/influxdb-client';

import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { flightProgram } from './flight_program.mjs';
import { certificate } from './grpc_web_server.mjs';
import { has, PlainWorkerd, Tidemark, tidemark, token, withoutSql } from './harness.mjs';
import { hasPyinflux3, hasPythonClients, order } from './python.mjs';

const point = 'home,room=kitchen temp=72 1463683075';
const year2016 = '2016-05-19T18:37:55Z';
const series = (time) => ({ results: [{ statement_id: 0, series: [{ name: 'home', columns: ['time', 'room', 'temp'], values: [[time, 'kitchen', 72]] }] }] });

async function curl(...words) {
  const flags = ['--silent', '--write-out', '\n%{http_code}'];
  const done = await promisify(execFile)('curl', [...flags, ...words]).catch((error) => error);
  const [, body, status] = /^(.*)\n(\d*)$/s.exec(done.stdout) ?? [null, '', ''];
  return { code: done.code ?? 0, status: Number(status), body };
}

/** The database `pages` keeps points of any age. */
async function begun(t, options, Kind = PlainWorkerd) {
  const server = await tidemark(t, options, Kind);
  await server.query('CREATE DATABASE pages');
  const rows = () => server.rows('SELECT * FROM home', { db: 'pages' });
  const empty = () => server.query('DROP MEASUREMENT home', { db: 'pages' });
  return { server, url: server.url, rows, empty };
}

const bearer = ['--header', `Authorization: Bearer ${token}`];
const write = (url, search, ...more) => curl('--request', 'POST', `${url}/api/v2/write?${search}`, ...bearer, ...more);

test('the pages about /api/v2/write describe the server correctly', async (t) => {
  if (!has(t, 'curl')) return;
  const { server, url, rows, empty } = await begun(t);
  const says = ({ status, body }) => [status, JSON.parse(body)];

  await t.test('errors have the same texts as on the page', async () => {
    const none = { code: 'invalid', message: 'missing bucket value' };
    assert.deepEqual(says(await write(url, 'precision=s', '--data-binary', point)), [400, none]);
    const message = 'failed to deserialize org/bucket/precision in request: unknown variant `x`, expected one of `s`, `ms`, `us`, `ns`';
    const unknown = await write(url, 'bucket=pages&precision=x', '--data-binary', point);
    assert.deepEqual(says(unknown), [400, { code: 'invalid', message }]);
  });
  await t.test("the server supports the parameters and headers in the page's table", async () => {
    const units = { ns: 1, us: 1e3, u: 1e3, ms: 1e6, s: 1e9, m: 6e10, h: 3.6e12 };
    for (const [precision, ns] of Object.entries(units)) {
      const { status } = await write(url, `bucket=pages&precision=${precision}`, '--data-binary', 'home v=1 5');
      assert.equal(status, 204, precision);
      const time = new Date((5 * ns) / 1e6).toISOString();
      const [[found]] = await rows();
      assert.ok(found.startsWith(ns < 1e6 ? '1970-01-01T00:00:00.00000' : time.replace('.000', '').slice(0, -1)), `${precision}: ${found}`);
      await empty();
    }
    const file = join(server.folder, 'point.gz');
    writeFileSync(file, gzipSync(point));
    const ignored = ['org=x', 'orgID=y', 'org=x&orgID=y', ''];
    for (const search of ignored) {
      for (const more of [
        ['--header', 'Content-Encoding: gzip', '--data-binary', `@${file}`],
        ['--header', 'Content-Encoding: identity', '--header', 'Accept: application/json', '--data-binary', point],
        ['--header', 'Content-Type: application/json', '--header', 'Zap-Trace-Span: baggage,span_id,1,trace_id,1', '--data-binary', point],
      ]) {
        assert.deepEqual(await write(url, `bucket=pages&precision=s&${search}`, ...more), { code: 0, status: 204, body: '' });
        assert.deepEqual(await rows(), [[year2016, 'kitchen', 72]]);
        await empty();
      }
    }
  });
  await t.test('two printed commands cannot work with any server', async () => {
    // The page contains the method `post`. HTTP methods are upper case, so workerd rejects this
    // method.
    const lower = await curl('--request', 'post', `${url}/api/v2/write?bucket=pages&precision=s`, ...bearer, '--data-binary', point);
    assert.equal(lower.status, server.isNative ? 405 : 501);
    const { code } = await curl('--post', `${url}/api/v2/write?bucket=pages&precision=s`, ...bearer, '--data-binary', point);
    assert.equal(code, 2);
  });
});

test('the pages about /query, /write, /ping and /api/v2/query describe the server correctly', async (t) => {
  if (!has(t, 'curl')) return;
  const { url } = await begun(t);
  for (const path of ['/write', '/write/']) {
    const search = new URLSearchParams({ u: 'any', p: token, db: 'pages', precision: 's' });
    assert.equal((await curl('--request', 'POST', `${url}${path}?${search}`, '--data-binary', point)).status, 204);
  }
  const query = (...more) => curl('--get', `${url}/query`, '--user', `any:${token}`, '--data-urlencode', 'db=pages', '--data-urlencode', 'q=SELECT * FROM home', ...more);
  assert.deepEqual(JSON.parse((await query()).body), series(year2016));
  const epochs = { ns: 1463683075e9, u: 1463683075e6, 'µ': 1463683075e6, ms: 1463683075e3, s: 1463683075, m: 24394717, h: 406578 };
  for (const [epoch, time] of Object.entries(epochs)) {
    assert.deepEqual(JSON.parse((await query('--data-urlencode', `epoch=${epoch}`)).body), series(time), epoch);
  }
  assert.deepEqual(JSON.parse((await query('--data-urlencode', 'rp=autogen', '--header', 'Accept-Encoding: gzip', '--compressed')).body), series(year2016));
  for (const accept of ['application/csv', 'text/csv']) {
    const { body } = await query('--header', `Accept: ${accept}`);
    assert.equal(body, 'name,tags,time,room,temp\nhome,,1463683075000000000,kitchen,72\n');
  }
  assert.match((await query('--header', 'Accept: application/x-msgpack')).body, /results.*kitchen/s);
  for (const method of ['--get', '--head']) assert.equal((await curl(method, `${url}/ping`)).status, 204);
  const flux = await curl('--request', 'POST', `${url}/api/v2/query?org=x`, ...bearer, '--data-binary', 'from(bucket:"pages")');
  assert.equal(flux.status, 501);
  assert.match(flux.body, /is not supported/);
});

test('the steps for Node.js work', async (t) => {
  const { url, rows } = await begun(t);
  // The page contains `new InfluxDB({'https://…', DATABASE_TOKEN})`, which is not valid JavaScript.
  const influxDB = new InfluxDB({ url, token });
  const writeApi = influxDB.getWriteApi('', 'pages', 'ns');
  writeApi.writeRecord(point);
  await writeApi.close();
  assert.deepEqual(await rows(), [['1970-01-01T00:00:01.463683075Z', 'kitchen', 72]]);
});

test('the steps for Python work', async (t) => {
  if (!(await hasPythonClients(t))) return;
  const { url, rows } = await begun(t);
  assert.equal((await order('vendor_page', { action: 'write', url, token, database: 'pages' })).error, null);
  assert.deepEqual(await rows(), [['1970-01-01T00:00:01.463683075Z', 'kitchen', 72]]);
});

const built = { skip: withoutSql };

const transcoderPort = async (t, url, file, keyFile) => (await flightProgram(t, url, { words: ['--tls-cert', file, '--tls-key', keyFile] })).port;

/** The native host accepts gRPC with TLS itself. */
async function withTls(server, file, keyFile) {
  await server.stop();
  server.options.vars = { TLS_CERT: file, TLS_KEY: keyFile };
  await server.start();
  return server.port;
}

test('the steps for pyinflux3 work with TLS', built, async (t) => {
  if (!has(t, 'openssl', ['version']) || !(await hasPyinflux3(t))) return;
  const { server, url } = await begun(t, { sql: sqlConfiguration }, Tidemark);
  await server.mustWrite(point, { db: 'pages', precision: 's' });
  const { file, keyFile } = certificate(t);
  const port = await (server.isNative ? withTls(server, file, keyFile) : transcoderPort(t, url, file, keyFile));
  const { error, ...seen } = await order('pyinflux3', { action: 'query', port, token, database: 'pages', certificate: file });
  assert.equal(error, null);
  assert.deepEqual(seen, { sql: [{ room: 'kitchen', temp: 72 }], influxql: [72] });
});
