// Tests damaged bytes in storage: one flipped byte in each kind of row, and a truncated SQLite log.
// A query that needs the damaged bytes fails, and its error describes the damage. The results of
// other queries do not change.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';

import { begin, pointsFrom } from './fault_hooks.mjs';

/** Returns the folder in which the local runtime stores each Shard object as a file. */
function shards(server) {
  const folder = join(server.folder, 'plain');
  const name = readdirSync(folder).find((entry) => /Shard$/.test(entry));
  return join(folder, name);
}

function flip(file, table, column) {
  const sqlite = new DatabaseSync(file);
  const query = `SELECT key, ${column} AS bytes FROM ${table} ORDER BY key DESC LIMIT 1`;
  const { key, bytes } = sqlite.prepare(query).get();
  bytes[Math.floor(bytes.length / 2)] ^= 4;
  sqlite.prepare(`UPDATE ${table} SET ${column} = ? WHERE key = ?`).run(bytes, key);
  sqlite.close();
}

async function ask(server, q, name) {
  const body = new URLSearchParams({ q, db: name, epoch: 'ns' });
  const response = await server.fetch('/query', { method: 'POST', body });
  const answer = await response.json();
  const error = answer.error ?? answer.results[0].error;
  assert.ok(error !== undefined || response.status === 200);
  return error ?? answer.results[0].series?.[0].values ?? [];
}

/**
 * The kinds of rows in which the test flips one byte. The test first writes measurement `a` and
 * then measurement `b`. After the flip, `aIsFine` is whether a query of `a` succeeds. A query of
 * `b` must return an error that matches `name`, or succeed if `name` is null.
 */
const kinds = [
  { table: 'value', column: 'body', flushed: true, aIsFine: true, name: /value row \d+: block at/ },
  { table: 'value', column: 'head', flushed: true, aIsFine: false, name: /value row \d+: / },
  { table: 'state', column: 'head', flushed: true, aIsFine: false, name: /state row/ },
  { table: 'state', column: 'body', flushed: true, aIsFine: false, name: /manifest/ },
  { table: 'schema', column: 'head', flushed: true, aIsFine: true, name: null },
  // These entries must be last, because the flush for another entry would also flush their rows.
  { table: 'wal', column: 'body', flushed: false, aIsFine: true, name: /WAL frame 2/ },
  { table: 'wal', column: 'head', flushed: false, aIsFine: true, name: /WAL row 1/ },
];

test('a flipped byte in each kind of row is reported, and affects only requests that need the row', async (t) => {
  const it = await begin(t);
  const { server } = it;
  const rows = (first) => Array.from({ length: 30 }, (_, i) => [first + i, i * i]);
  const lines = (name, first) => rows(first).map(([time, v]) => `${name} v=${v}i ${time}`).join('\n');
  const files = [];
  for (const [number, kind] of kinds.entries()) {
    const name = `d${number}`;
    await server.query(`CREATE DATABASE ${name}`);
    await server.mustWrite(lines('a', 0), { db: name });
    if (kind.flushed) await it.alarm();
    await server.mustWrite(lines('b', 100), { db: name });
    if (kind.flushed) await it.alarm();
    const { loaded } = await it.hook();
    files.push(`${loaded.at(-1)}.sqlite`);
  }
  await server.stop();
  for (const [number, { table, column }] of kinds.entries()) {
    flip(join(shards(server), files[number]), table, column);
  }
  await server.start();
  // Between the rounds, background jobs move the unreadable rows out of the tables.
  for (const round of ['found', 'set aside']) {
    for (const [number, { table, column, aIsFine, name }] of kinds.entries()) {
      const what = `${table}.${column}, ${round}`;
      const answers = {};
      for (const m of ['a', 'b']) {
        answers[m] = await ask(server, `SELECT v FROM ${m}`, `d${number}`);
        const counts = await ask(server, `SELECT count(v) FROM ${m}`, `d${number}`);
        const isFine = m === 'a' ? aIsFine : name === null;
        if (isFine) {
          assert.deepEqual(answers[m], rows(m === 'a' ? 0 : 100), `${what}: ${m}`);
          assert.deepEqual(counts, [[0, 30]], what);
        } else {
          for (const answer of [answers[m], counts]) assert.match(String(answer), name, what);
        }
      }
      t.diagnostic(`${what}: ${typeof answers.b === 'string' ? answers.b : 'answered'}`);
    }
    await it.alarm();
    await it.alarm();
  }
  // A measurement without damage can still be written.
  for (const number of [0, 5, 6]) {
    await server.mustWrite('c v=1i 7', { db: `d${number}` });
    assert.deepEqual(await ask(server, 'SELECT v FROM c', `d${number}`), [[7, 1]]);
  }
});

test('a truncated SQLite log results in a prefix of the committed transactions', async (t) => {
  const it = await begin(t);
  const { server } = it;
  const batches = 40;
  for (let batch = 0; batch < batches; batch++) {
    assert.ok(await it.write(pointsFrom(batch * 20, 20, batch)));
  }
  await server.kill();
  const folder = shards(server);
  const name = readdirSync(folder).find((entry) => entry.endsWith('.sqlite') && entry.length > 60);
  const file = join(folder, name);
  const saved = [file, `${file}-wal`].map((path) => [path, readFileSync(path)]);
  const log = saved[1][1].length;
  const tear = (bytes) => {
    rmSync(`${file}-shm`, { force: true });
    for (const [path, content] of saved) writeFileSync(path, content);
    truncateSync(`${file}-wal`, bytes);
  };

  // Tests SQLite without the server, with a log that is truncated at every page and at other
  // offsets.
  const offsets = [];
  for (let bytes = 32; bytes <= log; bytes += 4096 + 24) offsets.push(bytes, bytes + (bytes % 4001));
  const copy = join(server.folder, 'torn.sqlite');
  let last = 0;
  for (const bytes of offsets.filter((offset) => offset <= log)) {
    tear(bytes);
    for (const end of ['', '-wal']) copyFileSync(`${file}${end}`, `${copy}${end}`);
    const sqlite = new DatabaseSync(copy);
    const tables = sqlite.prepare("SELECT 1 FROM sqlite_master WHERE name = 'wal'").all();
    const keys = tables.length ? sqlite.prepare('SELECT key FROM wal ORDER BY key').all() : [];
    sqlite.close();
    for (const end of ['', '-wal', '-shm']) rmSync(`${copy}${end}`, { force: true });
    assert.deepEqual(keys.map(({ key }) => key), Array.from(keys, (_, i) => i), `torn at ${bytes}`);
    assert.ok(keys.length >= last, 'more of the log, fewer rows');
    last = keys.length;
  }
  assert.equal(last, batches);

  // Tests the whole server with a log that is truncated at a few offsets.
  const survivors = [];
  for (const share of [0.35, 0.6, 0.85, 0.999]) {
    tear(Math.floor(log * share));
    await server.start();
    const found = await it.found();
    assert.equal(found.size % 20, 0, 'a torn batch');
    const expected = [...it.ledger].filter(([time]) => time < found.size).sort(([a], [b]) => a - b);
    assert.deepEqual([...found], expected, 'not the first batches');
    survivors.push(found.size / 20);
    await server.kill();
  }
  t.diagnostic(`torn at ${offsets.length} offsets; ${survivors} of ${batches} batches survived`);
  assert.ok(survivors[0] > 0 && survivors[0] < survivors[3] && survivors[3] < batches);
  tear(log);
  await server.start();
  await it.check('the whole log');
});
