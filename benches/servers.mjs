// The servers that are measured: Tidemark on `wrangler dev`, on plain workerd and by `tidemark serve`, and InfluxDB.
//
// Each is `{ name, url, pid, folder, headers, stop }`; its data are removed when it stops, unless
// it was given the folder that they are kept in.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort, startServer } from '../scripts/dev-server.mjs';
import { stagedPackage } from '../scripts/package.mjs';
import { endGroup, startGroup } from '../scripts/processes.mjs';
import { startInfluxd } from '../tests/record/influxd.mjs';
import { startWorkerd } from './workerd.mjs';

/** Of the column and the rows of `tidemark serve`. */
export const serveName = 'workerd by serve';

const token = 'token-of-the-benchmarks';
const headers = { Authorization: `Token ${token}` };

/** For a client that fetches large answers: Node's asks for them packed, which takes longer than to make them. */
export const unpacked = { 'accept-encoding': 'identity' };

const newFolder = () => mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
const remove = (folder) => rmSync(folder, { recursive: true, force: true });

/** `npm start`'s way; it can be restarted on the same data too. `script` replaces the Worker. */
export async function tidemark(node, kept = undefined, script = undefined) {
  const folder = kept ?? newFolder();
  const envFile = join(folder, 'secrets');
  writeFileSync(envFile, `ADMIN_TOKEN=${token}\n`);
  const stateDir = join(folder, 'state');
  const start = async () => startServer({ node, port: await freePort(), stateDir, envFile, script });
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

/** The built Worker on plain workerd; `start(folder, token)` may start something else there. */
export async function plain(kept = undefined, start = startWorkerd) {
  const folder = kept ?? newFolder();
  const server = await start(folder, token);
  const stop = async () => {
    await server.stop();
    if (!kept) remove(folder);
  };
  return { ...server, name: 'workerd', headers, stop };
}

/** Put together once: a server may run from it. @type {Promise<string> | undefined} */
let staged;

/** The npm package's `tidemark serve`: workerd with the console in front, and Node that looks after it. */
export async function served(kept = undefined, words = []) {
  const folder = kept ?? newFolder();
  staged ??= stagedPackage();
  const program = join(await staged, 'bin', 'tidemark.mjs');
  const [port, stateDir] = [await freePort(), join(folder, 'served')];
  const env = { ...process.env, ADMIN_TOKEN: token, LOG_REQUESTS: 'none' };
  const line = [program, 'serve', '--port', String(port), '--data', stateDir, ...words];
  const child = startGroup(process.execPath, line, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((started, failed) => {
    child.stdout.on('data', (piece) => String(piece).includes('"event":"started"') && started(undefined));
    child.ended.then(() => failed(new Error('tidemark serve ended before it answered')));
  });
  const stop = async () => {
    await endGroup(child);
    if (!kept) remove(folder);
  };
  return { name: serveName, url: `http://127.0.0.1:${port}`, pid: child.pid, folder: stateDir, headers, stop };
}

/** Whether there is a peer; says so if there is none. */
export function hasInfluxdb() {
  const missing = spawnSync('influxd', ['version'], { stdio: 'ignore' }).error;
  if (missing) console.log('skipped: InfluxDB (Debian package influxdb is not installed)');
  return !missing;
}

/** InfluxDB with the index that holds a million series. */
export async function influxdb(kept = undefined) {
  const server = await startInfluxd('tsi1', kept);
  const { url, pid, directory } = server;
  // Nobody else ends it when this process is ended.
  const end = () => process.kill(pid, 'SIGKILL');
  process.on('exit', end);
  const stop = async () => {
    await server.stop();
    process.off('exit', end);
  };
  return { name: 'InfluxDB', url, pid, folder: directory, headers: {}, stop };
}

/** Starts all of them, or none: what started is stopped when one does not. */
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

/** Stops all of them, whatever one of them has to say about it. */
export async function stopAll(targets) {
  const stopped = await Promise.allSettled(targets.map((target) => target.stop()));
  for (const { reason } of stopped) if (reason) console.error(reason);
}

/** What a statement answers, as text; an error of any kind is thrown. */
export async function ask(target, db, q) {
  const body = new URLSearchParams({ q, db });
  const signal = AbortSignal.timeout(120_000);
  const options = { method: 'POST', body, headers: target.headers, signal };
  const send = () => fetch(`${target.url}/query`, options);
  // A connection that was kept over a pause may have been closed.
  const text = await (await send().catch(send)).text();
  const { error, results } = JSON.parse(text);
  const failed = error ?? results[0].error;
  if (failed) throw new Error(`${target.name}: ${failed}`);
  return text;
}

/** Seconds, milliseconds to the first byte, and bytes of a large answer, which is thrown away. */
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
