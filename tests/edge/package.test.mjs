// Tests the npm package in the way of a new user: installs the tarball, writes, queries, stops and
// starts the server.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';

import { parse as toml } from 'smol-toml';

import { freePort } from '../../scripts/dev-server.mjs';
import { at, wrangler } from '../../scripts/project.mjs';
import { command } from './commands.mjs';
import { grpcClient } from './grpc_client.mjs';
import { has, token } from './harness.mjs';
import { installed, served, Served, tidemarkProgram } from './served.mjs';

const json = (path) => JSON.parse(readFileSync(at(path), 'utf8'));

test('all packages have the same version, and run the tested workerd', () => {
  const { version, dependencies } = json('packages/tidemark/package.json');
  assert.equal(version, json('package.json').version);
  assert.equal(version, toml(readFileSync(at('Cargo.toml'), 'utf8')).workspace.package.version);
  for (const [name, wanted] of Object.entries(dependencies)) {
    assert.equal(wanted, json(`node_modules/${name}/package.json`).version, name);
  }
});

test('the installed package works', async (t) => {
  const install = await installed(t);

  await t.test('the program lists its commands and explains each command', async () => {
    const { code, output } = await tidemarkProgram(install, ['--help']);
    assert.equal(code, 0);
    for (const name of ['serve', 'flight', 'deploy', 'probe', 'costs']) {
      assert.match(output, new RegExp(`^  ${name} +\\w`, 'm'));
      const taught = await tidemarkProgram(install, [name, '--help']);
      assert.equal(taught.code, 0);
      assert.match(taught.output, new RegExp(`^usage: tidemark ${name} `, 'm'));
      assert.match(taught.output, /^Examples:$/m);
    }
    const { code: wrong, said } = await tidemarkProgram(install, ['sreve']);
    assert.deepEqual([wrong, said.includes('Unknown command "sreve": use one of serve, ')], [1, true]);
    const option = await tidemarkProgram(install, ['serve', '--prot', '1']);
    assert.deepEqual([option.code, option.said.includes("Unknown option '--prot'")], [1, true], option.said);
    const files = readdirSync(join(install, 'node_modules', 'tidemark'));
    for (const name of ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'built']) assert.ok(files.includes(name), name);
  });

  await t.test('programs can import the client and its types', () => imported(install));
  await t.test('data is imported and exported, and survives a restart', () => inAndOut(t, install));
  await t.test('the server serves the console and the API, and nothing else', () => beside(t, install));
  await t.test('durations are counted, and a metrics token has access to nothing else', () => timed(t, install));
  await t.test('wrong passwords are counted by address, not by connection', () => guessed(t, install));
  await t.test('gRPC is served on a second port', (sub) => takesGrpc(sub, install));
  await t.test('the package supports SQL if SQL was built', (sub) => asksSql(sub, install));
  await t.test('the package contains the files that it deploys', () => deployed(install));
  await t.test('a server can start after a crash, and two servers never use the same folder', () => crashed(t, install));
  await t.test('the server supports TLS on any address', (sub) => secured(sub, install));
});

/**
 * Compiles a TypeScript program in another package. The program imports the client by name, and the
 * types accept correct use and reject wrong use.
 */
async function imported(install) {
  const program = (field) => `import { Tidemark, TidemarkError, type Point } from 'tidemark/client';
const database = new Tidemark({ url: 'http://127.0.0.1:1', token: 't', database: 'd' });
const point: Point = { measurement: 'm', tags: { a: 'b' }, fields: { v: ${field} }, time: new Date() };
database.write([point], { waitUntil: (promise: Promise<unknown>) => { void promise; } });
const told: (error: TidemarkError) => number | undefined = (error) => error.status;
void told;
`;
  const flags = ['--noEmit', '--strict', '--ignoreConfig', '--module', 'nodenext', '--target', 'es2024', '--lib', 'es2024,dom', '--types', ''];
  const checked = (name, text) => {
    writeFileSync(join(install, name), text);
    return spawnSync(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), ...flags, name], { cwd: install, encoding: 'utf8' });
  };
  const right = checked('right.mts', program('1n'));
  assert.equal(right.status, 0, right.stdout);
  assert.match(checked('wrong.mts', program('new Date()')).stdout, /wrong\.mts.*error TS2322/);
  const run = "const { Tidemark } = await import('tidemark/client'); console.log(typeof Tidemark.prototype.write)";
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', run], { cwd: install, encoding: 'utf8' }), 'function\n');
}

