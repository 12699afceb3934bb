// Results of any size stream in bounded memory, however slowly they are read and in whatever
// format. LONG_TESTS=1 reads three million rows, a gigabyte of JSON.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { get } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { tidemark, token } from './harness.mjs';

const rows = process.env.LONG_TESTS === '1' ? 3_000_000 : 700_000;
const rowsPerWrite = 20_000;
const text = 'x'.repeat(310);
/**
 * What a result may add to what the runtime holds already, whatever the result's size: garbage not
 * yet collected was seen to take 60 to 120 MB of it. The results are larger.
 */
const growthBytesMax = 180e6;
/** A slow reader takes so much at a time, and then looks away. */
const slowly = { bytes: 8e6, ms: 100 };

/** Resident bytes of the runtime's processes below `pid`. */
function residentBytes(pid) {
  const parents = new Map();
  for (const name of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const pages = Number(readFileSync(`/proc/${name}/statm`, 'utf8').split(' ')[1]);
      const isRuntime = stat.includes('(workerd)');
      parents.set(Number(name), { parent: Number(parent), bytes: isRuntime ? pages * 4096 : 0 });
    } catch {
      // It has ended meanwhile.
    }
  }
  const isBelow = (id) => id === pid || (parents.has(id) && isBelow(parents.get(id).parent));
  return [...parents].reduce((sum, [id, { bytes }]) => sum + (isBelow(id) ? bytes : 0), 0);
}

/** Reads an answer slowly: its status, length, end, and the most that the runtime held. */
async function read(server, params, accept) {
  const search = new URLSearchParams({ db: 'db', epoch: 's', ...params });
  const headers = { authorization: `Token ${token}`, accept };
  const response = await new Promise((resolve, reject) => {
    get(`${server.url}/query?${search}`, { headers }, resolve).on('error', reject);
  });
  let [bytes, looked, peak, end] = [0, 0, 0, Buffer.alloc(0)];
  for await (const piece of response) {
    bytes += piece.length;
    end = Buffer.concat([end, piece]).subarray(-300);
    if (bytes - looked > slowly.bytes) {
      looked = bytes;
      await sleep(slowly.ms);
      peak = Math.max(peak, residentBytes(server.server.child.pid));
    }
  }
  return { status: response.statusCode, bytes, end: end.toString('latin1'), peak };
}

test('a result of any size streams in bounded memory', { timeout: 900_000 }, async (t) => {
  const server = await tidemark(t);
  await server.query('CREATE DATABASE db WITH DURATION INF');
  for (let at = 0; at < rows; at += rowsPerWrite) {
    const lines = Array.from({ length: rowsPerWrite }, (_, i) => `m s="${text}" ${at + i}`);
    await server.mustWrite(lines.join('\n'), { db: 'db', precision: 's' });
  }
  await read(server, { q: 'SELECT s FROM m LIMIT 50000', chunked: 'true' }, 'application/json');
  const before = residentBytes(server.server.child.pid);
  assert.ok(before > 1e6, 'the runtime is found');
  const msgpack = 'application/x-msgpack';
  for (const [name, params, accept, ends] of [
    ['chunked JSON', { chunked: 'true' }, 'application/json', `${rows - 1},"${text}"]]}]}]}\n`],
    ['whole JSON', {}, 'application/json', `[${rows - 1},"${text}"]]}]}]}\n`],
    ['CSV', {}, 'application/csv', `,${rows - 1},${text}\n`],
    ['chunked MessagePack', { chunked: 'true' }, msgpack, text],
  ]) {
    const answer = await read(server, { q: 'SELECT * FROM m', ...params }, accept);
    const grown = answer.peak - before;
    t.diagnostic(
      `${name}: ${(answer.bytes / 1e6).toFixed(0)} MB, the runtime held ` +
        `${(answer.peak / 1e6).toFixed(0)} MB at the most, ${(grown / 1e6).toFixed(0)} more than before`,
    );
    assert.equal(answer.status, 200);
    assert.ok(answer.bytes > Math.max(rows * text.length, growthBytesMax), `${name}: ${answer.bytes} bytes`);
    assert.ok(answer.end.endsWith(ends.slice(-200)), `${name} ends with ${answer.end}`);
    assert.ok(grown < growthBytesMax, `${name}: ${grown} bytes more than before`);
  }
  // One document cannot be taken back piece by piece: it is refused, saying what to do.
  const whole = await read(server, { q: 'SELECT * FROM m' }, msgpack);
  assert.match(whole.end, /a MessagePack document holds at most 16000000 bytes: ask with chunked/);
});
