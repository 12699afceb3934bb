// Tests proofs of the rules with invented responses. Needs no server. `run.mjs --mutants` tests every
// rule with real responses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsed } from './answers.mjs';
import { chosen, joinsSamples } from './chance.mjs';
import { explanation } from './compare.mjs';
import { clauses } from './statement.mjs';

const answer = (series) => [200, JSON.stringify({ results: [{ statement_id: 0, series: [series] }] })];

test('a wrong rounding of a maximum is not accepted', async () => {
  const text = 'SELECT round(max(f)) FROM cpu';
  const rounded = (value) => answer({ name: 'cpu', columns: ['time', 'round'], values: [[0, value]] });
  // The maximum is 2.5, so rounding gives 3. Only the changes that reduce the value give 2.
  const real = async (one) => rounded(/0\.99|- 0/.test(one) ? 2 : 3);
  const own = async () => rounded(2);
  const both = async (one) => [await real(one), await own()];
  const env = { real, own, both, write: async () => {}, data: { measurements: [], days: [] }, known: new Map() };
  assert.equal(await explanation({ text, tied: false }, rounded(3), rounded(2), env), undefined);
});

const NS = 1_000_000_000;
const sampled = (values, columns = ['time', 'sample', 'sample_1']) => ({ document: parsed(answer({ name: 'cpu', columns, values: values.map(([s, ...cells]) => [s * NS, ...cells]) })[1]) });
const FIELDS = {
  'SELECT f AS v0 FROM cpu': sampled([[60, 1], [90, 2], [130, 3]], ['time', 'v0']),
  'SELECT i AS v0 FROM cpu': sampled([[60, 5], [130, 6]], ['time', 'v0']),
};

const NAMED = ['time', 'a', 'b'];
const LATEST_FIRST = [[130, 3, 6], [60, 1, 5]];
for (const [what, clause, ours, isPermitted] of [
  ['of the latest window first', 'ORDER BY time DESC LIMIT 3', sampled(LATEST_FIRST), true],
  ['with more points than LIMIT permits', 'ORDER BY time DESC LIMIT 1', sampled(LATEST_FIRST), false],
  ['of the earliest window first', 'ORDER BY time DESC LIMIT 3', sampled(LATEST_FIRST.toReversed()), false],
  ['of the earliest window first', '', sampled(LATEST_FIRST.toReversed()), true],
  ['with other names', '', sampled(LATEST_FIRST.toReversed(), NAMED), false],
]) {
  test(`samples ${what} are ${isPermitted ? '' : 'not '}accepted ${clause}`, async () => {
    const parts = clauses(`SELECT sample(f, 1), sample(i, 1) FROM cpu GROUP BY time(1m) ${clause}`);
    const rows = [[60, null, 5], [90, 2, null], [130, 3, 6]];
    const theirs = sampled(clause ? [rows[2], rows[1], rows[0]] : rows);
    assert.equal(await joinsSamples({ parts, theirs, ours, trusted: async (text) => FIELDS[text]?.document }), isPermitted);
  });
}

const LAST = 'SELECT last(f) FROM cpu GROUP BY time(1m) fill(3.7)';
const ROUNDED = { ...FIELDS, 'SELECT f AS v0 FROM cpu': sampled([[61, 1.5], [90, 3.5]], ['time', 'v0']), [LAST]: sampled([[60, 3.5]], ['time', 'last']) };
for (const [what, rows, isPermitted] of [
  ['of a point', [[60, 3, 3.5], [90, 3, 3.7]], true],
  ['of another value', [[60, 3, 3.5], [90, 4, 3.7]], false],
  ['next to another number', [[60, 3, 3.5], [90, 3, 3.5]], false],
  ['at the time of no point', [[60, 3, 3.5], [91, 3, 3.7]], false],
  ['of two points', [[60, 3, 3.5], [61, 1, 3.7], [90, 3, 3.7]], false],
]) {
  test(`a rounded sample ${what} is ${isPermitted ? '' : 'not '}accepted next to fill(number)`, async () => {
    const parts = clauses('SELECT floor(sample(f, 1)), last(f) FROM cpu GROUP BY time(1m) fill(3.7)');
    const theirs = sampled([[60, 3, 3.5], [61, 1, 3.7]]);
    assert.equal(await joinsSamples({ parts, theirs, ours: sampled(rows), trusted: async (text) => ROUNDED[text]?.document }), isPermitted);
  });
}

