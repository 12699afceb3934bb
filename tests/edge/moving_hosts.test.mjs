// Moves databases between the Worker, the native program and the web page, in every direction.
// Afterwards, all points, types, definitions, users and tokens must be the same.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';

import { consoleFolder } from '../../scripts/console.mjs';
import { at } from '../../scripts/project.mjs';
import { hasChromium, launched } from './chromium.mjs';
import { command, commandProgram } from './commands.mjs';
import { databaseToken, listening, NativeHost, PlainWorkerHost, temporaryFolder, Tidemark, tidemark, token } from './harness.mjs';
import { staticHost } from './static_host.mjs';

/**
 * Starts an HTTP server that forwards the requests of commands to a database in a page. The page
 * has no admin token.
 */
async function pageHost(t) {
  const host = await staticHost(t, consoleFolder);
  host.instead.set('empty.html', '<!doctype html>');
  const page = await (await launched(t)).newPage();
  await page.goto(`${host.url}empty.html`);
  await page.evaluate(`import('${host.url}engine/engine.js').then(async ({ startEngine }) => (globalThis.engine = await startEngine()))`);
  const send = async ({ path, method, headers, body }) => {
    const bytes = method === 'GET' ? undefined : Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
    // @ts-ignore: the page has set this variable.
    const response = await globalThis.engine.fetch(path, { method, headers, body: bytes });
    let text = '';
    for (const byte of new Uint8Array(await response.arrayBuffer())) text += String.fromCharCode(byte);
    return { status: response.status, headers: [...response.headers], body: btoa(text) };
  };
  const server = createServer(async (request, response) => {
    const headers = { ...request.headers };
    for (const name of ['connection', 'content-length', 'transfer-encoding', 'host']) delete headers[name];
    if (headers.authorization?.endsWith(token)) delete headers.authorization;
    const body = (await buffer(request)).toString('base64');
    const reply = await page.evaluate(send, { path: request.url, method: request.method, headers, body });
    response.writeHead(reply.status, Object.fromEntries(reply.headers)).end(Buffer.from(reply.body, 'base64'));
  });
  const it = new Tidemark(null, null, {});
  it.url = await listening(t, server);
  return it;
}

async function run(of, words) {
  const done = await command(words, { url: of.url });
  assert.equal(done.code, 0, `${words.join(' ')}: ${done.said}${done.output}`);
  return done;
}

const policies = ['autogen', 'one year', 'for "ever"'];

const password = 'long enough';

const nowNs = BigInt(Date.now()) * 1_000_000n;

const lines = {
  autogen: [
    'all,host=a f=1.7976931348623157e308,i=9223372036854775807i,b=true,s="plain" 0',
    'all,host=a f=-1.7976931348623157e308,i=-9223372036854775808i,b=false,s="" 1',
    'all,host=b f=5e-324,i=-9223372036854775807i -9223372036854775806',
    'all f=-0.0,i=9007199254740993i 9223372036854775806',
    'all,host=a f=0.1 -1',
    'all,host=a b=true 1700000000000000001',
    String.raw`a\,b\ c,ta\ g\,\==va\ l\,\=ue,ü=ö\\ü fi\ e\,l\=d=1,"q"=2i 3`,
    String.raw`back\slash,k\ey=v\al s="\\" 4`,
    'text s="a \\"quoted\\" word, a \\\\ and\na line break, ☃ and a tab\t" 5',
    'lines,a=1\\ 2 v=1i,w="# no comment" 6',
  ],
  'one year': [`air,room=a temp=21.5,n=1i ${nowNs}`, `air,room=b\\ 2 temp=-3 ${nowNs - 86_400_000_000_000n}`],
  'for "ever"': Array.from({ length: 7_000 }, (_, n) =>
    `many,host=h${n % 50} i=${BigInt(n) * 1_234_567_890_123n}i,f=${n / 7},s="text ${n}" ${1_600_000_000_000_000_000n + BigInt(n)}`),
};

/** Returns the secret of a new token. */
async function fill(server, db) {
  for (const q of [
    `CREATE DATABASE ${db}`,
    `CREATE RETENTION POLICY "one year" ON ${db} DURATION 8760h REPLICATION 1 SHARD DURATION 24h`,
    `CREATE RETENTION POLICY "for \\"ever\\"" ON ${db} DURATION INF REPLICATION 1`,
    `CREATE CONTINUOUS QUERY "yearly mean" ON ${db} RESAMPLE EVERY 52w BEGIN SELECT mean(temp) AS mean INTO "for \\"ever\\"".air_mean FROM "one year".air GROUP BY time(52w), * END`,
    `CREATE USER "ann of ${db}" WITH PASSWORD '${password}'`,
    `GRANT READ ON ${db} TO "ann of ${db}"`,
  ]) {
    await server.query(q);
  }
  for (const [rp, of] of Object.entries(lines)) await server.mustWrite(of.join('\n'), { db, rp });
  return databaseToken(server, db, { actions: ['read'] });
}

/** Returns exact texts, because JSON.parse would round large integers. */
async function contents(server, db) {
  const ask = async (q) => {
    const response = await server.fetch('/query', { method: 'POST', body: new URLSearchParams({ q, db, epoch: 'ns' }) });
    return [q, await response.text()];
  };
  const exported = async (rp) => (await server.fetch(`/api/v3/export?${new URLSearchParams({ db, rp })}`)).text();
  const { results } = await server.query('SHOW CONTINUOUS QUERIES');
  const quoted = policies.map((rp) => `"${rp.replaceAll('"', '\\"')}"`);
  const questions = [
    `SHOW RETENTION POLICIES ON ${db}`,
    ...['SHOW SERIES', 'SHOW FIELD KEYS', 'SHOW TAG KEYS'],
    ...quoted.map((rp) => `SELECT * FROM ${rp}./.*/`),
  ];
  return {
    queries: results[0].series.find(({ name }) => name === db)?.values,
    answers: await Promise.all(questions.map(ask)),
    exports: await Promise.all(policies.map(exported)),
  };
}

