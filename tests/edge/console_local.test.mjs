// Tests the console: the whole database in the browser, from static files, without a
// network.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { consoleFolder, staticFolder } from '../../scripts/console.mjs';
import { at } from '../../scripts/project.mjs';
import { blocksOf } from './blocks.mjs';
import { hasChromium, launched } from './chromium.mjs';
import { chartDrawn, drawnColours, opened } from './console.mjs';
import { another, cells, corner, follow, inSharedWorker, local, patienceMs, send, write } from './console_local.mjs';
import { staticHost } from './static_host.mjs';

async function keep(page, isWanted) {
  await corner(page).click();
  await page.getByLabel('Keep the data in this browser').setChecked(isWanted);
  await page.keyboard.press('Escape');
}

/** Runs `work(store)` in the page, where `store` is the object store with the rows in IndexedDB. */
const inStorage = (page, work) =>
  page.evaluate(`new Promise((resolve, reject) => {
    const opening = indexedDB.open('tidemark');
    opening.onerror = reject;
    opening.onsuccess = () => {
      const transaction = opening.result.transaction('rows', 'readwrite');
      const done = (${work})(transaction.objectStore('rows'));
      transaction.oncomplete = () => { opening.result.close(); resolve(done.result); };
    };
  })`);

/**
 * Waits until the page has preloaded all files: until no request has reached the host for 500 ms.
 */
async function quiet({ asked }) {
  for (let before = -1; asked.length !== before; ) {
    before = asked.length;
    await sleep(500);
  }
}

test('10: without a server or a network: write, query, explore, chart', async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, context, host, problems } = it;
  await page.getByRole('button', { name: 'Load sample data' }).waitFor();
  assert.equal(await corner(page).innerText(), 'In this browser, temporary');
  await page.waitForFunction(() => performance.getEntriesByName(new URL('sample/weather.lp.gz', document.baseURI).href).length > 0);
  await quiet(host);
  await context.setOffline(true);
  const before = host.asked.length;

  await write(page, 'home', 'room,floor=1 t=20 1700000000\nroom,floor=1 t=\nroom,floor=2 t=18 1700000000\n');
  await page.getByText('2 valid lines, 1 invalid').waitFor();
  assert.match(await page.locator('.problems li').innerText(), /^Line 2, column 16 missing field value of 't'/);
  await send(page);
  assert.match(await page.locator('pre.answer.bad').innerText(), /partial write has occurred.*line 2/s);
  const lines = Array.from({ length: 200 }, (_, i) =>
    `room,floor=${1 + (i % 2)} t=${20 + 30 * (i % 2) + Math.sin(i / 9) * 5} ${1_700_000_060 + i * 60}`);
  await write(page, 'home', lines.join('\n'));
  await page.getByText('200 valid lines').waitFor();
  await send(page);
  await page.locator('pre.answer.good').waitFor();

  await page.locator('#explorer').getByText('room').first().waitFor();
  await page.locator('.card').getByText('Points written').waitFor();
  assert.doesNotMatch(await page.locator('.card').innerText(), /¢|\$/);
  const counted = await cells(page, 'home', 'SELECT count(t) FROM room');
  assert.deepEqual(counted, [['1970-01-01T00:00:00Z', '202']]);

  const range = '2023-11-14T22:13:00.000Z..2023-11-15T02:00:00.000Z';
  await follow(page, { db: 'home', view: 'chart', q: 'SELECT t FROM room GROUP BY floor', range });
  await chartDrawn(page);
  assert.equal((await drawnColours(page)).length, 2);

  assert.deepEqual(host.asked.slice(before), [], 'the network was used');
  assert.deepEqual(problems, []);
});

