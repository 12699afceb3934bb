// Starts the browser for tests.

import { after } from 'node:test';

import { chromium } from 'playwright-core';

import { has } from './harness.mjs';

const program = '/usr/bin/chromium';

export const launchOptions = {
  executablePath: program,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
};

/** Without chromium, skips the test. */
export const hasChromium = (t) => has(t, program);

/** The browser closes after the test `t`. */
export async function launched(t) {
  const browser = await chromium.launch(launchOptions);
  t.after(() => browser.close());
  return browser;
}

/** @type {Promise<import('playwright-core').Browser> | undefined} */
let shared;
after(async () => (await shared)?.close());

/** All tests of a file share this browser. Each test needs its own context. */
export const sharedBrowser = () => (shared ??= chromium.launch(launchOptions));
