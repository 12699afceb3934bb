// Runs the curl commands of InfluxDB's pages. Only the address, the names and the case of the
// method are changed. One page contains `--request post`, which is not an HTTP method.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { faultProxy } from './fault_proxy.mjs';
import { has, PlainWorkerd, tidemark, token } from './harness.mjs';

/** Runs a command from a page. Returns the body and the status of the response. */
async function paste(line, url, secret = token) {
  const filled = line
    .replaceAll(/https?:\/\/cluster-id(\.a)?\.influxdb\.io/g, url)
    .replaceAll('DATABASE_TOKEN', secret)
    .replaceAll('API_TOKEN', secret)
    .replaceAll('DATABASE_NAME', 'pages')
    .replaceAll('BUCKET_NAME', 'pages')
    .replaceAll('MEASUREMENT', 'home')
    .replace('curl ', "curl --silent --show-error --write-out '\\n%{http_code}' ");
  const { stdout } = await promisify(execFile)('sh', ['-c', filled]);
  const [, body, code] = stdout.match(/^(.*)\n(\d+)$/s);
  return { status: Number(code), body };
}

const base = 'https://cluster-id.a.influxdb.io';

const writes = {
  'Bearer on /api/v2/write': `curl --request POST \
    '${base}/api/v2/write?bucket=DATABASE_NAME&precision=s' \
    --header 'Authorization: Bearer DATABASE_TOKEN' \
    --data-binary 'home,room=kitchen temp=72 1463683075'`,
  'Token on /api/v2/write': `curl --request POST \
    "${base}/api/v2/write?bucket=DATABASE_NAME&precision=s" \
    --header "Authorization: Token DATABASE_TOKEN" \
    --data-binary 'home,room=kitchen temp=73 1463683076'`,
  'a bucket, as the serverless page has it': `curl \
    "${base}/api/v2/write?bucket=BUCKET_NAME&precision=s" \
    --header "Authorization: Token API_TOKEN" \
    --data-binary 'home,room=kitchen temp=74 1463683077'`,
};

const sensors = `curl --request POST \
"https://cluster-id.influxdb.io/api/v2/write?bucket=DATABASE_NAME&precision=ns" \
  --header "Authorization: Token DATABASE_TOKEN" \
  --header "Content-Type: text/plain; charset=utf-8" \
  --header "Accept: application/json" \
  --data-binary '
    airSensors,sensor_id=TLM0201 temperature=73.97038159354763,humidity=35.23103248356096,\
co=0.48445310567793615 1630424257000000000
    airSensors,sensor_id=TLM0202 temperature=75.30007505999716,humidity=35.651929918691714,\
co=0.5141876544505826 1630424257000000000'`.replaceAll(',\\\n', ',');

const queries = {
  'Basic on /query': `curl --get "http://cluster-id.a.influxdb.io/query" \
    --user "":"DATABASE_TOKEN" \
    --data-urlencode "db=DATABASE_NAME" \
    --data-urlencode "q=SELECT * FROM MEASUREMENT"`,
  'the password in the URL of /query': `curl --get "${base}/query" \
    --data-urlencode "p=DATABASE_TOKEN" \
    --data-urlencode "db=DATABASE_NAME" \
    --data-urlencode "q=SELECT * FROM MEASUREMENT"`,
};

test('the curl commands of the pages of InfluxDB work', async (t) => {
  if (!has(t, 'curl')) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  // The sample points are years old, so the database needs a long retention.
  await server.query('CREATE DATABASE pages');
  for (const [name, line] of Object.entries(writes)) {
    await t.test(name, async () => {
      assert.deepEqual(await paste(line, server.url), { status: 204, body: '' });
    });
  }
  await t.test('two indented lines, nanoseconds', async () => {
    assert.deepEqual(await paste(sensors, server.url), { status: 204, body: '' });
    const rows = await server.rows('SELECT * FROM airSensors', { db: 'pages', epoch: 'ns' });
    const time = 1_630_424_257_000_000_000;
    assert.deepEqual(rows, [
      [time, 0.48445310567793615, 35.23103248356096, 'TLM0201', 73.97038159354763],
      [time, 0.5141876544505826, 35.651929918691714, 'TLM0202', 75.30007505999716],
    ]);
  });
  for (const [name, line] of Object.entries(queries)) {
    await t.test(name, async () => {
      const { status, body } = await paste(line, server.url);
      assert.equal(status, 200);
      const values = [
        ['2016-05-19T18:37:55Z', 'kitchen', 72],
        ['2016-05-19T18:37:56Z', 'kitchen', 73],
        ['2016-05-19T18:37:57Z', 'kitchen', 74],
      ];
      const series = [{ name: 'home', columns: ['time', 'room', 'temp'], values }];
      assert.deepEqual(JSON.parse(body), { results: [{ statement_id: 0, series }] });
    });
  }
});

test('curl handles a wrong token, an invalid line, an overloaded server and a restart', async (t) => {
  if (!has(t, 'curl')) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const proxy = await faultProxy(t, server.url);
  await server.query('CREATE DATABASE pages');
  const line = writes['Bearer on /api/v2/write'];
  const says = ({ status, body }) => [status, JSON.parse(body)];

  await t.test('a wrong token', async () => {
    const expected = { code: 'unauthorized', message: 'unauthorized access' };
    assert.deepEqual(says(await paste(line, server.url, 'wrong')), [401, expected]);
  });
  await t.test('an invalid line', async () => {
    const [status, body] = says(await paste(line.replace('temp=72', 'temp='), server.url));
    assert.equal(status, 400);
    assert.equal(body.code, 'invalid');
    assert.match(body.message, /no data written.*line 1.*'temp'.*0 points written, 1 lines/s);
    assert.equal(body.line, 1);
  });
  await t.test('no bucket, and an unknown precision', async () => {
    const none = says(await paste(line.replace('bucket=DATABASE_NAME&', ''), server.url));
    assert.deepEqual(none, [400, { code: 'invalid', message: 'missing bucket value' }]);
    const [status, { message }] = says(await paste(line.replace('=s', '=fortnight'), server.url));
    assert.equal(status, 400);
    assert.match(message, /unknown variant `fortnight`, expected one of `s`, `ms`, `us`, `ns`/);
  });
  for (const status of [503, 429]) {
    await t.test(`an overloaded server, ${status}: --retry waits for the time in Retry-After`, async () => {
      proxy.refuse = [status];
      const from = Date.now();
      const pasted = line.replace('curl ', 'curl --retry 3 ').replace('72', String(status));
      assert.equal((await paste(pasted, proxy.url)).status, 204);
      assert.ok(Date.now() - from >= 1000, 'it came back before Retry-After');
      const rows = await server.rows('SELECT temp FROM home', { db: 'pages', epoch: 's' });
      assert.deepEqual(rows, [[1463683075, status]]);
    });
  }
  await t.test('a restart', async () => {
    await server.kill();
    const pasted = line.replace('curl ', 'curl --retry 60 --retry-all-errors --retry-delay 1 ');
    const writing = paste(pasted, server.url);
    await server.start();
    assert.equal((await writing).status, 204);
    const rows = await server.rows('SELECT temp FROM home', { db: 'pages', epoch: 's' });
    assert.deepEqual(rows, [[1463683075, 72]]);
  });
});