test('10: the data is stored if the user chooses that, and damaged data is never loaded', async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, problems } = it;
  const empty = (of) => of.getByText('The database is empty').waitFor();
  const q = 'SELECT count(t) FROM room';
  await empty(page);
  await write(page, 'home', 'room t=20');
  await send(page);
  await page.locator('pre.answer.good').waitFor();

  // While the switch is off, the data is temporary, so a reload deletes it.
  await page.goto(it.host.url);
  await page.reload();
  await empty(page);
  assert.deepEqual(await page.evaluate(() => indexedDB.databases()), []);

  // The points that were written before and after the user turned on the switch remain.
  await write(page, 'home', 'room t=20 1700000000');
  await send(page);
  await page.locator('pre.answer.good').waitFor();
  await keep(page, true);
  await write(page, 'home', 'room t=21 1700000001');
  await send(page);
  await page.locator('pre.answer.good').waitFor();
  assert.deepEqual(await cells(page, 'home', q), [['1970-01-01T00:00:00Z', '2']]);
  await page.reload();
  assert.deepEqual(await cells(page, 'home', q), [['1970-01-01T00:00:00Z', '2']]);

  // The page does not acknowledge points that it cannot store.
  const devtools = await it.context.newCDPSession(page);
  const origin = new URL(it.host.url).origin;
  await devtools.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });
  await write(page, 'home', 'room t=22 1700000002');
  await send(page);
  await page.getByText("503: The browser's storage could not be written").waitFor();
  assert.equal(await corner(page).innerText(), 'In this browser, not stored');
  await page.goto(it.host.url);
  await page.reload();
  await empty(page);
  await write(page, 'home', 'room t=22 1700000002');
  await send(page);
  await page.locator('pre.answer.good').waitFor();

  await page.goto('about:blank');
  const broken = await it.context.newPage();
  await broken.route('**/*', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
  await broken.goto(it.host.url);
  const [key] = (await inStorage(broken, '(store) => store.getAllKeys()')).filter((name) => /^shard\/.*\/(value|wal)\//.test(name));
  await inStorage(broken, `(store) => {
    const reading = store.get(${JSON.stringify(key)});
    reading.onsuccess = () => {
      reading.result[reading.result.length - 9] ^= 1;
      store.put(reading.result, ${JSON.stringify(key)});
    };
    return reading;
  }`);
  await broken.close();
  await page.goto(it.host.url);
  await page.getByText(`the row "${key}" cannot be read`).waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Delete the stored database and start empty' }).click();
  await empty(page);
  assert.deepEqual(problems, []);
});

test('10: all tabs share one database until the last tab closes, even if it is not stored', async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, problems } = it;
  const empty = (of) => of.getByText('The database is empty').waitFor();
  const written = async (of, line) => {
    await write(of, 'home', line);
    await send(of);
    await of.locator('pre.answer.good').waitFor();
  };
  const q = 'SELECT count(t) FROM room';
  const counted = async (of) => (await cells(of, 'home', q))[0][1];
  await empty(page);
  await page.getByText('The database runs in this browser, and its data is not stored').waitFor();
  await written(page, 'room t=20 1700000000');

  const second = await another(it);
  assert.equal(await counted(second), '1');
  await written(second, 'room t=21 1700000001');
  await page.bringToFront();
  assert.equal(await counted(page), '2');

  // The user turns on storage in a tab and closes this tab before the engine responds.
  await second.evaluate(() => (Storage.prototype.setItem = () => {}));
  await keep(second, true);
  await page.waitForFunction(() => document.querySelector('#session .place').innerText === 'In this browser');
  await second.close();
  await page.goto('about:blank');
  await page.goto(it.host.url);
  assert.equal(await counted(page), '2');

  // With storage turned off, the browser asks for confirmation before it leaves the page.
  await keep(page, false);
  const third = await another(it);
  assert.equal(await counted(third), '2');
  assert.equal(await leaving(third), false, 'it asks although another tab has the data');
  await third.close();
  await page.bringToFront();
  await page.getByRole('button', { name: 'Query', exact: true }).click();
  await page.waitForTimeout(300);
  assert.equal(await leaving(page), true, 'the data is gone without a word');
  await page.goto(it.host.url);
  await empty(page);
  assert.equal(await leaving(page), false, 'it asks for nothing');
  assert.deepEqual(problems, []);
});

test('10: if tabs cannot share a database, one tab uses the stored database, and the other tab shows a notice', async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, context, problems } = it;
  const empty = (of) => of.getByText('The database is empty').waitFor();
  await empty(page);
  await keep(page, true);
  await context.addInitScript(() => delete globalThis.SharedWorker);
  const second = await another(it);
  await second.getByText('open in another tab').waitFor();
  await second.getByRole('button', { name: 'Use an empty, temporary database' }).click();
  await empty(second);
  await second.getByText('Only this tab has the data').waitFor();
  assert.equal(await corner(second).innerText(), 'In this browser, temporary');
  assert.equal(await corner(page).innerText(), 'In this browser');
  assert.deepEqual(problems, []);
});

async function leaving(page) {
  let hasAsked = false;
  const answer = (dialog) => ((hasAsked = true), dialog.accept());
  page.on('dialog', answer);
  await page.goto('about:blank');
  page.off('dialog', answer);
  return hasAsked;
}

