// Measures how long the native host takes to send a million rows over Arrow Flight. The other
// formats run in turn with Flight: format=arrow, JSON from SQL and InfluxQL, and InfluxDB's JSON.
// Also measures the time to the first byte of `SELECT 1`, and the memory that ten million rows
// need.

import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:http2';

import { hasPythonClients, order } from '../tests/edge/python.mjs';
import { median } from './ingest.mjs';
import { circumstances, record } from './results.mjs';
import { residentMb } from './scale/sides.mjs';
import { ask, wholeAnswer } from './servers.mjs';

const db = 'flight';
const rowsPerBody = 10_000;
const turns = 3;
const smallTurns = 21;
/** The number of rows for measuring durations, and the number for measuring memory. */
const sizes = { whole: { timed: 1_000_000, held: 10_000_000 }, quick: { timed: 50_000, held: 200_000 } };
const lookMs = 100;
/** The pause after which a server has finished its background work for the writes. */
const settleMs = 5_000;
const mb = 1e6;

const statement = (rows) => `SELECT host, v, w, i, time FROM million WHERE time < ${rows}`;
const sqlOf = (rows) => `SELECT host, v, w, i, time FROM million WHERE v < ${rows}`;

/**
 * Writes the rows from number `from` to `to`. The number of a row is its value `v` and its
 * timestamp in nanoseconds.
 */
