// Tests items 1 and 9 of the console: the path from an empty server to a chart, and addresses that
// users can share.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chartDrawn, drawnColours, hashOf, noProblems, opened } from './console.mjs';
import { token } from './harness.mjs';

/** The maximum time from the first click to the chart. */
const chartMsMax = 2000;

const chosen = {
  view: 'chart',
  db: 'sample',
  range: '2013-01-01T00:00:00.000Z..2014-01-01T00:00:00.000Z',
  q: 'SELECT mean(temp_max) FROM weather GROUP BY time(7d), city',
};

async function loadSample({ page }) {
  await page.getByRole('button', { name: 'Load sample data' }).click();
  await page.getByRole('button', { name: /per week/ }).waitFor();
}

async function firstChart(page) {
  const first = page.getByRole('button', { name: 'Load sample data' });
  await first.waitFor();
  await page.locator('.query .cm-content').waitFor();
  const from = Date.now();
  await first.click();
  await page.getByRole('button', { name: /per week/ }).click();
  await chartDrawn(page);
  return Date.now() - from;
}

test('1: two clicks from an empty database to a chart of real data', async (t) => {
  const console_ = await opened(t);
  if (!console_) return;
  const { server, page, go } = console_;
  let took = Infinity;
  // Other programs on the machine may slow down one attempt, but not all three.
  for (let attempt = 1; attempt <= 3 && took > chartMsMax; attempt += 1) {
    await server.query('DROP DATABASE sample');
    await go();
    await page.reload();
    took = await firstChart(page);
    t.diagnostic(`${took} ms from an empty database to the first chart`);
    const colours = await drawnColours(page);
    assert.equal(colours.length, 4, JSON.stringify(colours));
  }
  assert.ok(took <= chartMsMax, `${took} ms`);
  assert.deepEqual(
    await server.rows('SELECT count(temp_max), count(sky) FROM weather', { db: 'sample' }),
    [['1970-01-01T00:00:00Z', 2922, 2922]],
  );
  const [[name, duration]] = await server.rows('SHOW RETENTION POLICIES ON sample');
  assert.deepEqual([name, duration], ['autogen', '0s']);
  noProblems(console_);
});

test('9: another user sees the same page at the same address, and the address never contains the token', async (t) => {
  const console_ = await opened(t, { signedIn: false });
  if (!console_) return;
  const { context, page, server, go } = console_;
  await page.locator('.welcome input').fill(token);
  await page.locator('.welcome').getByRole('button', { name: 'Use this token' }).click();
  await loadSample(console_);
  await page.getByRole('button', { name: /per week/ }).click();
  await chartDrawn(page);
  const asked = Object.fromEntries(new URLSearchParams(new URL(page.url()).hash.slice(1)));
  assert.deepEqual(Object.keys(asked).sort(), ['db', 'q', 'range', 'view']);
  assert.deepEqual([asked.db, asked.view], ['sample', 'chart']);
  assert.match(asked.q, /^SELECT max\(temp_max\)/);

  const other = await context.newPage();
  await other.addInitScript((secret) => sessionStorage.setItem('tidemark.token', secret), token);
  await other.goto(`${server.url}/${hashOf(chosen)}`);
  await chartDrawn(other);
  assert.equal((await drawnColours(other)).length, 2);
  await other.getByRole('button', { name: '2013-01-01 – 2014-01-01' }).waitFor();
  assert.equal(await other.locator('.database select').inputValue(), 'sample');
  await other.close();

  // A link can only read. A statement that changes data does not run until the visitor runs it.
  await go(hashOf({ db: 'sample', view: 'table', q: 'DROP DATABASE sample' }));
  await page.reload();
  await page.getByRole('button', { name: 'Run' }).waitFor();
  await page.locator('.tree .name.db').waitFor();
  assert.deepEqual(await server.rows('SHOW DATABASES'), [['sample']]);

  await go(hashOf({ view: 'connect', db: 'sample' }));
  await page.locator('.snippet').waitFor();
  const places = await page.evaluate(async () => ({
    address: location.href,
    markup: document.documentElement.outerHTML,
    values: [...document.querySelectorAll('input, textarea')].map(({ value }) => value).join(),
    local: JSON.stringify(localStorage),
    state: JSON.stringify(history.state),
    cookies: document.cookie,
    loaded: performance
      .getEntries()
      .map(({ name }) => name)
      .join(),
  }));
  for (const [place, text] of Object.entries(places)) {
    assert.ok(!text.includes(token), `the token is in ${place}`);
  }
  // After the server rejects a token, the page requests another token.
  await page.evaluate(() => sessionStorage.setItem('tidemark.token', 'gone'));
  await go(hashOf(chosen));
  await page.reload();
  await page.locator('.welcome input').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem('tidemark.token')), null);

  const devtools = await context.newCDPSession(page);
  const { entries } = await devtools.send('Page.getNavigationHistory');
  assert.ok(entries.length > 3);
  assert.ok(!JSON.stringify(entries).includes(token));
});
