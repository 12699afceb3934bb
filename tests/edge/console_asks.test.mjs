// Tests which requests the console sends automatically, and which requests need a user action.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { demo, detail, hashOf, noProblems, picture, type } from './console.mjs';
import { token } from './harness.mjs';

/**
 * The texts of links that the page must not run. The first two texts are single statements. If the
 * page ended them at the semicolon, the rest would create databases.
 */
const links = [
  'SHOW DATABASES --\r;CREATE DATABASE evil1',
  'SELECT v*1./2 FROM m;CREATE DATABASE evil2 --/',
  'SELECT v INTO evil3 FROM m',
  'DROP MEASUREMENT m',
];

const isQuery = (request) => new URL(request.url()).pathname === '/query';

function textOf(request) {
  const form = request.method() === 'GET' ? new URL(request.url()).search : request.postData();
  return new URLSearchParams(form).get('q');
}

function listened(page) {
  const asked = [];
  page.on('request', (request) => isQuery(request) && asked.push([request.method(), textOf(request)]));
  return asked;
}

const posts = (asked) => asked.filter(([method]) => method === 'POST').map(([, text]) => text);
const rested = (page) => page.waitForLoadState('networkidle');

async function run(page) {
  await page.locator('.query .cm-content').focus();
  await page.keyboard.press('Control+Enter');
}

async function pickRange(page, name) {
  await page.locator('.toolbar .menu-place > button').first().click();
  await page.getByRole('button', { name, exact: true }).click();
}

const point = 'm v=1 1700000000000000000';

test('a link only reads, whether or not the page can parse its text', async (t) => {
  const console_ = await demo(t, point);
  if (!console_) return;
  const { page, server, go } = console_;
  const untouched = async () => {
    assert.deepEqual(await server.rows('SHOW DATABASES'), [['demo']]);
    assert.deepEqual(await server.rows('SHOW MEASUREMENTS', { db: 'demo' }), [['m']]);
  };
  for (const hasParser of [true, false]) {
    if (!hasParser) await page.route('**/tidemark_bg.wasm', (route) => route.abort());
    for (const q of links) {
      await page.goto('about:blank');
      const asked = listened(page);
      await go(hashOf({ db: 'demo', q }));
      await page.locator('.problem', { hasText: 'press Run to run it' }).waitFor();
      await rested(page);
      assert.deepEqual(posts(asked), [], q);
      assert.equal(asked.some(([, text]) => text === q), !hasParser, q);
      await untouched();
    }
  }
  // The page cannot insert a time range without its parser, so it does not run the query.
  await page.goto('about:blank');
  const asked = listened(page);
  await go(hashOf({ db: 'demo', range: '1h', q: 'SELECT v FROM m' }));
  await page.locator('.problem', { hasText: 'The time range cannot be added to' }).waitFor();
  assert.deepEqual(asked.filter(([, text]) => text === 'SELECT v FROM m'), []);
  // The server rejects the statement even if the page could not parse it.
  const plan = new URLSearchParams({ db: 'demo', q: links[3], read_only: 'true' });
  const refused = await server.fetch(`/query?${plan}`);
  assert.deepEqual([refused.status, refused.headers.get('Allow')], [405, 'POST']);
  await untouched();
});

