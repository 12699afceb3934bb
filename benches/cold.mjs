// Measures the first requests to a new process (for example after a deployment) and to evicted
// objects.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { open } from './connection.mjs';
import { median } from './ingest.mjs';
import { circumstances, record } from './results.mjs';
import { influxdb, plain } from './servers.mjs';
import { startUp } from './start_up.mjs';
import { batches, startNs } from './tsbs.mjs';

const turns = 5;
/** The runtime evicts an object after ten seconds without a request. */
const sleepMs = 15_000;
const loadedBatches = 40;
const aimMs = 100;
/** The target for the start-up time, in milliseconds more than an empty Worker needs. */
const startUpAimMs = 40;
const db = 'cold';
const startS = Number(startNs / 1_000_000_000n);
const asked = `SELECT mean(usage_user) FROM cpu WHERE hostname = 'host_7' AND time < ${startS + 3600}s GROUP BY time(5m)`;
const query = `/query?db=${db}&q=${encodeURIComponent(asked)}`;
const write = `/write?db=${db}&precision=s`;

async function once(server, path, body) {
  const connection = await open(server);
  const reply = await connection.ask(path, body);
  connection.close();
  if (reply.status >= 300) throw new Error(`${server.name}: ${path}: ${reply.status} ${reply.body()}`);
  return reply.ms;
}

const point = (number) => `cpu,hostname=host_7 usage_user=${number}i ${startS + number}`;

/** Measures the first request of each kind. Returns the durations by kind. */
async function measured(start) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-cold-'));
  const times = { write: [], query: [], sleptWrite: [], sleptQuery: [] };
  const within = async (ask) => {
    const server = await start(folder);
    try {
      return await ask(server);
    } finally {
      await server.stop();
    }
  };
  try {
    await within(async (server) => {
      await once(server, `/query?q=${encodeURIComponent(`CREATE DATABASE ${db}`)}`, ' ');
      const generator = batches();
      for (let n = 0; n < loadedBatches; n++) await once(server, `/write?db=${db}`, generator.next().value);
    });
    for (let turn = 0; turn < turns; turn++) {
      times.write.push(await within((server) => once(server, write, point(turn))));
      await within(async (server) => {
        times.query.push(await once(server, query));
        await delay(sleepMs);
        times.sleptWrite.push(await once(server, write, point(100 + turn)));
        await delay(sleepMs);
        times.sleptQuery.push(await once(server, query));
      });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, median(ms)]));
}

export async function cold(hasPeer) {
  const { empty, worker } = await startUp();
  const ours = await measured((folder) => plain(folder));
  const theirs = hasPeer ? await measured((folder) => influxdb(folder)) : {};
  const cell = (ms) => (ms === undefined ? '' : ms.toFixed(1));
  const row = (what, ms, peer, aim = aimMs) => [what, String(aim), cell(ms), cell(peer), ms <= aim ? 'yes' : 'no'];
  const rows = [
    row('from the start of the process to the first response, minus an empty Worker', worker.ms - empty.ms, undefined, startUpAimMs),
    row('first write of a fresh process', ours.write, theirs.write),
    row('first query of a fresh process', ours.query, theirs.query),
    row('first write after the objects slept', ours.sleptWrite, theirs.sleptWrite),
    row('first query after the objects slept', ours.sleptQuery, theirs.sleptQuery),
  ];
  const head = ['case', 'aim', 'workerd ms', 'InfluxDB ms', 'reached?'];
  const notes = [
    ...circumstances(),
    `\`npm run bench -- cold\`: plain \`workerd serve\`, ${loadedBatches * 5_000} points of TSBS cpu-only data. A figure is ` +
      `the median of ${turns} turns. A new process has responded to \`/ping\` before the first write or query. Objects ` +
      `sleep after ${sleepMs / 1000} s without a request.`,
    `The time from the start of a process to its first response is ${worker.ms.toFixed(0)} ms, and ${empty.ms.toFixed(0)} ms with an empty Worker`,
  ];
  for (const cells of [head, ...rows]) console.log(cells.join(' | '));
  record({ title: 'First requests', notes, head, rows, partial: !hasPeer });
}
