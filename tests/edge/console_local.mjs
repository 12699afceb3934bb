// Opens the console on a static host, with its database inside the page. Contains the actions that
// several tests use.

import assert from 'node:assert/strict';

import { staticFolder, staticPage } from '../../scripts/console.mjs';
import { hasChromium, launched } from './chromium.mjs';
import { hashOf } from './console.mjs';
import { staticHost } from './static_host.mjs';

export const patienceMs = 10_000;

/** Browser messages that are expected while the page is offline. */
const expected = /404 \(Not Found\)|ERR_INTERNET_DISCONNECTED/;

let isBuilt;

/** Serves the console with its database inside the page. */
export async function builtHost(t) {
  await (isBuilt ??= staticPage());
  return staticHost(t, staticFolder);
}

/** Resolves to null without chromium. */
export async function local(t) {
  if (!hasChromium(t)) return null;
  const host = await builtHost(t);
  const browser = await launched(t);
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 } });
  const it = { host, context, problems: [] };
  it.page = await another(it);
  return it;
}

export async function another({ host, context, problems }, hash = '') {
  const page = await context.newPage();
  page.setDefaultTimeout(patienceMs);
  page.on('pageerror', (error) => problems.push(error.stack));
  page.on('console', (said) => {
    if (said.type() === 'error' && !expected.test(said.text())) problems.push(said.text());
  });
  await page.goto(host.url + hash);
  return page;
}

/** Enters lines in the view *Write*, without sending them. Their timestamps are in seconds. */
export async function write(page, database, lines) {
  await page.getByRole('button', { name: 'Write', exact: true }).first().click();
  const view = page.locator('.view.write');
  await view.getByLabel('Database').fill(database);
  await view.getByLabel('Precision').selectOption('s');
  await page.locator('.write .cm-content').focus();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(lines);
}

export const send = (page) => page.locator('.write').getByRole('button', { name: 'Write', exact: true }).click();

/** Changes the address without loading a file. */
export const follow = (page, state) => page.evaluate((hash) => (location.hash = hash), hashOf(state));

export async function cells(page, db, q) {
  await follow(page, { db, q, view: 'table', range: 'all' });
  await page.locator('.cm-line', { hasText: q }).waitFor();
  await page.locator('#result:not([aria-busy]) tbody td').first().waitFor();
  return page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

export const corner = (page) => page.locator('#session .place');

export async function inSharedWorker(browser, expression) {
  const devtools = await browser.newBrowserCDPSession();
  const { targetInfos } = await devtools.send('Target.getTargets');
  const [worker] = targetInfos.filter(({ type }) => type === 'shared_worker');
  const { targetId } = worker;
  const { sessionId } = await devtools.send('Target.attachToTarget', { targetId, flatten: false });
  const answered = new Promise((resolve) => {
    devtools.on('Target.receivedMessageFromTarget', ({ message }) => {
      const reply = JSON.parse(message);
      if (reply.id === 1) resolve(reply);
    });
  });
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
  await devtools.send('Target.sendMessageToTarget', { sessionId, message });
  const { result, error } = await answered;
  assert.deepEqual([error, result?.exceptionDetails], [undefined, undefined]);
  await devtools.detach();
  return result.result.value;
}
