// Tests SQL with the page's own database. The page loads the SQL module after the user agrees.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { sqlAsset, staticFolder } from '../../scripts/console.mjs';
import { hasChromium, launchOptions } from './chromium.mjs';
import { chartDrawn, drawnColours, hashOf, noProblems, opened, picture, type } from './console.mjs';
import { another, builtHost, corner, follow, inSharedWorker, local, patienceMs, send, write } from './console_local.mjs';
import { Tidemark } from './harness.mjs';

const asset = sqlAsset();
const built = { skip: asset ? false : 'SQL is not built: npm run sql' };
const file = `/somewhere/chunks/${asset?.name}`;

/** The timeout includes the compilation of a module of this size. */
const loadMs = 60_000;

const lines = [
  'weather,city=Oslo temp=1.5,rain=9007199254740993i 1700000000',
  'weather,city=Oslo temp=2.5 1700000060',
  'weather,city=Rome temp=20.5,rain=0i 1700000060',
  'weather,city=Rome temp=19.5,rain=0i 1700000120',
  'place,city=Oslo country="Norway" 1700000000',
  'place,city=Rome country="Italy" 1700000000',
].join('\n');

const aggregate = 'SELECT city, count(*) AS rows, avg(temp) AS temp FROM weather GROUP BY city ORDER BY city';
const means = [['Oslo', '2', '2'], ['Rome', '2', '20']];

const offer = (page) => page.locator('.offer');
const load = (page) => page.getByRole('button', { name: /^Load SQL/ });

async function filled(page) {
  await page.getByRole('button', { name: 'Load sample data' }).waitFor();
  await write(page, 'demo', lines);
  await page.getByText('6 valid lines').waitFor();
  await send(page);
  await page.locator('pre.answer.good').waitFor();
}

const shown = (page) =>
  page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));

async function run(page, text) {
  await type(page, text);
  await page.locator('.query .cm-content').press('Control+Enter');
  // The button displays Cancel until the result is drawn.
  await page.locator('button[data-busy]').waitFor({ state: 'detached' });
  await page.locator('#result:not([aria-busy])').waitFor();
}

async function rowsOf(page, text) {
  await run(page, text);
  assert.equal(await page.locator('.problem').isVisible(), false, await page.locator('.problem').textContent());
  return shown(page);
}

async function refusal(page, text) {
  await run(page, text);
  await page.locator('.problem').waitFor();
  return page.locator('.problem').textContent();
}

async function ready(page) {
  await load(page).click();
  await offer(page).waitFor({ state: 'hidden', timeout: loadMs });
}

test('the page runs SQL without a server, after the visitor agrees', built, async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page } = it;
  await filled(page);
  await t.test('the module is loaded only after the visitor agrees, and then the query runs', () => asked(it));
  await t.test('aggregates are computed in the shards, and tables are joined', () => answers(it));
  await t.test('chart, CSV, Parquet and links are the same as with a server', () => uses(it));
  await t.test('an error states its reason and its position', () => refusals(it));
  await t.test('a module whose memory has grown gets a new memory', () => grown(it));
  await t.test('after a trap the next statement succeeds', () => trapped(it));
  assert.deepEqual(it.problems, []);
});

async function asked({ host, page }) {
  await follow(page, { db: 'demo', language: 'sql', view: 'table' });
  await offer(page).getByText(`a file of ${(asset.bytes / 1e6).toFixed(1)} MB`).waitFor();
  // The completion needs the list of functions, but the module is not loaded yet.
  await type(page, 'SELECT cit');
  await page.keyboard.type('y');
  await page.locator('.cm-completionLabel', { hasText: /^city$/ }).waitFor();
  await page.keyboard.press('Escape');
  await follow(page, { db: 'demo', language: 'sql', view: 'table', q: aggregate });
  await page.locator('.problem', { hasText: 'has no SQL yet: press Load SQL' }).waitFor();
  assert.ok(!host.asked.includes(file), 'it was fetched unasked');
  await picture(page, 'page_sql_offer');

  const half = Math.floor(asset.bytes / 2);
  let goOn = () => {};
  const isSeen = new Promise((resolve) => (goOn = () => resolve()));
  host.instead.set(`chunks/${asset.name}`, async function* inHalves() {
    const bytes = readFileSync(join(staticFolder, 'chunks', asset.name));
    yield bytes.subarray(0, half);
    await isSeen;
    yield bytes.subarray(half);
  });
  await load(page).click();
  await offer(page).getByText(/^Loading SQL: \d\.\d of \d\.\d MB$/).waitFor();
  const value = () => offer(page).locator('progress').evaluate((bar) => bar.value / bar.max);
  // The displayed progress may omit the last chunk of the download.
  while ((await value()) <= 0.4) await page.waitForTimeout(20);
  assert.ok((await value()) <= 0.5);
  assert.equal(await load(page).isVisible(), false);
  await picture(page, 'page_sql_loading');
  goOn();
  await offer(page).waitFor({ state: 'hidden', timeout: loadMs });
  assert.equal(host.asked.filter((path) => path === file).length, 1);
  host.instead.clear();
  await page.locator('tbody td').first().waitFor();
  assert.deepEqual(await shown(page), means);
  assert.equal(await page.locator('.problem').isVisible(), false);
}

