// Measures how much certain requests delay requests to another database. These requests are cheap
// to send and expensive to compute.

import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

import { open } from './connection.mjs';
import { circumstances, record } from './results.mjs';

/** The maximum ratio between the latencies during a request and without the request. */
const ratioMax = 2;
const pauseMs = 20;
/**
 * The number of turns. In each turn, the benchmark measures once with and once without the request,
 * because the load of other programs changes with time.
 */
const turns = 6;
/**
 * The options of a process that runs only while no other process needs the processor. In reality,
 * the sender runs on another machine, so it must not slow down the server here.
 */
export const idlePolicy = { execPath: 'chrt', execArgv: ['--idle', '0', process.execPath] };
const senderFile = fileURLToPath(new URL('hostile_sender.mjs', import.meta.url));
const [calm, hostileDb] = ['calm', 'hostile'];
const [sourceRows, valueRows, fields] = [5_000, 1_000, 1_000];
/** The number of additional measurements that have all fields. */
const wideMeasurements = 60;

const sql = (q) => ({ path: `/api/v3/query_sql?${new URLSearchParams({ db: hostileDb, q, format: 'json' })}` });
const influxql = (q) => ({ path: `/query?db=${hostileDb}`, form: new URLSearchParams({ q }).toString() });
const times = (count, text) => Array(count).fill(text).join(',');
const lineProtocol = (lines) => ({ path: `/write?db=${hostileDb}`, form: lines.join('\n') });
/** Lines that each have different tag keys, and many lines without tags. */
const tagKeys = [
  ...Array.from({ length: 40 }, (_, line) => `keys,${Array.from({ length: 255 }, (_, at) => `k${line * 255 + at}=x`).join(',')} v=1`),
  ...Array(300_000).fill('keys v=1'),
];
const wideTables = Array.from({ length: 10 }, (_, at) => `(SELECT * FROM wide) t${at}`).join(' CROSS JOIN ');

function message(...values) {
  const parts = values.map((value, at) => {
    const bytes = Buffer.from(value);
    const length = [];
    for (let rest = bytes.length; ; rest >>>= 7) {
      length.push(rest < 128 ? rest : (rest & 127) | 128);
      if (rest < 128) break;
    }
    return Buffer.concat([Buffer.from([((at + 1) << 3) | 2, ...length]), bytes]);
  });
  return Buffer.concat(parts);
}

function prepared(text) {
  const type = 'type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementRequest';
  const body = message('CreatePreparedStatement', message(type, message(text)));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return { path: '/arrow.flight.protocol.FlightService/DoAction', grpc: Buffer.concat([head, body]) };
}

/**
 * The control measurement: programs that compute on every processor also delay the server, without
 * any request.
 */
const control = 'Control: other programs compute';

const requests = [
  [control, null],
  ['SQL: strpos of 200,000 and 100,000 bytes', sql("SELECT strpos(repeat('a', 200000), repeat('a', 100000) || 'b')")],
  ['SQL: strpos of 400,000 and 200,000 bytes', sql("SELECT strpos(repeat('a', 400000), repeat('a', 200000) || 'b')")],
  ['SQL: strpos at the limit', sql("SELECT strpos(repeat('a', 14000), repeat('a', 7000) || 'b')")],
  ['SQL: 1,000 patterns', sql("SELECT regexp_like('a', '\\pL{40}' || cast(value AS varchar)) FROM v")],
  ['SQL: 30 patterns', sql("SELECT regexp_like('a', '\\pL{40}' || cast(value % 30 AS varchar)) FROM v")],
  // For comparison: the same statement without a pattern, which shows the cost of reading these
  // rows.
  ['SQL: 1,000 rows without a pattern', sql("SELECT '\\pL{40}' || cast(value AS varchar) FROM v")],
  ['SQL: levenshtein of 20,000 characters', sql("SELECT levenshtein(repeat('a', 20000), repeat('b', 20000))")],
  ['SQL: array_has_all of 20,000 elements', sql('SELECT array_has_all(range(20000), range(20000))')],
  ['SQL: ten tables of 1,000 columns', sql(`SELECT count(*) FROM ${wideTables}`)],
  ['SQL: a cross join of 10^7 rows', sql('SELECT count(*) FROM m a CROSS JOIN m b WHERE a.value + b.value < 0')],
  ['Flight: 40,000 placeholders', prepared(`SELECT ${'?'.repeat(40_000)}`)],
  ['InfluxQL: 400 sources', influxql(`SELECT value FROM ${times(400, 'm')} LIMIT 1`)],
  ['InfluxQL: 2,000 sources', influxql(`SELECT value FROM ${times(2_000, 'm')} LIMIT 1`)],
  ['InfluxQL: 15,000 sources', influxql(`SELECT value FROM ${times(15_000, 'm')} LIMIT 1`)],
  ['InfluxQL: 100 times `*` of 1,000 fields', influxql(`SELECT ${times(100, '*')} FROM wide`)],
  ['InfluxQL: 100 times `max(*)` of 1,000 fields', influxql(`SELECT ${times(100, 'max(*)')} FROM wide`)],
  ['InfluxQL: holt_winters of 1,000 values', influxql('SELECT holt_winters(mean(value), 10, 60) FROM v WHERE time >= 0 AND time < 1000s GROUP BY time(1s)')],
  ['InfluxQL: tz() in 1,000 subqueries', influxql(`SELECT value FROM ${times(1_000, "(SELECT value FROM m tz('Europe/Oslo'))")}`)],
  ['InfluxQL: EXPLAIN of a function of 60,000 fields', influxql('EXPLAIN SELECT mean(*) FROM /^wide/')],
  ['InfluxQL: DELETE with a slow regex', influxql(String.raw`DELETE WHERE host =~ /\pL{25}/`)],
  ['Write: 10,200 tag keys and 300,000 lines', lineProtocol(tagKeys)],
];