test('only the Run button writes, and only once, and typing sends no query', async (t) => {
  const console_ = await demo(t, point);
  if (!console_) return;
  const { page, server, go } = console_;
  await go(hashOf({ db: 'demo', view: 'table', q: 'SELECT v FROM m' }));
  await page.locator('tbody td').first().waitFor();
  const asked = listened(page);

  // The range, the refresh and the plan apply to the text that ran last.
  await type(page, 'DELETE FROM m');
  await pickRange(page, 'Last hour');
  await page.getByText('This time range has no points.').waitFor();
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.plan pre').waitFor();
  await page.getByLabel('Refresh').selectOption('1');
  await page.waitForRequest(isQuery);
  await page.getByLabel('Refresh').selectOption('0');
  await pickRange(page, 'Any time');
  await page.locator('tbody td').first().waitFor();
  assert.deepEqual(posts(asked), []);
  assert.deepEqual(asked.filter(([, text]) => text.includes('DELETE')), []);

  for (const q of ['SELECT v INTO n FROM m', 'DELETE FROM n']) {
    asked.length = 0;
    await type(page, q);
    await run(page);
    await page.locator('#result:not([aria-busy])', { hasText: /written|Done/ }).waitFor();
    await pickRange(page, 'Last hour');
    await page.locator('.problem', { hasText: 'press Run to run it' }).waitFor();
    await pickRange(page, 'Any time');
    await page.getByRole('tab', { name: 'Raw' }).click();
    await page.locator('.plan', { hasText: 'Only a SELECT without INTO' }).waitFor();
    await page.getByRole('tab', { name: 'Table' }).click();
    await page.getByLabel('Refresh').selectOption('1');
    await page.waitForTimeout(2500);
    await page.getByLabel('Refresh').selectOption('0');
    assert.deepEqual(posts(asked), [q]);
    const again = asked.filter(([method, text]) => method === 'GET' && /INTO|DELETE/.test(text));
    assert.deepEqual(again, [], q);
  }
  const sent = page.waitForRequest((request) => request.method() === 'POST' && isQuery(request));
  await run(page);
  await sent;
  assert.deepEqual(posts(asked), ['DELETE FROM n', 'DELETE FROM n'], 'Run runs it again');
  assert.deepEqual(await server.rows('SELECT count(v) FROM m', { db: 'demo' }), [
    ['1970-01-01T00:00:00Z', 1],
  ]);
  noProblems(console_);
});

test("a server that does not respond is reported as unreachable, and the page's database never replaces it", async (t) => {
  const console_ = await demo(t, point);
  if (!console_) return;
  const { page, go } = console_;
  const answers = [
    (route) => route.fulfill({ status: 503 }),
    (route) => route.fulfill({ status: 200, contentType: 'text/html', body: '<h1>Sign in</h1>' }),
    (route) => route.fulfill({ status: 404 }),
    (route) => route.abort(),
  ];
  for (const answer of answers) {
    await page.route('**/ping', answer);
    await page.goto('about:blank');
    await go(hashOf({ db: 'demo', view: 'table', q: 'SELECT v FROM m' }));
    await page.getByRole('heading', { name: 'The server does not respond' }).waitFor();
    assert.match(await page.locator('#session .place').innerText(), /^127\.0\.0\.1:\d+, no response$/);
    await picture(page, 'outage');
    await type(page, 'SELECT v FROM m -- mine');
    await page.unroute('**/ping');
    const asked = listened(page);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.locator('#explorer').getByText('autogen').waitFor();
    assert.equal(await page.locator('.query .cm-content').innerText(), 'SELECT v FROM m -- mine');
    await rested(page);
    assert.ok(!asked.some(([, text]) => text.includes('mine')), 'asked for what was only typed');
    await run(page);
    await page.locator('tbody td').first().waitFor();
  }
});

test('suggestions use the selected database, and no suggestion writes', async (t) => {
  const console_ = await demo(t, point);
  if (!console_) return;
  const { page, server, go } = console_;
  await server.query('CREATE DATABASE other');
  await server.mustWrite('door open=true', { db: 'other' });
  await go(hashOf({ db: 'demo' }));
  await page.getByText('Newest points of m').waitFor();
  await page.getByRole('combobox', { name: 'Database' }).selectOption('other');
  await page.getByText('Newest points of door').waitFor();
  assert.equal(await page.getByText('Newest points of m').count(), 0);

  await page.getByRole('button', { name: 'Write', exact: true }).first().click();
  await page.locator('.write .cm-content').waitFor();
  const send = page.locator('.write').getByRole('button', { name: 'Write', exact: true });
  assert.equal(await page.locator('.write .cm-line').count(), 1);
  assert.ok(await send.isDisabled());
  await page.locator('.write .cm-content').focus();
  await page.keyboard.insertText('m v=2');
  await page.locator('.write button.primary:not([disabled])').waitFor();
  noProblems(console_);
});

