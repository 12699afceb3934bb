// Tests the console's functions for InfluxQL text. Needs no browser.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { parseExact } from '../../www/api/exact.js';
import { placeIn } from '../../www/influxql/complete.js';
import { between, bounds, withRange } from '../../www/influxql/range.js';
import { effectOf, containsPassword, quoted, statements } from '../../www/influxql/statements.js';
import { startLexer } from '../../www/influxql/tokenize.js';
import { csvOf } from '../../www/results/csv.js';
import { cellsMax, chartOf, pointsMax } from '../../www/results/lines.js';
import { orderBy, tablesOf } from '../../www/results/tables.js';

// The effect of a text is unknown until the parser is loaded.
assert.equal(effectOf('SELECT x FROM m'), null);
assert.ok(containsPassword('SELECT "password" FROM m'));
before(() => startLexer(readFileSync(at('.cache', 'engine', 'tidemark_bg.wasm'))));

const limits = { from_ms: 1000, to_ms: 400_001_000 };
const time = 'time >= 1000ms AND time < 400001000ms';

const narrowed = [
  ['SELECT x FROM m', `SELECT x FROM m WHERE ${time}`],
  ['SELECT x FROM m;', `SELECT x FROM m WHERE ${time};`],
  [
    'select x from m group by time(1m) fill(0) limit 1',
    `select x from m WHERE ${time} group by time(1m) fill(0) limit 1`,
  ],
  [
    "SELECT x FROM m WHERE a = 'b' OR c = 'd' GROUP BY e",
    `SELECT x FROM m WHERE (a = 'b' OR c = 'd') AND ${time} GROUP BY e`,
  ],
  [
    'SELECT x FROM (SELECT y FROM m WHERE z = 1 GROUP BY k) LIMIT 5',
    `SELECT x FROM (SELECT y FROM m WHERE z = 1 GROUP BY k) WHERE ${time} LIMIT 5`,
  ],
  [
    'SELECT "group" FROM "where" ORDER BY time DESC',
    `SELECT "group" FROM "where" WHERE ${time} ORDER BY time DESC`,
  ],
  [
    "SELECT x FROM m WHERE s = 'GROUP BY' tz('UTC')",
    `SELECT x FROM m WHERE (s = 'GROUP BY') AND ${time} tz('UTC')`,
  ],
  ['SELECT x FROM /a;b/; SHOW TAG KEYS', `SELECT x FROM /a;b/ WHERE ${time}; SHOW TAG KEYS`],
  [
    'SELECT x FROM m -- all of it\nGROUP BY k',
    `SELECT x FROM m -- all of it\nWHERE ${time} GROUP BY k`,
  ],
  [
    'SELECT x FROM m WHERE $timeFilter GROUP BY time($interval)',
    `SELECT x FROM m WHERE ${time} GROUP BY time(2000s)`,
  ],
  ['DELETE FROM m', 'DELETE FROM m'],
];

/** Queries with all times, which include points before 1970. */
const unlimited = [
  ['SELECT x FROM m', 'SELECT x FROM m'],
  ['SELECT x FROM m WHERE $timeFilter', 'SELECT x FROM m '],
  [
    'SELECT x FROM m WHERE $timeFilter GROUP BY time($interval)',
    'SELECT x FROM m GROUP BY time(1d)',
  ],
  ["SELECT x FROM m WHERE a = 'b' AND $timeFilter", "SELECT x FROM m WHERE a = 'b' "],
  ["SELECT x FROM m WHERE $timeFilter AND a = 'b'", "SELECT x FROM m WHERE a = 'b'"],
  ["SELECT x FROM m WHERE (($timeFilter)) and a = 'b'", "SELECT x FROM m WHERE a = 'b'"],
  [
    "SELECT x FROM m WHERE a = 'b' AND $timeFilter AND c = 'd'",
    "SELECT x FROM m WHERE a = 'b' AND c = 'd'",
  ],
  ['SELECT x FROM m WHERE $timeFilter AND $timeFilter', 'SELECT x FROM m '],
  [
    "SELECT x FROM (SELECT y FROM m WHERE $timeFilter) WHERE a = 'b' AND $timeFilter;SELECT z FROM n WHERE $timeFilter",
    "SELECT x FROM (SELECT y FROM m ) WHERE a = 'b' ;SELECT z FROM n ",
  ],
  ["SELECT x FROM m WHERE a = '$timeFilter'", "SELECT x FROM m WHERE a = '$timeFilter'"],
];

test('a time range is added to the outermost condition of each SELECT', () => {
  for (const [text, expected] of narrowed) assert.equal(withRange(text, limits), expected);
  for (const [text, expected] of unlimited) assert.equal(withRange(text, null), expected);
  assert.deepEqual(bounds('1h', 7_200_000), { from_ms: 3_600_000, to_ms: 7_200_000 });
  assert.deepEqual(bounds(between(1.5, 9.5), 0), { from_ms: 1, to_ms: 10 });
  for (const wrong of ['all', '', 'x..y', '2026-01-02..2026-01-01'])
    assert.equal(bounds(wrong, 0), null);
});