async function answers({ page }) {
  const joined = `SELECT p.country, max(w.temp) AS warmest FROM weather w JOIN place p ON w.city = p.city
GROUP BY p.country ORDER BY warmest DESC`;
  assert.deepEqual(await rowsOf(page, joined), [['Italy', '20.5'], ['Norway', '2.5']]);
  assert.deepEqual(await rowsOf(page, aggregate), means);
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.plan pre', { hasText: 'aggregates=[' }).waitFor();
  await page.getByRole('button', { name: 'Explain' }).click();
  const exact = await rowsOf(page, "SELECT rain, temp, time FROM weather WHERE city = 'Oslo' ORDER BY time");
  assert.deepEqual(exact, [['9007199254740993', '1.5', '2023-11-14T22:13:20'], ['–', '2.5', '2023-11-14T22:14:20']]);
  const many = 'SELECT count(*) AS n, sum(v) AS s FROM (SELECT value AS v FROM generate_series(1, 200000)) x';
  assert.deepEqual(await rowsOf(page, many), [['200000', '20000100000']]);
  await type(page, 'SELECT selector_fir');
  await page.keyboard.type('s');
  await page.locator('.cm-completionLabel', { hasText: 'selector_first' }).waitFor();
  await page.keyboard.press('Escape');
}

async function uses(it) {
  const { page } = it;
  const saved = async (name) => {
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name, exact: true }).click();
    return readFileSync(await (await download).path());
  };
  await run(page, aggregate);
  assert.equal((await saved('CSV')).toString(), 'city,rows,temp\r\nOslo,2,2\r\nRome,2,20\r\n');
  const parquet = await saved('Parquet');
  assert.deepEqual([parquet.subarray(0, 4).toString(), parquet.subarray(-4).toString()], ['PAR1', 'PAR1']);
  await page.getByRole('tab', { name: 'Chart' }).click();
  await run(page, 'SELECT time, city, temp FROM weather');
  await chartDrawn(page);
  assert.deepEqual((await page.locator('.legend .key-name').allTextContents()).sort(), ['temp city=Oslo', 'temp city=Rome']);
  assert.ok((await drawnColours(page)).length >= 2);
  await picture(page, 'page_sql_chart');
  await page.getByRole('tab', { name: 'Table' }).click();
  const other = await another(it, hashOf({ db: 'demo', language: 'sql', view: 'table', q: aggregate }));
  await other.locator('tbody td').first().waitFor();
  assert.deepEqual(await shown(other), means);
  assert.equal(await offer(other).isVisible(), false);
  await other.close();
  await page.bringToFront();
}

async function refusals({ page }) {
  assert.match(await refusal(page, 'SELECT temp\nFROM weather GRUP BY city'), /Line: 2, Column: 19/);
  assert.equal(await page.locator('.cm-wrong').textContent(), 'BY');
  assert.match(await refusal(page, 'SELECT nope FROM weather'), /No field named nope/);
  assert.match(await refusal(page, 'DROP TABLE weather'), /DROP/i);
  // A statement at the nesting limit fits into the stack of the thread.
  const nested = (depth) => `SELECT ${'('.repeat(depth)}1${')'.repeat(depth)} AS one`;
  assert.match(await refusal(page, nested(45)), /44/);
  assert.deepEqual(await rowsOf(page, nested(44)), [['1']]);
  const sum = (terms) => `SELECT ${Array(terms).fill('temp').join(' + ')} AS s FROM weather WHERE temp = 1.5`;
  assert.match(await refusal(page, sum(1_000)), /128/);
  assert.deepEqual(await rowsOf(page, sum(120)), [['180']]);
  assert.match(await refusal(page, 'SELECT count(*) FROM generate_series(1, 100000000)'), /10000000/);
  assert.deepEqual(await rowsOf(page, aggregate), means);
}

