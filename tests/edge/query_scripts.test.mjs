// Runs the recorded query scripts against a whole server over HTTP, with four shards, and nightly also
// with one shard. tests/it/scripts.rs runs them in process with one shard and with several.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { renderAnswer } from '../record/answer.mjs';
import { difference } from '../record/compare.mjs';
import { replay } from '../record/replay.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';

const recorded = [
  'cpu host=a',
  'time                  v    s',
  '1970-01-01T00:00:00Z  1.5  "x y"',
  '1970-01-01T00:00:00Z  -2   null',
  '1970-01-01T00:00:01Z  3    "z"',
];

const body = `{"results":[{"statement_id":0,"series":[{"name":"cpu","tags":{"host":"a"},
  "columns":["time","v","s"],"values":[["1970-01-01T00:00:00Z",1.5,"x y"],
  ["1970-01-01T00:00:00Z",-2,null],["1970-01-01T00:00:01Z",3,"z"]]}]}]}`;

function differs(from, to, unordered = false) {
  const changed = body.replace(from, to);
  assert.ok(from === to || changed !== body, `${from} is not there`);
  const query = { unordered, isText: false };
  return difference(query, recorded, renderAnswer(query, 200, changed)) !== null;
}

test('the comparison reports all differences and nothing else', () => {
  assert.ok(!differs('', ''));
  assert.ok(!differs('1.5', '1.5000000001'), 'a float has a tolerance');
  assert.ok(differs('1.5', '1.50000001'));
  assert.ok(differs('1.5', '1.50'), 'a float has one spelling');
  assert.ok(differs('-2', '-2.0'));
  assert.ok(differs('-2', '-3'));
  assert.ok(differs('null', '0'));
  assert.ok(differs('"z"', '"Z"'));
  assert.ok(differs('"x y"', '"x  y"'));
  assert.ok(differs('cpu', 'mem'));
  assert.ok(differs('"host":"a"', '"host":"b"'));
  assert.ok(differs('01Z', '02Z'));
  assert.ok(differs(',["1970-01-01T00:00:01Z",3,"z"]', ''), 'a missing row');
  const swapped = ['1.5,"x y"],\n  ["1970-01-01T00:00:00Z",-2,null',
    '-2,null],\n  ["1970-01-01T00:00:00Z",1.5,"x y"'];
  assert.ok(differs(...swapped), 'the order of rows counts');
  assert.ok(!differs(...swapped, true), 'unless their time is equal and the script says so');
  assert.ok(differs('1.5,"x y"],', '3,"z"],', true), 'a multiset has the same rows');
  assert.ok(differs('"name":"cpu",', ''), 'a missing name');
  assert.throws(() => differs('"v","s"', '"v"'), /3 cells, 2 columns/);
  assert.throws(() => differs(':0,"series"', ':1,"series"'), /statement_id 1 is result 0/);
  assert.throws(() => differs('"columns"', '"took":1,"columns"'), /members name,tags,took/);
});

async function answersAsRecorded(t, shards) {
  const db = await tidemark(t, { vars: { DEFAULT_SHARDS: shards } }, PlainWorkerd);
  const { files, passed, failures } = await replay(db.url, token);
  t.diagnostic(`${files} scripts: ${passed} steps passed`);
  // EXPLAIN shows the number of shards. In the recordings, this number is one.
  const counted = `expected "NUMBER OF SHARDS: 1"\n     got "NUMBER OF SHARDS: ${shards}"`;
  const others = failures.filter((failure) => !failure.endsWith(counted));
  assert.equal(others.length, 0, others.join('\n'));
  assert.ok(passed > 0);
}

const shardCounts = process.env.TIDEMARK_NIGHTLY === '1' ? ['1', '4'] : ['4'];

// The scripts can run at the same time, because they do not depend on timing.
test('every query script gives the recorded results', { concurrency: true }, (t) =>
  Promise.all(
    shardCounts.map((shards) =>
      t.test(`with ${shards} shard(s)`, (t) => answersAsRecorded(t, shards)),
    ),
  ),
);