async function load(target, from, to) {
  for (let n = from; n < to; n += rowsPerBody) {
    let lines = '';
    for (let row = n; row < n + rowsPerBody; row += 1) lines += `million,host=h${row % 20} v=${row},w=${row / 2},i=${row}i ${row}\n`;
    for (;;) {
      const response = await fetch(`${target.url}/write?db=${db}`, { method: 'POST', body: lines, headers: target.headers });
      const text = await response.text();
      if (response.status === 204) break;
      if (![429, 503].includes(response.status)) throw new Error(`${target.name}: ${response.status} ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

/**
 * Returns the ticket of a statement as a gRPC frame. The frame contains a protobuf message with one
 * length-delimited field.
 */
function ticketOf(text) {
  const bytes = Buffer.from(text);
  const message = Buffer.concat([Buffer.from([0x0a, (bytes.length & 127) | 128, bytes.length >> 7]), bytes]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

class Channel {
  constructor(url) {
    this.url = url;
    this.session = this.#connected();
  }

  #connected() {
    return connect(this.url, { settings: { initialWindowSize: 1 << 20 } });
  }

  request(headers) {
    if (this.session.closed || this.session.destroyed) this.session = this.#connected();
    return this.session.request(headers);
  }
}

/**
 * Requests rows over Flight, and counts the bytes without decoding them. Resolves to `{ seconds,
 * firstMs, bytes }`.
 */
function byFlight(channel, headers, q) {
  const from = performance.now();
  const stream = channel.request({
    ':method': 'POST', ':path': '/arrow.flight.protocol.FlightService/DoGet', 'content-type': 'application/grpc', te: 'trailers', ...headers,
  });
  let [bytes, firstMs, status] = [0, 0, null];
  stream.on('data', (piece) => {
    if (bytes === 0) firstMs = performance.now() - from;
    bytes += piece.length;
  });
  const told = (received) => (status = received['grpc-status'] ?? status);
  stream.on('response', told).on('trailers', told);
  stream.end(ticketOf(JSON.stringify({ database: db, sql_query: q, query_type: 'sql' })));
  return new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.on('close', () => {
      if (status === '0') resolve({ seconds: (performance.now() - from) / 1_000, firstMs, bytes });
      else reject(new Error(`${q}: grpc-status ${status}`));
    });
  });
}

const search = (route, more) => `${route}?${new URLSearchParams({ db, ...more })}`;
const ofSql = (q, format) => search('/api/v3/query_sql', { q, format });

/**
 * Returns the ways to request the rows that the benchmark compares. Each way is a function that
 * resolves to its measurements.
 */
async function waysOf({ server, influxdb, channel, rows }) {
  const influxql = search('/query', { q: statement(rows), epoch: 'ns' });
  const ways = {
    'Flight, its bytes': () => byFlight(channel, server.headers, sqlOf(rows)),
    'format=arrow': () => wholeAnswer(server, ofSql(sqlOf(rows), 'arrow')),
    'SQL, JSON': () => wholeAnswer(server, ofSql(sqlOf(rows), 'json')),
    'InfluxQL, JSON': () => wholeAnswer(server, influxql),
  };
  if (influxdb) ways["InfluxDB's JSON"] = () => wholeAnswer(influxdb, influxql);
  const skip = (why) => console.log(`skipped: ${why}`);
  if (!(await hasPythonClients({ skip }))) return ways;
  const what = { action: 'read', port: Number(new URL(server.url).port), database: db, token: server.headers.Authorization.split(' ')[1], q: sqlOf(rows) };
  const byPyarrow = async () => {
    const { error, ...took } = await order('flight_speed', what);
    if (error || took.rows !== rows) throw new Error(error ?? `${took.rows} rows`);
    return took;
  };
  return { 'Flight, by pyarrow': byPyarrow, ...ways };
}

/** Returns the medians as `[name, { seconds, bytes }]`. */
async function timed(ways) {
  const seen = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
  for (let turn = 0; turn < turns; turn += 1) {
    for (const [name, way] of Object.entries(ways)) seen[name].push(await way());
  }
  return Object.entries(seen).map(([name, took]) => [name, { seconds: median(took.map(({ seconds }) => seconds)), bytes: took[0].bytes }]);
}

async function first(way) {
  const seen = [];
  for (let turn = 0; turn < smallTurns; turn += 1) seen.push((await way()).firstMs);
  return median(seen);
}

function sqlProcessOf(pid) {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' '));
  return Number(children.find(Boolean));
}

/** Returns the maximum memory, in MB, of each process in `pids` while `act` runs. */
async function held(pids, act) {
  const most = pids.map(() => 0);
  const look = () => pids.forEach((pid, i) => (most[i] = Math.max(most[i], residentMb(pid))));
  look();
  const looking = setInterval(look, lookMs);
  try {
    await act();
  } finally {
    clearInterval(looking);
  }
  return most.map((megabytes) => megabytes.toFixed(0));
}

async function measure({ server, influxdb, channel, size }) {
  const targets = [server, influxdb].filter(Boolean);
  for (const target of targets) {
    await ask(target, '', `CREATE DATABASE ${db}`);
    await load(target, 0, size.timed);
  }
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const ways = await timed(await waysOf({ server, influxdb, channel, rows: size.timed }));
  const one = [await first(() => byFlight(channel, server.headers, 'SELECT 1')), await first(() => wholeAnswer(server, ofSql('SELECT 1', 'arrow')))];
  const pids = [server.pid, sqlProcessOf(server.pid)];
  const all = (rows) => byFlight(channel, server.headers, sqlOf(rows));
  const few = await held(pids, () => all(size.timed));
  await load(server, size.timed, size.held);
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const many = await held(pids, () => all(size.held));
  return { ways, one, few, many };
}

function report({ ways, one, few, many }, { size, isQuick }) {
  const peer = ways.find(([name]) => name.startsWith('InfluxDB'))?.[1].seconds;
  const rows = ways.map(([name, { seconds, bytes }]) => [
    name, seconds.toFixed(2), (bytes / mb).toFixed(0), (bytes / mb / seconds).toFixed(0), (size.timed / seconds / 1_000).toFixed(0),
    peer ? (peer / seconds).toFixed(2) : '',
  ]);
  const head = ['way', 'seconds', 'MB', 'MB/s', 'k rows/s', '× InfluxDB'];
  const notes = [
    ...circumstances(),
    `\`npm run bench -- flight\`: ${size.timed} rows of 5 columns with the native host, without compression. A figure is the median of ${turns} turns.`,
    `The first byte of \`SELECT 1\` arrives after ${one[0].toFixed(1)} ms with Flight, and after ${one[1].toFixed(1)} ms with HTTP`,
    `The largest memory of the program and of its SQL process is ${few.join(' and ')} MB with ${size.timed} rows, and ${many.join(' and ')} MB with ${size.held} rows`,
  ];
  for (const line of [...notes, head.join(', '), ...rows.map((row) => row.join(', '))]) console.log(`  ${line}`);
  record({ title: 'Flight', notes, head, rows, compared: isQuick ? [] : ['× InfluxDB'], partial: isQuick });
}

/** Runs the benchmark. The server that `start` starts must support SQL. `peer` is optional. */
export async function flight(start, peer, { isQuick }) {
  const size = isQuick ? sizes.quick : sizes.whole;
  const started = [];
  try {
    const server = await start();
    started.push(server);
    const influxdb = peer ? await peer() : null;
    if (influxdb) started.push(influxdb);
    const channel = new Channel(server.url);
    started.push({ stop: async () => channel.session.close() });
    report(await measure({ server, influxdb, channel, size }), { size, isQuick });
  } finally {
    for (const one of started.reverse()) await one.stop();
  }
}
