// Tests the console's editor in SQL mode.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { seriesOfRows, tableOfRows } from '../../www/results/rows.js';
import { withRange } from '../../www/sql/range.js';
import { tablesIn } from '../../www/sql/words.js';
import { cells, chartDrawn, demo, drawnColours, hashOf, noProblems, offered, picture, queries, type } from './console.mjs';
import { isNative, Tidemark, withoutSql } from './harness.mjs';

const lines = [
  'weather,city=Oslo temp=1.5,rain=9007199254740993i 1700000000000000000',
  'weather,city=Oslo temp=2.5 1700000060000000000',
  'weather,city=Rome temp=20.5,rain=0i 1700000060000000001',
  'weather,city=Rome temp=19.5,rain=0i,note="=1+1" 1700000120000000000',
  'wind,city=Oslo speed=3 1700000000000000000',
  'Odd\\ Name,city=Oslo speed=4 1700000000000000000',
].join('\n');
const asked = /\/api\/v3\/query_sql/;

test('rows become lines in the order of time, and a table with every column', () => {
  const at = (second) => `2023-11-14T22:13:2${second}`;
  const rows = [
    { time: at(1), host: 'a', v: 2 },
    { host: 'a', v: 9 },
    { time: `${at(0)}.0019`, host: 'a', v: 1, n: '9007199254740993' },
    { time: at(2), v: 3, ok: true },
    { time: `${at(2)}+00:00`, host: 'a', v: 3 },
  ];
  const first = 1_700_000_000_000;
  assert.deepEqual(seriesOfRows(rows).results[0].series, [
    {
      tags: { host: 'a' },
      columns: ['time', 'v', 'n'],
      values: [[first + 1, 1, '9007199254740993'], [first + 1_000, 2, null], [first + 2_000, 3, null]],
    },
    { tags: { host: '' }, columns: ['time', 'v', 'n'], values: [[first + 2_000, 3, null]] },
  ]);
  const [table] = tableOfRows([{ a: 1, c: { deep: [1] } }, { a: 2, b: '2023-11-14T22:13:20', c: null }]).tables;
  assert.deepEqual([table.columns, table.kinds], [['a', 'b', 'c'], ['number', 'time', 'text']]);
  assert.deepEqual(table.rows, [[1, null, '{"deep":[1]}'], [2, '2023-11-14T22:13:20', null]]);
  assert.deepEqual(tableOfRows([]), { tables: [], errors: [] });
});

test('keywords are found outside of quotes and comments', () => {
  const joined = 'SELECT * FROM Home h, "A ""b""" AS x JOIN iox.other ON true';
  assert.deepEqual(tablesIn(joined), ['home', 'A "b"', 'other']);
  const hidden = `SELECT 'FROM a', "FROM b" -- FROM c\n/* FROM d */ FROM e WHERE f = 1, g`;
  assert.deepEqual(tablesIn(hidden), ['e']);
  assert.deepEqual(tablesIn('SELECT * FROM (SELECT * FROM inner_one) t'), ['inner_one']);
  const limits = { from_ms: 0, to_ms: 1_000_000 };
  assert.equal(
    withRange(`SELECT '$interval', "$interval" FROM m WHERE $timeFilter -- $timeFilter`, limits),
    `SELECT '$interval', "$interval" FROM m WHERE ` +
      `(time >= '1970-01-01T00:00:00.000Z' AND time < '1970-01-01T00:16:40.000Z') -- $timeFilter`,
  );
  const other = withRange('SELECT date_bin($__interval, time) WHERE $timeFilters', limits);
  assert.equal(other, "SELECT date_bin(INTERVAL '5 seconds', time) WHERE $timeFilters");
  assert.equal(withRange('$timeFilter AND $interval', null), "true AND INTERVAL '86400 seconds'");
});

const built = { skip: withoutSql };

test('the editor supports SQL', built, async (t) => {
  const console_ = await demo(t, lines, { options: { sql: sqlConfiguration }, Kind: Tidemark, acceptDownloads: true });
  if (!console_) return;
  const { go, page } = console_;
  await go(hashOf({ db: 'demo', view: 'table' }));
  await page.locator('.query .cm-content').waitFor();
  await page.getByRole('button', { name: 'SQL', exact: true }).click();
  await page.locator('.cm-content[aria-label="SQL query"]').waitFor();
  await t.test('the editor highlights, and completes from the schema and from the server', () => editing(console_));
  await t.test('a result is an exact table, a link, a CSV file and a Parquet file', () => results(console_));
  await t.test('the chart has a line for each combination of text values', () => drawing(console_));
  await t.test('a time range replaces $timeFilter, or a notice appears if the query does not contain it', () => ranges(console_));
  await t.test('an error is shown with its position', () => errors(console_));
  await t.test('the plan, the live tail, the history and the explorer work for SQL', () => others(console_));
});

