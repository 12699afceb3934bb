// Measures the fifteen query types of TSBS, or the shapes of query_shapes.mjs. Tidemark and
// InfluxDB take turns, with one connection per server.
//
// Before each type, the benchmark restarts both servers and warms them up with a query of another
// measurement. Every query has new parameters. A ratio excludes the median duration of an empty
// request.
//
// The benchmark repeats the measurement after further queries of the same type, because V8 has then
// compiled the code.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { sameAnswer } from './answers.mjs';
import { open } from './connection.mjs';
import { median } from './ingest.mjs';
import { shapes } from './query_shapes.mjs';
import { types } from './query_types.mjs';
import { circumstances, record } from './results.mjs';
import { batches, random } from './tsbs.mjs';

export const db = 'benchmark';
const pointsPerBody = 5000;

/** The pause after the last write, during which both servers complete their background work. */
const settleMs = 25_000;

/** The numbers of queries. `between` is the number of queries between the two measurements. */
const plans = {
  whole: { hosts: 100, hours: 24, queries: 41, slowQueries: 15, between: 500, slowBetween: 30 },
  quick: { hosts: 20, hours: 12, queries: 15, slowQueries: 7, between: 50, slowBetween: 7 },
};

/** The limit in milliseconds for slow types on InfluxDB, excluding the empty request. */
const heavyMs = 30;

const ofDay =
  '24 hours of TSBS cpu-only data of 100 hosts (864,000 points, ten integer fields). A figure is the median ' +
  'of queries with new parameters over one connection. The servers restart before each type.';

/** The lists of queries. With `isGross`, the durations include the empty request. */
export const lists = {
  types: {
    list: types,
    title: 'Queries',
    peer: 'InfluxDB',
    notes: [
      `\`npm run bench -- queries\`: ${ofDay}`,
      'The ratio is InfluxDB ÷ Tidemark. The time of an empty request is subtracted from both.',
      '"Tidemark" is `wrangler dev` with the development settings of `npm start` (no local observability, no log of ' +
        'requests, `WRANGLER_LOG=error`). "workerd" is the same Worker on plain `workerd serve`, and "native" is ' +
        'the native host.',
    ],
  },
  ofNative: {
    list: types,
    title: 'Queries, native host',
    peer: 'InfluxDB',
    isGross: true,
    notes: [
      `\`npm run bench -- queries --native\`: ${ofDay}`,
      'The ratio is InfluxDB ÷ Tidemark. The times include the request.',
    ],
  },
  shapes: {
    list: shapes,
    title: 'Query shapes',
    peer: 'InfluxDB',
    isGross: true,
    notes: [`\`npm run bench -- shapes\`: ${ofDay}`, 'The ratio is InfluxDB ÷ Tidemark. The times include the request.'],
  },
  shapesOfWorkerd: {
    list: shapes,
    title: 'Query shapes, workerd',
    peer: 'InfluxDB',
    isGross: true,
    notes: [
      `\`npm run bench -- shapes --workerd\`: ${ofDay}`,
      'The Worker runs on plain `workerd serve`. The ratio is InfluxDB ÷ Tidemark, and its aim on a warm server is a geometric mean of 2. ' +
        'The times include the request.',
    ],
  },
  sizes: {
    list: shapes.filter(({ isUnbounded }) => !isUnbounded),
    title: 'Query shapes at two sizes',
    peer: 'a million points',
    isGross: true,
    notes: [
      '`npm run bench -- shapes --sizes`: the native host with 28 and with 2,778 hours of TSBS cpu-only data of 100 ' +
        'hosts, in one object for each size. Both sizes run the same queries, which read the first day.',
      'The ratio is a million points ÷ a hundred million points. The times include the request.',
    ],
  },
};

const query = (text) => `/query?db=${db}&q=${encodeURIComponent(text)}`;

/**
 * `starters` are `{ name, start(folder), hours }`, with Tidemark and InfluxDB first. Writes a
 * complete table to RESULTS.md.
 */
export async function queries(starters, { quick = false, only = [], asked = lists.types } = {}) {
  const plan = { ...plans[quick ? 'quick' : 'whole'] };
  const sides = starters.map((starter) => {
    const folder = mkdtempSync(join(tmpdir(), 'query-bench-'));
    return { ...starter, folder, pings: [] };
  });
  try {
    for (const side of sides) await load(side, { ...plan, hours: side.hours ?? plan.hours });
    const [rows, later] = [[], []];
    for (const type of asked.list) {
      if (only.length > 0 && !only.some((name) => type.name.startsWith(name))) continue;
      const { first, again } = await measure(type, sides, plan);
      rows.push({ name: type.name, times: first });
      later.push({ name: type.name, times: again });
      console.log(`  ${type.name}: ${[...first, ...again].map((ms) => ms.toFixed(2)).join(' / ')} ms`);
    }
    const partial = quick || only.length > 0;
    report(sides, rows, { ...asked, partial });
    const title = `${asked.title}, warm server`;
    const notes = [...asked.notes, `The queries ran after ${plan.queries} measured and ${plan.between} further queries of the type (slow types: ${plan.slowQueries} and ${plan.slowBetween}).`];
    report(sides, later, { ...asked, title, notes, partial });
  } finally {
    for (const side of sides) {
      await side.server?.stop();
      rmSync(side.folder, { recursive: true, force: true });
    }
  }
}

