// Measures backups with the native host: a load, a backup, a second backup after a small load, a
// verification and a restore. Reports seconds, bytes, objects and rows. `--mb N` sets the size of
// the stored data in MB; the default is 10.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { ask, native } from './servers.mjs';

const pointsPerBody = 5_000;
/** A shard flushes its rows after this pause. */
const restMs = 15_000;
const mb = 1_000_000;
/** The number of request bodies between two checks of the stored size. */
const bodiesPerLook = 20;

/** Yields numbers that no codec can compress. The sequence is the same in every run. */
function* noise() {
  for (let state = 0x9e3779b97f4a7c15n; ; ) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    yield Number(state >> 12n);
  }
}

/** The points have ten series with two fields each. A stored point takes about fourteen bytes. */
function* bodies() {
  const numbers = noise();
  for (let at = 0; ; at += pointsPerBody) {
    const lines = Array.from({ length: pointsPerBody }, (_, n) => {
      const time = 1_700_000_000_000 + (at + n) * 100;
      return `m,host=h${(at + n) % 10} f=${numbers.next().value / 2 ** 26},i=${at + n}i ${time}`;
    });
    yield lines.join('\n');
  }
}

async function must(target, path, init = {}) {
  const response = await fetch(`${target.url}${path}`, { ...init, headers: { ...target.headers, ...init.headers } });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

/** Repeats a request while the status is 202. Resolves to the last response, with all sums. */
async function finish(target, method, path) {
  const sums = { objects: 0, values: 0, bytes: 0, damaged: [] };
  for (let last = null; ; ) {
    const response = await must(target, path(last), { method });
    last = await response.json();
    for (const name of ['objects', 'values', 'bytes']) sums[name] += last[name] ?? 0;
    sums.damaged.push(...(last.damaged ?? []));
    if (response.status !== 202) return { ...last, ...sums };
  }
}

async function shards(target, db) {
  const { results } = JSON.parse(await ask(target, db, `SHOW STATS ON ${db}`));
  const all = (results[0].series ?? []).filter(({ name }) => name === 'shard');
  const sum = (column) => all.reduce((total, { columns, values }) => total + values[0][columns.indexOf(column)], 0);
  return { diskBytes: sum('diskBytes'), points: sum('writePointsOk'), rowsRead: sum('rowsRead'), rowsWritten: sum('rowsWritten') };
}

async function load(target, db, source, bytes) {
  for (;;) {
    for (let n = 0; n < bodiesPerLook; n += 1) {
      await must(target, `/write?db=${db}&precision=ms`, { method: 'POST', body: source.next().value });
    }
    if ((await shards(target, db)).diskBytes >= bytes) return;
  }
}

function bytesOf(folder) {
  let bytes = 0;
  let files = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    bytes += statSync(join(entry.parentPath, entry.name)).size;
    files += 1;
  }
  return { bytes, files };
}

const row = (cells) => console.log(`| ${cells.join(' | ')} |`);

async function measured(target, db, name, work) {
  const before = await shards(target, db);
  const start = process.hrtime.bigint();
  const { objects = 0, values = 0, bytes, ...rest } = await work();
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const after = await shards(target, db);
  const rate = (bytes / mb / seconds).toFixed(1);
  row([name, seconds.toFixed(1), (bytes / mb).toFixed(1), rate, objects || values, after.rowsRead - before.rowsRead, after.rowsWritten - before.rowsWritten]);
  return rest;
}

/** @param {{ mb?: number }} options the size of the stored data in MB */
export async function backup({ mb: wanted = 10 } = {}) {
  const target = await native(undefined, { backups: true });
  const done = (method, path) => finish(target, method, path);
  try {
    await ask(target, '', 'CREATE DATABASE a');
    const source = bodies();
    await load(target, 'a', source, wanted * mb);
    await delay(restMs);
    const { diskBytes, points } = await shards(target, 'a');
    console.log(`${points} points, ${(diskBytes / mb).toFixed(1)} MB at rest\n`);
    row(['step', 'seconds', 'MB', 'MB/s', 'objects', 'rows read', 'rows written']);
    row(['---', '--:', '--:', '--:', '--:', '--:', '--:']);
    await measured(target, 'a', 'backup', () => done('POST', () => '/api/v3/backup?db=a'));
    await measured(target, 'a', 'backup again, nothing new', () => done('POST', () => '/api/v3/backup?db=a'));
    await load(target, 'a', source, 0);
    await delay(restMs);
    const { id } = await measured(target, 'a', `backup after ${bodiesPerLook * pointsPerBody} points`, () => done('POST', () => '/api/v3/backup?db=a'));
    const resume = (last) => (last?.resume ? `&resume=${last.resume}` : '');
    const checked = await measured(target, 'a', 'verify', () => done('POST', (last) => `/api/v3/backup/verify?id=${id}${resume(last)}`));
    if (checked.damaged.length > 0) throw new Error(checked.damaged.join('\n'));
    await ask(target, '', 'CREATE DATABASE b');
    await measured(target, 'b', 'restore', () => done('POST', () => `/api/v3/restore?db=b&from=${id}`));
    const count = (db) => ask(target, db, 'SELECT count(f), sum(i) FROM m');
    const [own, copy] = [await count('a'), await count('b')];
    if (own !== copy) throw new Error(`the copy has ${copy}, not ${own}`);
    const { bytes, files } = bytesOf(join(target.folder, 'backups'));
    console.log(`\n${files} files with ${(bytes / mb).toFixed(1)} MB in the folder of backups; the copy answers as the original does.`);
  } finally {
    await target.stop();
  }
}