async function inAndOut(t, install) {
  const server = await served(t, { install });
  const run = async (words, input = '', secret = token) => {
    const done = await command(words, { url: server.url, secret, input });
    assert.equal(done.code, 0, `${words}: ${done.output}${done.said}`);
    return done.output;
  };
  await run(['query', 'CREATE DATABASE demo']);
  const lines = 'weather,city=Oslo temperature=12.5,n=9007199254740993i 1000000001\nweather,city=Rome temperature=19.25,note="a\nb" 2000000000\n';
  await run(['import', '--database', 'demo', '-'], lines);
  const query = ['query', '--database', 'demo', 'SELECT * FROM weather; SHOW TAG KEYS'];
  const table = `weather
time                            city                 n  note  temperature
------------------------------  ----  ----------------  ----  -----------
1970-01-01T00:00:01.000000001Z  Oslo  9007199254740993               12.5
1970-01-01T00:00:02Z            Rome                    a\\nb        19.25

weather
tagKey
------
city
`;
  assert.equal(await run(query), table);
  assert.equal(await run(['query', '--database', 'demo'], 'SELECT * FROM weather; SHOW TAG KEYS'), table);
  const csv = ['query', '--database', 'demo', '--format', 'csv', '--epoch', 's', 'SELECT temperature FROM weather'];
  assert.equal(await run(csv), 'name,tags,time,temperature\nweather,,1,12.5\nweather,,2,19.25\n');
  const failed = await command(['query', 'SELECT'], { url: server.url });
  assert.equal(failed.code, 1);
  assert.match(failed.said, /^The server returned 400: error parsing query: found EOF/);

  const out = join(server.folder, 'demo.lp.gz');
  await run(['export', '--database', 'demo', '--out', out]);
  assert.match(gunzipSync(readFileSync(out)).toString(), /^# DML\n# CONTEXT-DATABASE: demo\nweather,/);
  assert.ok(!existsSync(`${out}.part`));
  await run(['query', 'DROP DATABASE demo']);
  await run(['import', out]);
  assert.equal(await run(query), table);

  const made = (await run(['token', 'create', 'sensors', '--database', 'demo', '--write', '--expires', '30d'])).trim();
  await run(['import', '--database', 'demo', '-'], 'weather,city=Bern temperature=3 3000000000\n', made);
  const reading = await command(query, { url: server.url, secret: made });
  assert.equal(reading.code, 1, 'it may only write');
  assert.match(await run(['token', 'list']), /^sensors +write demo +20/m);
  await run(['token', 'revoke', 'sensors']);
  assert.doesNotMatch(await run(['token', 'list']), /^sensors/m);

  const before = await run(query);
  assert.match(before, /Bern/);
  server.server.child.kill('SIGTERM');
  assert.equal((await server.server.child.ended).code, 0, server.log);
  assert.equal(server.events().at(-1).event, 'stopped');
  await server.start();
  assert.equal(await run(query), before);
}

async function beside(t, install) {
  const server = await served(t, { install, vars: { LOG_REQUESTS: 'all' } });
  const page = await fetch(`${server.url}/`);
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.match(page.headers.get('content-security-policy'), /^default-src 'none'/);
  assert.equal(await page.text(), readFileSync(at('dist', 'index.html'), 'utf8'));
  for (const [path, type] of [['/main.js', 'text/javascript; charset=utf-8'], ['/engine/tidemark_bg.wasm', 'application/wasm']]) {
    const file = await fetch(`${server.url}${path}`);
    assert.deepEqual([file.status, file.headers.get('content-type')], [200, type], path);
    assert.deepEqual(Buffer.from(await file.arrayBuffer()), readFileSync(at('dist', path)));
  }
  for (const path of ['/_headers', '/nothing', '/engine', '/../data/token', '/%2e%2e/data/token', '/..%2fdata%2ftoken']) {
    assert.equal((await fetch(`${server.url}${path}`)).status, 404, path);
  }
  assert.equal((await fetch(`${server.url}/`, { method: 'POST' })).status, 405);
  assert.equal((await fetch(`${server.url}/query?q=SHOW+DATABASES`)).status, 401);
  // The log has one JSON line per request, and no line contains the token.
  await server.query('SHOW DATABASES');
  for (let triesLeft = 100; !/"route":"\/query".*"status":200/.test(server.log); triesLeft -= 1) {
    assert.ok(triesLeft > 0, server.log);
    await sleep(50);
  }
  assert.ok(!server.log.includes(token));
}

/** Checks the response of `/metrics` for a token that permits only metrics. */
async function timed(t, install) {
  const server = await served(t, { install });
  await server.query('CREATE DATABASE d');
  const { url } = server;
  const made = await command(['token', 'create', 'scraper', '--database', 'd', '--metrics'], { url });
  assert.equal(made.code, 0, made.said);
  const headers = { Authorization: `Bearer ${made.output.trim()}` };
  const counted = async () => {
    const text = await (await fetch(`${server.url}/metrics?db=d`, { headers })).text();
    const [, count] = /^tidemark_write_duration_seconds_count\{database="d"\} (\d+)$/m.exec(text) ?? [];
    return count;
  };
  assert.equal(await counted(), '0');
  await server.mustWrite('m v=1', { db: 'd' });
  for (let triesLeft = 100; (await counted()) !== '1'; triesLeft -= 1) {
    assert.ok(triesLeft > 0, await counted());
    await sleep(50);
  }
  assert.equal((await fetch(`${server.url}/query?db=d&q=SELECT+v+FROM+m`, { headers })).status, 403);
  const listed = await command(['token', 'list'], { url });
  assert.match(listed.output, /scraper +\S* *metrics d/);
}

/**
 * A client that guesses tokens counts as one client, even if it claims other addresses and opens
 * several connections.
 */
async function guessed(t, install) {
  const server = await served(t, { install });
  await server.query("CREATE USER someone WITH PASSWORD 'a long one'");
  const guess = (password, claimed) =>
    new Promise((resolve, reject) => {
      const headers = { 'CF-Connecting-IP': claimed, Connection: 'close' };
      const options = { port: server.port, path: '/query?q=SHOW+DATABASES', auth: `someone:${password}`, headers, agent: false };
      get(options, (response) => (response.resume(), resolve(response.statusCode))).on('error', reject);
    });
  assert.equal(await guess('a long one', '10.0.0.1'), 200);
  const statuses = [];
  for (let n = 0; n < 25; n += 1) statuses.push(await guess(`wrong ${n}`, `10.0.1.${n}`));
  assert.equal(statuses[0], 401);
  assert.equal(statuses.at(-1), 429, String(statuses));
}

/**
 * Calls a gRPC service that does not exist. The error comes from the server through the gRPC port.
 */
async function grpcIsUnknown(t, port, ca = null) {
  const { code, details } = await grpcClient(t, `127.0.0.1:${port}`, { ca }).ask('/no.Service/Method', Buffer.from('x'));
  assert.deepEqual([code, details], [12, 'Method Not Allowed']);
}

async function takesGrpc(t, install) {
  const port = await freePort();
  const server = await served(t, { install, vars: { FLIGHT_PORT: String(port), LOG_REQUESTS: 'all' } });
  assert.equal(server.events().find(({ event }) => event === 'started').flight, `grpc://127.0.0.1:${port}`);
  await grpcIsUnknown(t, port);
  const called = () => server.events().find(({ event }) => event === 'call');
  for (let triesLeft = 200; !called(); triesLeft -= 1) {
    assert.ok(triesLeft > 0, server.log);
    await sleep(50);
  }
  assert.deepEqual([called().path, called().grpc_status], ['/no.Service/Method', 12]);
  const words = ['serve', '--port', String(await freePort()), '--data', join(server.folder, 'other'), '--flight'];
  const taken = await tidemarkProgram(install, [...words, String(port)]);
  assert.match(taken.said, /is in use: stop the program that listens there, or choose another --flight\.$/m);
  assert.match((await tidemarkProgram(install, [...words, '0'])).said, /^--flight is "0": it has to be a number/m);
  server.server.child.kill('SIGTERM');
  assert.equal((await server.server.child.ended).code, 0, server.log);
  assert.equal(server.events().at(-1).event, 'stopped');
}

/**
 * Runs a dry run of a deployment by the installed package, with this repository's wrangler.
 * tests/edge/deploy.test.mjs tests the rest.
 */
async function deployed(install) {
  const programs = join(install, 'programs');
  mkdirSync(programs);
  // Provides this Node, because wrangler rejects an older Node that may be in the PATH.
  symlinkSync(process.execPath, join(programs, 'node'));
  const { wrangler: version } = json('package.json').devDependencies;
  const text = `[ "$1 $2" = "--yes wrangler@${version}" ] && shift 2 && exec '${process.execPath}' '${wrangler}' "$@"`;
  writeFileSync(join(programs, 'npx'), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const env = { PATH: `${programs}:${process.env.PATH}`, WRANGLER_SEND_METRICS: 'false', HOME: install };
  const dry = await tidemarkProgram(install, ['deploy', '--dry-run', '--name', 'metrics'], { env });
  assert.equal(dry.code, 0, dry.output + dry.said);
  const ofSql = existsSync(join(install, 'node_modules', 'tidemark', 'built', 'sql')) ? ['env.SQL'] : [];
  for (const name of [...ofSql, 'env.CATALOG', 'env.DATABASE', 'env.SHARD', 'from the assets directory', '--dry-run: exiting']) {
    assert.ok(dry.output.includes(name), dry.output + dry.said);
  }
  assert.doesNotMatch(dry.said, /warning/i);
}

async function asksSql(t, install) {
  const hasIt = existsSync(join(install, 'node_modules', 'tidemark', 'built', 'sql'));
  const server = await served(t, { install });
  await server.query('CREATE DATABASE d');
  await server.mustWrite('m,a=x v=1 1', { db: 'd' });
  const response = await server.fetch('/api/v3/query_sql?db=d&q=SELECT+a,v+FROM+m');
  const answer = await response.json();
  assert.equal(response.status, hasIt ? 200 : 501, JSON.stringify(answer));
  if (hasIt) assert.deepEqual(answer, [{ a: 'x', v: 1 }]);
  else t.skip('the package was made without SQL: npm run sql');
}

/** Returns the ids of the processes whose command line contains `word`. */
function processesWith(word) {
  const hasIt = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(word);
    } catch {
      return false; // The program has ended.
    }
  };
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter(hasIt);
}

