// Combines kinds of changes with kinds of requests. Every request uses a new connection, and the native program gives
// each new connection to the next engine thread, which has its own caches. All threads must therefore execute the
// request in the same way: before the change, to fill their caches, and after it. On workerd, one isolate executes all
// requests.

import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';

import { tidemark, token } from './harness.mjs';

const threads = 2;
/** The number of pairs without a user that run at the same time. */
const concurrency = 8;
/** The number of repetitions of each request. Very probably, each thread executes the request. */
const repetitions = 3 * threads;

/** Encodes a statement. The names in braces are replaced later. */
const encoded = (text) => encodeURIComponent(text).replaceAll('%7B', '{').replaceAll('%7D', '}');
const q = (text, user) => ({ path: `/query?db={d}&q=${encoded(text)}`, user });
const write = (target, lines = 'm v={n} {n}', user) => ({ path: target, body: lines, user });
const policy = (name, more = '') => q(`CREATE RETENTION POLICY "${name}" ON {d} DURATION INF REPLICATION 1 ${more}`);
const sql = (text) => ({ path: `/api/v3/query_sql?db={d}&format=json&q=${encoded(text)}`, get: true });

const changes = {
  'create policy default': [policy('default'), write('/write?db={d}&rp=default', 'm v=70 70')],
  'create policy default as default': [policy('default', 'DEFAULT'), write('/write?db={d}', 'm v=70 70')],
  'create policy': [policy('q'), write('/write?db={d}&rp=q', 'k,z=1 v=70 70')],
  'change default': [q('ALTER RETENTION POLICY p ON {d} DEFAULT')],
  'drop policy': [q('DROP RETENTION POLICY p ON {d}')],
  'create policy again': [q('DROP RETENTION POLICY p ON {d}'), policy('p')],
  'create database again': [q('DROP DATABASE {d}'), q('CREATE DATABASE {d}'), write('/write?db={d}', 'm v="x" 70')],
  'change type of field': [q('DROP MEASUREMENT m'), write('/write?db={d}', 'm v="x" 70')],
  'add field': [write('/write?db={d}', 'm f=70 70')],
  'add measurement': [write('/write?db={d}', 'k,z=1 v=70 70')],
  'delete': [q('DELETE FROM m WHERE time < 5')],
  'set password': [q("SET PASSWORD FOR \"u{d}\" = 'two'")],
  'create user': [q('DROP USER "u{d}"'), q("CREATE USER \"u{d}\" WITH PASSWORD 'two'"), q('GRANT READ ON {d} TO "u{d}"')],
  'revoke': [q('REVOKE ALL ON {d} FROM "u{d}"')],
};

const requests = [
  q('SELECT v FROM m'),
  q('SELECT * FROM m'),
  q('SELECT * FROM /.*/'),
  q('SELECT f FROM m'),
  q('SELECT v FROM "default".m'),
  q('SELECT v FROM p.m, autogen.m'),
  q('SELECT * FROM q.k'),
  q('SHOW MEASUREMENTS'),
  q('SHOW SERIES'),
  q('SHOW FIELD KEYS'),
  q('SHOW RETENTION POLICIES'),
  sql('SELECT * FROM m ORDER BY time'),
  sql('SELECT count(*) AS n FROM k'),
  sql("SELECT table_name, column_name FROM information_schema.columns WHERE table_name = 'k' ORDER BY column_name"),
  write('/write?db={d}'),
  write('/write?db={d}&rp=default'),
  write('/write?db={d}&rp=p'),
  write('/write?db={d}&rp=q'),
  write('/write?db={d}', 'm f={n} {n}'),
  write('/api/v2/write?bucket={d}/default'),
  write('/api/v2/write?bucket={p}'),
  write('/api/v3/write_lp?db={d}&precision=nanosecond'),
  q('SELECT v FROM m', 'one'),
  q('SELECT v FROM m', 'two'),
  q('SHOW DATABASES', 'two'),
  write('/write?db={d}', undefined, 'one'),
  write('/write?db={d}', undefined, 'two'),
];

