// Tests database tokens and users on the real runtime, with real clients, WebCrypto, restarts and
// the log.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { InfluxDB, Point, setLogger } from '@influxdata/influxdb-client';
import * as v1 from 'influx';

import { PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';

setLogger({ error() {}, warn() {} });

const configure = '/api/v3/configure/token';

/** Creates a token and returns its secret, which only this response contains. */
async function makeToken(server, name, databases, actions) {
  const permissions = [{ resource_type: 'db', resource_identifier: databases, actions }];
  const body = JSON.stringify({ token_name: name, permissions });
  const response = await server.fetch('/api/v3/enterprise/configure/token', { method: 'POST', body });
  assert.equal(response.status, 201);
  const { token } = await response.json();
  assert.match(token, /^apiv3_[0-9a-f]{64}$/);
  return token;
}

async function write(server, headers, params = 'db=a') {
  const init = { method: 'POST', body: 'm v=1', headers };
  const response = await fetch(`${server.url}/write?${params}`, init);
  await response.text();
  return response.status;
}

const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const basic = (user, password) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

test('clients work with a database token until it is revoked', async (t) => {
  const log = join(temporaryFolder(t), 'log');
  const out = openSync(log, 'w');
  const server = await tidemark(t, { stdio: ['ignore', out, out], observability: true });
  await server.query('CREATE DATABASE a');
  await server.query('CREATE DATABASE b');
  const token = await makeToken(server, 'clients', ['a'], ['read', 'write']);

  const client = new InfluxDB({ url: server.url, token });
  const writer = client.getWriteApi('', 'a', 'ns', { maxRetries: 0 });
  writer.writePoint(new Point('m').floatField('v', 2));
  await writer.close();
  const foreign = client.getWriteApi('', 'b', 'ns', { maxRetries: 0 });
  foreign.writePoint(new Point('m').floatField('v', 2));
  await assert.rejects(foreign.close(), /token "clients" user is not authorized to write to database "b"/);

  const { hostname, port } = new URL(server.url);
  const old = new v1.InfluxDB({ host: hostname, port: Number(port), username: 'any', password: token, database: 'a' });
  assert.deepEqual(await old.getDatabaseNames(), ['a']);
  assert.equal((await old.query('SELECT count(v) FROM m'))[0].count, 1);
  await assert.rejects(old.query('SELECT * FROM b..m'), /error authorizing query/);

  const shell = ['-host', hostname, '-port', port, '-username', 'x', '-password', token];
  const shown = spawnSync('influx', [...shell, '-execute', 'SHOW DATABASES'], { encoding: 'utf8' });
  if (shown.error === undefined) assert.match(shown.stdout, /^name: databases\nname\n----\na\n$/);

  await server.kill();
  await server.start();
  assert.equal(await write(server, bearer(token)), 204);
  assert.equal(await write(server, {}, `db=a&u=any&p=${token}`), 204);

  const asked = Date.now();
  const gone = await server.fetch(`${configure}?token_name=clients`, { method: 'DELETE' });
  assert.equal(gone.status, 200);
  t.diagnostic(`revoked in ${Date.now() - asked} ms`);
  // After the response, no Worker accepts the token, even if the Worker has cached it.
  assert.equal(await write(server, bearer(token)), 401);

  await server.query("CREATE USER ann WITH PASSWORD 'canary-password'");
  await write(server, {}, 'db=a&u=ann&p=canary-password');
  await write(server, bearer('canary-guess'));
  // The server writes the log while it sends responses, so the test waits for the lines.
  const logged = () => readFileSync(log, 'utf8');
  while (!logged().includes('"error":"unauthorized"')) await sleep(50);
  assert.match(logged(), /"route":"\/api\/v3\/configure\/token"/);
  for (const secret of [token, 'canary-', server.headers.Authorization.slice(6)]) {
    assert.ok(!logged().includes(secret), 'a secret is in the log');
  }
});

test('a user authenticates with a name and a password, which the runtime hashes', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE a');
  await server.query("CREATE USER ann WITH PASSWORD 'p:w é'");
  await server.query('GRANT WRITE ON a TO ann');
  // The server compares both passwords with the hash of the stored password.
  await server.query("CREATE USER ann WITH PASSWORD 'p:w é'");
  const again = await server.query("CREATE USER ann WITH PASSWORD 'other'");
  assert.equal(again.results[0].error, 'user already exists');

  assert.equal(await write(server, basic('ann', 'p:w é')), 204);
  assert.equal(await write(server, {}, `db=a&u=ann&p=${encodeURIComponent('p:w é')}`), 204);
  assert.equal(await write(server, basic('ann', 'p:w')), 401);
  assert.equal(await write(server, basic('bob', 'p:w é')), 401);
  assert.equal(await write(server, basic('ann', 'p:w é'), 'db=b'), 403);

  await server.kill();
  await server.start();
  const timed = async () => {
    const start = performance.now();
    assert.equal(await write(server, basic('ann', 'p:w é')), 204);
    return (performance.now() - start).toFixed(1);
  };
  t.diagnostic(`a user's write: ${await timed()} ms cold, ${await timed()} ms with everything warm`);
  await server.query("SET PASSWORD FOR ann = 'new'");
  assert.equal(await write(server, basic('ann', 'p:w é')), 401);
  assert.equal(await write(server, basic('ann', 'new')), 204);
  await server.query('DROP USER ann');
  assert.equal(await write(server, basic('ann', 'new')), 401);
});

