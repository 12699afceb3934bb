// Servers that can be restarted on their data, and questions that may fail without ending a run.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { open } from '../connection.mjs';
import { cpuSeconds } from '../cpu_time.mjs';
import { influxdb, plain } from '../servers.mjs';
import { startWorkerd } from '../workerd.mjs';

/** No answer for so long is a failure. */
const answerMs = 180_000;
const writeTries = 100;
const writePauseMs = 200;
/** A server is at rest when it uses less than this of a core. */
const restShare = 0.05;
const restPollMs = 1_000;
const restMsMax = 120_000;

/** `error` of a reply, or nothing; a long answer is looked at where it begins and ends. */
export function errorOf(status, text) {
  if (status !== 200 && status !== 204) return `${status} ${text.slice(0, 200)}`;
  const ends = text.length > 2000 ? text.slice(0, 1000) + text.slice(-1000) : text;
  return /"error":"((?:[^"\\]|\\.)*)"/.exec(ends)?.[1] ?? '';
}

/** One connection, opened again when it is gone. @param {{ server: any }} side */
function line(side) {
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
  /** A statement's time, answer and error, if it is one. */
  const query = async (db, q) => {
    const reply = await ask(`/query?db=${db}&q=${encodeURIComponent(q)}`);
    const text = reply.body();
    const error = errorOf(reply.status, text);
    return { ms: error ? NaN : reply.ms, text, bytes: text.length, error };
  };
  /** Writes a body, again while the server asks for patience; answers with its milliseconds. */
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

/** Starts a server in a folder of its own: a side. */
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
    /** Seconds that its writes have waited for their answers. */
    writeSeconds: () => writeMs / 1000,
    line: () => line(side),
    /** The most memory of its servers so far, MB. */
    mostMb: () => (mostMb = Math.max(mostMb, peakMb(side.server.pid))),
    /** On the same data; a first query of another database has started what is not the engine. */
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

export const tidemarkSide = (label = 'Tidemark', vars = {}) =>
  begin((folder) => plain(folder, (of, token) => startWorkerd(of, token, { vars })), label);
export const influxdbSide = () => begin((folder) => influxdb(folder), 'InfluxDB');

/** A database whose only shard group holds all that the scenarios write. */
export async function create(side, db) {
  await sent(side, `CREATE DATABASE "${db}" WITH DURATION INF REPLICATION 1 SHARD DURATION 5200w`);
}

/** A statement that changes something, which 1.x takes as POST alone. */
export async function sent(side, q, db = '') {
  const body = new URLSearchParams({ q, db });
  const options = { method: 'POST', body, headers: side.server.headers };
  const reply = await fetch(`${side.server.url}/query`, options);
  const error = errorOf(reply.status, await reply.text());
  if (error) throw new Error(`${side.server.name}: ${q}: ${error}`);
}

/** Every body to every side, the sides beside each other. Answers with the seconds that it took. */
export async function load(sides, db, all) {
  const from = performance.now();
  for (const body of all) await Promise.all(sides.map((side) => side.write(db, body)));
  return (performance.now() - from) / 1000;
}

/** Waits until no server works on what it was given, at least `leastMs`. */
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

/** Counters of a database's shards, added up; nothing of InfluxDB. */
export async function counters(side, db) {
  const text = await side.must(db, "SHOW STATS FOR 'shard'");
  const series = JSON.parse(text).results[0].series ?? [];
  const sums = {};
  for (const one of series.filter(({ tags }) => tags.database === db)) {
    one.columns.forEach((name, i) => (sums[name] = (sums[name] ?? 0) + one.values[0][i]));
  }
  return { ...sums, shards: series.filter(({ tags }) => tags.database === db).length };
}

/** MB of a line of a process's status (Linux). */
function statusMb(pid, name) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kb = status.split('\n').find((text) => text.startsWith(`${name}:`));
  return (parseInt(kb.slice(name.length + 1), 10) * 1024) / 1e6;
}

/** MB that a process holds. */
export const residentMb = (pid) => statusMb(pid, 'VmRSS');

/** MB that a process held at most. */
const peakMb = (pid) => statusMb(pid, 'VmHWM');

/** Stops all of them, whatever one has to say about it. */
export async function stopSides(sides) {
  const stopped = await Promise.allSettled(sides.map((side) => side.stop()));
  for (const result of stopped) if (result.status === 'rejected') console.error(result.reason);
}
