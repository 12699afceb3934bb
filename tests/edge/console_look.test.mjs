// Takes screenshots of the console in each state, and checks the accessibility of each state.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { chartDrawn, demo, hashOf, noProblems, opened, picture } from './console.mjs';

const range = '2012-01-01T00:00:00.000Z..2016-01-01T00:00:00.000Z';
const temperatures =
  'SELECT max(temp_max) AS high, min(temp_min) AS low\nFROM weather\nGROUP BY time(7d), city';

const axe = readFileSync(at('node_modules', 'axe-core', 'axe.min.js'), 'utf8');

async function violations(page) {
  if (await page.evaluate(() => globalThis.axe === undefined)) await page.evaluate(axe);
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ['violations'] }),
  );
  return found.violations.map(({ id, nodes }) => [
    id,
    nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`),
  ]);
}

function tooWide() {
  const parts = [
    document.documentElement,
    ...document.querySelectorAll('main, .view, .panel, .result, #explorer'),
  ];
  return parts
    .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth + 1)
    .map(
      ({ tagName, className, scrollWidth, clientWidth }) =>
        `${tagName} ${className}: ${scrollWidth} in ${clientWidth}`,
    );
}

const states = {
  async empty({ page }) {
    await page.getByRole('button', { name: 'Load sample data' }).waitFor();
  },
  async sample({ page }) {
    await page.getByRole('button', { name: 'Load sample data' }).click();
    await page.getByRole('button', { name: /per week/ }).waitFor();
  },
  async chart({ page, go }) {
    await go(hashOf({ db: 'sample', view: 'chart', range, q: temperatures }));
    await page.reload();
    await chartDrawn(page);
    await page.locator('.query .cm-content').waitFor();
    const plot = await page.locator('.u-over').boundingBox();
    await page.mouse.move(plot.x + plot.width * 0.4, plot.y + plot.height / 2);
  },
  async explain({ page }) {
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.locator('.plan .figures').waitFor();
  },
  async table({ page }) {
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByRole('tab', { name: 'Table' }).click();
    await page.locator('tbody td').first().waitFor();
  },
  async raw({ page }) {
    await page.getByRole('tab', { name: 'Raw' }).click();
    await page.locator('#result > pre').waitFor();
  },
  async tail({ page }) {
    await page.getByRole('tab', { name: 'Live tail' }).click();
    await page.locator('tbody td').first().waitFor();
  },
  async error({ page, go }) {
    await go(
      hashOf({
        db: 'sample',
        view: 'chart',
        q: 'SELECT mean(temp_max) FROM weather\nGRUP BY time(7d)',
      }),
    );
    await page.reload();
    await page.locator('.problem button').waitFor();
  },
  async range({ page }) {
    await page.getByRole('button', { name: 'Any time' }).click();
  },
  async history({ page }) {
    // The history lists texts that the user ran, but not the texts of links.
    await page.getByRole('button', { name: 'Run' }).click();
    await page.locator('.problem button').waitFor();
    await page.getByRole('button', { name: 'History' }).click();
    await page.locator('.past').first().waitFor();
  },
  async write({ page, go }) {
    await go(hashOf({ db: 'sample', view: 'write' }));
    await page.reload();
    await page.locator('.write .cm-content').click();
    await page.keyboard.press('Control+End');
    await page.keyboard.insertText('room,floor=3 temperature=warm\nroom floor 4');
    await page.locator('.verdict:not(:empty)').waitFor();
    await page.getByRole('button', { name: 'Write', exact: true }).last().click();
    await page.locator('pre.answer').waitFor();
  },
  async connect({ page }) {
    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await page.getByLabel('Name').fill('greenhouse');
  },
};

const wide = { width: 1360, height: 860 };
const narrow = { width: 400, height: 800 };
const looks = [
  ['light', 'light', wide],
  ['dark', 'dark', wide],
  ['narrow', 'light', narrow],
];

/** These states are also checked with dark colours in a narrow window. */
const darkAndNarrow = ['chart', 'sign-in'];

test('in a small window the explorer never covers the content in use', async (t) => {
  const console_ = await demo(t, 'room t=1');
  if (!console_) return;
  const { page, go } = console_;
  await page.setViewportSize(narrow);
  await go(hashOf({ db: 'demo' }));
  const isSeen = (selector) =>
    page.locator(selector).evaluate((part) => {
      const { left, top, right, bottom } = part.getBoundingClientRect();
      const [x, y] = [(left + right) / 2, (top + Math.min(bottom, innerHeight)) / 2];
      return top >= 0 && top < innerHeight / 2 && part.contains(document.elementFromPoint(x, y));
    });
  const explorer = page.getByRole('button', { name: 'Explorer' });
  for (const [view, part] of [
    ['Write', '.write .editor'],
    ['Connect', '.connect .snippet'],
  ]) {
    await explorer.click();
    await page.getByRole('button', { name: 'room', exact: true }).waitFor();
    await page.getByRole('navigation').getByRole('button', { name: view, exact: true }).click();
    await page.locator(part).waitFor();
    assert.ok(await isSeen(part), `${view} is covered`);
    assert.ok(await explorer.isHidden());
    await page.getByRole('navigation').getByRole('button', { name: 'Query', exact: true }).click();
    assert.equal(await explorer.getAttribute('aria-expanded'), 'false');
  }
  noProblems(console_);
});

test('every state is accessible, fits the window, and matches its screenshot, light and dark, wide and narrow', async (t) => {
  const console_ = await opened(t, { signedIn: false });
  if (!console_) return;
  const { page } = console_;
  await page.locator('.welcome input').waitFor();
  const found = {};
  const inEachLook = async (state) => {
    const mine = darkAndNarrow.includes(state)
      ? [...looks, ['narrow-dark', 'dark', narrow]]
      : looks;
    for (const [look, colorScheme, viewport] of mine) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      await picture(page, `${state}-${look}`);
      if (viewport === wide) {
        const wrong = await violations(page);
        if (wrong.length > 0) found[`${state} ${look}`] = wrong;
      } else {
        assert.deepEqual(await page.evaluate(tooWide), [], `${state} at ${narrow.width}`);
      }
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize(wide);
  };
  await inEachLook('sign-in');
  await page.locator('.welcome input').fill('token-of-the-tests');
  await page.keyboard.press('Enter');
  for (const [state, reach] of Object.entries(states)) {
    await reach(console_);
    await inEachLook(state);
  }
  assert.deepEqual(found, {});
  noProblems(console_, 'status of 400', 'status of 401');
});
