// Bytes at rest and rows billed: what `SHOW STATS` and `EXPLAIN ANALYZE` say after five loads, beside
// the folders of an InfluxDB that got the same bytes.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { slice } from './ingest.mjs';
import { month, shapes } from './shapes.mjs';

const pointsPerBody = 5000;
const restMs = 15_000;

/** Bytes of the files below a folder whose path has `part` in it. */
function bytesOf(folder, part) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && path.includes(part)) bytes += statSync(path).size;
  }
  return bytes;
}

async function ask(target, db, q) {
  const body = new URLSearchParams({ q, db });
  const send = () => fetch(`${target.url}/query`, { method: 'POST', body, headers: target.headers });
  // A connection that was kept over the pause may have been closed.
  const reply = await send().catch(send);
  const answer = await reply.json();
  const error = answer.error ?? answer.results[0].error;
  if (error) throw new Error(`${target.name}: ${error}`);
  return answer.results[0].series ?? [];
}

/** The counters of a database's only shard, and the name of its object. */
async function shard(target, db) {
  const all = await ask(target, db, "SHOW STATS FOR 'shard'");
  const found = all.find((series) => series.tags.database === db);
  const counters = found.columns.map((column, i) => [column, found.values[0][i]]);
  return { ...Object.fromEntries(counters), object: found.tags.path };
}

async function load(target, db, bodies) {
  await ask(target, '', `CREATE DATABASE ${db}`);
  await slice(target, db, bodies, { connections: 2, pointsPerBody });
}

/** Batches, and the field values in them. */
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

/** Prints the table of the five shapes. `peer` may be null. */
export async function atRest(tidemark, peer) {
  console.log('at rest, 15 s after the last write; bytes per field value');
  console.log('shape           values   Tidemark    file  InfluxDB    aim  rows written per million');
  for (const [name, aim, count, make] of shapes) {
    const db = `rest_${name.replaceAll(' ', '_')}`;
    const { bodies, values } = taken(make(), count);
    for (const target of [tidemark, peer].filter(Boolean)) await load(target, db, bodies);
    await delay(restMs);
    const stats = await shard(tidemark, db);
    const file = bytesOf(tidemark.folder, `${stats.object}.sqlite`);
    const theirs = peer ? (bytesOf(peer.folder, `/${db}/`) / values).toFixed(2) : '-';
    const million = (stats.rowsWritten / (count * pointsPerBody)) * 1e6;
    const ours = [stats.diskBytes / values, file / values].map((bytes) => bytes.toFixed(3));
    console.log(
      `${name.padEnd(14)} ${String(values).padStart(8)} ${ours[0].padStart(9)} ` +
        `${ours[1].padStart(8)} ${theirs.padStart(9)} ${String(aim).padStart(6)} ` +
        `${million.toFixed(0).padStart(8)}`,
    );
  }
}

/** Prints the rows that one series over one hour reads of thirty days of a hundred series. */
export async function rowsRead(tidemark) {
  await load(tidemark, 'month', taken(month(), 173).bodies);
  const hour = "time >= '2016-01-15T00:00:00Z' AND time < '2016-01-15T01:00:00Z'";
  const q = `EXPLAIN ANALYZE SELECT usage_user FROM cpu WHERE hostname = 'host_42' AND ${hour}`;
  const read = async () => {
    const [tree] = await ask(tidemark, 'month', q);
    const line = tree.values.flat().find((text) => text.includes('storage_rows_read'));
    return Number(line.split(': ')[1]);
  };
  const awake = await read();
  const again = await read();
  await tidemark.restart();
  const cold = await read();
  console.log(
    `rows read by one series over one hour of a month of 100 series: ${awake} awake, ` +
      `${again} once more, ${cold} in an object that has to wake up (aim: at most 40 awake)`,
  );
}
