// Measures the stored bytes and the billed rows of five loads, with `SHOW STATS` and `EXPLAIN
// ANALYZE`. Also measures the folders of an InfluxDB with the same data.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { slice } from './ingest.mjs';
import { circumstances, record } from './results.mjs';
import { ask } from './servers.mjs';
import { month, shapes } from './shapes.mjs';

const pointsPerBody = 5000;
const restMs = 15_000;

/**
 * The size of a block in the result of `stat`. The benchmark counts allocated blocks, because
 * InfluxDB preallocates files.
 */
const blockBytes = 512;

/** Returns the allocated bytes of the files whose paths contain `part`. */
function bytesOf(folder, part) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && path.includes(part)) bytes += statSync(path).blocks * blockBytes;
  }
  return bytes;
}

async function series(target, db, q) {
  return JSON.parse(await ask(target, db, q)).results[0].series ?? [];
}

async function shard(target, db) {
  const all = await series(target, db, "SHOW STATS FOR 'shard'");
  const found = all.find((one) => one.tags.database === db);
  const counters = found.columns.map((column, i) => [column, found.values[0][i]]);
  return { ...Object.fromEntries(counters), object: found.tags.path };
}

async function load(target, db, bodies) {
  await ask(target, '', `CREATE DATABASE ${db}`);
  await slice(target, db, bodies, { connections: 2, pointsPerBody });
}

/** Returns the batches of a shape, and the number of field values in all batches. */
function taken(generator, count) {
  const bodies = [];
  let values = 0;
  for (let i = 0; i < count; i++) {
    const next = generator.next().value;
    bodies.push(next.body);
    values += next.values;
  }
  return { bodies, values };
}

const head = [
  'shape', 'values', 'bytes per value', 'file', 'InfluxDB', 'ratio', 'aim', 'rows written per million',
];

function print(cells) {
  const widths = [16, 10, 17, 8, 10, 8, 6, 26];
  console.log(cells.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(16))).join(''));
}

/** Runs the shapes whose names contain a text of `only`. Writes a complete table to RESULTS.md. */
export async function atRest(tidemark, peer, { only = [] } = {}) {
  const rows = [];
  print(head);
  const isWanted = ([name]) => only.length === 0 || only.some((text) => name.includes(text));
  const wanted = shapes.filter(isWanted);
  for (const [name, aim, count, make] of wanted) {
    const db = `rest_${name.replaceAll(' ', '_')}`;
    const { bodies, values } = taken(make(), count);
    for (const target of [tidemark, peer].filter(Boolean)) await load(target, db, bodies);
    await delay(restMs);
    const stats = await shard(tidemark, db);
    const ours = stats.diskBytes / values;
    const file = bytesOf(tidemark.folder, `${stats.object}.sqlite`) / values;
    const theirs = peer && bytesOf(peer.folder, `/${db}/`) / values;
    const million = (stats.rowsWritten / (count * pointsPerBody)) * 1e6;
    const beside = peer ? [theirs.toFixed(2), (theirs / ours).toFixed(2)] : ['', ''];
    const cells = [name, values, ours.toFixed(3), file.toFixed(3), ...beside, aim, million.toFixed(0)];
    rows.push(cells.map(String));
    print(rows.at(-1));
  }
  if (!peer) return;
  const notes = [
    ...circumstances(),
    '`npm run bench -- rest`: two connections wrote batches of 5,000 points, and the sizes were read 15 s after ' +
      'the last write',
    'The bytes per field value come from `diskBytes` of SHOW STATS, from the file of the shard, and from InfluxDB’s ' +
      'folders of the database. The ratio is InfluxDB ÷ Tidemark. The rows written are `rowsWritten` of SHOW STATS per ' +
      'million points, including flushes, merges and the end of the load.',
  ];
  const partial = wanted.length < shapes.length;
  record({ title: 'At rest', notes, head, rows, compared: ['ratio'], partial });
}

/** Measures a query that reads one series and one hour. The data is a month of a hundred series. */
export async function rowsRead(tidemark, partial) {
  // Restarts the server, because a loaded object already has the rows in memory. All shards of an
  // isolate share this memory.
  await tidemark.restart();
  await load(tidemark, 'month', taken(month(), 173).bodies);
  const hour = "time >= '2016-01-15T00:00:00Z' AND time < '2016-01-15T01:00:00Z'";
  const q = `EXPLAIN ANALYZE SELECT usage_user FROM cpu WHERE hostname = 'host_42' AND ${hour}`;
  const read = async () => {
    const [tree] = await series(tidemark, 'month', q);
    const line = tree.values.flat().find((text) => text.includes('storage_rows_read'));
    return Number(line.split(': ')[1]);
  };
  const awake = await read();
  const again = await read();
  await tidemark.restart();
  const cold = await read();
  const rows = [
    ['awake, first query', awake, 40],
    ['awake, once more', again, 40],
    ['waking up (the log is replayed)', cold, ''],
  ].map((row) => row.map(String));
  const head = ['one series, one hour, of 30 days of 100 series', 'SQLite rows read', 'aim: at most'];
  for (const row of [head, ...rows]) {
    console.log(row.map((cell, i) => (i ? cell.padStart(18) : cell.padEnd(48))).join(''));
  }
  const notes = [...circumstances(), '`npm run bench -- rest`: `storage_rows_read` of EXPLAIN ANALYZE'];
  record({ title: 'Rows read', notes, head, rows, partial });
}
