// Tests the console: writes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { demo, hashOf, noProblems, type } from './console.mjs';

const good = 'room,floor=1 temp=21.5 1700000000';
const bad = 'room,floor=2 temp=warm 1700000001';

const typeLines = (page, text) => type(page, text, '.write');

test('2: writing', async (t) => {
  const console_ = await demo(t);
  if (!console_) return;
  await console_.go(hashOf({ view: 'write', db: 'demo' }));
  await t.test('2: lines are checked while the user types, and the response to a write is displayed unchanged', () =>
    typing(console_),
  );
  await t.test('2: a missing database is created without a retention limit, and the page displays this', () =>
    making(console_),
  );
  await t.test('2: timestamps in the wrong unit are reported before the points are stored in 1970', () =>
    mistaking(console_),
  );
  await t.test('2: files are decompressed and sent in batches, and can be paused and sent again', () =>
    uploading(console_),
  );
});

async function typing(console_) {
  const { page, server } = console_;
  await page.locator('.write .cm-content').waitFor();
  await page.getByLabel('Precision').selectOption('s');
  await typeLines(page, [good, '', '# a note', bad, 'room,floor=3 temp=1i', 'room'].join('\n'));
  await page.locator('.verdict', { hasText: '2 valid lines, 2 invalid' }).waitFor();
  const problems = await page.locator('.problems li').allTextContents();
  assert.equal(problems.length, 2);
  assert.match(problems[0], /^Line 4, column 19 .*invalid field value 'warm'/);
  assert.match(problems[1], /^Line 6, column \d+ /);
  assert.match(await page.locator('.cm-wrong').first().textContent(), /^warm/);
  await page.getByRole('button', { name: 'Line 4, column 19' }).click();
  for (let i = 0; i < 4; i += 1) await page.keyboard.press('Delete');
  await page.keyboard.insertText('20');
  await page.locator('.verdict', { hasText: '3 valid lines, 1 invalid' }).waitFor();
  // The list shows at most 100 lines.
  await typeLines(page, Array(120).fill(bad).join('\n'));
  await page.locator('.verdict', { hasText: '0 valid lines, 120 invalid' }).waitFor();
  assert.equal(await page.locator('.problems li').count(), 100);

  await typeLines(page, `${good}\n${bad}`);
  await page.getByRole('button', { name: 'Write', exact: true }).last().click();
  const answer = page.locator('pre.answer');
  await answer.filter({ hasText: '400' }).waitFor();
  const said = await server.write(bad, { db: 'demo', precision: 's' });
  const reason = /invalid field value.*/.exec((await said.json()).error)[0];
  const shown = await answer.textContent();
  assert.ok(shown.includes(`line 2 (1-based): ${reason}`), `${shown}\n${reason}`);
  assert.match(shown, /1 points? written, 1 lines? rejected/);
  assert.deepEqual(await server.rows('SELECT * FROM room', { db: 'demo' }), [
    ['2023-11-14T22:13:20Z', '1', 21.5],
  ]);
  await typeLines(page, 'room,floor=2 temp=20 1700000001');
  await page.getByRole('button', { name: 'Write', exact: true }).last().click();
  await answer.filter({ hasText: '204' }).waitFor();
  assert.equal((await server.rows('SELECT * FROM room', { db: 'demo' })).length, 2);
  noProblems(console_, 'status of 400');
}

const policiesOf = async (server, db) =>
  (await server.rows(`SHOW RETENTION POLICIES ON ${db}`)).map(([name, duration]) => [name, duration]);

const attached = (name, text) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });

/** A point that is older than the retention of an automatically created database. */
const old = 'room temp=20 1500000000';

async function making({ page, server }) {
  const database = page.locator('.write').getByLabel('Database');
  const write = page.locator('.write').getByRole('button', { name: 'Write', exact: true });
  const answer = page.locator('pre.answer');
  await page.getByLabel('Precision').selectOption('s');

  // A request that contains only invalid lines creates no measurement.
  await database.fill('lasting');
  await page.getByText('The database lasting does not exist yet: a write creates').waitFor();
  await typeLines(page, bad);
  await page.locator('.verdict', { hasText: '0 valid lines, 1 invalid' }).waitFor();
  await write.click();
  await answer.filter({ hasText: '400' }).waitFor();
  assert.deepEqual(await server.rows('SHOW DATABASES'), [['demo']]);

  await typeLines(page, old);
  await page.locator('.verdict', { hasText: '1 valid line' }).waitFor();
  await write.click();
  await answer.filter({ hasText: '204' }).waitFor();
  assert.match(await answer.textContent(), /^The database lasting was created. It keeps points permanently\./);
  assert.deepEqual(await policiesOf(server, 'lasting'), [['autogen', '0s']]);
  assert.equal((await server.rows('SELECT * FROM room', { db: 'lasting' })).length, 1);
  await page.getByText('The database lasting does not exist yet').waitFor({ state: 'hidden' });

  await database.fill('filed/years');
  await page.locator('#file').setInputFiles(attached('old.lp', old));
  const upload = page.locator('.upload', { hasText: 'old.lp' });
  await upload.locator('p', { hasText: 'Done: 1 lines sent, 1 response received' }).waitFor();
  await upload.getByText('The database filed was created').waitFor();
  assert.deepEqual(await policiesOf(server, 'filed'), [
    ['autogen', '0s'],
    ['years', '0s'],
  ]);
  assert.equal((await server.rows('SELECT * FROM years.room', { db: 'filed' })).length, 1);
  await database.fill('demo');
}

