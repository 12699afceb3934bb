// Tests the clients for Go, Java, C#, JDBC and Grafana with calls that were recorded from their
// sources in tests/data/flight. Tests each recorded call, and every case of flight_cases.mjs with
// the calls that the client sends for a statement.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { comesBack, judge, judgeRestart, served } from './flight_cases.mjs';
import { ask, callsOf, replay, table } from './flight_recorded.mjs';
import { ended, grpcClient } from './grpc_client.mjs';
import { token, withoutSql } from './harness.mjs';

const built = { skip: withoutSql, timeout: 600_000 };

const folder = at('tests', 'data', 'flight');
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
const clients = Object.fromEntries(files.map((name) => [name, callsOf(readFileSync(`${folder}/${name}`, 'utf8'))]));
assert.equal(files.length, 6);

const lateMs = 10;
const patienceMs = 60_000;

/** Maps the names of Arrow's types to the names in Python. */
const types = { Bool: 'bool', Float64: 'double', Utf8: 'string', Int64: 'int64', 'Timestamp<NANOSECOND>': 'timestamp[ns]', Uint64: 'uint64' };

function plain(name, value) {
  if (name === 'time') return new Date(Number(value)).toISOString().slice(0, 19).replace('T', ' ');
  return typeof value === 'bigint' ? Number(value) : (value ?? null);
}

function shown({ messages }) {
  const found = table(messages);
  const columns = found.schema.fields.map(({ name, type }) => [name, types[String(type)] ?? String(type)]);
  const rows = found.toArray().map((row) => Object.fromEntries(columns.map(([name]) => [name, plain(name, row[name])])));
  return [columns, rows];
}

const million = 'SELECT host, v, w, i, time FROM million';

async function cancelled(call) {
  const messages = [];
  call.on('data', (message) => {
    messages.push(message);
    if (messages.length === 2) call.cancel();
  });
  const { code, details } = await ended(call);
  return { code, details, messages: messages.slice(0, 2) };
}

async function casesOf(client, calls, other) {
  const asked = async (q, more = {}) => {
    const answer = await ask(client, calls, { token, q, ...more });
    assert.equal(answer.code, 0, `${q}: ${answer.details}`);
    return answer;
  };
  const failure = async (q, more = {}) => {
    const { code, details } = await ask(client, calls, { token, q, ...more });
    return code === 0 ? null : `${code} ${details}`;
  };
  const two = await Promise.all([0, 1_000].map((from) => asked(`SELECT v FROM many WHERE v >= ${from}`)));
  const all = table((await asked(million)).messages);
  const begun = await ask(client, calls, { token, q: million, read: cancelled });
  assert.equal(begun.code, 1, begun.details);
  const from = performance.now();
  const deadline = await failure(million, { options: { deadline: Date.now() + lateMs } });
  const late = performance.now() - from;
  return {
    types: shown(await asked('SELECT * FROM types ORDER BY time')),
    empty: shown(await asked('SELECT f, host FROM types WHERE i > 1000')),
    wrong: await failure('SELEC 1'),
    unknown: await failure('SELECT * FROM nothing'),
    token: await failure('SELECT 1', { token: 'wrong' }),
    other: await failure('SELECT 1', { token: other }),
    two: two.map(({ messages }) => table(messages).numRows),
    million: [all.numRows, all.numCols, all.getChild('v').toArray().reduce((sum, v) => sum + v, 0)],
    cancelled: [table(begun.messages).numRows, table((await asked('SELECT 1 AS one')).messages).numRows],
    deadline: [deadline, late < patienceMs],
  };
}

test('recorded calls of other clients return the expected results', built, async (t) => {
  const { port } = await served(t, { hasMillion: false });
  for (const [name, calls] of Object.entries(clients)) {
    await t.test(name, async (one) => {
      assert.ok(calls.length >= 5);
      await replay(grpcClient(one, `127.0.0.1:${port}`), calls, token);
    });
  }
});

test('every case passes with the recorded calls of these clients', built, async (t) => {
  const { server, port, other } = await served(t);
  for (const [name, calls] of Object.entries(clients)) {
    await t.test(name, async (one) => judge(name, await casesOf(grpcClient(one, `127.0.0.1:${port}`), calls, other)));
  }
  await t.test('a server that is temporarily down', async (one) => {
    const seen = Object.fromEntries(files.map((name) => [name, []]));
    const asking = files.map((name) => [name, grpcClient(one, `127.0.0.1:${port}`)]);
    const all = async () => {
      for (const [name, client] of asking) {
        const { code, details, messages } = await ask(client, clients[name], { token, q: 'SELECT 1 AS one' });
        seen[name].push(code === 0 ? table(messages).numRows : `${code} ${details}`);
      }
    };
    await all();
    await server.kill();
    await all();
    await comesBack(server);
    await all();
    for (const [name, answers] of Object.entries(seen)) judgeRestart(name, answers);
  });
});
