// Tests how a click in the explorer changes the query. Needs no browser.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { put } from '../../www/influxql/put.js';
import { startLexer } from '../../www/influxql/tokenize.js';

const engine = readFileSync(at('.cache', 'engine', 'tidemark_bg.wasm'));

const place = { measurement: 'room', policy: null };
const measurement = { kind: 'measurement', name: 'room', ...place };
const field = { kind: 'field', name: 'temp', ...place };
const tag = { kind: 'tag', name: 'floor', ...place };
const value = { kind: 'value', name: "2'nd", tag: 'floor', ...place };
const policy = { kind: 'policy', name: 'a week' };

/** The clicked item, and the query before and after the click. `|` marks the cursor. */
const clicks = [
  [measurement, '|', 'SELECT * FROM room| GROUP BY *'],
  [measurement, '-- note|', '-- note\nSELECT * FROM room| GROUP BY *'],
  [measurement, 'SELECT * FROM |', 'SELECT * FROM room|'],
  [measurement, 'SELECT * FROM weather LIMIT 100|', 'SELECT * FROM room| LIMIT 100'],
  [measurement, 'SELECT * FROM weather LIMIT 100;|', 'SELECT * FROM weather LIMIT 100;\nSELECT * FROM room| GROUP BY *'],
  [measurement, 'SELECT mean(x)|', 'SELECT mean(x) FROM room|'],
  [measurement, 'SELECT * FROM weather, |', 'SELECT * FROM weather, room|'],
  [measurement, 'SHOW DATABASES|', 'SHOW DATABASES;\nSELECT * FROM room| GROUP BY *'],
  [measurement, 'DROP MEASUREMENT wind|', 'DROP MEASUREMENT wind;\nSELECT * FROM room| GROUP BY *'],
  [measurement, 'SELECT x INTO y FROM m|', 'SELECT x INTO y FROM m;\nSELECT * FROM room| GROUP BY *'],
  [measurement, 'SELECT x FROM (SELECT y FROM m)|', 'SELECT x FROM (SELECT y FROM m);\nSELECT * FROM room| GROUP BY *'],
  [measurement, 'SELECT x FROM (SELECT y FROM |)', 'SELECT x FROM (SELECT y FROM room|)'],
  [measurement, 'SHOW TAG KEYS FROM m|', 'SHOW TAG KEYS FROM room|'],
  [{ ...measurement, policy: 'a week' }, '|', 'SELECT * FROM "a week".room| GROUP BY *'],
  [policy, 'SELECT * FROM |', 'SELECT * FROM "a week".|'],
  [policy, 'SELECT * FROM m|', 'SELECT * FROM m|'],
  [measurement, 'SELECT * FROM "a week".|', 'SELECT * FROM "a week".room|'],
  [field, '|', 'SELECT temp FROM room| GROUP BY *'],
  [field, 'SELECT | FROM room', 'SELECT temp| FROM room'],
  [field, 'SELECT * FROM "room" LIMIT 1|', 'SELECT temp| FROM "room" LIMIT 1'],
  [field, 'SELECT a FROM room LIMIT 1|', 'SELECT a, temp| FROM room LIMIT 1'],
  [field, 'SELECT mean(|) FROM room', 'SELECT mean(temp|) FROM room'],
  [field, 'SELECT mean(a) FROM room|', 'SELECT mean(a) FROM room;\nSELECT temp FROM room| GROUP BY *'],
  [field, 'SELECT * FROM room WHERE |', 'SELECT * FROM room WHERE temp|'],
  [field, 'SELECT * FROM wind|', 'SELECT * FROM wind;\nSELECT temp FROM room| GROUP BY *'],
  [tag, 'SELECT a FROM room LIMIT 1|', 'SELECT a FROM room GROUP BY floor| LIMIT 1'],
  [tag, 'SELECT a FROM room GROUP BY wing fill(0)|', 'SELECT a FROM room GROUP BY wing, floor| fill(0)'],
  [tag, 'SELECT a FROM room GROUP BY *|', 'SELECT a FROM room GROUP BY *|'],
  [tag, 'SELECT a FROM room WHERE | GROUP BY *', 'SELECT a FROM room WHERE floor| GROUP BY *'],
  [value, '|', "SELECT * FROM room| WHERE floor = '2\\'nd' GROUP BY *"],
  [value, 'SELECT a FROM room WHERE floor = | GROUP BY *', "SELECT a FROM room WHERE floor = '2\\'nd'| GROUP BY *"],
  [value, 'SELECT a FROM room WHERE floor|', "SELECT a FROM room WHERE floor = '2\\'nd'|"],
  [value, 'SELECT a FROM room WHERE x = 1 OR y = 2 LIMIT 1|', "SELECT a FROM room WHERE (x = 1 OR y = 2) AND floor = '2\\'nd'| LIMIT 1"],
];