export async function send({ url, headers }, { path, form, grpc }) {
  const type = grpc ? 'application/grpc-web+proto' : 'application/x-www-form-urlencoded';
  const body = grpc ?? form;
  const given = body === undefined ? {} : { method: 'POST', body, headers: { ...headers, 'Content-Type': type } };
  const response = await fetch(url + path, { headers, ...given });
  await response.arrayBuffer();
  return response.headers.get('grpc-status') === null ? response.status : `gRPC ${response.headers.get('grpc-status')}`;
}

async function fill(target) {
  const write = async (db, lines) => {
    const reply = await fetch(`${target.url}/write?db=${db}&precision=s`, { method: 'POST', body: lines.join('\n'), headers: target.headers });
    if (reply.status !== 204) throw new Error(await reply.text());
  };
  for (const db of [calm, hostileDb]) await send(target, influxql(`CREATE DATABASE ${db}`));
  const lines = (name, count) => Array.from({ length: count }, (_, at) => `${name} value=${at} ${at}`);
  await write(hostileDb, [...lines('m', sourceRows), ...lines('v', valueRows)]);
  const names = ['wide', ...Array.from({ length: wideMeasurements }, (_, at) => `wide${at}`)];
  const values = Array.from({ length: fields }, (_, at) => `f${at}=${at}`).join(',');
  await write(hostileDb, names.map((name) => `${name} ${values} 1`));
  await write(calm, Array.from({ length: 1_000 }, (_, at) => `cpu,host=h${at % 10} usage=${at} ${at}`));
}

const p99 = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN;

/** Returns the latencies in milliseconds. */
async function latencies(target, seconds) {
  const endMs = performance.now() + seconds * 1_000;
  const repeat = async (path, body) => {
    const connection = await open(target);
    const found = [];
    while (performance.now() < endMs) {
      const { ms, status } = await connection.ask(path, body?.(found.length));
      if (status >= 300) throw new Error(`${path}: ${status}`);
      found.push(ms);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    connection.close();
    return found;
  };
  const q = "SELECT last(usage) FROM cpu WHERE host = 'h7'";
  const query = `/query?${new URLSearchParams({ db: calm, q })}`;
  return Promise.all([repeat(`/write?db=${calm}`, (at) => `cpu,host=new usage=${at}`), repeat(query)]);
}

/** Measures while a sender repeats the request. Returns the latencies, the number of repetitions, and the last status. */
async function beside(target, request, seconds) {
  // With the default serialization, a Buffer in a message would not arrive as a Buffer.
  const sender = fork(senderFile, { serialization: 'advanced', ...idlePolicy });
  sender.send({ target: { url: target.url, headers: target.headers }, request });
  const ended = once(sender, 'message');
  const found = await latencies(target, seconds);
  sender.send('end');
  const [{ count, status }] = await ended;
  return { found, count, status };
}

/** Measures while a program without requests computes on each processor. */
async function besidePrograms(target, seconds) {
  const programs = Array.from({ length: availableParallelism() }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
  try {
    return { found: await latencies(target, seconds), count: 0, status: '' };
  } finally {
    programs.forEach((program) => program.kill());
  }
}

/** Returns the p99 latencies without and with the request, the number of repetitions, and the last status. */
async function alternately(target, request, seconds) {
  const [idle, found] = [[[], []], [[], []]];
  const add = (all, more) => all.forEach((list, at) => list.push(...more[at]));
  let [count, status] = [0, null];
  for (let turn = 0; turn < turns; turn += 1) {
    add(idle, await latencies(target, seconds / turns));
    const during = await (request ? beside(target, request, seconds / turns) : besidePrograms(target, seconds / turns));
    add(found, during.found);
    count += during.count;
    status = during.status;
  }
  return { idle: idle.map(p99), found: found.map(p99), count, status };
}

/** Repeats every request for `seconds`. Resolves to whether every ratio is below the limit. */
export async function hostile(start, { seconds, only = [] }) {
  const chosen = requests.filter(([name]) => only.length === 0 || only.some((word) => name.includes(word)));
  const target = await start();
  const rows = [];
  let isWhole = true;
  try {
    await fill(target);
    await latencies(target, 2);
    for (const [name, request] of chosen) {
      const { idle, found, count, status } = await alternately(target, request, seconds);
      const ratios = found.map((ms, at) => ms / idle[at]);
      if (request !== null && ratios.some((ratio) => ratio >= ratioMax)) isWhole = false;
      const cells = found.flatMap((ms, at) => [idle[at].toFixed(1), ms.toFixed(1), ratios[at].toFixed(2)]);
      rows.push([name, String(status), String(count), ...cells]);
      console.log(`  ${rows.at(-1).join(', ')}`);
    }
  } finally {
    await target.stop();
  }
  const head = ['request', 'status', 'times', 'write idle ms', 'write ms', 'ratio', 'query idle ms', 'query ms', 'query ratio'];
  const notes = [
    ...circumstances(),
    `\`npm run bench -- hostile --seconds ${seconds}\`: the p99 latency of writes and small queries of one database with the native host. "Idle" is without other load. The other figures are for the time in which a client with the scheduling policy "idle" repeats the request to another database. In the row *Control*, the server gets no other request: programs of normal priority compute on every processor.`,
  ];
  record({ title: 'Hostile requests', notes, head, rows, partial: only.length > 0 });
  if (!isWhole) console.log(`A ratio is ${ratioMax} or more.`);
  return isWhole;
}
