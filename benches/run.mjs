// npm run bench: line protocol parsers, and Tidemark on `wrangler dev`, by turns with their peers.
//
// Arguments: which parts (parsers, shard, requests, ingest, busy, rest, queries); none: all.
// `queries` takes `--quick` (fewer hosts, hours and queries) and names of types to run alone.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort, startServer } from '../scripts/dev-server.mjs';
import { endAllOnSignals, must } from '../scripts/processes.mjs';
import { finishWith } from '../scripts/project.mjs';
import { everything, packages, rust } from '../scripts/setup.mjs';
import { startInfluxd } from '../tests/record/influxd.mjs';
import { atRest, rowsRead } from './at_rest.mjs';
import { busy } from './busy.mjs';
import { median, slice, take } from './ingest.mjs';
import { threeRequests } from './latency.mjs';
import { buildParsers, parsers } from './line_protocol.mjs';
import { queries } from './queries.mjs';
import { recordNative } from './queries_native.mjs';
import { types } from './query_types.mjs';
import { batches } from './tsbs.mjs';

const pointsPerBody = 5000;
const bodiesPerSlice = 40;
const turns = 3;
const token = 'bench-token';

/** Tidemark with its state in `folder`, which its `stop` removes unless it was given. */
async function tidemark(node, kept = undefined) {
  const folder = kept ?? mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
  const envFile = join(folder, 'secrets');
  writeFileSync(envFile, `ADMIN_TOKEN=${token}\n`);
  const stateDir = join(folder, 'state');
  const start = async () => startServer({ node, port: await freePort(), stateDir, envFile });
  let server = await start();
  return {
    name: 'Tidemark',
    get url() {
      return server.url;
    },
    get pid() {
      return server.child.pid;
    },
    folder: stateDir,
    headers: { Authorization: `Token ${token}` },
    restart: async () => {
      await server.stop();
      server = await start();
    },
    stop: async () => {
      await server.stop();
      if (!kept) rmSync(folder, { recursive: true, force: true });
    },
  };
}

function hasInfluxdb() {
  const missing = spawnSync('influxd', ['version'], { stdio: 'ignore' }).error;
  if (missing) console.log('skipped: InfluxDB (Debian package influxdb is not installed)');
  return !missing;
}

async function influxdb(kept = undefined) {
  const { url, pid, directory, stop } = await startInfluxd('tsi1', kept);
  return { name: 'InfluxDB', url, pid, folder: directory, headers: {}, stop };
}

async function create(target, db) {
  const body = new URLSearchParams({ q: `CREATE DATABASE ${db}` });
  const reply = await fetch(`${target.url}/query`, { method: 'POST', body, headers: target.headers });
  if (!reply.ok) throw new Error(`${target.name}: ${await reply.text()}`);
}

/** Each target in turn, a fresh database per slice; medians over the turns. */
async function ingest(targets, connections, gzip) {
  const measured = new Map(targets.map((target) => [target, []]));
  for (let turn = 0; turn <= turns; turn++) {
    const bodies = take(batches({ seed: turn + 1 }), bodiesPerSlice, gzip);
    for (const target of turn % 2 ? [...targets].reverse() : targets) {
      const db = `ingest_${connections}_${gzip ? 'gzip' : 'plain'}_${turn}`;
      await create(target, db);
      const result = await slice(target, db, bodies, { connections, pointsPerBody, gzip });
      // The first turn only warms up.
      if (turn > 0) measured.get(target).push(result);
    }
  }
  const medians = [...measured].map(([target, results]) => {
    const of = (key) => median(results.map((result) => result[key]));
    const cpu = of('cpuPerMillion');
    return { target, rate: of('rate'), cpu, p50: of('p50'), p99: of('p99') };
  });
  const peer = medians.find(({ target }) => target.name === 'InfluxDB');
  for (const { target, rate, cpu, p50, p99 } of medians) {
    const ratio = peer ? ` (${(rate / peer.rate).toFixed(2)}×)` : '';
    const what = `${gzip ? 'gzip ' : 'plain'} ${connections} connection(s)`;
    console.log(
      `${what}  ${target.name.padEnd(8)} ${Math.round(rate / 1000)}k points/s${ratio}, ` +
        `${cpu.toFixed(2)} CPU s per million, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`,
    );
  }
}

/** The parts that were asked for. */
const asked = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const wanted = (part) => asked.length === 0 || asked.includes(part);

async function requests(targets) {
  for (const target of targets) {
    const { create: c, write: w, query: q } = await threeRequests(target, 30);
    const ms = [c, w, q].map((value) => value.toFixed(2)).join(' / ');
    console.log(`${target.name.padEnd(8)} create / write / query: ${ms} ms (median of 30)`);
  }
}

async function servers(node) {
  const targets = [await tidemark(node)];
  if (hasInfluxdb()) targets.push(await influxdb());
  try {
    if (wanted('requests')) await requests(targets);
    if (wanted('busy')) await busy(targets[0]);
    for (const gzip of wanted('ingest') ? [false, true] : []) {
      for (const connections of [1, 4, 8]) await ingest(targets, connections, gzip);
    }
  } finally {
    for (const target of targets) await target.stop();
  }
}

/** On servers of their own: what earlier parts left behind must not count. */
async function rest(node) {
  // Of its own accord it would keep the last ten minutes in its log and its cache.
  process.env.INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION = '5s';
  const peer = hasInfluxdb() ? await influxdb() : null;
  const ours = await tidemark(node);
  try {
    await atRest(ours, peer);
    await rowsRead(ours);
  } finally {
    for (const target of [ours, peer].filter(Boolean)) await target.stop();
  }
}

endAllOnSignals();
await finishWith(async () => {
  if (wanted('parsers')) {
    await packages();
    await rust();
    await parsers(await buildParsers());
  }
  if (wanted('shard')) {
    await must('The benchmark of a shard', 'cargo', ['bench', '--bench', 'shard']);
  }
  if (['requests', 'ingest', 'busy'].some(wanted)) await servers(await everything());
  if (wanted('rest')) await rest(await everything());
  if (wanted('queries')) {
    const node = await everything();
    const quick = process.argv.includes('--quick');
    const starters = [{ name: 'Tidemark', start: (folder) => tidemark(node, folder) }];
    if (hasInfluxdb()) starters.push({ name: 'InfluxDB', start: (folder) => influxdb(folder) });
    const only = asked.filter((name) => types.some((type) => type.name.startsWith(name)));
    if (!quick && only.length === 0) {
      const bench = ['bench', '--bench', 'queries'];
      recordNative(await must('The benchmark of queries, natively', 'cargo', bench, { tee: true }));
    }
    await queries(starters, { quick, only });
  }
  return 0;
});
