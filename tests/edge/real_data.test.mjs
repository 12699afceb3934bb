// Compares queries of real public data sets with values that the test computes directly from the
// files.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { at } from '../../scripts/project.mjs';
import { PlainWorkerd, tidemark } from './harness.mjs';

/** Parses a CSV file without quoted cells. */
function csv(name) {
  const text = readFileSync(at('node_modules', 'vega-datasets', 'data', name), 'utf8');
  const [head, ...lines] = text.trim().split(/\r?\n/);
  const keys = head.split(',');
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, i) => [keys[i], cell])));
}

const weather = csv('seattle-weather.csv').map((row) => ({
  ms: Date.parse(`${row.date}T00:00:00Z`),
  kind: row.weather,
  temp: Number(row.temp_max),
  rain: Number(row.precipitation),
  wind: Number(row.wind),
}));
const stocks = csv('stocks.csv').map((row) => ({
  ms: Date.parse(`${row.date} UTC`),
  symbol: row.symbol,
  price: Number(row.price),
}));

const sum = (values) => values.reduce((total, v) => total + v, 0);
const mean = (values) => sum(values) / values.length;

function near(actual, expected, what) {
  const close = Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected));
  assert.ok(close, `${what}: ${actual} instead of ${expected}`);
}

/** Groups the rows by key. The groups are in the order of the keys. */
function groups(rows, key) {
  const found = new Map();
  for (const row of rows) found.set(key(row), [...(found.get(key(row)) ?? []), row]);
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

async function load(server) {
  await server.query('CREATE DATABASE real');
  const lines = [
    ...weather.map(
      (w) => `weather,kind=${w.kind} temp=${w.temp},rain=${w.rain},wind=${w.wind} ${w.ms}`,
    ),
    ...stocks.map((s) => `stocks,symbol=${s.symbol} price=${s.price} ${s.ms}`),
  ];
  for (let at = 0; at < lines.length; at += 500) {
    const body = gzipSync(lines.slice(at, at + 500).join('\n'));
    const params = { db: 'real', precision: 'ms' };
    await server.mustWrite(body, params, { 'Content-Encoding': 'gzip' });
  }
}

for (const shards of [1, 4]) {
  test(`queries of real data are correct on ${shards} shard(s)`, async (t) => {
    const server = await tidemark(t, { vars: { DEFAULT_SHARDS: String(shards) } }, PlainWorkerd);
    await load(server);
    const db = { db: 'real', epoch: 'ms' };

    await t.test('every point is stored exactly once', async () => {
      const rows = await server.rows('SELECT count(*) FROM weather', db);
      assert.deepEqual(rows, [[0, weather.length, weather.length, weather.length]]);
      const prices = await server.rows('SELECT count(price) FROM stocks', db);
      assert.deepEqual(prices, [[0, stocks.length]]);
    });

    await t.test('raw rows are returned unchanged', async () => {
      const rows = await server.rows('SELECT temp, rain, kind FROM weather', db);
      assert.deepEqual(rows, weather.map((w) => [w.ms, w.temp, w.rain, w.kind]));
    });

    await t.test('means of 30 days are correct', async () => {
      const days30 = 30 * 24 * 3600 * 1000;
      const rows = await server.rows(
        `SELECT mean(temp) FROM weather WHERE time >= '2012-01-01' AND time < '2016-01-01'
         GROUP BY time(30d) fill(none)`,
        db,
      );
      const expected = groups(weather, (w) => Math.floor(w.ms / days30) * days30);
      assert.equal(rows.length, expected.length);
      expected.forEach(([start, members], i) => {
        assert.equal(rows[i][0], start);
        near(rows[i][1], mean(members.map((w) => w.temp)), `window ${start}`);
      });
    });

    await t.test('means of each calendar month are correct', async () => {
      const month = (w) => new Date(w.ms).toISOString().slice(0, 7);
      for (const [name, members] of groups(weather, month)) {
        const next = new Date(`${name}-01T00:00:00Z`);
        next.setUTCMonth(next.getUTCMonth() + 1);
        const end = next.toISOString().slice(0, 10);
        const where = `time >= '${name}-01' AND time < '${end}'`;
        const q = `SELECT mean(temp), count(temp) FROM weather WHERE ${where}`;
        const [[, temp, count]] = await server.rows(q, db);
        near(temp, mean(members.map((w) => w.temp)), name);
        assert.equal(count, members.length, name);
      }
    });

    await t.test('extreme values and their days are correct', async () => {
      const hottest = weather.reduce((best, w) => (w.temp > best.temp ? w : best));
      const coldest = weather.reduce((best, w) => (w.temp < best.temp ? w : best));
      const max = await server.rows('SELECT max(temp) FROM weather', db);
      assert.deepEqual(max, [[hottest.ms, hottest.temp]]);
      const min = await server.rows('SELECT min(temp) FROM weather', db);
      assert.deepEqual(min, [[coldest.ms, coldest.temp]]);
    });

    await t.test('groups by tag are correct', async () => {
      const q = 'SELECT sum(rain), count(rain) FROM weather GROUP BY kind';
      const series = await server.series(q, db);
      const expected = groups(weather, (w) => w.kind);
      assert.deepEqual(series.map((s) => s.tags.kind), expected.map(([kind]) => kind));
      expected.forEach(([kind, members], i) => {
        near(series[i].values[0][1], sum(members.map((w) => w.rain)), kind);
        assert.equal(series[i].values[0][2], members.length);
      });
      const ends = await server.series(
        'SELECT first(price), last(price) FROM stocks GROUP BY symbol', db);
      groups(stocks, (s) => s.symbol).forEach(([symbol, members], i) => {
        assert.equal(ends[i].tags.symbol, symbol);
        assert.deepEqual(ends[i].values[0].slice(1), [members[0].price, members.at(-1).price]);
      });
    });

    await t.test('filters on fields and tags are correct', async () => {
      const q = 'SELECT count(temp) FROM weather WHERE kind =~ /^(rain|snow)$/ AND rain > 10';
      const wet = weather.filter((w) => /^(rain|snow)$/.test(w.kind) && w.rain > 10);
      assert.ok(wet.length > 0);
      assert.deepEqual(await server.rows(q, db), [[0, wet.length]]);
    });
  });
}
