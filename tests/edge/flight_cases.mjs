// The queries and expected results in the tests of Flight clients. All clients run the same cases,
// with one server. `tidemark flight` runs in front of the Worker.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { flightOf } from './grpc_client.mjs';
import { databaseToken, isNative, tidemark } from './harness.mjs';

export const manyRows = 20_000;
/**
 * The size of the table `million`, which every client reads. It has its full size only in the
 * nightly tests.
 */
const millionRows = process.env.TIDEMARK_NIGHTLY === '1' ? 1_000_000 : 200_000;
const pieceRows = 50_000;
/**
 * The maximum number of attempts to write lines, because an overloaded server may reject a write.
 */
const triesMax = 20;

/** The names of the two tables match the same SQL pattern. */
const types = [
  'types,host=a f=1.5,i=1i,u=18446744073709551615u,s="x",b=true 1700000000',
  'types,host=b f=2.5,i=-9007199254740993i 1700000001',
  'types s="ünïcode" 1700000002',
];

function million(from) {
  let lines = '';
  for (let n = from; n < from + pieceRows; n += 1) lines += `million,host=h${n % 20} v=${n},w=${n / 2},i=${n}i ${n}\n`;
  return lines;
}

/**
 * Writes lines, and repeats rejected writes. An overloaded server may close the connection before
 * it has read the whole body.
 */
async function written(t, server, lines) {
  for (let tries = 1; ; tries += 1) {
    const answer = await server.write(lines, { db: 'd', precision: 's' }).catch((error) => error);
    if (answer.status === 204) return;
    const said = answer.status ? `${answer.status} ${await answer.text()}` : String(answer.cause ?? answer);
    t.diagnostic(`a write of the million: ${said}`);
    assert.ok(tries < triesMax && [undefined, 429, 503].includes(answer.status), said);
    await sleep(1_000);
  }
}

/**
 * Starts a server with the data of all cases. `origin` is the origin of a page that may send
 * requests.
 */
export async function served(t, { origin = '', hasMillion = true } = {}) {
  const vars = { DEFAULT_SHARDS: '3', ...(origin && { CORS_ORIGINS: origin }) };
  const server = await tidemark(t, { sql: sqlConfiguration, vars });
  await server.query('CREATE DATABASE d');
  await server.query('CREATE DATABASE other');
  const many = Array.from({ length: manyRows }, (_, n) => `many,host=h${n % 20} v=${n} ${n}`);
  await server.mustWrite([...types, ...many, 'aXb wrong=1 1', 'a_b,t=x right=1i 1'].join('\n'), { db: 'd', precision: 's' });
  for (let from = 0; hasMillion && from < millionRows; from += pieceRows) {
    await written(t, server, million(from));
  }
  const other = await databaseToken(server, 'other', { actions: ['read'] });
  const { port, calls } = await flightOf(t, server);
  return { server, port, other, calls };
}

/**
 * The columns of the table `types`. All times in this table differ, because with 3 shards rows with
 * the same time have no order.
 */
export const columns = [
  ['b', 'bool'], ['f', 'double'], ['host', 'string'], ['i', 'int64'], ['s', 'string'], ['time', 'timestamp[ns]'], ['u', 'uint64'],
];
const typedRows = [
  { b: true, f: 1.5, host: 'a', i: 1, s: 'x', time: '2023-11-14 22:13:20', u: 18446744073709551615n },
  { b: null, f: 2.5, host: 'b', i: -9007199254740993n, s: null, time: '2023-11-14 22:13:21', u: null },
  { b: null, f: null, host: null, i: null, s: 'ünïcode', time: '2023-11-14 22:13:22', u: null },
];
/** JSON.parse rounds large whole numbers, so this code also rounds the expected rows. */
const rounded = JSON.parse(JSON.stringify(typedRows, (_, value) => (typeof value === 'bigint' ? Number(value) : value)));

/** The JavaScript client returns rows without their schema. */
export const ofJavaScript = {
  own: {
    types: (rows) => assert.deepEqual(rows, rounded),
    empty: (rows) => assert.deepEqual(rows, []),
  },
};

const says = (pattern) => (error) => assert.match(String(error ?? 'no error'), pattern);

/**
 * The check of each case. For a case that it does not support, a client returns null, and `lacks`
 * contains the name of the case.
 */
const CASES = {
  types: ([found, rows]) => assert.deepEqual([found, rows], [columns, rounded]),
  empty: ([found, rows]) => assert.deepEqual([found, rows], [[['f', 'double'], ['host', 'string']], []]),
  wrong: says(/SELEC/),
  unknown: says(/table 'public\.iox\.nothing' not found/),
  token: says(/unauthorized access|UNAUTHENTICATED/i),
  other: says(/not authorized/),
  two: (seen) => assert.deepEqual(seen, [manyRows, manyRows - 1_000]),
  million: (seen) => assert.deepEqual(seen, [millionRows, 5, (millionRows * (millionRows - 1)) / 2]),
  /**
   * Receives the number of rows before the cancellation, and the result of the client's next query.
   */
  cancelled: ([begun, rows]) => assert.deepEqual([begun > 0 && begun < millionRows, rows], [true, 1]),
  deadline: ([error, isSoon]) => {
    says(/deadline|timed? ?out|abort/i)(error);
    assert.equal(isSoon, true, 'the deadline was not kept');
  },
};

/**
 * Starts a program that queries before, during and after a restart of the server. `next` resolves to
 * the next line that the program prints. `tell` sends a line for which the program waits.
 */
export function conversation(t, program, args) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { next: async () => (await lines.next()).value, tell: () => child.stdin.write('\n') };
}

/** If the server is down, a gRPC client waits for a few seconds before it connects again. */
const reconnectMs = 5_000;

/**
 * Starts the server again, and waits until clients of the native host reconnect. Clients of the
 * transcoder stay connected.
 */
export async function comesBack(server) {
  await server.start();
  if (server.isNative) await sleep(reconnectMs);
}

/** Checks the results `seen` of a client. `own` contains checks that apply only to this client. */
export function judge(client, seen, { own = {}, lacks = [] } = {}) {
  for (const [name, holds] of Object.entries({ ...CASES, ...own })) {
    if (lacks.includes(name)) continue;
    assert.notEqual(seen[name], undefined, `${client}: there is no case ${name}`);
    try {
      holds(seen[name]);
    } catch (error) {
      throw new Error(`${client}, ${name}: ${error.message}`, { cause: error });
    }
  }
}

/** Checks the results of queries before, during and after a restart of the server. */
export function judgeRestart(client, [before, away, after, ...more]) {
  assert.deepEqual([before, after, more], [1, 1, []], `${client}: ${JSON.stringify([before, away, after])}`);
  says(isNative ? /unavailable|refused/i : /does not respond|unavailable/i)(away);
}
