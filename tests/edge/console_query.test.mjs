// Tests the console: the query editor.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cells, demo, hashOf, noProblems, offered, queries, type } from './console.mjs';

const lines = [
  'weather,city=Oslo temp=1.5,rain=2i 1700000000000000000',
  'weather,city=Rome temp=20.5,rain=0i 1700000060000000000',
  'wind,city=Oslo speed=3 1700000000000000000',
].join('\n');

test('3: the query editor', async (t) => {
  const console_ = await demo(t, lines);
  if (!console_) return;
  const { go, page } = console_;
  await go(hashOf({ db: 'demo', view: 'table' }));
  await page.locator('.query .cm-content').waitFor();
  await t.test('3: the editor highlights, completes from the schema, marks errors and runs queries', () =>
    editing(console_),
  );
  await t.test('3: the list of completions closes when the query runs or the focus leaves', () =>
    leaving(console_),
  );
  await t.test('3: a query can be cancelled, and earlier queries are listed', () =>
    cancelling(console_),
  );
  await t.test('3: a plain text area is used until the editor is loaded', () => plainArea(console_));
});

async function editing(console_) {
  const { page } = console_;

  assert.equal((await offered(page, 'SELECT te'))[0], 'temp');
  const call = page.locator('.cm-tooltip-autocomplete li', { hasText: 'mean' });
  await offered(page, 'SELECT mea');
  assert.match(await call.first().textContent(), /^mean\(field\)/);
  assert.deepEqual((await offered(page, 'SELECT temp FROM w')).slice(0, 2).sort(), [
    'weather',
    'wind',
  ]);
  assert.equal((await offered(page, 'SELECT temp FROM weather GROUP BY ci'))[0], 'city');
  assert.deepEqual(await offered(page, 'SELECT temp FROM weather WHERE city ='), ['Oslo', 'Rome']);
  assert.ok((await offered(page, 'sel')).includes('SELECT'));
  await page.keyboard.press('Escape');

  await type(page, "SELECT temp FROM weather WHERE city = 'Rome'");
  const colour = (text) =>
    page
      .locator('.cm-line span', { hasText: new RegExp(`^${text}$`) })
      .first()
      .evaluate((it) => getComputedStyle(it).color);
  assert.notEqual(await colour('SELECT'), await colour("'Rome'"));
  await page.keyboard.press('Control+Enter');
  await page.locator('tbody td').first().waitFor();
  assert.deepEqual(await cells(page), [['2023-11-14T22:14:20Z', '20.5']]);

  const both = 'SELECT speed FROM wind; SELECT rain FROM weather';
  await type(page, both);
  await page.keyboard.press('Control+Home');
  for (let i = 0; i < both.indexOf(';'); i += 1) await page.keyboard.press('Shift+ArrowRight');
  await page.keyboard.press('Control+Enter');
  await page.locator('th', { hasText: 'speed' }).waitFor();
  assert.deepEqual(await cells(page), [['2023-11-14T22:13:20Z', '3']]);
  assert.equal(await page.locator('.which').count(), 0);

  // The editor marks the correct position of the error, although the page has inserted a time range
  // before this position.
  await type(page, 'SELECT temp FROM weather\nWHERE city = "é" GRUP BY city');
  await page.keyboard.press('Control+Enter');
  await page.locator('.problem').waitFor();
  assert.match(
    await page.locator('.problem').textContent(),
    /found GRUP, expected ; at line 2, char 18/,
  );
  assert.equal(await page.locator('.cm-wrong').textContent(), 'GRUP');
  noProblems(console_, 'status of 400');
}

/** Tests that a completion list does not open after the user has moved to another element. */
async function leaving({ go, page }) {
  const list = page.locator('.cm-tooltip-autocomplete');
  await offered(page, 'SELECT temp FROM w');
  await type(page, 'SELECT temp FROM weather');
  await page.keyboard.press('Control+Enter');
  await page.locator('tbody td').first().waitFor();
  // This pause is longer than the delay of the editor's completion.
  await page.waitForTimeout(500);
  assert.equal(await list.count(), 0);

  let release = null;
  const held = new Promise((resolve) => (release = resolve));
  await page.route(queries, async (route) => {
    await held;
    await route.continue().catch(() => {});
  });
  // A newly opened page has not loaded the schema yet.
  await page.goto('about:blank');
  await go(hashOf({ db: 'demo', view: 'table' }));
  await page.locator('.query .cm-content').waitFor();
  await type(page, 'SELECT temp FROM ');
  const asked = page.waitForRequest(queries);
  await page.keyboard.type('w');
  await asked;
  await page.getByLabel('Refresh').focus();
  const answered = page.waitForResponse(queries);
  release();
  await answered;
  await page.unroute(queries);
  await page.waitForLoadState('networkidle');
  assert.equal(await list.count(), 0);
  await type(page, 'SELECT temp FROM ');
  await page.keyboard.type('w');
  await list.waitFor();
  await page.keyboard.press('Escape');
}

async function cancelling({ page }) {
  await page.evaluate(() => localStorage.clear());
  await type(page, 'SELECT temp FROM weather');
  await page.keyboard.press('Control+Enter');
  await page.locator('tbody td').first().waitFor();

  let release = null;
  const held = new Promise((resolve) => (release = resolve));
  const broken = page.waitForEvent('requestfailed');
  await page.route(queries, async (route) => {
    await held;
    await route.continue().catch(() => {});
  });
  await type(page, 'SELECT speed FROM wind');
  await page.keyboard.press('Control+Enter');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.stat', { hasText: 'Cancelled' }).waitFor();
  assert.match((await broken).postData(), /speed/);
  release();
  await page.unroute(queries);

  await page.getByRole('button', { name: 'History' }).click();
  const past = page.locator('.past');
  assert.deepEqual(await past.locator('code').allTextContents(), [
    'SELECT speed FROM wind',
    'SELECT temp FROM weather',
  ]);
  await past.nth(1).click();
  assert.equal(await page.locator('.query .cm-content').textContent(), 'SELECT temp FROM weather');
  // The history and the address never contain statements with a password.
  await type(page, "CREATE USER ann WITH PASSWORD 'geheimnis'");
  await page.keyboard.press('Control+Enter');
  await page.locator('.empty', { hasText: 'Done' }).waitFor();
  const kept = await page.evaluate(() => JSON.stringify(localStorage) + location.href);
  assert.ok(kept.includes('SELECT') && !kept.includes('geheimnis'), kept);
  await page.getByRole('button', { name: 'History' }).click();
  await page.getByRole('button', { name: 'Clear history' }).click();
  assert.equal(await page.evaluate(() => localStorage.getItem('tidemark.history')), null);
}

async function plainArea(console_) {
  const { page, go } = console_;
  await page.route('**/chunks/influxql-*', (route) => route.abort());
  await go(hashOf({ db: 'demo', view: 'table' }));
  await page.reload();
  const area = page.locator('.query textarea');
  await area.fill('SELECT rain FROM weather LIMIT 1');
  await area.press('Control+Enter');
  await page.locator('th', { hasText: 'rain' }).waitFor();
  assert.deepEqual(await cells(page), [['2023-11-14T22:13:20Z', '2']]);
}
