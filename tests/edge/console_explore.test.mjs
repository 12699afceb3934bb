// Tests items 5, 7 and 8 of the console: the explorer, live data, and the Connect view.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { at } from '../../scripts/project.mjs';
import { demo, detail, hashOf, noProblems, opened, pngFolder, queries, type } from './console.mjs';
import { has, token } from './harness.mjs';
import { hasPythonClients } from './python.mjs';

const run = promisify(execFile);

test('5: the explorer lists names, inserts them, and shows the costs', async (t) => {
  const console_ = await demo(t);
  if (!console_) return;
  const { page, server, go } = console_;
  await server.query('CREATE RETENTION POLICY raw ON demo DURATION 52w REPLICATION 1');
  const lines = [
    'the\\ room,floor=1,wing=north temp=21.5,open=true,note="x",n=1i 1700000000000000000',
    'the\\ room,floor=2,wing=north temp=20 1700000100000000001',
    'door,floor=2 open=true 1600000000000000000',
  ];
  await server.mustWrite(lines.join('\n'), { db: 'demo' });
  const newest = new Date(Date.now() - 36e5).toISOString();
  await server.mustWrite(`only_raw v=1 ${Date.parse(newest)}000000`, { db: 'demo', rp: 'raw' });
  await go(hashOf({ db: 'demo' }));
  await page.locator('.query .cm-content').waitFor();
  const open = (name) => page.getByRole('button', { name: `Open ${name}`, exact: true }).click();
  const side = (name) => detail(page, name);
  const shows = (name, text) => side(name).filter({ hasText: new RegExp(`^${text}$`) }).waitFor();
  await shows('autogen', 'no expiry');
  await shows('raw', '8736h');
  await shows('the room', '2 series');
  await shows('door', '1 series');
  await open('the room');
  await shows('floor', 'tag, 2 values');
  await shows('wing', 'tag, 1 value');
  for (const [field, type] of [
    ['temp', 'float'],
    ['open', 'boolean'],
    ['note', 'string'],
    ['n', 'integer'],
  ])
    await shows(field, type);
  await open('floor');
  await open('raw');
  await page.getByRole('button', { name: 'only_raw', exact: true }).waitFor();

  await page.getByRole('button', { name: 'the room', exact: true }).click();
  // The editor inserts a name after the lexer is loaded.
  const editor = page.locator('.query .cm-content');
  const contains = (query) => editor.filter({ hasText: new RegExp(`^${query.replace(/[*"]/g, '\\$&')}$`) }).waitFor();
  await contains('SELECT * FROM "the room" GROUP BY *');
  await page.keyboard.insertText(' WHERE ');
  await page.getByRole('button', { name: 'floor', exact: true }).click();
  await page.keyboard.insertText(' = ');
  await page.getByRole('button', { name: '2', exact: true }).click();
  await contains(`SELECT * FROM "the room" WHERE floor = '2' GROUP BY *`);
  await type(page, 'SELECT * FROM "the room" GROUP BY * LIMIT 100');
  await page.getByRole('button', { name: 'door', exact: true }).click();
  await contains('SELECT * FROM door GROUP BY * LIMIT 100');
  await page.getByRole('button', { name: 'the room', exact: true }).click();
  await page.getByRole('button', { name: 'temp', exact: true }).click();
  await contains('SELECT temp FROM "the room" GROUP BY * LIMIT 100');
  await page.keyboard.press('Control+Enter');
  await page.locator('.key').nth(1).waitFor();
  assert.deepEqual(await page.locator('.key-name').allTextContents(), [
    'the room.temp floor=1 wing=north',
    'the room.temp floor=2 wing=north',
  ]);

  const limits = { db: 'demo', points_per_minute: 1_000_000, stored_bytes: 1_000_000_000, series: 900 };
  const quota = { method: 'POST', body: JSON.stringify(limits) };
  assert.equal((await server.fetch('/api/v3/configure/quota', quota)).status, 200);
  await page.getByRole('button', { name: 'Read the schema again' }).click();
  const card = page.locator('.card dl > div');
  await card.filter({ hasText: 'Points per minute' }).waitFor();
  await card.filter({ hasText: 'Newest' }).waitFor();
  const shown = Object.fromEntries(
    await card.evaluateAll((all) =>
      all.map((one) => [...one.children].map((it) => it.textContent)),
    ),
  );
  const counted = await server.series('SHOW STATS ON demo');
  const stats = counted.filter(({ name }) => name !== 'usage');
  const sum = (key) =>
    stats.reduce((all, { columns, values: [row] }) => all + (row[columns.indexOf(key)] ?? 0), 0);
  assert.match(shown['Points per minute'], /^[0-4] of 1,000,000$/);
  assert.match(shown.Stored, / KB of 1 GB$/);
  // The estimate of these four series depends on the database's random id.
  const rows = counted.find(({ name }) => name === 'quota').values;
  const [, , estimate] = rows.find(([resource]) => resource === 'series');
  assert.ok(estimate > 0);
  assert.equal(shown['Series (estimated)'], `${estimate} of 900`);
  assert.equal(shown.Measurements, '3');
  await page.getByRole('button', { name: 'Count', exact: true }).click();
  await page.locator('.card div', { hasText: /^Series4$/ }).waitFor();
  assert.equal(shown['Oldest point'], '2020-09-13 12:26:40');
  assert.equal(shown['Newest point'], newest.replace('T', ' ').replace(/\.?0*Z$/, ''));
  assert.equal(shown['Points written'], String(sum('writePointsOk')));
  assert.equal(shown['Points written'], '4');
  assert.match(shown['Rows written'], new RegExp(`^${sum('rowsWritten')} · `));
  assert.match(shown['Write requests'], new RegExp(`^${sum('writeReqOk')} · under 1 ¢$`));
  assert.match(shown['Rows read'], /^\d+ · /);
  const day = /^[\d,]+ requests · [\d,]+ rows written · [\d,]+ rows read · about [\d,]+ s of object time · under 1 ¢$/;
  assert.match(shown['Today (UTC)'], day);
  assert.equal(shown.Size, `${Number((sum('diskBytes') / 1000).toPrecision(3))} KB`);
  noProblems(console_);
});

