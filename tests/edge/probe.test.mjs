// Tests the measurements and the cleanup of `tidemark probe`. A stand-in for Cloudflare's API runs
// the uploaded scripts.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http2';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Account } from '../../packages/tidemark/lib/cloudflare.mjs';
import { grpcAnswer } from '../../packages/tidemark/lib/grpc.mjs';
import { probe } from '../../packages/tidemark/lib/probe.mjs';
import { stagedPackage } from '../../scripts/package.mjs';
import { cloudflareApi } from './cloudflare_api.mjs';

const day = '2026-11-01';

/** Returns the account of the stand-in, whose scripts are reachable at the stand-in's address. */
function account(api) {
  process.env.CLOUDFLARE_API_BASE_URL = api.url;
  const it = new Account({ token: 'an-api-token' });
  it.addressOf = (name) => api.scripts.get(name).url;
  return it;
}

const names = (calls, method) => calls.filter((call) => call.startsWith(method)).map((call) => /scripts\/([\w-]+)/.exec(call)[1]);

test('the program measures each property once, and deletes its deployments and its domain', { timeout: 120_000 }, async (t) => {
  const api = await cloudflareApi(t);
  const asked = [];
  const addressOf = (domain) => {
    const [[script, { url }]] = api.scripts;
    asked.push([domain, api.domains.get(script)]);
    return url;
  };
  const { signal } = new AbortController();
  const rows = await probe({ account: account(api), day, say() {}, signal, domain: 'probe.example.com', addressOf });
  for (const row of rows) t.diagnostic(row.join(': '));
  const measured = new Map(rows);
  assert.equal(measured.size, rows.length, 'a row stands there twice');
  const number = (what, pattern) => Number(pattern.exec(measured.get(what))?.[1]);
  // These values come from the local workerd. On the platform, the values are different.
  assert.ok(number('the largest SQLite value', /^(\d+) bytes/) >= 2_000_000, measured.get('the largest SQLite value'));
  const [first, last, all] = ['the first 16 bytes', 'the last 16 bytes', 'all of it'].map((what) =>
    number(`substr of 1900000 bytes, ${what}`, /^(\d+) µs$/));
  assert.ok(first >= 0 && last >= 0 && all > first, `${first} ${last} ${all}`);
  for (const region of ['wnam', 'weur', 'apac', 'oc']) {
    assert.match(measured.get(`a commit in ${region}`), /^-?\d+ ms more than an empty call, which takes \d+ ms/);
  }
  assert.match(measured.get('calls to an object in one request'), /^\d+[;,]/);
  for (const megabytes of [5, 28]) {
    assert.match(measured.get(`start-up of a module of ${megabytes} MB`), /^12 ms \(by the platform\); first response after \d+ ms/);
    assert.match(measured.get(`memory next to a module of ${megabytes} MB`), /^\d+ MiB can be allocated/);
  }
  // workerd does not support HTTP/2 here, so the two rows for gRPC contain this error. All other
  // rows contain a measurement.
  for (const what of ['gRPC', 'gRPC on a custom domain']) assert.match(measured.get(what), /^not measured: /);
  assert.deepEqual(asked, [['probe.example.com', ['probe.example.com']]]);
  assert.deepEqual([...api.domains.values()], [[]]);
  assert.ok(!JSON.stringify(rows).includes('example.com'), 'the table has a name of the user');
  assert.equal(api.scripts.size, 0);
  const put = names(api.calls.filter((call) => !call.endsWith('/domains/records')), 'PUT');
  assert.equal(put.length, 3);
  assert.ok(put.every((name) => /^tidemark-probe-[0-9a-f]{8}-[\w-]+$/.test(name)), String(put));
  assert.deepEqual(names(api.calls, 'DELETE'), put);
});

test('other people cannot use the scratch Worker', async (t) => {
  const api = await cloudflareApi(t);
  const ending = new AbortController();
  const mine = account(api);
  const { put } = Account.prototype;
  const asked = [];
  mine.put = async function (...given) {
    const made = await put.apply(this, given);
    for (const headers of [{}, { 'Probe-Token': 'a guess' }]) asked.push((await fetch(`${made.url}/where`, { headers })).status);
    ending.abort(new Error('enough'));
    return made;
  };
  await assert.rejects(probe({ account: mine, day, say() {}, signal: ending.signal }), /enough/);
  assert.deepEqual(asked, [404, 404]);
  assert.equal(api.scripts.size, 0);
});

