// Tests that a drop frees the disk space. No object of the dropped database still contains its
// tables, its pages or its text.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';

import { begin } from './fault_hooks.mjs';

/** Returns the files of all objects of a kind, without the runtime's list of objects. */
function files(server, kind) {
  const folder = join(server.folder, 'plain');
  const of = readdirSync(folder).find((entry) => entry.endsWith(kind));
  const names = readdirSync(join(folder, of));
  return names.filter((name) => !name.startsWith('metadata')).map((name) => join(folder, of, name));
}

/**
 * Returns the id of an object from the name of its file. Each object has a database file and, while
 * it is open, a log file.
 */
const objectOf = (file) => basename(file).split('.')[0];

/**
 * Returns the total size of the files, and those of the `words` that occur in any file. Ignores the
 * files of the objects in `kept`.
 */
function stored(server, kind, words, kept = new Set()) {
  const all = files(server, kind);
  const contents = all.map((file) => readFileSync(file));
  const others = all.filter((file) => !kept.has(objectOf(file)));
  const bytes = others.reduce((sum, file) => sum + statSync(file).size, 0);
  return { bytes, words: words.filter((word) => contents.some((content) => content.includes(word))) };
}

test('the storage of a dropped policy and of a dropped database is deleted', async (t) => {
  const it = await begin(t, { DEFAULT_SHARDS: '2' });
  const { server } = it;
  await server.query('CREATE DATABASE doomed');
  await server.query('CREATE RETENTION POLICY brief ON doomed DURATION INF REPLICATION 1');
  const words = ['kept_word', 'brief_word', 'doomed_word'];
  // The text cannot be compressed. Each line contains the given word.
  const lines = (word) =>
    Array.from({ length: 2_000 }, (_, i) => {
      const text = Array.from({ length: 9 }, (_, n) => ((i * 9 + n) * 2654435761) % 2 ** 32);
      return `m,host=h${i % 7} s="${word} ${text.join(' ')}" ${i}`;
    }).join('\n');
  await server.mustWrite(lines('kept_word'), { db: 'faults' });
  await server.mustWrite(lines('brief_word'), { db: 'doomed', rp: 'brief' });
  await server.mustWrite(lines('doomed_word'), { db: 'doomed' });
  await it.alarm();
  await server.mustWrite(lines('doomed_word').slice(0, 20_000).replace(/\n[^\n]*$/, ''), { db: 'doomed' });
  const holders = files(server, 'Shard').filter((file) => readFileSync(file).includes('kept_word'));
  const kept = new Set(holders.map(objectOf));
  const shards = () => stored(server, 'Shard', words, kept);
  const before = shards();
  assert.deepEqual(before.words, words, 'the test sees what is stored');

  // One minute later, the alarm deletes the dropped data.
  const pass = async () => {
    for (let turn = 0; turn < 3; turn++) {
      for (const kind of ['Catalog', 'Database', 'Shard']) await it.alarm({ alarm: kind });
    }
  };
  await server.query('DROP RETENTION POLICY brief ON doomed');
  await pass();
  const afterPolicy = shards();
  assert.deepEqual(afterPolicy.words, ['kept_word', 'doomed_word']);
  await server.query('DROP DATABASE doomed');
  await pass();
  assert.deepEqual(stored(server, 'Database', ['doomed', 'brief']).words, []);
  const afterDatabase = shards();
  assert.deepEqual(afterDatabase.words, ['kept_word']);
  await server.stop();
  const atRest = shards();
  assert.deepEqual(atRest.words, ['kept_word']);
  t.diagnostic(`Shard files: ${[before, afterPolicy, afterDatabase, atRest].map((at) => at.bytes)} bytes`);
  assert.ok(atRest.bytes < before.bytes * 0.5, `${before.bytes} before, ${atRest.bytes} after`);
  await server.start();
  const rows = await server.rows('SELECT count(s) FROM m', { db: 'faults' });
  assert.deepEqual(rows, [['1970-01-01T00:00:00Z', 2_000]]);
});