test('7: a time range, a refresh that never overlaps and pauses while the page is hidden, and a live tail', async (t) => {
  const console_ = await opened(t, { hash: null });
  if (!console_) return;
  const { page, server, go } = console_;
  await page.addInitScript(() => {
    Object.defineProperty(document, 'hidden', { get: () => globalThis.isAway === true });
    globalThis.away = (isAway) => {
      globalThis.isAway = isAway;
      document.dispatchEvent(new Event('visibilitychange'));
    };
  });
  await server.query('CREATE DATABASE demo');
  const now = Date.now();
  const line = (ago_ms, value) => `cpu load=${value} ${now - ago_ms}000000`;
  await server.mustWrite(
    [line(10 * 864e5, 1), line(2 * 36e5, 2), line(60_000, 3), line(30_000, 4)].join('\n'),
    { db: 'demo' },
  );
  await go(hashOf({ db: 'demo', view: 'table', q: 'SELECT load FROM cpu' }));
  const stat = (text) => page.locator('.stat', { hasText: text }).waitFor();
  await stat(/^4 rows/);
  const pick = async (name) => {
    await page.locator('.toolbar .menu-place > button').first().click();
    await page.getByRole('button', { name, exact: true }).click();
  };
  await pick('Last hour');
  await stat(/^2 rows/);
  await pick('Last 6 hours');
  await stat(/^3 rows/);
  await page.locator('.toolbar .menu-place > button').first().click();
  await page.getByLabel('From (UTC)').fill(new Date(now - 20 * 864e5).toISOString().slice(0, 19));
  await page.getByLabel('Until (UTC)').fill(new Date(now - 36e5).toISOString().slice(0, 19));
  await page.getByRole('button', { name: 'Use these times' }).click();
  await stat(/^2 rows/);
  await pick('Any time');
  await stat(/^4 rows/);

  // The query takes longer than the refresh interval, so the next refresh waits.
  const flights = { now: 0, most: 0, all: 0 };
  await page.route(queries, async (route) => {
    flights.now += 1;
    flights.all += 1;
    flights.most = Math.max(flights.most, flights.now);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    flights.now -= 1;
    await route.continue().catch(() => {});
  });
  await page.getByLabel('Refresh').selectOption('1');
  await server.mustWrite(line(1000, 5), { db: 'demo' });
  await page.waitForRequest(queries);
  // The user returns to the page during a refresh. The page then schedules the next refresh.
  await page.evaluate(() => globalThis.away(false));
  await stat(/^5 rows/);
  await page.waitForTimeout(1600);
  assert.equal(flights.most, 1);
  assert.ok(flights.all >= 2, `${flights.all} requests`);
  await page.unroute(queries, { behavior: 'wait' });

  await page.evaluate(() => globalThis.away(true));
  await page.waitForTimeout(1200);
  let asked = 0;
  page.on('request', (request) => (asked += Number(queries.test(request.url()))));
  await page.waitForTimeout(1500);
  assert.equal(asked, 0, 'asked while hidden');
  await page.evaluate(() => globalThis.away(false));
  await page.waitForRequest(queries);
  await page.getByLabel('Refresh').selectOption('0');

  await page.getByRole('tab', { name: 'Live tail' }).click();
  const first = page.locator('#result tbody tr').first();
  await first.filter({ hasText: '5' }).waitFor();
  await server.mustWrite(line(0, 66), { db: 'demo' });
  await page.locator('#result tr.new', { hasText: '66' }).waitFor();
  assert.match(await first.textContent(), /66$/);
  noProblems(console_);
});