const ABS = 'SELECT abs(min(i)) FROM cpu GROUP BY time(1m) fill(-1)';
const POSITIVE = { ...FIELDS, [ABS]: sampled([[60, 5], [120, 6]], ['time', 'abs']) };
for (const [missing, isPermitted] of [[1, true], [-1, false], [2, false]]) {
  test(`next to a sample, ${missing} is ${isPermitted ? '' : 'not '}accepted as abs() of fill(-1)`, async () => {
    const parts = clauses('SELECT sample(f, 1), abs(min(i)) FROM cpu GROUP BY time(1m) fill(-1)');
    const [theirs, ours, right] = [-1, missing, 1].map((cell) => sampled([[60, 1, 5], [120, -1, 6], [130, 3, cell]]));
    const real = async (text) => text.startsWith('SELECT sample(f, 1), sqrt(pow(min(i), 2)) FROM') && right;
    const env = { real, parsed: ({ document }) => document };
    assert.equal(await joinsSamples({ parts, theirs, ours, env, trusted: async (text) => POSITIVE[text]?.document }), isPermitted);
  });
}

for (const [one, other, value, isPermitted] of [[1, 2, 2, true], [1, 2, 1, false], [false, true, false, true], [false, true, true, false]]) {
  test(`of the points ${one} and ${other} with the same time, the window's first value ${value} is ${isPermitted ? '' : 'not '}accepted`, async () => {
    const bounds = 'FROM net WHERE time >= 0s AND time < 60s';
    const hosts = [[one, 'a'], [one, 'b'], [other, 'c'], [other, 'd']];
    const known = {
      [`SELECT f AS v0, host AS v1 ${bounds}`]: sampled(hosts.map((cells) => [5, ...cells]), ['time', 'v0', 'v1']),
      [`SELECT count(f) ${bounds} GROUP BY time(1m) fill(0)`]: sampled([[0, 4]], ['time', 'count']),
    };
    const [theirs, ours] = hosts.filter(([own]) => own === value).map((cells) => sampled([[0, ...cells]], ['time', 'first', 'host']));
    const parts = clauses(`SELECT first(f), host ${bounds} GROUP BY time(1m)`);
    assert.equal(await chosen({ parts, theirs, ours, trusted: async (text) => known[text]?.document }), isPermitted);
  });
}

for (const [keys, host, isPermitted] of [['role', null, true], ['role', '', false], ['role host', '', true]]) {
  test(`with the tags ${keys}, the value ${JSON.stringify(host)} of the tag host is ${isPermitted ? '' : 'not '}accepted over a subquery`, async () => {
    const text = 'SELECT first(c0), host FROM (SELECT min(f) AS c0 FROM cpu GROUP BY *) GROUP BY *';
    const first = (tags, cell) => answer({ name: 'cpu', tags, columns: ['time', 'first', 'host'], values: [[5, 1, cell]] });
    const ours = first({ role: '' }, host);
    const none = [200, '{"results":[{"statement_id":0}]}'];
    const real = async (one) => {
      if (one.startsWith('SHOW TAG KEYS FROM cpu')) return answer({ name: 'cpu', columns: ['tagKey'], values: keys.split(' ').map((key) => [key]) });
      if (one.includes(' INTO ')) return answer({ name: 'result', columns: ['time', 'written'], values: [[0, 1]] });
      return one.startsWith('SELECT first(c0), host FROM stored') ? first(undefined, null) : none;
    };
    const own = async () => none;
    const both = async (one) => [await real(one), await own()];
    const env = { real, own, both, write: async () => {}, data: { measurements: [], days: [] }, known: new Map() };
    assert.equal((await explanation({ text, tied: false }, none, ours, env)) !== undefined, isPermitted);
  });
}