test('10: an engine that crashes restarts from the stored data, in all tabs', async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, problems } = it;
  await page.getByText('The database is empty').waitFor();
  await write(page, 'home', 'room t=20 1700000000');
  await send(page);
  await page.locator('pre.answer.good').waitFor();
  await keep(page, true);
  const second = await another(it);
  const q = 'SELECT count(t) FROM room';
  assert.deepEqual(await cells(second, 'home', q), [['1970-01-01T00:00:00Z', '1']]);
  await inSharedWorker(it.context.browser(), `{
    const { now } = Date;
    Date.now = () => {
      Date.now = now;
      throw new WebAssembly.RuntimeError('unreachable');
    };
  }`);
  await second.getByRole('button', { name: 'Run' }).click();
  await second.locator('.problem', { hasText: 'The in-browser database stopped (unreachable): reload the page.' }).waitFor();
  for (const tab of [second, page]) {
    await tab.bringToFront();
    await follow(tab, { db: 'home', q: `${q} `, view: 'table', range: 'all' });
    await tab.locator('tbody td').first().waitFor();
  }
  assert.deepEqual(problems, []);
});

test('10: if the engine does not start, the page shows the reason, and a later start works', async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, host } = it;
  await page.getByText('The database is empty').waitFor();
  host.instead.set('engine/tidemark_bg.wasm', 'none');
  await page.goto('about:blank');
  await page.goto(host.url);
  await page.getByText(/could not be loaded: .*expected magic word/).waitFor();
  host.instead.clear();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('The database is empty').waitFor();
});

test("10: a switch selects the server's database or the browser's database", async (t) => {
  const console_ = await opened(t);
  if (!console_) return;
  const { server, page } = console_;
  await server.query('CREATE DATABASE served');
  await page.reload();
  await page.locator('#explorer').getByText('served').first().waitFor();
  await corner(page).click();
  await page.getByRole('button', { name: 'This browser, without a server' }).click();
  await page.getByText('The database is empty').waitFor();
  await write(page, 'home', 'room t=20 1700000000');
  await send(page);
  await page.locator('pre.answer.good').waitFor();
  assert.deepEqual(await cells(page, 'home', 'SELECT t FROM room'), [['2023-11-14T22:13:20Z', '20']]);
  assert.deepEqual(await server.rows('SHOW DATABASES'), [['served']]);
  await corner(page).click();
  await page.getByRole('button', { name: /^The server, / }).click();
  await page.locator('#explorer').getByText('served').first().waitFor();
  await page.locator('#explorer').getByText('home').first().waitFor({ state: 'detached' });
});

test('10: any page can run the database, as docs/BROWSER.md shows', async (t) => {
  const it = await local(t);
  if (!it) return;
  const page = await it.context.newPage();
  const empty = { contentType: 'text/html', body: '<!doctype html><title>mine</title>' };
  await page.route(it.host.url, (route) => route.fulfill(empty));
  await page.goto(it.host.url);
  const [block] = blocksOf(readFileSync(at('docs', 'BROWSER.md'), 'utf8')).filter(({ language }) => language === 'js');
  const content = `${block.text}; window.found = { reply: await response.json(), good, errors };`;
  await page.addScriptTag({ type: 'module', content });
  const { reply, good, errors } = await (await page.waitForFunction(() => window.found)).jsonValue();
  const [{ columns, values }] = reply.results[0].series;
  assert.deepEqual([columns, values[0].slice(1)], [['time', 'floor', 'temperature'], ['1', 21.5]]);
  assert.equal(good, 1);
  const reason = "missing field value of 'temperature', expected a value after '='";
  assert.deepEqual(errors, [{ line: 2, column: 18, reason }]);
});

/** Runs in the engine's thread. While the page reports a full disk, the storage rejects writes. */
function fullDisk() {
  let isFull = false;
  new BroadcastChannel('disk').onmessage = ({ data }) => (isFull = data);
  for (const name of ['put', 'clear']) {
    const { [name]: real } = IDBObjectStore.prototype;
    IDBObjectStore.prototype[name] = function (...given) {
      if (isFull) throw new DOMException('the disk is full', 'QuotaExceededError');
      return real.apply(this, given);
    };
  }
}