async function snippet(page, client) {
  await page.getByRole('tab', { name: client, exact: true }).click();
  return (await page.locator('.snippet').textContent()).replaceAll('TOKEN', (word, offset, all) =>
    all[offset - 1] === '_' ? word : token,
  );
}

test('8: settings that work when pasted, and a read-only token', async (t) => {
  const console_ = await opened(t, { hash: hashOf({ view: 'connect', db: 'my db' }) });
  if (!console_) return;
  const { page, server } = console_;
  const env = { ...process.env, TIDEMARK_TOKEN: token };
  const count = async () =>
    (await server.rows('SELECT count(temperature) FROM room', { db: 'my db' }))[0]?.[1];

  const { stdout } = await run('bash', [
    '-ec',
    (await snippet(page, 'curl')).replace(/^curl/gm, 'curl -sS'),
  ]);
  assert.match(stdout, /"columns":\["time","floor","temperature"\],"values":\[\[".*","1",21.5\]\]/);
  assert.equal(await count(), 1);

  const script = at('tests', 'edge', `pasted-${process.pid}.mjs`);
  t.after(() => rmSync(script, { force: true }));
  writeFileSync(script, await snippet(page, 'JavaScript'));
  assert.match((await run(process.execPath, [script], { env })).stdout, /"room".*21\.5/);
  assert.equal(await count(), 2);

  await t.test('8: the Python settings work when pasted', async (inner) => {
    if (!(await hasPythonClients(inner))) return;
    const program = at('.cache', 'python', 'bin', 'python');
    assert.match(
      (await run(program, ['-c', await snippet(page, 'Python')], { env })).stdout,
      /"room".*21\.5/,
    );
    assert.equal(await count(), 3);
  });
  await t.test('8: the settings of the 1.x shell work when pasted', async (inner) => {
    if (!has(inner, 'influx', ['-version'])) return;
    const command = (await snippet(page, 'influx shell')).replace(
      'influx -host',
      "influx -execute 'SELECT * FROM room LIMIT 1' -host",
    );
    const { stdout: table } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
    assert.match(table, /name: room\ntime +floor +temperature\n[- ]+\n\S+Z +1 +21.5/);
  });

  await page.locator('.expiry', { hasText: 'keeps points for three days' }).waitFor();
  assert.equal(await page.locator('.expiry code').textContent(), 'CREATE DATABASE "my db"');
  const telegraf = await snippet(page, 'Telegraf');
  assert.match(telegraf, /keeps points for three days[^]*CREATE DATABASE "my db"/);
  assert.match(telegraf, new RegExp(`urls = \\["${server.url}"\\]`));
  assert.match(telegraf, /token = "\$TIDEMARK_TOKEN"[\s\S]*bucket = "my db"/);
  const grafana = await snippet(page, 'Grafana');
  assert.match(
    grafana,
    new RegExp(`url: "${server.url}"[\\s\\S]*version: InfluxQL[\\s\\S]*dbName: "my db"`),
  );

  await page.getByLabel('Name').fill('reader');
  await page.getByLabel('write', { exact: true }).uncheck();
  await page.getByLabel('metrics', { exact: true }).check();
  await page.getByLabel('Expiry').selectOption('86400');
  await page.getByRole('button', { name: 'Create' }).click();
  const made = await page.locator('.secret').textContent();
  assert.match(made, /^apiv3_[0-9a-f]{64}$/);
  for (const client of ['Telegraf', 'Grafana', 'curl', 'JavaScript', 'Python', 'influx shell']) {
    await page.getByRole('tab', { name: client, exact: true }).click();
    const text = await page.locator('.snippet').textContent();
    assert.ok(text.includes(made), `${client} without the token`);
    assert.doesNotMatch(text, /\bTOKEN\b|TIDEMARK_TOKEN/, client);
  }
  const headers = { Authorization: `Bearer ${made}` };
  assert.equal(
    (await server.fetch(`/query?db=my+db&q=SHOW+MEASUREMENTS`, { headers })).status,
    200,
  );
  assert.equal((await server.write('room temperature=1', { db: 'my db' }, headers)).status, 403);
  const tokens = await (await server.fetch('/api/v3/configure/token')).json();
  const listed = tokens.find(({ name }) => name === 'reader');
  assert.deepEqual(listed.permissions, [
    { resource_type: 'db', resource_identifier: ['my db'], actions: ['read', 'metrics'] },
  ]);
  const left_ms = Date.parse(listed.expiry) - Date.now();
  assert.ok(Math.abs(left_ms - 864e5) < 60_000, listed.expiry);
  // The page displays the token only once.
  await page.getByRole('button', { name: 'Query', exact: true }).click();
  assert.ok(!(await page.content()).includes(made));
  noProblems(console_);
});