async function run(page, text) {
  await type(page, text);
  const answered = page.waitForResponse(asked);
  await page.keyboard.press('Control+Enter');
  await answered;
  await page.locator('#result:not([aria-busy])').waitFor();
}

async function editing(console_) {
  const { page } = console_;
  const begin = (text) => page.locator('.suggestions button', { hasText: text });
  await begin('SHOW TABLES').waitFor();
  await begin('SELECT * FROM "Odd Name" ORDER BY time DESC LIMIT 100').click();
  await page.locator('td', { hasText: /^4$/ }).waitFor();
  assert.equal(await page.locator('.cm-content').getAttribute('aria-label'), 'SQL query');
  assert.equal((await offered(page, 'SELECT te'))[0], 'temp');
  const bin = page.locator('.cm-tooltip-autocomplete li', { hasText: 'date_bin(' });
  await offered(page, 'SELECT date_bi');
  assert.match(await bin.first().textContent(), /^date_bin\(interval, expression/);
  assert.ok((await offered(page, 'SELECT selector_fir')).includes('selector_first'));
  assert.deepEqual((await offered(page, 'SELECT * FROM w')).slice(0, 2).sort(), ['weather', 'wind']);
  // Names are quoted unless they consist of lower-case letters.
  await offered(page, 'SELECT * FROM Od');
  await page.waitForTimeout(200);
  await page.keyboard.press('Tab');
  assert.match(await page.locator('.cm-content').textContent(), /FROM "Odd Name"$/);
  assert.deepEqual(await offered(page, 'SELECT temp FROM weather WHERE city ='), ['Oslo', 'Rome']);
  assert.ok((await offered(page, 'SELECT * FROM weather wher')).includes('WHERE'));
  assert.ok(!(await offered(page, 'SELECT * FROM weather WHERE s')).includes('speed'));
  await page.keyboard.press('Escape');
  await picture(page, 'sql_editor');

  await type(page, "SELECT avg(temp), 1.5 FROM \"weather\" WHERE city = 'Rome' AND $timeFilter -- no");
  const colour = (text) =>
    page
      .locator('.cm-line span', { hasText: text })
      .first()
      .evaluate((it) => getComputedStyle(it).color);
  const kinds = ['SELECT', 'avg', '1.5', "'Rome'", '-- no'];
  const found = await Promise.all(kinds.map(colour));
  assert.equal(new Set(found).size, kinds.length, JSON.stringify(found));
  noProblems(console_);
}

async function results(console_) {
  const { context, page } = console_;
  await run(page, 'SELECT * FROM weather ORDER BY time, city');
  assert.deepEqual(await page.locator('th .sort').allTextContents(), ['city', 'note', 'rain', 'temp', 'time']);
  assert.deepEqual(await cells(page), [
    ['Oslo', '–', '9007199254740993', '1.5', '2023-11-14T22:13:20'],
    ['Oslo', '–', '–', '2.5', '2023-11-14T22:14:20'],
    ['Rome', '–', '0', '20.5', '2023-11-14T22:14:20.000000001'],
    ['Rome', '=1+1', '0', '19.5', '2023-11-14T22:15:20'],
  ]);
  await picture(page, 'sql_table');
  const saved = async (name) => {
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name, exact: true }).click();
    const file = await download;
    return [file.suggestedFilename(), readFileSync(await file.path())];
  };
  const [csvName, csv] = await saved('CSV');
  assert.equal(csvName, 'result.csv');
  assert.equal(csv.toString().split('\r\n')[4], "Rome,'=1+1,0,19.5,2023-11-14T22:15:20");
  const [parquetName, parquet] = await saved('Parquet');
  assert.equal(parquetName, 'result.parquet');
  assert.deepEqual([parquet.subarray(0, 4).toString(), parquet.subarray(-4).toString()], ['PAR1', 'PAR1']);

  // A link contains the language, so that another user sees the same rows. The page writes its address
  // with a delay, so the address may still contain an earlier query.
  await page.waitForFunction(() => /language=sql.*FROM\+weather\+ORDER/.test(location.hash));
  // `page.url()` is too slow here: the page replaces its address after each letter.
  const link = await page.evaluate(() => location.href);
  const other = await context.newPage();
  await other.addInitScript((secret) => sessionStorage.setItem('tidemark.token', secret), 'token-of-the-tests');
  await other.goto(link);
  await other.locator('tbody td').first().waitFor();
  assert.deepEqual((await cells(other))[0], ['Oslo', '–', '9007199254740993', '1.5', '2023-11-14T22:13:20']);
  assert.equal(await other.getByRole('button', { name: 'SQL', exact: true }).getAttribute('aria-pressed'), 'true');
  await other.close();
  noProblems(console_);
}