test('no deployment remains after any failed API call', async (t) => {
  const api = await cloudflareApi(t);
  const attempt = () => probe({ account: account(api), day, say() {}, signal: new AbortController().signal });
  for (const [broken, kept] of [[/^GET \/accounts$/, 0], [/subdomain$/, 0], [/^PUT/, 0], [/^POST .*subdomain/, 0]]) {
    api.fails = (call) => (broken.test(call) ? 500 : 0);
    await assert.rejects(attempt(), /Cloudflare refused .* no \[code: 10000\]/);
    assert.equal(api.scripts.size, kept);
  }
  let failures = 1;
  api.fails = (call) => (call.startsWith('POST') ? 500 : call.startsWith('DELETE') && failures-- > 0 ? 500 : 0);
  await assert.rejects(attempt(), /refused POST/);
  assert.equal(api.scripts.size, 0);
});

test('the program deletes its deployment on SIGINT, and the next run deletes the deployments of an interrupted run', { timeout: 60_000 }, async (t) => {
  const api = await cloudflareApi(t);
  const program = join(await stagedPackage(), 'bin', 'tidemark.mjs');
  const env = { ...process.env, CLOUDFLARE_API_BASE_URL: api.url, CLOUDFLARE_API_TOKEN: 'an-api-token', CLOUDFLARE_ACCOUNT_ID: '' };
  const start = (...words) => {
    const child = spawn(process.execPath, [program, 'probe', ...words], { env });
    t.after(() => child.kill('SIGKILL'));
    const run = { child, text: '', ended: once(child, 'close') };
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (run.text += piece));
    return run;
  };
  const deployed = async () => {
    for (let triesLeft = 400; !api.calls.some((call) => call.startsWith('POST')); triesLeft -= 1) {
      assert.ok(triesLeft > 0, String(api.calls));
      await sleep(25);
    }
  };
  const interrupted = start();
  await deployed();
  // The script's address is unreachable, so the program is still waiting.
  interrupted.child.kill('SIGINT');
  assert.deepEqual([(await interrupted.ended)[0], api.scripts.size], [1, 0], interrupted.text);
  assert.match(interrupted.text, /^Interrupted\. The temporary Workers were removed\.$/m);

  api.calls.length = 0;
  const cut = start();
  await deployed();
  cut.child.kill('SIGKILL');
  await cut.ended;
  assert.equal(api.scripts.size, 1);
  api.scripts.set('of-somebody-else', { miniflare: { dispose() {} } });
  const removing = start('--remove');
  assert.equal((await removing.ended)[0], 0, removing.text);
  assert.deepEqual([...api.scripts.keys()], ['of-somebody-else']);

  api.fails = () => 403;
  const refused = start();
  assert.equal((await refused.ended)[0], 1);
  assert.match(refused.text, /^Cloudflare refused GET \/accounts\?per_page=50: no \[code: 10000\]$/m);
});

test('the scratch Worker sends gRPC-Web as a stream without a length', async (t) => {
  const api = await cloudflareApi(t);
  const mine = account(api);
  await mine.open();
  const binding = { type: 'secret_text', name: 'PROBE_TOKEN', text: 't' };
  const code = (name) => readFileSync(new URL(`../../packages/tidemark/probe/${name}`, import.meta.url));
  const { url } = await mine.put('tidemark-probe-grpc', {
    modules: { 'worker.js': code('worker.js'), 'memory.js': code('memory.js') },
    metadata: { compatibility_date: day, bindings: [binding, { type: 'durable_object_namespace', name: 'PROBE', class_name: 'Probe' }], migrations: { new_sqlite_classes: ['Probe'] } },
  });
  const response = await fetch(`${url}/grpc`, { method: 'POST', headers: { 'Probe-Token': 't' }, body: 'x' });
  assert.equal(response.headers.get('content-length'), null);
  assert.ok(Buffer.from(await response.arrayBuffer()).toString('latin1').endsWith('grpc-status:0\r\n'));
});

test('gRPC is recognized by the position of its status', async (t) => {
  let isConverted = true;
  const server = createServer();
  server.on('stream', (stream, headers) => {
    const type = isConverted ? 'application/grpc' : 'application/grpc-web+proto';
    stream.respond({ ':status': 200, 'content-type': type, 'probe-content-type': headers['content-type'] }, { waitForTrailers: isConverted });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(isConverted ? Buffer.from([0, 0, 0, 0, 1, 42]) : Buffer.from('grpc-status: 0\r\n'));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => server.close());
  const scratch = { url: `http://127.0.0.1:${/** @type {any} */ (server.address()).port}`, token: 't' };
  assert.equal(await grpcAnswer(scratch), '200, application/grpc, trailer grpc-status 0; the Worker saw application/grpc');
  isConverted = false;
  assert.match(await grpcAnswer(scratch), /^200, application\/grpc-web\+proto, trailers in the body: not converted; /);
});