async function grown({ context, page }) {
  const inWorker = (script) => inSharedWorker(context.browser(), script);
  await inWorker(`{
    globalThis.memories = 0;
    WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
      construct(real, given) {
        globalThis.memories += 1;
        return new real(...given);
      },
    });
  }`);
  assert.deepEqual(await rowsOf(page, aggregate), means);
  assert.equal(await inWorker('globalThis.memories'), 0);
  // A window function keeps all of its rows in memory.
  const texts = "SELECT concat(repeat('x', 100), value) AS t FROM generate_series(1, 400000) a(value)";
  const held = `SELECT t, count(*) OVER () AS n FROM (${texts}) b`;
  assert.deepEqual(await rowsOf(page, `SELECT max(n) AS n, max(length(t)) AS l FROM (${held}) c`), [['400000', '106']]);
  assert.equal(await inWorker('globalThis.memories'), 1);
  assert.deepEqual(await rowsOf(page, aggregate), means);
}

async function trapped({ context, page }) {
  // `uuid()` fails without a source of randomness.
  await inSharedWorker(context.browser(), `{
    const real = crypto.getRandomValues;
    crypto.getRandomValues = () => {
      crypto.getRandomValues = real;
      throw new Error('none');
    };
  }`);
  assert.match(await refusal(page, 'SELECT uuid() AS u'), /SQL stopped: a query exhausted its stack or its memory/);
  assert.deepEqual(await rowsOf(page, aggregate), means);
  const [[id]] = await rowsOf(page, 'SELECT uuid() AS u');
  assert.match(id, /^[0-9a-f-]{36}$/);
}

test('a failed load of the module is reported, and can be repeated', built, async (t) => {
  const it = await local(t);
  if (!it) return;
  const { host, page, problems } = it;
  await filled(page);
  const name = `chunks/${asset.name}`;
  await follow(page, { db: 'demo', language: 'sql', view: 'table', q: 'SELECT 1 AS one' });
  const wrong = page.locator('.offer .wrong');
  host.instead.set(name, readFileSync(join(staticFolder, name)).subarray(0, 100_000));
  await load(page).click();
  await wrong.getByText(/^SQL could not be loaded: .*\. Try again, or reload the page\. If SQL is not built, run `npm run sql`\.$/).waitFor();
  assert.ok(await load(page).isVisible());
  host.instead.set(name, null);
  await load(page).click();
  await wrong.getByText('returned 404').waitFor();
  await picture(page, 'page_sql_failed');
  host.instead.clear();
  await ready(page);
  await page.locator('tbody td', { hasText: /^1$/ }).waitFor();
  assert.deepEqual(problems, []);
});

test('a later visit loads the module from the browser’s cache', built, async (t) => {
  if (!hasChromium(t)) return;
  const host = await builtHost(t);
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-visitor-'));
  // A private window has little storage space.
  const context = await chromium.launchPersistentContext(folder, launchOptions);
  t.after(async () => {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  });
  for (let visit = 1; visit <= 2; visit += 1) {
    const page = await context.newPage();
    page.setDefaultTimeout(patienceMs);
    await page.goto(host.url);
    await filled(page);
    await follow(page, { db: 'demo', language: 'sql', view: 'table', q: aggregate });
    await ready(page);
    await page.locator('tbody td').first().waitFor();
    assert.deepEqual(await shown(page), means);
    assert.equal(host.asked.filter((path) => path === file).length, 1, `visit ${visit}`);
    await page.close();
  }
});

test('a page that was built without SQL explains how to add it', built, async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, host } = it;
  await page.route('**/*.js', async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replace(new RegExp(`\\{name:"${asset.name}",bytes:\\d+\\}`), 'null');
    await route.fulfill({ response, body });
  });
  await page.goto('about:blank');
  await page.goto(host.url);
  await filled(page);
  await follow(page, { db: 'demo', language: 'sql', view: 'table', q: 'SELECT 1 AS one' });
  await offer(page).getByText('`npm run sql` and `npm run build -- --static`').waitFor();
  assert.equal(await load(page).isVisible(), false);
  await page.locator('.problem', { hasText: 'has no SQL: build the page again' }).waitFor();
});

test("the page of a server loads the module under the server's security policy", built, async (t) => {
  const console_ = await opened(t, { Kind: Tidemark });
  if (!console_) return;
  const { page, server } = console_;
  const { headers } = await fetch(`${server.url}/chunks/${asset.name}`, { method: 'HEAD' });
  assert.match(headers.get('Cache-Control'), /immutable/);
  await corner(page).click();
  await page.getByRole('button', { name: 'This browser, without a server' }).click();
  await filled(page);
  await page.evaluate((hash) => (location.hash = hash), hashOf({ db: 'demo', language: 'sql', view: 'table', q: aggregate }));
  await ready(page);
  await page.locator('tbody td').first().waitFor();
  assert.deepEqual(await shown(page), means);
  // The storage switch remains on, because the server has no database `demo`.
  await corner(page).click();
  await page.getByRole('button', { name: /^The server, / }).click();
  await page.locator('.query .hint', { hasText: '$timeFilter' }).waitFor({ state: 'hidden' });
  assert.equal(await offer(page).isVisible(), false);
  noProblems(console_);
});