async function post(server, path, body) {
  const reply = await fetch(server.url + path, { method: 'POST', body, headers: server.headers });
  if (!reply.ok) throw new Error(`${server.name}: ${reply.status} ${await reply.text()}`);
  await reply.arrayBuffer();
}

async function load(side, plan) {
  side.server = await side.start(side.folder);
  await fill(side.server, side.name, plan);
}

/** Resolves to the number of written points. */
export async function fill(server, name, { hosts, hours }) {
  const from = performance.now();
  await post(server, '/query', new URLSearchParams({ q: `CREATE DATABASE ${db}` }));
  await post(server, `/write?db=${db}`, 'warm v=1i 1451606400000000000');
  const bodies = batches({ hosts, points: pointsPerBody });
  const points = hosts * hours * 360;
  for (let sent = 0; sent < points; sent += pointsPerBody) {
    await post(server, `/write?db=${db}`, bodies.next().value);
  }
  const seconds = ((performance.now() - from) / 1000).toFixed(1);
  console.log(`- ${name}: ${points} points in ${seconds} s; settling …`);
  await delay(settleMs);
  return points;
}

/** Returns each server's median milliseconds in the two measurements, as `{ first, again }`. */
async function measure(type, sides, plan) {
  const connections = [];
  for (const side of sides) {
    await side.server.stop();
    side.server = await side.start(side.folder);
    const connection = await open(side.server);
    const { status, body } = await connection.ask(query('SELECT * FROM warm'));
    if (status !== 200) throw new Error(`${side.name}: ${status} ${body()}`);
    connections.push(connection);
  }
  const data = { ...plan, draw: random(type.name.length * 31 + type.name.charCodeAt(0)) };
  const [turns, between] = type.slow ? [plan.slowQueries, plan.slowBetween] : [plan.queries, plan.between];
  const first = await medians(type, sides, connections, { turns, data });
  for (let turn = 0; turn < between; turn++) {
    const path = query(type.text(data));
    for (const connection of connections) await connection.ask(path);
  }
  const again = await medians(type, sides, connections, { turns, data });
  connections.forEach((connection) => connection.close());
  return { first, again };
}

/** Throws if the responses differ. */
async function medians(type, sides, connections, { turns, data }) {
  const times = sides.map(() => []);
  for (let turn = 0; turn < turns; turn++) {
    const text = type.text(data);
    const answers = [];
    const order = sides.map((_, i) => (turn % 2 ? sides.length - 1 - i : i));
    for (const i of order) {
      sides[i].pings.push((await connections[i].ask('/ping')).ms);
      const answer = await connections[i].ask(query(text));
      times[i].push(answer.ms);
      answers[i] = answer.body();
    }
    for (const [i, answer] of answers.entries()) {
      const difference = i > 0 && !type.isRandom && sameAnswer(answers[0], answer);
      if (difference && !(await areTies(connections[i], type, text, [answers[0], answer]))) {
        throw new Error(`${sides[0].name} and ${sides[i].name} differ: ${difference}\n${text}`);
      }
    }
  }
  return times.map(median);
}

/** Whether two responses differ only in values that are equally frequent. */
async function areTies(connection, { occurrences }, text, answers) {
  if (!occurrences) return false;
  const [ours, theirs] = answers.map((answer) => JSON.parse(answer).results[0].series[0].values);
  const count = async (time, value) => (await connection.ask(query(occurrences(text, time, value)))).body();
  for (const [i, [time, value]] of ours.entries()) {
    if (theirs[i]?.[0] !== time) return false;
    if (theirs[i][1] === value) continue;
    if (sameAnswer(await count(time, value), await count(time, theirs[i][1]))) return false;
  }
  return ours.length === theirs.length;
}

export function geometricMean(values) {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Prints the table. If it is complete, writes it to RESULTS.md. */
function report(sides, rows, { title, peer: peerName, notes, isGross = false, partial }) {
  const pings = sides.map((side) => median(side.pings));
  const peer = sides.findIndex((side) => side.name === peerName);
  const others = sides.map((_, i) => i).filter((i) => i !== peer);
  const net = (row, i) => Math.max(row.times[i] - (isGross ? 0 : pings[i]), 0.01);
  const heavy = rows.filter((row) => peer >= 0 && net(row, peer) > heavyMs);
  const head = ['type', ...sides.map((side) => `${side.name} ms`)];
  const ratios = peer < 0 ? [] : others.map((i) => `${sides[i].name} ratio`);
  const ratio = (row, i) => net(row, peer) / net(row, i);
  const cells = rows.map((row) => [
    row.name,
    ...row.times.map((ms) => ms.toFixed(2)),
    ...(ratios.length ? others.map((i) => ratio(row, i).toFixed(2)) : []),
  ]);
  const mean = (name, of) => [
    name,
    ...sides.map(() => ''),
    ...others.map((i) => geometricMean(of.map((row) => ratio(row, i))).toFixed(2)),
  ];
  cells.push(['empty request', ...pings.map((ms) => ms.toFixed(2)), ...ratios.map(() => '')]);
  if (ratios.length) {
    cells.push(mean('geometric mean', rows));
    if (heavy.length) cells.push(mean(`geometric mean of types over ${heavyMs} ms`, heavy));
  }
  const widths = [...head, ...ratios].map((name) => Math.max(name.length, 8) + 2);
  const line = (row) => row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(30)));
  for (const row of [[...head, ...ratios], ...cells]) console.log(line(row).join(''));
  if (partial || peer < 0) return;
  record({ title, notes: [...circumstances(), ...notes], head: [...head, ...ratios], rows: cells, compared: ratios });
}
