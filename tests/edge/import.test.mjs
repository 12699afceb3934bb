// scripts/import.mjs: files of `influx -import`, plain and gzip, interrupted and gone on with.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { at } from '../../scripts/project.mjs';
import { tidemark, token } from './harness.mjs';

/** A file as the vendor describes it: DDL, DML, two databases, comments, a string of two lines. */
const points = 2_000;
const head = `# DDL
CREATE DATABASE pirates
CREATE DATABASE navy
CREATE RETENTION POLICY oneday ON pirates DURATION INF REPLICATION 1

# DML
# CONTEXT-DATABASE: pirates
# CONTEXT-RETENTION-POLICY: oneday
`;
const treasures = Array.from({ length: points }, (_, i) => `treasures,ship=s${i % 9} v=${i}i ${i}`);
const tail = `
# CONTEXT-DATABASE: navy
# CONTEXT-RETENTION-POLICY: autogen

log,a\\ b=c text="one
# two" 7
`;
const file = head + treasures.join('\n') + tail;

/** Runs the import; what it said and its exit code. `onStart` gets the process. */
function load(url, path, onStart = () => {}, more = []) {
  const args = ['--url', url, '--path', path, '--batch-lines', '100', ...more];
  const env = { ...process.env, TIDEMARK_TOKEN: token };
  const child = spawn(process.execPath, [at('scripts', 'import.mjs'), ...args], { env });
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  onStart(child);
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, said })));
}

/** Passes requests on to `server`; `look` sees each that was answered. */
function passOn(t, server, look) {
  const proxy = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { authorization } = request.headers;
    const headers = { authorization };
    for (const name of ['content-type', 'content-encoding']) {
      if (request.headers[name]) headers[name] = request.headers[name];
    }
    const answer = await fetch(server.url + request.url, { method: 'POST', headers, body });
    const text = await answer.text();
    look(request.url, answer.status);
    response.writeHead(answer.status).end(text);
  });
  t.after(() => proxy.close());
  return new Promise((resolve) => {
    proxy.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${proxy.address().port}`));
  });
}

test('an import that was killed goes on, plain and gzip', async (t) => {
  const server = await tidemark(t);
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-import-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, bytes] of [['plain.txt', file], ['packed.txt.gz', gzipSync(file)]]) {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    let writes = 0;
    let child;
    const url = await passOn(t, server, (target) => {
      if (!target.startsWith('/write')) return;
      writes += 1;
      if (writes === 8) child.kill('SIGKILL');
    });
    const killed = await load(url, path, (process) => (child = process));
    assert.equal(killed.code, null, killed.said);
    const { lines } = JSON.parse(readFileSync(`${path}.progress`, 'utf8'));
    assert.ok(lines >= 700 && lines < points, `${lines} lines`);

    const whole = await load(url, path);
    assert.equal(whole.code, 0, whole.said);
    assert.match(whole.said, new RegExp(`going on after line ${lines}, 700 points`));
    assert.match(whole.said, new RegExp(`100 % read, ${points + 1} points sent, \\d+ a second, done`));
    // 20 batches and one of the other database; the eighth was sent twice.
    assert.equal(writes, 22);
    assert.ok(!existsSync(`${path}.progress`));

    const q = 'SELECT count(v), sum(v) FROM oneday.treasures';
    const sum = (points * (points - 1)) / 2;
    assert.deepEqual(await server.rows(q, { db: 'pirates', epoch: 's' }), [[0, points, sum]]);
    const text = await server.rows('SELECT "a b", text FROM log', { db: 'navy', epoch: 'ns' });
    assert.deepEqual(text, [[7, 'c', 'one\n# two']]);
    await server.query('DROP DATABASE pirates; DROP DATABASE navy');
  }
});

test('rejected lines are said, and fail the import without stopping it', async (t) => {
  const server = await tidemark(t);
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-import-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'bad.txt');
  const dml = ['# DDL', 'CREATE DATABASE d', '# DML', '# CONTEXT-DATABASE: d', 'm v=1 1', 'm v= 2'];
  writeFileSync(path, [...dml, 'm v=3 3'].join('\r\n'));
  const { code, said } = await load(server.url, path);
  assert.equal(code, 1);
  assert.match(said, /partial write/);
  assert.match(said, /1 requests had lines that were rejected/);
  assert.deepEqual(await server.rows('SELECT sum(v) FROM m', { db: 'd', epoch: 's' }), [[0, 4]]);
});

test('an export is packed for whoever accepts that, and can be imported', async (t) => {
  const server = await tidemark(t, { vars: { AUTO_CREATE_RETENTION: 'none' } });
  await server.mustWrite('m,k=\\ x v=1i,s="a \\"b\\"",f=1.5,t=true 1700000000000000001', { db: 'a' });
  const asking = { headers: { 'Accept-Encoding': 'gzip' } };
  const exported = await server.fetch('/api/v3/export?db=a', asking);
  const text = await exported.text();
  assert.equal(text, 'm,k=\\ x f=1.5,s="a \\"b\\"",t=true,v=1i 1700000000000000001\n');
  assert.equal(exported.headers.get('Content-Encoding'), 'gzip');

  const folder = mkdtempSync(join(tmpdir(), 'tidemark-import-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'a.lp');
  writeFileSync(path, text);
  const { code, said } = await load(server.url, path, undefined, ['--database', 'b']);
  assert.equal(code, 0, said);
  assert.equal(await (await server.fetch('/api/v3/export?db=b')).text(), text);
});