async function mistaking({ page, server }) {
  await page.getByLabel('Precision').selectOption('ns');
  await typeLines(page, 'clock v=1 1700000000\nclock v=2 1700000001\nclock v=3 1700000002000000000');
  const notice = page.locator('.write .notice').first();
  await notice.filter({ hasText: 'The times look like seconds (precision=s). If they are read as nanoseconds, the times of 2 lines are in 1970.' }).waitFor();
  await page.getByRole('button', { name: 'Read the times as seconds' }).click();
  assert.equal(await page.getByLabel('Precision').inputValue(), 's');
  await page.locator('.verdict', { hasText: '2 valid lines, 1 invalid' }).waitFor();
  assert.ok(await notice.isHidden());

  // The page sends the next part of a file after the response to the previous part.
  await page.getByLabel('Precision').selectOption('ns');
  await page.locator('#file').setInputFiles(attached('clock.lp', 'clock v=1 1700000000000'));
  const upload = page.locator('.upload', { hasText: 'clock.lp' });
  await upload.getByText('The times look like milliseconds (precision=ms)').waitFor();
  assert.deepEqual(await server.rows('SELECT v FROM clock', { db: 'demo' }), []);
  await upload.getByRole('button', { name: 'The times are milliseconds' }).click();
  await upload.locator('p', { hasText: 'Done: 1 lines sent, 1 response received' }).waitFor();
  assert.deepEqual(await server.rows('SELECT v FROM clock', { db: 'demo' }), [
    ['2023-11-14T22:13:20Z', 1],
  ]);
}

async function uploading({ page, server }) {
  const rows = 35_000;
  const lines = Array.from(
    { length: rows },
    (_, i) => `big,host=h${i % 10} v=${i},s="two\nlines" ${1_700_000_000 + i}`,
  );
  // The second request gets no response. The third gets a response from a proxy. The fifth waits.
  let requests = 0;
  let release = null;
  const gate = new Promise((resolve) => (release = resolve));
  await page.route('**/api/v2/write*', async (route) => {
    requests += 1;
    if (requests === 2) return route.abort();
    if (requests === 3)
      return route.fulfill({
        status: 503,
        headers: { 'Retry-After': '1' },
        body: '{"message":"busy"}',
      });
    if (requests === 5) await gate;
    return route.continue();
  });
  await page.getByLabel('Precision').selectOption('s');
  const file = {
    name: 'big.lp.gz',
    mimeType: 'application/gzip',
    buffer: gzipSync(lines.join('\n')),
  };
  await page.locator('#file').setInputFiles(file);
  const upload = page.locator('.upload', { hasText: 'big.lp.gz' });
  await upload.locator('p', { hasText: '20,000 lines sent, 2 responses' }).waitFor();
  await upload.getByRole('button', { name: 'Pause' }).click();
  await upload.locator('p', { hasText: 'Paused' }).waitFor();
  release();
  await upload.locator('p', { hasText: 'Paused: 30,000 lines sent, 3 responses' }).waitFor();
  await page.waitForTimeout(700);
  assert.equal(requests, 5, 'a request while held');
  const part = (await server.rows('SELECT count(v) FROM big', { db: 'demo' }))[0][1];
  assert.equal(part, 30_000);
  const share = await upload.locator('progress').evaluate((bar) => bar.value / bar.max);
  assert.ok(
    Math.abs(share - part / rows) < 0.05,
    `${share} of the bar while ${part} of ${rows} are there`,
  );
  await upload.getByRole('button', { name: 'Continue' }).click();
  await upload
    .locator('p', { hasText: 'Done: 35,000 lines sent, 4 responses' })
    .waitFor({ timeout: 30_000 });
  assert.equal((await server.rows('SELECT count(v) FROM big', { db: 'demo' }))[0][1], rows);
  const { value, max } = await upload
    .locator('progress')
    .evaluate((bar) => ({ value: bar.value, max: bar.max }));
  assert.equal(value, max);

  const dropped = await page.evaluateHandle(() => {
    const data = new DataTransfer();
    data.items.add(new File(['small v=1 1\nsmall v=x 2\nsmall v=3 3\n'], 'small.lp'));
    return data;
  });
  await page.locator('.drop').dispatchEvent('drop', { dataTransfer: dropped });
  const small = page.locator('.upload', { hasText: 'small.lp' });
  await small.locator('.answers', { hasText: 'error parsing line 2' }).waitFor();
  assert.equal((await server.rows('SELECT count(v) FROM small', { db: 'demo' }))[0][1], 2);

  // The page sends unacknowledged lines again only when the visitor requests it.
  await page.unroute('**/api/v2/write*');
  await page.route('**/api/v2/write*', (route) => route.abort());
  const late = {
    name: 'late.lp',
    mimeType: 'text/plain',
    buffer: Buffer.from('late v=1 1\nlate v=2 2'),
  };
  await page.locator('#file').setInputFiles(late);
  const failed = page.locator('.upload', { hasText: 'late.lp' });
  await failed.locator('.answers', { hasText: 'The server could not be reached' }).waitFor();
  await page.unroute('**/api/v2/write*');
  await failed.getByRole('button', { name: 'Retry' }).click();
  await failed.locator('p', { hasText: 'Done: 2 lines sent, 1 response received' }).waitFor();
  assert.equal((await server.rows('SELECT count(v) FROM late', { db: 'demo' }))[0][1], 2);
}