test('10: unstored data is reported and stored later, and each switch shows the current state', async (t) => {
  const it = await local(t);
  if (!it) return;
  const { page, problems } = it;
  const q = 'SELECT count(t) FROM room';
  const full = (isFull) => page.evaluate((value) => globalThis.disk.postMessage(value), isFull);
  await page.addInitScript(() => (globalThis.disk = new BroadcastChannel('disk')));
  const worker = readFileSync(join(staticFolder, 'engine', 'worker.js'), 'utf8');
  it.host.instead.set('engine/worker.js', `${worker}\n(${fullDisk})();`);
  await page.goto('about:blank');
  await page.goto(it.host.url);
  const kept = page.getByLabel('Keep the data in this browser');
  const refused = page.locator('.menu .wrong', { hasText: 'could not be written' });
  await page.getByText('The database is empty').waitFor();
  await write(page, 'home', 'room t=20 1700000000');
  await send(page);
  await page.locator('pre.answer.good').waitFor();

  // If the disk is full, the switch remains off, even after a reload.
  await full(true);
  await corner(page).click();
  await kept.click();
  await refused.waitFor();
  assert.equal(await kept.isChecked(), false);
  assert.equal(await corner(page).innerText(), 'In this browser, temporary');
  await full(false);
  await kept.click();
  await page.waitForFunction(() => localStorage.getItem('tidemark.persist') === 'yes');
  await page.keyboard.press('Escape');

  await full(true);
  await write(page, 'home', 'room t=21 1700000001');
  await send(page);
  await page.getByText("503: The browser's storage could not be written").waitFor();
  assert.equal(await corner(page).innerText(), 'In this browser, not stored');
  await corner(page).click();
  await page.getByRole('button', { name: 'Store the data now' }).click();
  await refused.last().waitFor();
  await full(false);
  await page.getByRole('button', { name: 'Store the data now' }).click();
  await page.waitForFunction(() => document.querySelector('#session .place').innerText === 'In this browser');
  await page.reload();
  assert.deepEqual(await cells(page, 'home', q), [['1970-01-01T00:00:00Z', '2']]);

  // If the rows cannot be deleted, the data remains.
  await full(true);
  await corner(page).click();
  await page.getByRole('button', { name: 'Delete the data' }).click();
  await refused.waitFor();
  await kept.click();
  await refused.waitFor();
  assert.equal(await kept.isChecked(), true);
  await page.keyboard.press('Escape');
  assert.deepEqual(await cells(page, 'home', `${q} LIMIT 1`), [['1970-01-01T00:00:00Z', '2']]);
  await full(false);
  await write(page, 'home', 'room t=22 1700000002');
  await send(page);
  await page.locator('pre.answer.good').waitFor();
  await page.reload();
  assert.deepEqual(await cells(page, 'home', q), [['1970-01-01T00:00:00Z', '3']]);
  assert.deepEqual(problems, []);
});

test('10: a console that was built for a server never starts its own database', async (t) => {
  if (!hasChromium(t)) return;
  const host = await staticHost(t, consoleFolder);
  const page = await (await launched(t)).newPage();
  page.setDefaultTimeout(patienceMs);
  await page.goto(host.url);
  await page.getByText('returns 404: check that Tidemark is running').waitFor();
  assert.match(await corner(page).innerText(), /, no response$/);
});

test('10: the engine finds its files at any page address, and accepts the same arguments as fetch', async (t) => {
  const it = await local(t);
  if (!it) return;
  const page = await it.context.newPage();
  const empty = { contentType: 'text/html', body: '<!doctype html><title>mine</title>' };
  const mine = `${it.host.url}some/where/else.html`;
  await page.route(mine, (route) => route.fulfill(empty));
  await page.goto(mine);
  const content = `
    import { startEngine } from '../../engine/engine.js';
    const engine = await startEngine();
    const lines = new Request('/write?db=demo', { method: 'POST', body: 'room t=1 1' });
    const query = new URL('/query?db=demo&q=SELECT+t+FROM+room', location);
    const headers = { Accept: 'application/csv' };
    const asked = new Request(query, { headers });
    window.found = {
      written: (await engine.fetch(lines)).status,
      csv: await (await engine.fetch(asked)).text(),
      json: (await (await engine.fetch(asked, { headers: {} })).json()).results[0].series[0].values,
      url: (await engine.fetch(query)).status,
    };
    await engine.close();`;
  await page.addScriptTag({ type: 'module', content });
  const found = await (await page.waitForFunction(() => window.found)).jsonValue();
  assert.deepEqual(found, {
    written: 204,
    csv: 'name,tags,time,t\nroom,,1,1\n',
    json: [['1970-01-01T00:00:00.000000001Z', 1]],
    url: 200,
  });
});