test('password guesses are slowed down, other clients are not affected, and valid requests stay cheap', async (t) => {
  // The server counts wrong passwords per isolate. In the native host, each thread is an isolate.
  const server = await tidemark(t, { vars: { THREADS: '1' } }, PlainWorkerd);
  await server.query('CREATE DATABASE a');
  const token = await makeToken(server, 'timed', ['a'], ['write']);
  const took = async (headers) => {
    const start = performance.now();
    assert.equal(await write(server, headers), 204);
    return performance.now() - start;
  };
  const median = async (headers) => {
    const all = [];
    for (let i = 0; i < 100; i++) all.push(await took(headers));
    return all.sort((x, y) => x - y)[50].toFixed(2);
  };
  await took(server.headers);
  const cold = (await took(bearer(token))).toFixed(2);
  const [warm, admin] = [await median(bearer(token)), await median(server.headers)];
  t.diagnostic(`a write: ${cold} ms with cold grants, ${warm} ms warm, ${admin} ms as administrator`);

  for (const [user, password] of [['ann', 'right'], ['bob', 'good']]) {
    await server.query(`CREATE USER ${user} WITH PASSWORD '${password}'; GRANT WRITE ON a TO ${user}`);
  }
  const right = basic('ann', 'right');
  const derived = (await took(right)).toFixed(2);
  t.diagnostic(`a write as a user: ${derived} ms with a derivation, ${await median(right)} ms without`);

  // Other clients have the same address as the client that guesses passwords.
  const statuses = {};
  const guess = async (i) => {
    const headers = basic('ann', `canary-guess-${i}`);
    const response = await fetch(`${server.url}/query?q=SHOW+DATABASES`, { headers });
    const retry = response.headers.get('retry-after');
    if (response.status === 429) assert.match(retry, /^([1-9]|[12]\d|30)$/);
    statuses[response.status] = (statuses[response.status] ?? 0) + 1;
    await response.text();
  };
  const refusals = [];
  const others = async () => {
    for (const headers of [right, basic('bob', 'good'), bearer(token), basic('any', token), server.headers]) {
      const status = await write(server, headers);
      if (status !== 204) refusals.push([headers.Authorization, status]);
    }
  };
  for (let i = 0; i < 60; i += 5) {
    await Promise.all([0, 1, 2, 3, 4].map((more) => guess(i + more)).concat(others()));
  }
  t.diagnostic(`60 guesses: ${JSON.stringify(statuses)}`);
  assert.deepEqual(statuses, { 401: 20, 429: 40 });
  assert.deepEqual(refusals, []);

  const wrong = await Promise.all(Array.from({ length: 60 }, (_, i) => write(server, bearer(`apiv3_${i}`))));
  assert.deepEqual([...new Set(wrong)], [401]);
  await others();
  assert.deepEqual(refusals, []);
});

test('a token for every database is also valid in later databases, and its revocation applies to all databases', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const names = Array.from({ length: 40 }, (_, i) => `db${i}`);
  for (const name of names) await server.query(`CREATE DATABASE ${name}`);
  const token = await makeToken(server, 'everywhere', ['*'], ['write']);
  await server.query('CREATE DATABASE later');
  const statuses = () => Promise.all([...names, 'later'].map((name) => write(server, bearer(token), `db=${name}`)));
  assert.deepEqual(new Set(await statuses()), new Set([204]));

  // The server accepts no write that begins after the response.
  let answered = false;
  const late = [];
  const busy = async (name) => {
    for (;;) {
      const afterwards = answered;
      const status = await write(server, bearer(token), `db=${name}`);
      if (afterwards && status !== 401) late.push([name, status]);
      if (afterwards) return;
    }
  };
  const writers = names.slice(0, 4).map(busy);
  const asked = performance.now();
  let gone = await server.fetch(`${configure}?token_name=everywhere`, { method: 'DELETE' });
  while (gone.status === 202) {
    assert.ok((await gone.json()).remaining > 0);
    gone = await server.fetch(`${configure}?token_name=everywhere`, { method: 'DELETE' });
  }
  assert.ok([200, 404].includes(gone.status));
  answered = true;
  t.diagnostic(`revoked in 41 databases after ${(performance.now() - asked).toFixed(0)} ms`);
  await Promise.all(writers);
  assert.deepEqual(late, []);
  assert.deepEqual(new Set(await statuses()), new Set([401]));
  assert.equal(await write(server, server.headers, 'db=later'), 204);
});

test('tokens are listed page by page', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  for (let i = 0; i < 5; i++) await makeToken(server, `t${i}`, ['a'], ['read']);
  const names = [];
  for (let after = '0'; after !== null; ) {
    const page = await server.fetch(`${configure}?limit=2&after=${after}`);
    for (const { name } of await page.json()) names.push(name);
    after = page.headers.get('x-tidemark-next');
  }
  assert.deepEqual(names, ['t0', 't1', 't2', 't3', 't4']);
  assert.equal((await server.fetch(`${configure}?limit=two`)).status, 400);
});

test('the list shows the day on which each token was last used', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE a');
  assert.equal(await write(server, bearer(await makeToken(server, 'used', ['a'], ['write']))), 204);
  const today = new Date().toISOString().slice(0, 10);
  // The server records the use of a token after its response to the write.
  let listed;
  for (const until = Date.now() + 10_000; Date.now() < until; await sleep(100)) {
    [listed] = await (await server.fetch(configure)).json();
    if (listed.last_used === today) break;
  }
  assert.equal(listed.last_used, today);
});
