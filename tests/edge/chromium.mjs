// Starts the browser for tests.

import { after } from 'node:test';

import { chromium } from 'playwright-core';

import { has } from './harness.mjs';

const program = '/usr/bin/chromium';

export const launchOptions = {
  executablePath: program,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
};

/** Returns whether chromium is installed. If not, skips the test. */
export const hasChromium = (t) => has(t, program);

/** Starts a browser that closes after the test `t`. */
export async function launched(t) {
  const browser = await chromium.launch(launchOptions);
  t.after(() => browser.close());
  return browser;
}

/** @type {Promise<import('playwright-core').Browser> | undefined} */
let shared;
after(async () => (await shared)?.close());

/** Resolves to a browser that all tests of a file share. Each test needs its own context. */
export const sharedBrowser = () => (shared ??= chromium.launch(launchOptions));
