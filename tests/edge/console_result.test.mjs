// Tests items 4 and 6 of the console: the display of a result, and its cost.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { cells, chartDrawn, demo, drawnColours, hashOf, noProblems, queries } from './console.mjs';

/** The timestamps are minutes after 1 January 2024, in nanoseconds. */
const time = (minute) => `${1_704_067_200 + minute * 60}000000000`;
const hostile = '<img src=x onerror=alert(1)>';

test('4: the result', async (t) => {
  const console_ = await demo(t);
  if (!console_) return;
  await t.test('4: a line for each tag set, gaps for nulls, zoom, and a legend that hides lines', () =>
    chart(console_),
  );
  await t.test(
    '4: a table shows every digit, is sorted, summarised and paged, and is saved without formulas',
    () => table(console_),
  );
  await t.test(
    '4: 100,000 rows are thinned and do not block the page, and a notice appears above 100 lines',
    (inner) => many(console_, inner),
  );
});

async function show({ server, page, go }, next, lines) {
  if (lines) await server.mustWrite(lines, { db: 'demo' });
  await go(hashOf({ db: 'demo', ...next }));
  await page.reload();
}

const drawnColumns = (page) =>
  page.locator('.plot canvas').evaluate((canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
    return Array.from({ length: width }, (_, x) => {
      for (let y = 0; y < height; y += 1) {
        const i = (y * width + x) * 4;
        const spread =
          Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
        if (data[i + 3] > 200 && spread > 40) return true;
      }
      return false;
    });
  });

async function chart(console_) {
  const { page } = console_;
  const hours = Array.from({ length: 24 }, (_, hour) => hour);
  const lines = hours
    .filter((hour) => hour < 8 || hour >= 16)
    .flatMap((hour) =>
      ['a', 'b', 'c'].map(
        (host, index) => `cpu,host=${host} load=${index * 10 + (hour % 5)} ${time(hour * 60)}`,
      ),
    );
  const range = '2024-01-01T00:00:00.000Z..2024-01-02T00:00:00.000Z';
  const q = 'SELECT mean(load) FROM cpu GROUP BY time(1h), host';
  await show(console_, { view: 'chart', range, q }, lines.join('\n'));
  await chartDrawn(page);
  assert.equal((await drawnColours(page)).length, 3);
  const columns = await drawnColumns(page);
  const longest = columns
    .join('')
    .replace(/^(false)+|(false)+$/g, '')
    .match(/(false)+/g)
    .sort((x, y) => y.length - x.length)[0];
  const share = longest.length / 'false'.length / columns.length;
  assert.ok(share > 0.25 && share < 0.45, `nothing is drawn over ${share} of the width`);

  await page.locator('.key', { hasText: 'host=b' }).click();
  assert.equal((await drawnColours(page)).length, 2);
  await page.locator('.key', { hasText: 'host=b' }).click();
  assert.equal((await drawnColours(page)).length, 3);

  const asked = page.waitForRequest((request) => queries.test(request.url()));
  const { x, y, width, height } = await page.locator('.u-over').boundingBox();
  await page.mouse.move(x + 5, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.25, y + height / 2, { steps: 4 });
  await page.mouse.up();
  const sent = new URL((await asked).url()).searchParams;
  assert.match(sent.get('q'), /WHERE time >= 17040\d+ms AND time < 17040\d+ms GROUP BY/);
  assert.equal(sent.get('epoch'), 'ms');
  await page.locator('.stat', { hasText: /^(18|21) points/ }).waitFor();
  const narrowed = new URLSearchParams(new URL(page.url()).hash.slice(1)).get('range');
  const [from, to] = narrowed.split('..').map((text) => Date.parse(text));
  assert.ok(to - from > 4 * 36e5 && to - from < 7 * 36e5, narrowed);
  await page.getByRole('button', { name: 'Zoom out' }).click();
  await page.locator('.stat', { hasText: /^72 points/ }).waitFor();

  // For a result without numbers, the chart links to the table.
  await show(console_, { view: 'chart', q: 'SELECT count(load) FROM cpu' });
  await page.locator('.alone').waitFor();
  assert.equal(await page.locator('.alone').textContent(), 'cpu.count48');
  await console_.server.mustWrite(`words said="so" ${time(0)}`, { db: 'demo' });
  await show(console_, { view: 'chart', q: 'SELECT said FROM words' });
  await page.locator('.empty', { hasText: 'This result has no numbers to draw' }).waitFor();
  noProblems(console_);
}

