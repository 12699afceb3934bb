// Tests that some clients do not block other databases: uploads that stall, clients that stop
// reading, and clients that disappear.

import assert from 'node:assert/strict';
import { get, request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { tidemark, token, WorkerHost } from './harness.mjs';

const authorization = `Token ${token}`;

/** Starts an upload whose Content-Length is `announced`, but sends only `bytes` bytes. */
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

/** Returns lines with a total size of about `bytes` bytes. The timestamps start at `from`. */
const lines = (bytes, from = 0) => {
  const line = `m s="${'x'.repeat(990)}" `;
  return Array.from({ length: bytes / 1000 }, (_, i) => line + (from + i)).join('\n');
};

test('stalled uploads to one database do not block writes to others', { timeout: 180_000 }, async (t) => {
  const server = await tidemark(t, {}, WorkerHost);
  await server.query('CREATE DATABASE noisy WITH DURATION INF; CREATE DATABASE quiet WITH DURATION INF');
  const uploads = [];
  t.after(() => uploads.forEach((upload) => upload.destroy()));

  // Announced bytes need no memory until they arrive.
  for (let i = 0; i < 8; i++) uploads.push(stall(server, 'noisy', { announced: 10_000_000, bytes: 1000 }));
  await sleep(500);
  await server.mustWrite(lines(5e6), { db: 'quiet', precision: 's' });

  // The server rejects the upload that has stalled longest, because the received bytes use all
  // memory.
  for (let i = 0; i < 4; i++) uploads.push(stall(server, 'noisy', { announced: 10_000_000, bytes: 9_990_000 }));
  await sleep(1500);
  const began = Date.now();
  for (let i = 0; i < 5; i++) await server.mustWrite(lines(5e6), { db: 'quiet', precision: 's' });
  t.diagnostic(`five neighbouring batches of 5 MB took ${Date.now() - began} ms`);
  const told = await Promise.race([...uploads.map((upload) => upload.answer), sleep(5000)]);
  assert.deepEqual(told, [503, '1']);
});

test('the memory reservations of clients that disappear are released', { timeout: 180_000 }, async (t) => {
  const server = await tidemark(t, {}, WorkerHost);
  await server.query('CREATE DATABASE noisy WITH DURATION INF');
  const body = lines(8e6);
  for (let i = 0; i < 12; i++) {
    const headers = { authorization, 'content-length': body.length };
    const upload = request(`${server.url}/write?db=noisy&precision=s`, { method: 'POST', headers });
    upload.on('error', () => {});
    // Some clients disconnect before the server has read the bytes, and others before the response.
    await new Promise((resolve) => upload.end(body, resolve));
    await sleep(i * 20);
    upload.destroy();
  }
  await sleep(500);
  await server.mustWrite(lines(24e6), { db: 'noisy', precision: 's' });
});

test('clients that do not read their responses do not block others', { timeout: 300_000 }, async (t) => {
  const server = await tidemark(t, {}, WorkerHost);
  await server.query('CREATE DATABASE noisy WITH DURATION INF; CREATE DATABASE quiet WITH DURATION INF');
  for (const db of ['noisy', 'quiet']) {
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
    // The client reads no more bytes, so only the server can end the response.
    reader.pause();
    ends.push(reader);
    t.after(() => reader.destroy());
  }
  const whole = await (await server.fetch(`/query?${search('quiet')}`)).text();
  assert.ok(whole.length > 59e6 && whole.endsWith(']}]}]}\n'), whole.slice(-50));
  // The server has aborted the first response, so the response is truncated.
  await sleep(2500);
  // The clients continue to read now, because the server would abort them later.
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
