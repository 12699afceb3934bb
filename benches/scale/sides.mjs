// Starts servers that can restart with their data. A failed query does not end the run.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { startWorkerd } from '../../tests/edge/workerd.mjs';
import { open } from '../connection.mjs';
import { cpuSeconds } from '../cpu_time.mjs';
import { influxdb, native, plain } from '../servers.mjs';

const answerMs = 180_000;
const writeTries = 100;
const writePauseMs = 200;
/** Whether the benchmark measures the native host instead of workerd. */
export const isNative = process.argv.includes('--native');
/** The fraction of a core below which a server counts as idle. */
const restShare = 0.05;
const restPollMs = 1_000;
const restMsMax = 120_000;

/** Returns the error in a response. Searches only the start and the end of a long response. */
export function errorOf(status, text) {
  if (status !== 200 && status !== 204) return `${status} ${text.slice(0, 200)}`;
  const ends = text.length > 2000 ? text.slice(0, 1000) + text.slice(-1000) : text;
  return /"error":"((?:[^"\\]|\\.)*)"/.exec(ends)?.[1] ?? '';
}

/**
 * Returns a connection to a server, which is opened again after it was closed.
 * @param {{ server: any }} side
 */
export function line(side) {
  let connection = null;
  const close = () => {
    connection?.close();
    connection = null;
  };
  const ask = async (path, body) => {
    for (let triesLeft = 1; ; triesLeft -= 1) {
      const timer = new AbortController();
      try {
        connection ??= await open(side.server);
        const late = delay(answerMs, 'late', { signal: timer.signal });
        const reply = await Promise.race([connection.ask(path, body), late]);
        if (reply !== 'late') return reply;
        close();
        return { ms: NaN, status: 0, body: () => `no answer in ${answerMs / 1000} s` };
      } catch (error) {
        close();
        if (triesLeft === 0) return { ms: NaN, status: 0, body: () => error.message };
      } finally {
        timer.abort();
      }
    }
  };
  const query = async (db, q) => {
    const reply = await ask(`/query?db=${db}&q=${encodeURIComponent(q)}`);
    const text = reply.body();
    const error = errorOf(reply.status, text);
    return { ms: error ? NaN : reply.ms, text, bytes: text.length, error };
  };
  /**
   * Writes a body, and repeats the write after status 503. Resolves to the duration in
   * milliseconds.
   */
  const write = async (db, body, precision = 'ms') => {
    const from = performance.now();
    for (let triesLeft = writeTries; ; triesLeft -= 1) {
      const reply = await ask(`/write?db=${db}&precision=${precision}`, body);
      if (reply.status === 204) return performance.now() - from;
      const said = `${side.server.name}: ${reply.status} ${reply.body().slice(0, 200)}`;
      if (reply.status !== 503 || triesLeft === 0) throw new Error(said);
      if (triesLeft === writeTries) console.log(`  a write waits: ${said}`);
      await delay(writePauseMs);
    }
  };
  return { ask, query, write, close };
}

/** Starts a server in a new folder. Returns the server with its queries and measurements. */
async function begin(start, label) {
  const folder = mkdtempSync(join(tmpdir(), 'scale-bench-'));
  const side = { label, folder, server: await start(folder) };
  const main = line(side);
  let mostMb = 0;
  let writeMs = 0;
  const begun = {
    label,
    get server() {
      return side.server;
    },
    isPeer: side.server.name === 'InfluxDB',
    query: main.query,
    write: async (db, body, precision) => {
      const ms = await main.write(db, body, precision);
      writeMs += ms;
      return ms;
    },
    writeSeconds: () => writeMs / 1000,
    line: () => line(side),
    /**
     * Returns the peak memory in MB of all processes of this server so far, including those before
     * a restart.
     */
    mostMb: () => (mostMb = Math.max(mostMb, peakMb(side.server.pid))),
    /**
     * Restarts the server. Then a query of the database `warm` loads the code and the caches, but
     * not the measured database.
     */
    restart: async () => {
      begun.mostMb();
      main.close();
      await side.server.stop();
      side.server = await start(folder);
      await begun.must('warm', 'SELECT * FROM warm');
    },
    must: async (db, q) => {
      const { error, text } = await main.query(db, q);
      if (error) throw new Error(`${side.server.name}: ${q}: ${error}`);
      return text;
    },
    stop: async () => {
      main.close();
      await side.server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await create(begun, 'warm');
  await begun.write('warm', `warm v=1i 1451606400000`);
  return begun;
}

const worker = (folder, vars) => plain(folder, (of, token) => startWorkerd(of, token, { vars }));

export const tidemarkSide = (label, vars = {}) =>
  begin((folder) => (isNative ? native(folder, { vars }) : worker(folder, vars)), label);
export const influxdbSide = () => begin((folder) => influxdb(folder), 'InfluxDB');

/** Creates a database whose only shard group covers all times of the scenarios. */
export async function create(side, db) {
  await sent(side, `CREATE DATABASE "${db}" WITH DURATION INF REPLICATION 1 SHARD DURATION 5200w`);
}

/** Sends a statement with POST, because InfluxDB 1.x otherwise rejects a statement that writes. */
export async function sent(side, q, db = '') {
  const body = new URLSearchParams({ q, db });
  const options = { method: 'POST', body, headers: side.server.headers };
  const reply = await fetch(`${side.server.url}/query`, options);
  const error = errorOf(reply.status, await reply.text());
  if (error) throw new Error(`${side.server.name}: ${q}: ${error}`);
}

/** Writes every body to all servers in parallel. Resolves to the duration in seconds. */
export async function load(sides, db, all) {
  const from = performance.now();
  for (const body of all) await Promise.all(sides.map((side) => side.write(db, body)));
  return (performance.now() - from) / 1000;
}

/** Waits until all servers are idle, but at least `leastMs`. */
export async function rested(sides, leastMs) {
  await delay(leastMs);
  const used = () => sides.map(({ server }) => cpuSeconds(server.pid));
  const until = performance.now() + restMsMax;
  for (let before = used(); performance.now() < until; ) {
    await delay(restPollMs);
    const now = used();
    const most = Math.max(...now.map((seconds, i) => seconds - before[i]));
    if (most < (restShare * restPollMs) / 1000) return;
    before = now;
  }
}

/** Returns Tidemark's counters. InfluxDB has no such counters. */
export async function counters(side, db) {
  const text = await side.must(db, "SHOW STATS FOR 'shard'");
  const series = JSON.parse(text).results[0].series ?? [];
  const sums = {};
  for (const one of series.filter(({ tags }) => tags.database === db)) {
    one.columns.forEach((name, i) => (sums[name] = (sums[name] ?? 0) + one.values[0][i]));
  }
  return { ...sums, shards: series.filter(({ tags }) => tags.database === db).length };
}

function statusMb(pid, name) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kb = status.split('\n').find((text) => text.startsWith(`${name}:`));
  return (parseInt(kb.slice(name.length + 1), 10) * 1024) / 1e6;
}

export const residentMb = (pid) => statusMb(pid, 'VmRSS');

const peakMb = (pid) => statusMb(pid, 'VmHWM');

export async function stopSides(sides) {
  const stopped = await Promise.allSettled(sides.map((side) => side.stop()));
  for (const result of stopped) if (result.status === 'rejected') console.error(result.reason);
}