/** Sends a request on a new connection. Returns the status and the body. */
function send(url, { path, body, user, get }, names, n = 0) {
  const replaced = (text) => Object.entries({ ...names, n }).reduce((all, [name, value]) => all.replaceAll(`{${name}}`, value), text);
  const login = user && Buffer.from(`u${names.d}:${user}`).toString('base64');
  const headers = { authorization: login ? `Basic ${login}` : `Token ${token}` };
  return new Promise((resolve, reject) => {
    const options = { agent: false, method: get ? 'GET' : 'POST', headers };
    const sent = httpRequest(`${url}${replaced(path)}`, options, async (response) => {
      const pieces = await response.toArray();
      resolve({ status: response.statusCode, text: Buffer.concat(pieces).toString() });
    });
    sent.on('error', reject);
    sent.end(body && replaced(body));
  });
}

async function must(url, request, names) {
  const { status, text } = await send(url, request, names);
  assert.ok(status < 300 && !text.includes('"error"'), `${JSON.stringify(request)}: ${status} ${text}`);
}

/**
 * Returns the numbers of points with these times in nanoseconds, by policy. The name `default` selects `autogen` if no
 * policy has this name, so only existing policies are read.
 */
async function places(url, names, times) {
  const results = async (request) => JSON.parse((await send(url, request, names)).text).results[0];
  const { series: [policies] } = await results(q('SHOW RETENTION POLICIES ON {d}'));
  const found = {};
  for (const [name] of policies.values) {
    const { path } = q(`SELECT * FROM "${name}".m`);
    const { series } = await results({ path: `${path}&epoch=ns` });
    const rows = (series?.[0].values ?? []).filter(([time]) => times.includes(time));
    if (rows.length > 0) found[name] = rows.length;
  }
  return found;
}

const concernsUser = (change) => JSON.stringify(change).includes('u{d}');

/** Returns the difference between threads, or undefined. */
async function difference(url, change, request, number) {
  const names = { d: `d${number}` };
  const user = [q("CREATE USER \"u{d}\" WITH PASSWORD 'one'"), q('GRANT ALL ON {d} TO "u{d}"')];
  for (const setup of [
    q('CREATE DATABASE {d}'),
    policy('p'),
    write('/write?db={d}', 'm,host=a v=1 1'),
    write('/write?db={d}&rp=p', 'm v=3 3'),
    ...(request.user ? user : []),
  ]) {
    await must(url, setup, names);
  }
  const buckets = JSON.parse((await send(url, { path: `/api/v2/buckets?name=${names.d}/p`, get: true }, names)).text);
  names.p = buckets.buckets[0].id;
  const fill = request.body ? { ...request, body: 'm v=1 1' } : request;
  for (let i = 0; i < repetitions; i++) await send(url, fill, names);
  for (const step of change) await must(url, step, names);
  const replies = [];
  const times = [];
  for (let i = 0; i < repetitions; i++) {
    times.push(100 + i);
    const { status, text } = await send(url, request, names, 100 + i);
    // The text of a refusal depends on the object that refuses the caller. The status does not.
    replies.push(status < 400 ? `${status} ${text.replaceAll(/10\d/g, '10n')}` : `${status}`);
  }
  // A statement that reads must not depend on an earlier execution. All executions are equal.
  if (new Set(replies).size > 1) return replies;
  if (!request.body || !replies[0].startsWith('204')) return undefined;
  const found = await places(url, names, times);
  return Object.values(found).join() === String(repetitions) ? undefined : found;
}

test('all engine threads execute a request equally after a change', { timeout: 900_000 }, async (t) => {
  const vars = { THREADS: String(threads), AUTO_CREATE_DATABASES: 'false' };
  const { url } = await tidemark(t, { vars });
  const pairs = Object.entries(changes).flatMap(([name, change]) => requests.map((request) => ({ name, change, request })))
    // The creation of a user and its logins take long, because they derive keys. The simulator tests the other pairs.
    .filter(({ change, request }) => concernsUser(change) === Boolean(request.user))
    .map((pair, number) => ({ ...pair, number }));
  const failures = [];
  const compare = async ({ name, change, request, number }) => {
    const found = await difference(url, change, request, number);
    if (found) failures.push(`${name}: ${JSON.stringify(request)}: ${JSON.stringify(found)}`);
  };
  const left = pairs.filter(({ request }) => !request.user);
  await Promise.all(Array.from({ length: concurrency }, async () => {
    while (left.length > 0) await compare(left.pop());
  }));
  // The server derives few keys at the same time.
  for (const pair of pairs.filter(({ request }) => request.user)) await compare(pair);
  t.diagnostic(`${pairs.length} pairs, ${failures.length} failures`);
  assert.deepEqual(failures, []);
});
