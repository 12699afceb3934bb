// Opens the console of a server, and contains the actions that several tests use.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';

import { at } from '../../scripts/project.mjs';
import { hasChromium, sharedBrowser } from './chromium.mjs';
import { PlainConsole, tidemark, token } from './harness.mjs';

/** A timeout that is longer than any action in the page. */
const patienceMs = 10_000;

export const pngFolder = at('screenshots');

/**
 * `problems` lists the browser's errors. `options` and `Kind` describe the server. Without chromium,
 * skips the test and resolves to null.
 */
export async function opened(t, { hash = '', signedIn = true, options = {}, Kind = PlainConsole, ...more } = {}) {
  if (!hasChromium(t)) return null;
  const [server, browser] = await Promise.all([tidemark(t, options, Kind), sharedBrowser()]);
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...more });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(patienceMs);
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.stack));
  page.on('console', (said) => said.type() === 'error' && problems.push(said.text()));
  const console_ = { server, context, page, problems };
  if (signedIn)
    await page.addInitScript((secret) => sessionStorage.setItem('tidemark.token', secret), token);
  console_.go = (to = '') => page.goto(`${server.url}/${to}`);
  if (hash !== null) await console_.go(hash);
  return console_;
}

/** Creates the database `demo`, and loads no page yet. */
export async function demo(t, lines, more = {}) {
  const console_ = await opened(t, { hash: null, ...more });
  if (!console_) return null;
  await console_.server.query('CREATE DATABASE demo');
  if (lines) await console_.server.mustWrite(lines, { db: 'demo' });
  return console_;
}

export const queries = /\/query(\?|$)/;

export const hashOf = (state) => `#${new URLSearchParams(state)}`;

/** Replaces the text in the editor of the view. */
export async function type(page, text, view = '.query') {
  await page.locator(`${view} .cm-content`).focus();
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(text);
}

/** Types a text, and returns the completions that the editor offers at the end of the text. */
export async function offered(page, text) {
  await type(page, text.slice(0, -1));
  await page.keyboard.type(text.slice(-1));
  await page.locator('.cm-tooltip-autocomplete').waitFor();
  return page.locator('.cm-completionLabel').allTextContents();
}

/** Returns the texts of the result's cells. */
export const cells = (page) =>
  page.locator('#result tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));

/** Returns the text next to a name in the explorer. */
export const detail = (page, name) =>
  page.locator('.tree .line', { has: page.getByRole('button', { name, exact: true }) }).locator('.detail');

/** Counts the pixels of each line colour. The background and the grid are grey. */
export function drawnColours(page) {
  return page.locator('.plot canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const counts = new Map();
    for (let i = 0; i < data.length; i += 4) {
      const [red, green, blue, alpha] = data.subarray(i, i + 4);
      const isGrey = Math.max(red, green, blue) - Math.min(red, green, blue) < 40;
      if (alpha < 200 || isGrey) continue;
      const key = `${red},${green},${blue}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    // A line has slightly different colours where it crosses another line.
    const lines = [];
    for (const [key, count] of [...counts].sort((a, b) => b[1] - a[1])) {
      const colour = key.split(',').map(Number);
      const line = lines.find((one) =>
        one.colour.every((part, i) => Math.abs(part - colour[i]) < 12),
      );
      if (line) line.count += count;
      else lines.push({ colour, count });
    }
    return lines.filter(({ count }) => count > 400);
  });
}

export async function chartDrawn(page) {
  await page.locator('.plot canvas').waitFor();
  await page.waitForFunction(() => {
    const canvas = document.querySelector('.plot canvas');
    return (
      canvas?.width > 0 && document.querySelector('#result')?.getAttribute('aria-busy') === null
    );
  });
}

export async function picture(page, name) {
  mkdirSync(pngFolder, { recursive: true });
  await page.screenshot({ path: `${pngFolder}/${name}.png` });
}

/**
 * Asserts that the browser reported no errors, except those that contain one of the `allowed`
 * texts.
 */
export function noProblems({ problems }, ...allowed) {
  const others = problems.filter((text) => !allowed.some((part) => text.includes(part)));
  assert.deepEqual(others, []);
}
