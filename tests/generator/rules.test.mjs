// Tests the rules with recorded responses (`run.mjs --keep`). Each rule must excuse the difference
// that it describes, and must excuse no wrong response. Needs no server.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { explanation } from './compare.mjs';
import { replay } from './conversation.mjs';
import { mutants } from './mutants.mjs';
import { RULES } from './rules.mjs';

const kept = JSON.parse(readFileSync(new URL('kept.json', import.meta.url), 'utf8'));

/** The response has too many rows to record, so the test generates the response. */
const PARTIAL = 'a complete series of more than 10,000 rows: 1.x marks it as partial';
const rows = Array.from({ length: 10_001 }, (_, at) => [at, at]);
const answer = (series) => [200, JSON.stringify({ results: [{ statement_id: 0, series: [series] }] })];
const whole = { name: 'cpu', columns: ['time', 'f'], values: rows };
kept.push({
  rule: PARTIAL,
  query: { text: 'SELECT f FROM cpu', tied: false },
  theirs: answer({ ...whole, partial: true }),
  ours: answer(whole),
  asked: {},
});

test('every rule has a recorded difference', () => {
  assert.deepEqual([...new Set(kept.map(({ rule }) => rule))].sort(), RULES.map(({ name }) => name).sort());
});

for (const { rule, query, theirs, ours, asked } of kept) {
  test(`${rule}: ${query.text}`, async (t) => {
    const excuse = (one) => explanation(query, theirs, one, replay(asked));
    await t.test('the difference is accepted', async () => assert.equal(await excuse(ours), rule));
    const wrong = mutants(query, theirs, ours);
    assert.ok(wrong.length > 0);
    for (const one of wrong) {
      await t.test(`it is not accepted with ${one.what}`, async () => assert.equal(await excuse(one.answer), undefined));
    }
  });
}

test('a wrong rounding of a maximum is not accepted', async () => {
  const text = 'SELECT round(max(f)) FROM cpu';
  const rounded = (value) => answer({ name: 'cpu', columns: ['time', 'round'], values: [[0, value]] });
  // The maximum is 2.5.
  const real = async (one) => rounded(/0\.99|- 0/.test(one) ? 2 : 3);
  const env = { ...replay({}), real, both: async (one) => [await real(one), rounded(2)] };
  assert.equal(await explanation({ text, tied: false }, rounded(3), rounded(2), env), undefined);
});