async function table(console_) {
  const { page } = console_;
  const lines = [
    `m,label=${hostile.replace(/[ ,=]/g, '\\$&')} n=9007199254740993i,s="=1+1",x=1 1700000000123456789`,
    'm,label=plain n=-9223372036854775808i,s="a,\\"b\\"" 1700000000123456790',
    'm,label=minus n=5i,s="-2+3",x=-2.5 1700000000000000000',
    ...Array.from({ length: 250 }, (_, i) => `many v=${i}i ${time(i)}`),
  ];
  await show(console_, { view: 'table', q: 'SELECT n, s, label, x FROM m' }, lines.join('\n'));
  await page.locator('#result tbody td').first().waitFor();
  const rows = {
    minus: ['2023-11-14T22:13:20Z', '5', '-2+3', 'minus', '-2.5'],
    hostile: ['2023-11-14T22:13:20.123456789Z', '9007199254740993', '=1+1', hostile, '1'],
    plain: ['2023-11-14T22:13:20.12345679Z', '-9223372036854775808', 'a,"b"', 'plain', '–'],
  };
  assert.deepEqual(await cells(page), [rows.minus, rows.hostile, rows.plain]);
  assert.equal(await page.locator('#result img').count(), 0);
  const sort = (name) => page.getByRole('columnheader', { name }).getByRole('button').click();
  await sort(/^n/);
  await page.locator('th[aria-sort=ascending]').waitFor();
  assert.deepEqual(
    (await cells(page)).map((row) => row[3]),
    ['plain', 'minus', hostile],
  );
  await sort(/^n/);
  await page.locator('th[aria-sort=descending]').waitFor();
  assert.deepEqual(
    (await cells(page)).map((row) => row[3]),
    [hostile, 'minus', 'plain'],
  );
  const summary = await page.getByRole('columnheader', { name: /^x/ }).textContent();
  assert.equal(summary, 'xmin-2.5mean-0.75max1null1');

  const downloading = page.waitForEvent('download');
  await page.getByRole('button', { name: 'CSV' }).click();
  const csv = readFileSync(await (await downloading).path(), 'utf8');
  assert.equal(
    csv,
    [
      'time,n,s,label,x',
      `2023-11-14T22:13:20.123456789Z,9007199254740993,'=1+1,${hostile},1`,
      "2023-11-14T22:13:20Z,5,'-2+3,minus,-2.5",
      '2023-11-14T22:13:20.12345679Z,-9223372036854775808,"a,""b""",plain,',
      '',
    ].join('\r\n'),
  );

  await page.getByRole('tab', { name: 'Raw' }).click();
  const raw = await page.locator('#result > pre').textContent();
  assert.deepEqual(
    raw.replace(/\s+/g, ''),
    (
      await (
        await console_.server.fetch(
          `/query?db=demo&q=${encodeURIComponent('SELECT n, s, label, x FROM m')}`,
        )
      ).text()
    ).replace(/\s+/g, ''),
  );

  await show(console_, { view: 'table', q: 'SELECT v FROM many' });
  await page.locator('.pager', { hasText: '1–100 of 250' }).waitFor();
  await page.getByRole('button', { name: 'Last' }).click();
  await page.locator('.pager', { hasText: '201–250 of 250' }).waitFor();
  assert.deepEqual((await cells(page)).at(-1), ['2024-01-01T04:09:00Z', '249']);

  await show(console_, { view: 'chart', q: 'SELECT n FROM m GROUP BY label' });
  await chartDrawn(page);
  assert.ok((await page.locator('.legend').textContent()).includes(`label=${hostile}`));
  await page.getByRole('button', { name: 'Open m', exact: true }).click();
  await page.getByRole('button', { name: 'Open label' }).click();
  await page.locator('.name.value', { hasText: '<img' }).waitFor();
  assert.equal(await page.locator('img:not(.brand img)').count(), 0);
  noProblems(console_);
}