test('8: the list of tokens shows when each token was last used, and can revoke a token', async (t) => {
  const console_ = await opened(t, { hash: hashOf({ view: 'connect', db: 'a' }) });
  if (!console_) return;
  const { page, server } = console_;
  const list = page.getByRole('region', { name: 'Tokens', exact: true });
  await list.getByText('No tokens exist yet.').waitFor();
  await server.query('CREATE DATABASE a');
  const made = {};
  for (const name of ['sensors', 'spare']) {
    const form = page.getByRole('region', { name: 'New token' });
    await form.getByLabel('Name').fill(name);
    await form.getByLabel('Database').fill('a');
    await form.getByRole('button', { name: 'Create' }).click();
    await list.getByRole('row', { name: new RegExp(name) }).waitFor();
    made[name] = await page.locator('.secret').textContent();
  }
  const write = async (token) => {
    const headers = { Authorization: `Bearer ${token}` };
    const written = await fetch(`${server.url}/write?db=a`, { method: 'POST', body: 'm v=1', headers });
    return written.status;
  };
  assert.equal(await write(made.sensors), 204);
  // The server records the use of a token after its response to the write.
  const today = new Date().toISOString().slice(0, 10);
  const cells = async (name) =>
    list.getByRole('row', { name: new RegExp(name) }).getByRole('cell').allTextContents();
  await waitUntil(async () => {
    await page.getByRole('button', { name: 'Write', exact: true }).click();
    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await list.getByRole('row', { name: /sensors/ }).waitFor();
    return (await cells('sensors'))[3] === today;
  });
  assert.deepEqual((await cells('spare')).slice(0, 4), ['read and write a', today, 'never', 'not yet']);
  await page.screenshot({ path: join(pngFolder, 'tokens.png') });
  await list.getByRole('button', { name: 'Revoke sensors' }).click();
  assert.equal(await write(made.sensors), 204, 'one click asks');
  await list.getByRole('button', { name: 'Revoke sensors' }).click();
  await list.getByText('sensors is revoked everywhere.').waitFor();
  assert.equal(await list.getByRole('row', { name: /sensors/ }).count(), 0);
  assert.deepEqual([await write(made.sensors), await write(made.spare)], [401, 204]);
  noProblems(console_);
});

test('8: the limits of a database are shown and changed', async (t) => {
  const console_ = await opened(t, { hash: null });
  if (!console_) return;
  const { page, server, go } = console_;
  await server.query('CREATE DATABASE a');
  await server.query('CREATE DATABASE b');
  const set = { method: 'POST', body: JSON.stringify({ db: 'a', series: 10 }) };
  assert.equal((await server.fetch('/api/v3/configure/quota', set)).status, 200);
  await go(hashOf({ view: 'connect', db: 'a' }));
  const form = page.getByRole('region', { name: 'Quotas' });
  const field = (label) => form.getByLabel(label, { exact: true });
  await waitUntil(async () => (await field('Series (estimated)').inputValue()) === '10');
  assert.equal(await field('Points per minute').inputValue(), '');
  await field('Series (estimated)').fill('');
  await field('Points per minute').fill('600000');
  await field('Bytes stored').fill('1000000000');
  await form.getByRole('button', { name: 'Set these quotas' }).click();
  await form.getByText('The new quotas of a are in effect.').waitFor();
  const quota = async (db) =>
    (await (await server.fetch(`/api/v3/configure/quota?db=${db}`)).json()).quota;
  assert.deepEqual(await quota('a'), { points_per_minute: 600_000, stored_bytes: 1_000_000_000 });
  assert.deepEqual(await quota('b'), {});
  await go(hashOf({ view: 'connect', db: 'b' }));
  await form.getByRole('heading', { name: 'Quotas of b' }).waitFor();
  await waitUntil(async () => (await field('Points per minute').inputValue()) === '');
  // Text that the user types while a response is pending is not lost.
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  await page.route('**/configure/quota?db=a', async (route) => {
    await held;
    await route.continue();
  });
  await go(hashOf({ view: 'connect', db: 'a' }));
  await form.getByRole('heading', { name: 'Quotas of a' }).waitFor();
  await field('Points per minute').fill('5');
  const answered = page.waitForResponse('**/configure/quota?db=a');
  answer();
  await (await answered).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 200)));
  assert.equal(await field('Points per minute').inputValue(), '5');
  assert.equal(await field('Bytes stored').inputValue(), '');
  await go(hashOf({ view: 'connect', db: 'none' }));
  await form.waitFor({ state: 'hidden' });
  noProblems(console_);
});

async function waitUntil(holds) {
  for (const until = Date.now() + 10_000; !(await holds()); ) {
    assert.ok(Date.now() < until, 'it does not become so');
  }
}