test('a text is split into statements, and each is classified as reading or writing', () => {
  assert.deepEqual(
    statements("SELECT ';' FROM m ; -- ; \n ;SHOW TAG KEYS").map(({ from, to }) => [from, to]),
    [
      [0, 17],
      [28, 41],
    ],
  );
  for (const [does, ...texts] of [
    ['selects', 'select x from m; SELECT y FROM n', 'SELECT x FROM /;/ -- ;DROP DATABASE d'],
    ['reads', 'SHOW DATABASES; EXPLAIN ANALYZE SELECT x FROM m'],
    ['writes', 'DROP DATABASE x', 'SELECT x INTO y FROM m', 'SHOW DATABASES; DELETE FROM m'],
    ['writes', 'SHOW DATABASES --\r;CREATE DATABASE e', 'SELECT v*1./2 FROM m;DROP DATABASE e --/'],
    [null, ' ; ', '', 'SELECT', 'SELECT x FROM m; x'],
  ])
    for (const text of texts) assert.equal(effectOf(text), does, text);
  assert.ok(
    containsPassword("create user a with password 'b'") &&
      !containsPassword('SELECT \'password\' FROM "password"'),
  );
  assert.deepEqual(['a_1', 'select', 'a b', 'a"\\', 'ü'].map(quoted), [
    'a_1',
    '"select"',
    '"a b"',
    '"a\\"\\\\"',
    '"ü"',
  ]);
});

test('completions depend on the position', () => {
  const place = (text) => {
    const { place: word, measurement, tag } = placeIn(text);
    return [word, measurement, tag];
  };
  assert.deepEqual(place('SEL'), ['beginning', null, undefined]);
  assert.deepEqual(place('SELECT m'), ['columns', null, undefined]);
  assert.deepEqual(place('SELECT x FROM '), ['measurements', null, undefined]);
  assert.deepEqual(place('SELECT x FROM rp."a b" WHERE '), ['condition', 'a b', undefined]);
  assert.deepEqual(place('SELECT x FROM m WHERE "k" = \'v'), ['values', 'm', 'k']);
  assert.deepEqual(place('SELECT x FROM m GROUP BY time(1m), '), ['dimensions', 'm', undefined]);
  assert.deepEqual(place('SELECT x FROM m; SHOW TAG KEYS ON '), ['databases', null, undefined]);
});

test('no digit of a number is lost, in any context', () => {
  const text =
    '{"a":[9007199254740993,-9223372036854775808,1.5,"a\\"12345678901234567,",0],"b": 18446744073709551615}';
  assert.deepEqual(parseExact(text), {
    a: ['9007199254740993', '-9223372036854775808', 1.5, 'a"12345678901234567,', 0],
    b: '18446744073709551615',
  });
  const floats = '[0.12345678901234567,-12345678901234567.5,1234567890123456789e3,1e+21]';
  assert.deepEqual(parseExact(floats), JSON.parse(floats));
});

test('rows are sorted by value, including integers beyond doubles and times with any fraction, with nulls last', () => {
  const series = [
    {
      name: 'm',
      columns: ['time', 'n'],
      values: [
        ['2026-01-01T00:00:00.5Z', '9007199254740993'],
        ['2026-01-01T00:00:00Z', null],
        ['2026-01-01T00:00:00.45Z', '9007199254740992'],
        ['2025-01-01T00:00:00Z', -1],
      ],
    },
  ];
  const [table] = tablesOf({ results: [{ series }] }).tables;
  assert.deepEqual(table.kinds, ['time', 'number']);
  assert.deepEqual(orderBy(table, 0, false), [3, 1, 2, 0]);
  assert.deepEqual(orderBy(table, 1, false), [3, 2, 0, 1]);
  assert.deepEqual(orderBy(table, 1, true), [0, 2, 3, 1]);
  assert.equal(
    csvOf({ columns: ['@x'], rows: [['+1'], ['+1+2'], ['\tx'], [null]] }),
    "'@x\r\n+1\r\n'+1+2\r\n'\tx\r\n\r\n",
  );
});

test('thinning keeps the minimum and the maximum of each slice', () => {
  const count = 100_000;
  const values = Array.from({ length: count }, (_, i) => [
    i * 1000,
    i === 77_777 ? 1e6 : i === 33_333 ? -1e6 : i % 10,
  ]);
  const chart = chartOf({ results: [{ series: [{ name: 'm', columns: ['time', 'v'], values }] }] });
  assert.deepEqual(
    [chart.total, chart.points, chart.pointsDrawn, chart.thinned],
    [1, count, pointsMax, true],
  );
  const [line] = chart.columns;
  assert.deepEqual([Math.min(...line), Math.max(...line)], [-1e6, 1e6]);
  const near = (value, index) =>
    Math.abs(chart.times_ms[line.indexOf(value)] - index * 1000) <= count;
  assert.ok(near(1e6, 77_777) && near(-1e6, 33_333));
  const apart = Array.from({ length: 100 }, (_, line) => ({
    name: 'm',
    tags: { line },
    columns: ['time', 'v'],
    values: Array.from({ length: 500 }, (__, i) => [i * 100 + line, i]),
  }));
  const many = chartOf({ results: [{ series: apart }] });
  assert.ok(
    many.times_ms.length * many.columns.length <= cellsMax,
    `${many.times_ms.length} times`,
  );
  assert.ok(
    many.pointsDrawn <= many.points &&
      many.columns.every((values) => Math.max(...values.filter(Number.isFinite)) === 499),
  );
  const gap = chartOf({
    results: [
      {
        series: [
          {
            name: 'm',
            columns: ['time', 'v'],
            values: [
              [1, 1],
              [2, null],
              [3, 3],
            ],
          },
          { name: 'n', columns: ['time', 'v'], values: [[2, 5]] },
        ],
      },
    ],
  });
  assert.deepEqual(gap.columns, [
    [1, null, 3],
    [undefined, 5, undefined],
  ]);
});
