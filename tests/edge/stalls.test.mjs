// Uploads that stall, readers that do not read, and clients that vanish stop no other database.

import assert from 'node:assert/strict';
import { get, request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { tidemark, token } from './harness.mjs';

const authorization = `Token ${token}`;

/** An upload that announces `announced` bytes, sends `bytes` of noise and then stalls. */
function stall(server, db, { announced, bytes }) {
  const headers = { authorization, 'content-encoding': 'gzip', 'content-length': announced };
  const upload = request(`${server.url}/write?db=${db}`, { method: 'POST', headers });
  upload.on('error', () => {});
  upload.answer = new Promise((resolve) => {
    upload.on('response', (response) => {
      response.resume();
      resolve([response.statusCode, response.headers['retry-after']]);
    });
  });
  upload.write(Buffer.alloc(bytes, 7));
  return upload;
}

/** A batch of lines of about so many bytes, from a time on. */
const lines = (bytes, from = 0) => {
  const line = `m s="${'x'.repeat(990)}" `;
  return Array.from({ length: bytes / 1000 }, (_, i) => line + (from + i)).join('\n');
};

test('stalled uploads of one database keep no other from writing', { timeout: 180_000 }, async (t) => {
  const server = await tidemark(t);
  await server.query('CREATE DATABASE noisy WITH DURATION INF; CREATE DATABASE quiet WITH DURATION INF');
  const uploads = [];
  t.after(() => uploads.forEach((upload) => upload.destroy()));

  // What is announced takes nothing.
  for (let i = 0; i < 8; i++) uploads.push(stall(server, 'noisy', { announced: 10_000_000, bytes: 1000 }));
  await sleep(500);
  await server.mustWrite(lines(5e6), { db: 'quiet', precision: 's' });

  // What came takes all there is: a neighbour gets what it needs, and who stalls for longest is told.
  for (let i = 0; i < 4; i++) uploads.push(stall(server, 'noisy', { announced: 10_000_000, bytes: 9_990_000 }));
  await sleep(1500);
  const began = Date.now();
  for (let i = 0; i < 5; i++) await server.mustWrite(lines(5e6), { db: 'quiet', precision: 's' });
  t.diagnostic(`five neighbouring batches of 5 MB took ${Date.now() - began} ms`);
  const told = await Promise.race([...uploads.map((upload) => upload.answer), sleep(5000)]);
  assert.deepEqual(told, [503, '1']);
});

test('clients that vanish leave nothing reserved', { timeout: 180_000 }, async (t) => {
  const server = await tidemark(t);
  await server.query('CREATE DATABASE noisy WITH DURATION INF');
  const body = lines(8e6);
  for (let i = 0; i < 12; i++) {
    const headers = { authorization, 'content-length': body.length };
    const upload = request(`${server.url}/write?db=noisy&precision=s`, { method: 'POST', headers });
    upload.on('error', () => {});
    // All of it is sent; some go before it was read, some before it is answered.
    await new Promise((resolve) => upload.end(body, resolve));
    await sleep(i * 20);
    upload.destroy();
  }
  await sleep(500);
  await server.mustWrite(lines(24e6), { db: 'noisy', precision: 's' });
});

test('readers that take nothing keep no other from reading', { timeout: 300_000 }, async (t) => {
  const server = await tidemark(t);
  await server.query('CREATE DATABASE noisy WITH DURATION INF; CREATE DATABASE quiet WITH DURATION INF');
  for (const db of ['noisy', 'quiet']) {
    // Far more than what lies between the server and a reader takes up.
    for (let at = 0; at < 60_000; at += 10_000) {
      await server.mustWrite(lines(10e6, at), { db, precision: 's' });
    }
  }
  const headers = { authorization };
  const search = (db) => new URLSearchParams({ db, q: 'SELECT s FROM m' });
  const ends = [];
  for (let i = 0; i < 16; i++) {
    const reader = await new Promise((resolve, reject) => {
      get(`${server.url}/query?${search('noisy')}`, { headers }, resolve).on('error', reject);
    });
    assert.equal(reader.statusCode, 200);
    // It takes nothing more: whatever ends it comes from the server.
    reader.pause();
    ends.push(reader);
    t.after(() => reader.destroy());
  }
  const whole = await (await server.fetch(`/query?${search('quiet')}`)).text();
  assert.ok(whole.length > 59e6 && whole.endsWith(']}]}]}\n'), whole.slice(-50));
  // The first of them was given up: its answer ends early.
  await sleep(2500);
  // All go on at once: whoever had to wait for its turn would be given up meanwhile, as it should.
  const finished = ends.map((reader) => {
    const over = new Promise((resolve) => {
      let end = '';
      reader.on('data', (piece) => (end = (end + piece.toString('latin1')).slice(-20)));
      reader.on('error', () => resolve(false));
      reader.on('close', () => resolve(end.endsWith(']}]}]}\n')));
    });
    reader.resume();
    return over;
  });
  const cut = (await Promise.all(finished)).filter((whole) => !whole).length;
  t.diagnostic(`${cut} of ${ends.length} slow readers were given up`);
  assert.ok(cut > 0 && cut < ends.length, `${cut} were cut`);
});