async function many(console_, t) {
  const { page } = console_;
  const rows = Array.from(
    { length: 100_000 },
    (_, i) => `big v=${(i * 7919) % 1000},w=${i}i ${time(i)}`,
  );
  const series = Array.from(
    { length: 120 },
    (_, i) => `wide,host=h${i} v=${i} ${time(0)}\nwide,host=h${i} v=${i + 1} ${time(60)}`,
  );
  await console_.server.mustWrite([...rows, ...series].join('\n'), { db: 'demo' });
  await page.addInitScript(() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) =>
      globalThis.longTasks.push(...list.getEntries().map(({ duration }) => duration)),
    ).observe({ type: 'longtask', buffered: true });
  });
  await show(console_, { view: 'table', q: 'SELECT v, w FROM big' });
  await page.locator('.pager', { hasText: 'of 100,000' }).waitFor();
  await page.getByRole('columnheader', { name: /^v/ }).getByRole('button').click();
  await page.locator('th[aria-sort=ascending]').waitFor();
  await page.getByRole('tab', { name: 'Raw' }).click();
  await page.locator('.notice', { hasText: 'The first 200,000' }).waitFor();
  await page.getByRole('tab', { name: 'Chart' }).click();
  await page.locator('.notice', { hasText: 'The chart shows 4,000 of 200,000 points' }).waitFor();
  await chartDrawn(page);
  assert.equal((await drawnColours(page)).length, 2);
  const longest = Math.max(0, ...(await page.evaluate(() => globalThis.longTasks)));
  t.diagnostic(`longest task with 100,000 rows: ${Math.round(longest)} ms`);
  assert.ok(longest <= 200, `a task of ${longest} ms`);

  await show(console_, { view: 'chart', q: 'SELECT v FROM wide GROUP BY host' });
  await page.locator('.notice', { hasText: 'The first 100 of 120 lines' }).waitFor();
  assert.equal(await page.locator('.legend .key:not(.all)').count(), 100);
  noProblems(console_);
}

test('6: the plan next to the result shows the numbers of EXPLAIN ANALYZE', async (t) => {
  const lines = ['a', 'b'].flatMap((host) =>
    Array.from({ length: 50 }, (_, i) => `cpu,host=${host} load=${i} ${time(i)}`),
  );
  const q = 'SELECT max(load) FROM cpu GROUP BY host';
  const console_ = await demo(t);
  if (!console_) return;
  const { page, server } = console_;
  await show(console_, { view: 'table', q }, lines.join('\n'));
  await page.locator('#result tbody td').first().waitFor();
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.plan .figures').waitFor();
  const shown = await page
    .locator('.figures > div')
    .evaluateAll((all) =>
      Object.fromEntries(
        all.map((one) => [one.children[0].textContent, one.children[1].textContent]),
      ),
    );
  const plan = (await server.rows(`EXPLAIN ANALYZE ${q}`, { db: 'demo' })).flat().join('\n');
  const figure = (name) => /\d+/.exec(new RegExp(`${name}: \\d+`).exec(plan)[0])[0];
  for (const [label, name] of [
    ['rows read', 'rows_read'],
    ['blocks read', 'blocks_read'],
    ['blocks pruned', 'blocks_pruned'],
    ['bytes decoded', 'bytes_decoded'],
    ['series', 'series'],
  ]) {
    assert.equal(shown[label], figure(name), label);
  }
  assert.equal(shown['rows read'], '100');
  assert.equal(shown['shards queried'], '1');
  assert.match(await page.locator('.plan pre').textContent(), /build_cursor/);
  // The result remains visible next to the plan.
  assert.equal(await page.locator('#result tbody tr').count(), 2);
  noProblems(console_);
});
