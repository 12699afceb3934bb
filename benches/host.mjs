// Measures how fast the native program starts, how much memory it needs when it is idle, and how much
// CPU time it needs for many databases.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { startNative } from '../scripts/native.mjs';
import { cpuSeconds, residentMbOfEach } from './cpu_time.mjs';
import { median } from './ingest.mjs';
import { circumstances, record } from './results.mjs';
import { bodies, dayS, month, startS } from './scale/lines.mjs';
import { days, last, questions } from './scale/month.mjs';
import { create, errorOf, line, rested } from './scale/sides.mjs';
import { hasInfluxdb, headers, influxdb, native, token } from './servers.mjs';
import { random } from './tsbs.mjs';

/** `restMs` is the pause before the memory is read, and `minuteMs` the interval of the writes. */
const plans = {
  whole: { starts: 7, points: 30_000_000, restMs: 60_000, hostileMs: 20_000, databases: 1_000, minutes: 2, minuteMs: 60_000 },
  quick: { starts: 3, points: 200_000, restMs: 3_000, hostileMs: 3_000, databases: 50, minutes: 2, minuteMs: 3_000 },
};
const settleMs = 5_000;

/**
 * The contents of the large folder. A value takes about eight bytes, and no shard is so large that
 * it splits.
 */
const large = { databases: 8, hosts: 10, fields: 100, differentLines: 4_096, linesPerBody: 200, bodiesPerLook: 20 };
const smallQuery = `/query?${new URLSearchParams({ db: 'd0', q: `SELECT mean(f0) FROM m WHERE host = 'h0' AND time < ${startS + 3_600}s` })}`;

/** The maximum factor by which the memory may grow after hostile statements. */
const growthMax = 1.1;
const series = 1_000;
const hostileStatements = [
  "SELECT v, repeat('x', 100000) FROM m ORDER BY 2",
  'SELECT count(*) FROM m a CROSS JOIN m b WHERE a.v + b.v < 0',
];
const sqlPath = (q) => `/api/v3/query_sql?${new URLSearchParams({ db: 'month', q, format: 'json' })}`;

async function must(connection, path) {
  const { status, body } = await connection.ask(path);
  const error = errorOf(status, body());
  if (error) throw new Error(`${path}: ${error}`);
}

const start = (data) => startNative({ port: 0, data, secret: token, profile: 'native' });

/** Returns the milliseconds from the start of the process to the response of each path. */
async function responses(data, paths) {
  const from = performance.now();
  const { url, stop } = await start(data);
  try {
    const connection = line({ server: { url, headers } });
    const found = [];
    for (const path of paths) {
      await must(connection, path);
      found.push(performance.now() - from);
    }
    connection.close();
    return found;
  } finally {
    await stop();
  }
}

/**
 * Starts the program repeatedly, each time with the folder that `folderOf` returns. Returns the
 * median duration for each path.
 */
async function starts(turns, folderOf, paths) {
  const found = [];
  for (let turn = 0; turn < turns; turn++) found.push(await responses(folderOf(turn), paths));
  return paths.map((_, i) => median(found.map((ms) => ms[i])));
}

function bytesOf(folder) {
  // A file may disappear while `du` runs. `du` then prints an error and the sum.
  return parseInt(spawnSync('du', ['-sb', folder], { encoding: 'utf8' }).stdout, 10);
}

/**
 * Returns lines with full-precision floats, which cannot be compressed. Generates only a few
 * different lines, because the generation is slow.
 */
function fieldsOfLines() {
  const draw = random(1);
  const field = (_, f) => `f${f}=${(draw() + draw() / 2 ** 32) * 100}`;
  return Array.from({ length: large.differentLines }, () => Array.from({ length: large.fields }, field).join(','));
}

/** Writes to all databases in parallel until the folder has at least `bytes` bytes. */
async function fill(side, bytes) {
  const fields = fieldsOfLines();
  let isFull = false;
  const writer = async (_, at) => {
    const connection = line(side);
    await create(side, `d${at}`);
    for (let body = 0; !isFull; body++) {
      const first = body * large.linesPerBody;
      const text = (_, i) => `m,host=h${(first + i) % large.hosts} ${fields[(first + i) % fields.length]} ${(startS + first + i) * 1000}`;
      await connection.write(`d${at}`, Array.from({ length: large.linesPerBody }, text).join('\n'));
      if (body % large.bodiesPerLook === 0) isFull ||= bytesOf(side.server.folder) >= bytes;
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: large.databases }, writer));
}