test('a refresh keeps the sort order and the page of a table, and the tree stays expanded', async (t) => {
  const console_ = await demo(t, point);
  if (!console_) return;
  const { page, server, go } = console_;
  const lines = Array.from({ length: 250 }, (_, i) => `many,host=a v=${(i * 7) % 250} ${i + 1}000000000`);
  await server.mustWrite(lines.join('\n'), { db: 'demo' });
  await go(hashOf({ db: 'demo', view: 'table', q: 'SELECT v FROM many' }));
  await page.getByRole('button', { name: 'v', exact: true }).click();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('101–200 of 250').waitFor();
  const first = page.locator('tbody tr').first();
  assert.match(await first.textContent(), /Z100$/);
  await page.getByLabel('Refresh').selectOption('1');
  await server.mustWrite('many,host=a v=0.5 400000000000', { db: 'demo' });
  await page.getByText('101–200 of 251').waitFor();
  await page.getByLabel('Refresh').selectOption('0');
  assert.match(await first.textContent(), /Z99$/);
  assert.equal(await page.locator('th', { hasText: 'v' }).getAttribute('aria-sort'), 'ascending');
  // The result of another query begins at its first page.
  await type(page, 'SELECT v FROM many LIMIT 150');
  await run(page);
  await page.getByText('1–100 of 150').waitFor();

  await page.getByRole('button', { name: 'Open many', exact: true }).click();
  await page.getByRole('button', { name: 'host', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Open m', exact: true }).click();
  await page.getByRole('button', { name: 'Open m', exact: true }).click();
  await server.mustWrite('fresh v=1', { db: 'demo' });
  await page.getByRole('button', { name: 'Read the schema again' }).click();
  await page.getByRole('button', { name: 'fresh', exact: true }).waitFor();
  await page.getByRole('button', { name: 'host', exact: true }).waitFor();
  const isOpen = (name) =>
    page.getByRole('button', { name: `Open ${name}`, exact: true }).getAttribute('aria-expanded');
  assert.deepEqual([await isOpen('many'), await isOpen('m'), await isOpen('fresh')], ['true', 'false', 'false']);
  noProblems(console_);
});

test('counts are requested only for visible rows, and statistics only for one database', async (t) => {
  const console_ = await demo(t, point);
  if (!console_) return;
  const { page, server, go } = console_;
  const names = Array.from({ length: 200 }, (_, i) => `m${String(i).padStart(3, '0')}`);
  await server.mustWrite(names.map((name) => `${name} v=1`).join('\n'), { db: 'demo' });
  const asked = listened(page);
  await go(hashOf({ db: 'demo' }));
  const side = (name) => detail(page, name);
  await side('m000').filter({ hasText: '1 series' }).waitFor();
  await page.locator('.card', { hasText: 'Points written' }).waitFor();
  await rested(page);
  const counts = () => asked.filter(([, text]) => text.includes('CARDINALITY'));
  const seen = counts().length;
  assert.ok(seen > 0 && seen < 50, `${seen} counts of 200 measurements`);
  assert.ok(!counts().some(([, text]) => text.includes('/.*/')), 'all of them at once');
  const figures = asked.filter(([, text]) => text.startsWith('SHOW STATS'));
  assert.deepEqual([...new Set(figures.map(([, text]) => text))], ['SHOW STATS ON demo']);
  await side('m199').scrollIntoViewIfNeeded();
  await side('m199').filter({ hasText: '1 series' }).waitFor();
  await rested(page);
  assert.ok(counts().length > seen && counts().length < 100, `${counts().length} counts`);
  noProblems(console_);
});

test('the page works in a browser that blocks all storage', async (t) => {
  const console_ = await demo(t, point, { signedIn: false });
  if (!console_) return;
  const { page, go } = console_;
  await page.addInitScript(() => {
    for (const name of ['localStorage', 'sessionStorage']) {
      const get = () => {
        throw new DOMException('denied', 'SecurityError');
      };
      Object.defineProperty(globalThis, name, { get });
    }
  });
  await go(hashOf({ db: 'demo', view: 'table', q: 'SELECT v FROM m' }));
  await page.locator('.welcome input').fill(token);
  await page.locator('.welcome').getByRole('button', { name: 'Use this token' }).click();
  await page.locator('tbody td').first().waitFor();
  await run(page);
  await page.getByRole('button', { name: 'History' }).click();
  await page.locator('.past', { hasText: 'SELECT v FROM m' }).waitFor();
  await page.getByRole('button', { name: 'Token set' }).click();
  await page.getByText('a reload deletes the token').waitFor();
  noProblems(console_);
});