async function drawing(console_) {
  const { page } = console_;
  await page.getByRole('tab', { name: 'Chart' }).click();
  // The rows may be in any order. The time column may have a name other than `time`.
  await run(page, "SELECT date_bin(INTERVAL '1 minute', time) AS minute, city, avg(temp) AS temp FROM weather GROUP BY 1, 2 ORDER BY temp DESC");
  await chartDrawn(page);
  assert.deepEqual((await page.locator('.legend .key-name').allTextContents()).sort(), ['temp city=Oslo', 'temp city=Rome']);
  assert.match(await page.locator('.stat').textContent(), /^4 points/);
  assert.ok((await drawnColours(page)).length >= 2);
  await picture(page, 'sql_chart');
  await run(page, 'SELECT count(*) AS rows FROM weather');
  assert.match(await page.locator('#result').textContent(), /no numbers to draw/);
  await run(page, 'SHOW TABLES');
  await page.locator('td', { hasText: /^weather$/ }).first().waitFor();
  noProblems(console_);
}

async function ranges(console_) {
  const { go, page } = console_;
  const range = '2023-11-14T22:14:00.000Z..2023-11-14T22:15:00.000Z';
  const q = 'SELECT city, temp FROM weather WHERE $timeFilter ORDER BY city -- not in $timeFilter';
  const answered = page.waitForResponse(asked);
  await go(hashOf({ db: 'demo', view: 'table', language: 'sql', range, q }));
  await answered;
  // The previous rows remain visible until the new rows are drawn.
  await page.locator('td', { hasText: /^20\.5$/ }).waitFor();
  assert.deepEqual(await cells(page), [['Oslo', '2.5'], ['Rome', '20.5']]);
  const hint = page.locator('.query .hint');
  assert.ok(!(await hint.isVisible()));
  await run(page, "SELECT date_bin($interval, time) AS t, '$timeFilter' AS s FROM weather WHERE $timeFilter AND city = 'Oslo'");
  assert.deepEqual(await cells(page), [['2023-11-14T22:14:20', '$timeFilter']]);
  await type(page, 'SELECT city FROM weather');
  assert.match(await hint.textContent(), /The query has no \$timeFilter/);
  await page.getByRole('button', { name: 'InfluxQL' }).click();
  assert.ok(!(await hint.isVisible()));
  await page.getByRole('button', { name: 'SQL', exact: true }).click();
  noProblems(console_);
}

async function errors(console_) {
  const { page } = console_;
  await run(page, 'SELECT temp\nFROM weather GRUP BY city');
  await page.locator('.problem').waitFor();
  assert.match(await page.locator('.problem').textContent(), /Line: 2, Column: 19/);
  assert.equal(await page.locator('.cm-wrong').textContent(), 'BY');
  await picture(page, 'sql_error');
  await run(page, 'SELECT nope FROM weather');
  assert.match(await page.locator('.problem').textContent(), /No field named nope/);
  noProblems(console_, 'status of 400');
}

async function others(console_) {
  const { page } = console_;
  await run(page, 'SELECT city, temp FROM weather WHERE temp > 2;');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.plan pre', { hasText: 'Scan: weather' }).waitFor();
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByRole('tab', { name: 'Live tail' }).click();
  await page.locator('.result-body td', { hasText: '20.5' }).waitFor();
  await page.getByRole('tab', { name: 'Table' }).click();

  await page.getByRole('button', { name: 'InfluxQL' }).click();
  await type(page, 'SELECT speed FROM wind');
  const answered = page.waitForResponse(queries);
  await page.keyboard.press('Control+Enter');
  await answered;
  await page.getByRole('button', { name: 'History' }).click();
  await page.locator('.past', { hasText: 'temp > 2' }).click();
  await page.locator('.cm-content[aria-label="SQL query"]').waitFor();

  // The first click in the explorer inserts a statement. Later clicks insert names at the cursor.
  await type(page, ' ');
  const row = (name) => page.locator('#explorer').getByRole('button', { name, exact: true });
  await row('weather').first().click();
  await page.locator('.cm-content', { hasText: 'SELECT * FROM weather WHERE $timeFilter' }).waitFor();
  noProblems(console_, 'status of 400');
}

test('without SQL the page explains how to add it', async (t) => {
  // The native host always includes SQL.
  if (isNative) return;
  const console_ = await demo(t, lines);
  if (!console_) return;
  const { go, page } = console_;
  await go(hashOf({ db: 'demo', view: 'table', language: 'sql' }));
  await page.locator('.cm-content[aria-label="SQL query"]').waitFor();
  await run(page, 'SELECT 1 AS one');
  assert.match(await page.locator('.problem').textContent(), /npm run sql/);
  noProblems(console_, 'status of 501');
});
