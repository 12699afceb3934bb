// Tests the shell of InfluxDB 1.x.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { faultProxy } from './fault_proxy.mjs';
import { has, PlainWorkerd, temporaryFolder, tidemark, token } from './harness.mjs';

const login = (url, secret = token) => {
  const { hostname, port } = new URL(url);
  return ['-host', hostname, '-port', port, '-username', 'any', '-password', secret];
};

test('the 1.x shell connects, creates, inserts and selects', async (t) => {
  if (!has(t, 'influx', ['-version'])) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const shell = (execute, ...more) => {
    const args = [...login(server.url), '-execute', execute, ...more];
    const result = spawnSync('influx', args, { encoding: 'utf8' });
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
  const asText = ['-database', 'shop', '-precision', 'rfc3339'];
  const rfc3339 = shell('SELECT takings FROM tills LIMIT 1', ...asText);
  assert.match(rfc3339, /1970-01-01T00:00:00\.000001Z 12\.5/);
});

/** The format of the 1.x tools is DDL for the database, followed by the lines. */
const dump = (lines) => `# DDL
CREATE DATABASE shop
CREATE RETENTION POLICY "long" ON "shop" DURATION INF REPLICATION 1

# DML
# CONTEXT-DATABASE: shop
# CONTEXT-RETENTION-POLICY: long
# writing tsm data
${lines.join('\n')}
`;

const points = Array.from({ length: 12_000 }, (_, i) => {
  const note = `note="a \\"${i}\\" b"`;
  return `tills,shop=a\\ ${i % 7} takings=${i}.25,count=${i}i,${note} ${1_700_000_000 + i}`;
});

function importer(t, text) {
  const folder = temporaryFolder(t);
  const paths = { plain: join(folder, 'dump.txt'), compressed: join(folder, 'dump.gz') };
  writeFileSync(paths.plain, text);
  writeFileSync(paths.compressed, gzipSync(text));
  return (url, { secret = token, compressed = false } = {}) => {
    const args = [...login(url, secret), '-import', '-precision', 's'];
    if (compressed) args.push('-compressed');
    args.push('-path', compressed ? paths.compressed : paths.plain);
    const child = spawn('influx', args);
    let output = '';
    child.stdout.on('data', (piece) => (output += piece));
    child.stderr.on('data', (piece) => (output += piece));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
  };
}

const succeeded = ({ code, output }) => assert.equal(code, 0, `${output.slice(0, 300)} … ${output.slice(-1000)}`);

test('the 1.x shell imports a dump, and reports rejected lines', async (t) => {
  if (!has(t, 'influx', ['-version'])) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const proxy = await faultProxy(t, server.url);
  const inShop = { db: 'shop', epoch: 's' };
  const count = () => server.rows('SELECT count(takings) FROM long.tills', inShop);
  const load = importer(t, dump(points));

  await t.test('a wrong token', async () => {
    const { code, output } = await load(server.url, { secret: 'wrong' });
    assert.notEqual(code, 0);
    assert.match(output, /authorization failed/);
  });
  await t.test('an overloaded server: the shell reports the error, and the next run completes the import', async () => {
    proxy.refuse = [503];
    const { code, output } = await load(proxy.url);
    const [{ answer }] = proxy.takeWrites().filter(({ status }) => status === 503);
    assert.ok(output.includes(JSON.parse(answer).error), output.slice(-500));
    assert.notEqual(code, 0);
    assert.deepEqual(await count(), [[0, points.length - 5000]]);
    succeeded(await load(server.url));
    assert.deepEqual(await count(), [[0, points.length]]);
  });
  await t.test('a second import from a compressed file duplicates no point', async () => {
    succeeded(await load(server.url, { compressed: true }));
    assert.deepEqual(await count(), [[0, points.length]]);
    const q = 'SELECT takings, count, note, shop FROM long.tills LIMIT 1 OFFSET 4711';
    const [row] = await server.rows(q, inShop);
    assert.deepEqual(row, [1_700_004_711, 4711.25, 4711, 'a "4711" b', 'a 0']);
  });
  await t.test('an invalid line: the error contains the line, and the other lines are stored', async () => {
    const bad = importer(t, dump(['tills,shop=new takings=1 1', 'tills,shop=new takings= 2']));
    const { output } = await bad(server.url);
    assert.match(output, /partial write: unable to parse 1 line\(s\), errors encountered/);
    assert.match(output, /takings/);
    const q = "SELECT takings FROM long.tills WHERE shop = 'new'";
    assert.deepEqual(await server.rows(q, inShop), [[1, 1]]);
  });
  await t.test('a restart during an import: the next run completes the import', async () => {
    const more = points.map((line) => line.replace('tills', 'more'));
    const again = importer(t, dump(more));
    const q = 'SELECT count(takings) FROM long.more';
    let writes = 0;
    proxy.beforeWrite = async () => {
      writes += 1;
      if (writes === 2) await server.kill();
    };
    const { code, output } = await again(proxy.url);
    proxy.beforeWrite = async () => {};
    assert.notEqual(code, 0, output);
    assert.deepEqual(proxy.takeWrites().map(({ status }) => status === 204), [true, false, false]);
    await server.start();
    // After the kill, the server has exactly the points that it had acknowledged.
    assert.deepEqual(await server.rows(q, inShop), [[0, 5_000]]);
    succeeded(await again(server.url));
    assert.deepEqual(await server.rows(q, inShop), [[0, more.length]]);
    assert.deepEqual(await count(), [[0, points.length + 1]]);
  });
});