/** A page hashes passwords in another way than a server. Returns the new password. */
async function renewPassword(server, db) {
  const headers = { Authorization: `Token ann of ${db}:${password}` };
  assert.equal((await server.fetch(`/query?db=${db}&q=SHOW+MEASUREMENTS`, { headers })).status, 401);
  await server.query(`SET PASSWORD FOR "ann of ${db}" = 'another one'`);
  return 'another one';
}

/** Checks the permissions of the moved user and token. */
async function checkAccess(server, db, secret, is = password) {
  for (const credentials of [`ann of ${db}:${is}`, secret]) {
    const search = new URLSearchParams({ db, q: 'SELECT count(f) FROM "all"' });
    const headers = { Authorization: `Token ${credentials}` };
    const response = await server.fetch(`/query?${search}`, { headers });
    assert.match(await response.text(), /\[\[0,5\]\]|"1970-01-01T00:00:00Z",5/, credentials);
    const written = await server.write('m v=1', { db }, headers);
    assert.equal(written.status, 403, await written.text());
  }
}

test('an export moves points, definitions and access between the Worker, the native program and a page', { timeout: 300_000 }, async (t) => {
  if (!hasChromium(t)) return;
  await commandProgram();
  const hosts = {
    worker: await tidemark(t, {}, PlainWorkerHost),
    native: await tidemark(t, {}, NativeHost),
    page: await pageHost(t),
  };
  const folder = temporaryFolder(t);
  const originals = {};
  const secrets = {};
  for (const [name, server] of Object.entries(hosts)) {
    secrets[name] = await fill(server, `of_${name}`);
    originals[name] = await contents(server, `of_${name}`);
    const [extremes] = originals[name].exports;
    for (const line of lines.autogen.slice(1, 3)) assert.ok(extremes.includes(line.slice(line.indexOf(' i='))), extremes);
    assert.equal(originals[name].exports[2].trimEnd().split('\n').length, 7_000);
    const access = join(folder, `${name}.jsonl`);
    await run(server, ['export', '--access', access]);
    for (const rp of policies) {
      const out = join(folder, `${name}.${policies.indexOf(rp)}.lp.gz`);
      await run(server, ['export', '--database', `of_${name}`, '--policy', rp, '--out', out]);
    }
  }
  for (const from of Object.keys(hosts)) {
    const db = `of_${from}`;
    for (const to of Object.keys(hosts).filter((name) => name !== from)) {
      await run(hosts[to], ['import', '--access', join(folder, `${from}.jsonl`)]);
      for (const [number, rp] of policies.entries()) {
        const { said } = await run(hosts[to], ['import', '--database', db, '--policy', rp, join(folder, `${from}.${number}.lp.gz`)]);
        assert.match(said, / 0 lines rejected/);
      }
      assert.deepEqual(await contents(hosts[to], db), originals[from], `${from} to ${to}`);
      const is = [from, to].includes('page') ? await renewPassword(hosts[to], db) : password;
      await checkAccess(hosts[to], db, secrets[from], is);
    }
  }
});

/** Copies the objects of a bucket into a folder. */
async function download(worker, folder) {
  for (const key of await (await worker.fetch('/test_bucket')).json()) {
    const response = await worker.fetch(`/test_bucket?${new URLSearchParams({ key })}`);
    mkdirSync(dirname(join(folder, key)), { recursive: true });
    writeFileSync(join(folder, key), Buffer.from(await response.arrayBuffer()));
  }
}

/** Copies the files of a folder into a bucket. */
async function upload(folder, worker) {
  for (const key of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!statSync(join(folder, key)).isFile()) continue;
    const init = { method: 'PUT', body: readFileSync(join(folder, key)) };
    assert.equal((await worker.fetch(`/test_bucket?${new URLSearchParams({ key })}`, init)).status, 200);
  }
}

test('a backup moves a database between the Worker and the native program', { timeout: 300_000 }, async (t) => {
  const script = at('tests', 'edge', 'bucket_worker.mjs');
  await commandProgram();
  const worker = await tidemark(t, { backups: true, script });
  const native = await tidemark(t, { backups: true }, NativeHost);
  const folder = join(native.folder, 'data', 'backups');
  for (const [from, to, db] of /** @type {const} */ ([[worker, native, 'of_worker'], [native, worker, 'of_native']])) {
    await fill(from, db);
    const original = await contents(from, db);
    const { output } = await run(from, ['backup', '--database', db]);
    if (from === worker) await download(worker, folder);
    else await upload(folder, worker);
    const id = output.trim();
    await run(to, ['verify', id]);
    await run(to, ['restore', id]);
    assert.deepEqual(await contents(to, db), original, db);
  }
});

test('a page has no storage for backups', async (t) => {
  if (!hasChromium(t)) return;
  const page = await pageHost(t);
  await page.query('CREATE DATABASE d');
  const response = await page.fetch('/api/v3/backup?db=d', { method: 'POST' });
  assert.equal(response.status, 501, await response.text());
});
