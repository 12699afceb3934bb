// Starts the servers that the benchmarks measure. Each server is `{ name, url, pid, folder,
// headers, stop }`. `stop` deletes the data of the server, unless the caller provided the folder.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { freePort, startServer } from '../scripts/dev-server.mjs';
import { startNative } from '../scripts/native.mjs';
import { startWorkerd } from '../tests/edge/workerd.mjs';
import { startInfluxd } from '../tests/record/influxd.mjs';

export const token = 'token-of-the-benchmarks';
export const headers = { Authorization: `Token ${token}` };

/**
 * The header that disables compression. By default, Node's client requests compression, which takes
 * longer than the query.
 */
export const unpacked = { 'accept-encoding': 'identity' };

const newFolder = () => mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
const remove = (folder) => rmSync(folder, { recursive: true, force: true });

/**
 * Starts Tidemark with `wrangler dev`. With `kept`, the server uses this folder, so that it can be
 * restarted with the same data. `script` replaces the Worker. `sql` is the configuration of a SQL
 * Worker.
 */
export async function tidemark(node, kept = undefined, { script = undefined, sql = undefined } = {}) {
  const folder = kept ?? newFolder();
  const envFile = join(folder, 'secrets');
  writeFileSync(envFile, `ADMIN_TOKEN=${token}\n`);
  const stateDir = join(folder, 'state');
  const start = async () => startServer({ node, port: await freePort(), stateDir, envFile, script, sql });
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
    headers,
    restart: async () => {
      await server.stop();
      server = await start();
    },
    stop: async () => {
      await server.stop();
      if (!kept) remove(folder);
    },
  };
}

/** Starts Tidemark on plain workerd. `start(folder, token)` may start another program instead. */
export async function plain(kept = undefined, start = startWorkerd) {
  const folder = kept ?? newFolder();
  const server = await start(folder, token);
  const stop = async () => {
    await server.stop();
    if (!kept) remove(folder);
  };
  return { ...server, name: 'workerd', headers, stop };
}

/** `vars` are settings. */
export async function native(kept = undefined, { vars = {} } = {}) {
  const folder = kept ?? newFolder();
  const data = join(folder, 'native');
  const options = { port: await freePort(), data, vars, secret: token, profile: 'native' };
  const { url, child, stop: end } = await startNative(options);
  const stop = async () => {
    await end();
    if (!kept) remove(folder);
  };
  return { name: 'native', url, pid: child.pid, folder: data, headers, stop };
}

/** Returns whether InfluxDB is installed. If not, prints a line. */
export function hasInfluxdb() {
  const missing = spawnSync('influxd', ['version'], { stdio: 'ignore' }).error;
  if (missing) console.log('skipped: InfluxDB (Debian package influxdb is not installed)');
  return !missing;
}

/** Starts InfluxDB with the series index `tsi1`, which supports a million series. */
export async function influxdb(kept = undefined) {
  const server = await startInfluxd('tsi1', kept);
  const { url, pid, directory } = server;
  // InfluxDB must end when this process ends.
  const end = () => process.kill(pid, 'SIGKILL');
  process.on('exit', end);
  const stop = async () => {
    await server.stop();
    process.off('exit', end);
  };
  return { name: 'InfluxDB', url, pid, folder: directory, headers: {}, stop };
}

/** Returns whether VictoriaMetrics is installed. If not, prints a line. */
export function hasVictoriaMetrics() {
  const missing = spawnSync('victoria-metrics', ['--version'], { stdio: 'ignore' }).error;
  if (missing) console.log('skipped: VictoriaMetrics (Debian package victoria-metrics is not installed)');
  return !missing;
}

/**
 * Starts VictoriaMetrics. It stores each field of a measurement as a separate series, with times in
 * milliseconds.
 */
export async function victoriaMetrics() {
  const folder = newFolder();
  const address = `127.0.0.1:${await freePort()}`;
  const options = [`-httpListenAddr=${address}`, `-storageDataPath=${join(folder, 'data')}`, '-retentionPeriod=100y'];
  const child = spawn('victoria-metrics', options, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const end = () => child.kill('SIGKILL');
  process.on('exit', end);
  const stop = async () => {
    end();
    await ended;
    process.off('exit', end);
    remove(folder);
  };
  const url = `http://${address}`;
  for (let tries = 0; !(await fetch(`${url}/health`).catch(() => null))?.ok; tries += 1) {
    if (tries > 200 || child.exitCode !== null) {
      await stop();
      throw new Error('VictoriaMetrics does not answer');
    }
    await delay(50);
  }
  return { name: 'VictoriaMetrics', url, pid: child.pid, folder, headers: {}, stop };
}

/** Starts all servers in parallel. If one does not start, stops the others. */
export async function startAll(starters) {
  const targets = [];
  try {
    for (const start of starters) targets.push(await start());
  } catch (error) {
    await stopAll(targets);
    throw error;
  }
  return targets;
}

export async function stopAll(targets) {
  const stopped = await Promise.allSettled(targets.map((target) => target.stop()));
  for (const { reason } of stopped) if (reason) console.error(reason);
}

/** Runs a statement. Throws on every error. */
export async function ask(target, db, q) {
  const body = new URLSearchParams({ q, db });
  const signal = AbortSignal.timeout(120_000);
  const options = { method: 'POST', body, headers: target.headers, signal };
  const send = () => fetch(`${target.url}/query`, options);
  // Sends the request twice if necessary, because the server may have closed an idle connection.
  const text = await (await send().catch(send)).text();
  const { error, results } = JSON.parse(text);
  const failed = error ?? results[0].error;
  if (failed) throw new Error(`${target.name}: ${failed}`);
  return text;
}

/**
 * Reads a whole response. Returns its duration in seconds, the milliseconds until the first byte,
 * and the number of bytes.
 */
export async function wholeAnswer(target, path, headers = {}) {
  const from = performance.now();
  const response = await fetch(target.url + path, { headers: { ...target.headers, ...unpacked, ...headers } });
  let [bytes, firstMs] = [0, 0];
  for await (const piece of response.body) {
    if (bytes === 0) firstMs = performance.now() - from;
    bytes += piece.length;
  }
  if (response.status !== 200) throw new Error(`${target.name}: ${path}: ${response.status}`);
  return { seconds: (performance.now() - from) / 1_000, firstMs, bytes };
}