test('if the query cannot be parsed, a click creates a separate statement', () => {
  const made = put('SELECT x FROM m', { from: 3, to: 3 }, measurement);
  assert.equal(made.text, 'SELECT x FROM m\n;\nSELECT * FROM room GROUP BY *');
});

test('a click inserts a name at the cursor, or at the nearest valid position', async () => {
  await startLexer(engine);
  for (const [item, before, after] of clicks) {
    const offset = before.indexOf('|');
    const made = put(before.replace('|', ''), { from: offset, to: offset }, item);
    const shown = `${made.text.slice(0, made.cursor)}|${made.text.slice(made.cursor)}`;
    assert.equal(shown, after, `${item.kind} in ${before}`);
  }
  const selected = put('SELECT old FROM room', { from: 7, to: 10 }, field);
  assert.equal(selected.text, 'SELECT temp FROM room');
});

const right = [
  'SELECT * FROM room LIMIT 100',
  "SELECT temp, floor FROM room WHERE floor = '1' AND (temp > 1 OR temp < -3.5) ORDER BY time DESC",
  'SELECT mean(temp) AS m, max(temp) FROM "room" WHERE time > now() - 1h GROUP BY time(1m), floor fill(none) LIMIT 3',
  'SELECT mean(x) FROM (SELECT temp AS x FROM room WHERE temp > 0 GROUP BY floor) GROUP BY wing',
  "SELECT temp FROM autogen.room, wind WHERE wing =~ /^n/ tz('UTC'); SHOW TAG KEYS FROM room; SELECT count(temp) FROM room",
  'SELECT temp FROM /r.*/ -- all of them\nWHERE temp != 3 /* but */ GROUP BY *',
  'SHOW TAG VALUES FROM room WITH KEY = floor WHERE wing = \'n\'',
  'SHOW DATABASES;',
  'SELECT temp * 2 + 1, -temp FROM room GROUP BY floor SLIMIT 1 SOFFSET 0',
];

test('a valid query remains valid after a click, for any cursor position', async (t) => {
  await startLexer(engine);
  const { Tidemark } = await import(at('.cache', 'engine', 'tidemark.js'));
  const database = new Tidemark(1n, 2n);
  const errorOf = (q) => {
    const query = String(new URLSearchParams({ db: 'd', q }));
    const [, , body] = database.request('GET', '/query', query, [], new Uint8Array(), 10n ** 18n);
    const { error, results = [] } = JSON.parse(new TextDecoder().decode(body));
    return error ?? results.find((one) => one.error)?.error;
  };
  const lines = new TextEncoder().encode('room,floor=1,wing=n temp=1 1\nwind temp=2 2');
  database.request('POST', '/write', 'db=d', [], lines, 10n ** 18n);
  const seen = new Set();
  for (const text of right) {
    assert.equal(errorOf(text), undefined, text);
    for (let from = 0; from <= text.length; from += 1) {
      for (const item of [measurement, { ...measurement, policy: 'autogen' }, field, tag, value]) {
        const made = put(text, { from, to: from }, item);
        assert.ok(made.cursor >= 0 && made.cursor <= made.text.length);
        if (seen.has(made.text)) continue;
        seen.add(made.text);
        const shown = `${item.kind} at ${from} of ${text}: ${made.text}`;
        assert.equal(errorOf(made.text), undefined, shown);
      }
    }
  }
  t.diagnostic(`${seen.size} queries`);
});
