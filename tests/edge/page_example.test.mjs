// Uses a real browser to test the example of a page with its own database.

import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { consoleFolder } from '../../scripts/console.mjs';
import { at } from '../../scripts/project.mjs';
import { hasChromium, launched } from './chromium.mjs';
import { temporaryFolder } from './harness.mjs';
import { staticHost } from './static_host.mjs';

test('a page counts its visits in its own database, which still exists after a reload', async (t) => {
  if (!hasChromium(t)) return;
  const folder = temporaryFolder(t);
  cpSync(at('examples', 'page'), folder, { recursive: true });
  for (const name of ['engine', 'chunks']) cpSync(join(consoleFolder, name), join(folder, name), { recursive: true });
  const host = await staticHost(t, folder);
  const browser = await launched(t);
  const context = await browser.newContext();
  for (let visit = 1; visit <= 3; visit += 1) {
    const page = await context.newPage();
    await page.goto(host.url);
    await page.getByText('stored', { exact: true }).waitFor({ timeout: 10_000 });
    const counts = await page.locator('tr td:last-child').allTextContents();
    // A new hour may begin between two visits. Then the visits are in several rows.
    assert.equal(counts.map(Number).reduce((sum, count) => sum + count, 0), visit);
    await page.close();
  }
  assert.ok(host.asked.every((path) => /^\/somewhere\/($|index|engine\/|chunks\/|favicon)|^\/favicon/.test(path)), String(host.asked));

  host.instead.set('engine/worker.js', 'throw new Error("broken")');
  const other = await (await browser.newContext()).newPage();
  await other.goto(host.url);
  await other.getByText(/^load: The in-browser database could not be loaded/).waitFor({ timeout: 10_000 });
});