async function crashed(t, install) {
  const server = await served(t, { install });
  await server.query('CREATE DATABASE kept');
  await server.mustWrite('m v=1 1', { db: 'kept' });
  const other = await tidemarkProgram(install, ['serve', '--port', String(await freePort()), '--data', join(server.folder, 'data')]);
  assert.equal(other.code, 1);
  assert.match(other.said, /is in use by another server/);
  const again = await tidemarkProgram(install, ['serve', '--port', String(server.port), '--data', join(server.folder, 'other')]);
  assert.match(again.said, /is in use: stop the program that listens there, or choose another --port\.$/m);

  const workerd = () => processesWith(join(server.folder, 'data', 'workerd.capnp'));
  const [pid, ...more] = workerd();
  assert.deepEqual(more, []);
  process.kill(pid, 'SIGKILL');
  for (let triesLeft = 200; !server.events().some(({ event }) => event === 'restarted'); triesLeft -= 1) {
    assert.ok(triesLeft > 0, server.log);
    await sleep(50);
  }
  assert.deepEqual(await server.rows('SELECT v FROM m', { db: 'kept', epoch: 'ns' }), [[1, 1]]);

  // Kills only the parent process, so that workerd keeps running with the folder open.
  const gone = once(server.server.child, 'exit');
  server.server.child.kill('SIGKILL');
  await gone;
  const left = new Served(server.folder, await freePort(), { install });
  await assert.rejects(left.start(), /is in use by another server/);
  const [orphan] = workerd();
  process.kill(orphan, 'SIGKILL');
  while (workerd().length > 0) await sleep(10);
  await server.start();
  assert.deepEqual(await server.rows('SELECT v FROM m', { db: 'kept', epoch: 'ns' }), [[1, 1]]);
}

async function secured(t, install) {
  if (!has(t, 'openssl', ['version'])) return;
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(install, name));
  const asked = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=localhost', '-days', '2'];
  execFileSync('openssl', [...asked, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const half = await tidemarkProgram(install, ['serve', '--tls-cert', cert]);
  assert.match(half.said, /^--tls-cert and --tls-key belong together/);
  const flight = await freePort();
  const words = ['--host', '0.0.0.0', '--tls-cert', cert, '--tls-key', key, '--flight', String(flight)];
  const server = await served(t, { install, words });
  assert.match(server.url, /^https:/);
  await grpcIsUnknown(t, flight, readFileSync(cert));
  const status = await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: server.port, path: '/ping', servername: 'localhost', ca: readFileSync(cert) };
    request(options, (response) => (response.resume(), resolve(response.statusCode))).on('error', reject).end();
  });
  assert.equal(status, 204);
  assert.equal(statSync(join(server.folder, 'data')).mode & 0o777, 0o700);
}