async function startTimes({ starts: turns }, gigabytes) {
  const folder = mkdtempSync(join(tmpdir(), 'host-bench-'));
  try {
    const [empty] = await starts(turns, (turn) => join(folder, `empty${turn}`), ['/health']);
    console.log(`  empty folder: ${empty.toFixed(1)} ms; filling …`);
    const from = performance.now();
    const server = await native(folder);
    try {
      await fill({ server }, gigabytes * 1e9);
      await rested([{ server }], settleMs);
    } finally {
      await server.stop();
    }
    const size = `${(bytesOf(server.folder) / 1e9).toPrecision(3)} GB`;
    console.log(`  ${size} after ${((performance.now() - from) / 1000).toFixed(0)} s`);
    const [health, query] = await starts(turns, () => server.folder, ['/health', smallQuery]);
    return [
      row('start to the first response, empty folder, ms', 50, empty),
      row(`start to the first response, ${size}, ms`, 200, health),
      row(`start to the response of the first small query, ${size}, ms`, undefined, query),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Returns the memory of a program's processes. Memory that several processes share counts once for
 * each process.
 */
function memoryMb({ name, pid }) {
  const each = residentMbOfEach(pid);
  console.log(`  ${name}, MB of each process: ${each.map((mb) => mb.toFixed(1)).join(', ')}`);
  return each.reduce((sum, mb) => sum + mb, 0);
}

/** Repeats all statements at the same time. Most of them end with an error. */
async function hostile({ url }, ms) {
  const signal = AbortSignal.timeout(ms);
  const statuses = [];
  const repeat = async (q) => {
    while (!signal.aborted) {
      try {
        const reply = await fetch(url + sqlPath(q), { headers, signal });
        await reply.arrayBuffer();
        statuses.push(reply.status);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  };
  await Promise.all(hostileStatements.map(repeat));
  console.log(`  hostile SQL: ${statuses.length} responses, with the statuses ${[...new Set(statuses)].join(', ')}`);
}

async function memory({ points, restMs, hostileMs }) {
  const peer = hasInfluxdb() ? await influxdb() : null;
  const target = await native().catch(async (error) => {
    await peer?.stop();
    throw error;
  });
  const side = { server: target };
  const rest = async () => {
    await delay(restMs);
    return memoryMb(target);
  };
  try {
    const empty = await rest();
    const theirs = peer ? memoryMb(peer) : undefined;
    await create(side, 'month');
    const connection = line(side);
    for (const body of bodies(month({ points, series, days }))) await connection.write('month', body);
    const queries = [...Object.values(questions), `SELECT * FROM m WHERE ${last(dayS)}`].map((q) => `/query?${new URLSearchParams({ db: 'month', q })}`);
    for (const path of [...queries, sqlPath('SELECT host, avg(v) FROM m GROUP BY host')]) await must(connection, path);
    const full = await rest();
    await hostile(target, hostileMs);
    const after = await rest();
    connection.close();
    return [
      row('memory, empty folder, MB', 30, empty, theirs),
      row(`memory after ${points / 1e6} million points and queries, MB`, 150, full),
      row(`memory after ${hostileMs / 1000} s of hostile SQL, MB`, full * growthMax, after),
    ];
  } finally {
    await target.stop();
    await peer?.stop();
  }
}

async function manyDatabases({ databases, minutes, minuteMs }) {
  const target = await native();
  const side = { server: target };
  const connection = line(side);
  const write = (n) => connection.write(`d${n % databases}`, `m,host=a v=${n}`);
  try {
    for (let n = 0; n < databases; n++) {
      await create(side, `d${n}`);
      await write(n);
    }
    await rested([side], settleMs);
    const [from, before] = [performance.now(), cpuSeconds(target.pid)];
    for (let n = 0; n < databases * minutes; n++) {
      await delay(Math.max(0, from + (n * minuteMs) / databases - performance.now()));
      await write(n);
    }
    const percent = ((cpuSeconds(target.pid) - before) / (performance.now() - from)) * 1000 * 100;
    const what = `${databases.toLocaleString('en-US')} databases, one write per minute each`;
    return [row(`CPU time, ${what}, % of a thread`, 10, percent), row(`memory, ${what}, MB`, undefined, memoryMb(target))];
  } finally {
    connection.close();
    await target.stop();
  }
}

function row(what, most, ours, peer = undefined) {
  const cell = (value) => (value === undefined ? '' : value.toFixed(1));
  const cells = [what, most === undefined ? '' : `≤ ${Math.round(most)}`, cell(ours), cell(peer), most === undefined ? '' : ours <= most ? 'yes' : 'no'];
  console.log(`  ${cells.join(' | ')}`);
  return cells;
}

/** Runs the benchmark. `gigabytes` is the size of the large folder. */
export async function host({ gigabytes, quick = false }) {
  const plan = plans[quick ? 'quick' : 'whole'];
  const rows = [...(await startTimes(plan, gigabytes)), ...(await memory(plan)), ...(await manyDatabases(plan))];
  const head = ['case', 'aim', 'native', 'InfluxDB', 'reached?'];
  const notes = [
    ...circumstances(),
    `\`npm run bench -- host --gigabytes ${gigabytes}\`: the native host. A start is the median of ${plan.starts} starts, from the start ` +
      'of the process to the end of the response of `/health`, and then of a query of one series. The page cache is not emptied between ' +
      `the starts. The large folder contains full-precision floats in ${large.databases} databases.`,
    `Memory is the resident memory (\`VmRSS\`) of the program and its SQL processes, which share some of it, ${plan.restMs / 1000} s after the last request. The points ` +
      `are full-precision floats of ${series} series in one shard, and one of the queries is in SQL. The hostile statements sort texts ` +
      'of 100,000 bytes and compute a cross join; their target is at most 10 % more memory than in the previous row.',
    `The CPU time is for ${plan.minutes} minutes of writes at a constant rate. Before this, each database was created and got one point`,
  ];
  record({ title: 'Native host: start, memory, many databases', notes, head, rows, partial: quick });
}
