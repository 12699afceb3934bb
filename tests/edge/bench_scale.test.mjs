// Tests the functions of `npm run bench -- scale`: options, points, queries and verdicts.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { choices } from '../../benches/scale/choices.mjs';
import { bodies, dayS, manyMeasurements, month, round, startS } from '../../benches/scale/lines.mjs';
import { panelsAt } from '../../benches/scale/panels.mjs';
import { errorOf } from '../../benches/scale/sides.mjs';
import {
  all, atMost, head, markdown, ofPeerAtMost, ratioAtMost, row, shown,
} from '../../benches/scale/table.mjs';
import { failureOf } from '../../benches/scale/timings.mjs';

const scenarios = [{ name: 'many' }, { name: 'wide' }];

test('command-line arguments select the size and the scenarios', () => {
  assert.deepEqual(choices(['scale'], scenarios), { size: 'small', wanted: scenarios });
  assert.deepEqual(choices(['scale', '--size', 'full', '--only', 'many'], scenarios), { size: 'full', wanted: [scenarios[0]] });
  assert.throws(() => choices(['--size', 'huge'], scenarios), /--size huge: .* small, full/);
  assert.throws(() => choices(['--only', 'deep'], scenarios), /no scenario deep: say one of many, wide/);
});

test('a row states whether its target was reached', () => {
  const aim = all(ratioAtMost(1.2), atMost(20));
  const verdict = (figures) => row({ what: 'x', aim, ...figures }).at(-1);
  assert.equal(verdict({ small: 10, large: 12 }), 'yes');
  assert.equal(verdict({ small: 10, large: 13 }), 'no', 'the ratio');
  assert.equal(verdict({ small: 30, large: 21 }), 'no', 'the time');
  assert.equal(verdict({ large: 19 }), 'yes', 'what is not known is not judged');
  assert.equal(verdict({}), '');
  assert.equal(verdict({ small: 10, large: NaN, failure: '503 |\n busy' }), 'failed: 503 busy');
  const third = ofPeerAtMost(1 / 3, 'a third');
  assert.equal(row({ what: 'x', aim: third, large: 10, peer: 31 }).at(-1), 'yes');
  assert.equal(row({ what: 'x', aim: third, large: 10, peer: 29 }).at(-1), 'no');
  assert.equal(row({ what: 'x', aim: third, large: 10 }).at(-1), '', 'without a peer');
});

test('a table has a cell for each column', () => {
  const cells = row({ what: 'x', aim: atMost(300), small: 0.125, large: 12.34, peer: 123.4 });
  assert.deepEqual(cells, ['x', '≤ 300 ms', '0.13', '12.3', '98.7', '123', 'yes']);
  assert.equal(cells.length, head.length);
  assert.deepEqual([undefined, null, NaN, 0].map(shown), ['', '', '', '0.00']);
  const [first, second, third] = markdown([cells]);
  assert.equal(first, `| ${head.join(' | ')} |`);
  assert.equal(second, '| --- | --: | --: | --: | --: | --: | --: |');
  assert.equal(third, '| x | ≤ 300 ms | 0.13 | 12.3 | 98.7 | 123 | yes |');
});

test('errors are detected in short and in long responses', () => {
  assert.equal(errorOf(200, '{"results":[{"statement_id":0}]}'), '');
  assert.equal(errorOf(204, ''), '');
  assert.equal(errorOf(200, '{"results":[{"error":"no \\"m\\""}]}'), 'no \\"m\\"');
  const rows = '[1,2],'.repeat(10_000);
  assert.equal(errorOf(200, `{"results":[{"values":[${rows}]},{"error":"over"}]}`), 'over');
  assert.equal(errorOf(503, '{"error":"busy"}'), '503 {"error":"busy"}');
});

test('the first failure is reported, and differences are reported only if nothing failed', () => {
  const [fine, broken] = [{ failure: '' }, { failure: 'late' }];
  assert.equal(failureOf([fine, broken], '/results'), 'late');
  assert.equal(failureOf([fine, fine], '/results'), 'answers differ /results');
  assert.equal(failureOf([fine, fine]), '');
});

test('the generated month of data is reproducible, ordered and complete', () => {
  const make = () => [...month({ points: 600, series: 20, days: 30 })];
  const lines = make();
  assert.deepEqual(lines, make());
  assert.equal(lines.length, 600);
  const times = lines.map((line) => Number(line.split(' ')[2]));
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
  assert.equal(times[0], startS * 1000);
  assert.equal(times.at(-1), (startS + 29 * dayS) * 1000, 'thirty steps of a day');
  assert.equal(new Set(lines.map((line) => line.split(' ')[0])).size, 20);
  const parts = [...bodies(lines, 250)];
  assert.deepEqual(parts.map((part) => part.split('\n').length), [250, 250, 100]);
  assert.equal(parts.join('\n'), lines.join('\n'));
});

test('each flush contains every measurement, and each round contains every series within one hour', () => {
  const key = (line) => line.split(/[, ]/)[0];
  const rows = [...manyMeasurements({ measurements: 50, rows: 2, from: 4 })];
  assert.equal(rows.length, 100);
  assert.equal(new Set(rows.map(key)).size, 50);
  const rounds = [0, 1].map((number) => [...round({ series: 100, points: 2, number })]);
  const seriesOf = (lines) => new Set(lines.map((line) => line.split(' ')[0]));
  assert.deepEqual(seriesOf(rounds[0]), seriesOf(rounds[1]));
  assert.equal(seriesOf(rounds[0]).size, 100);
  assert.equal(rounds[0].length, 200);
  assert.equal(new Set(rounds.flat().map((line) => line.replace(/v=\S+/, ''))).size, 400, 'no overwrites');
  const spans = rounds.map((lines) => {
    const times = lines.map((line) => Number(line.split(' ')[2]) / 1000 - startS);
    return [Math.min(...times), Math.max(...times)];
  });
  for (const [first, last] of spans) assert.ok(0 <= first && last <= 3_600);
  assert.ok(spans[1][0] < spans[0][1] && spans[0][0] < spans[1][1], 'they overlap');
});

test('twenty panels query the same six hours', () => {
  const asked = panelsAt(startS + 21_600);
  assert.equal(new Set(asked).size, 20);
  for (const q of asked) assert.ok(q.includes(`time >= ${startS}s AND time < ${startS + 21_600}s`), q);
});
