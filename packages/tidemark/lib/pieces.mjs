// Runs work that a server performs in steps. Repeats a request while the status is 202, and after
// temporary failures. The server keeps finished steps, so a repeated command continues the work.

import { setTimeout as sleep } from 'node:timers/promises';

import { Sentence } from './command.mjs';
import { said } from './connection.mjs';

/** The maximum number of consecutive failures. */
const refusalsMax = 8;
/** The pause before the first retry, in milliseconds. It doubles with each retry. */
const pauseMs = 250;
/** The time between two progress lines without a terminal, in milliseconds. */
const lineEveryMs = 10_000;

/** Formats a number of bytes. */
export function bytesText(bytes) {
  const units = ['bytes', 'KB', 'MB', 'GB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/**
 * A progress line on standard error that is overwritten. Without a terminal, a new line is printed
 * at intervals.
 */
export class Progress {
  constructor() {
    this.lastMs = Date.now();
    this.isOpen = false;
  }

  show(text) {
    if (process.stderr.isTTY) {
      process.stderr.write(`\r\x1b[K${text}`);
      this.isOpen = true;
    } else if (Date.now() - this.lastMs > lineEveryMs) {
      this.lastMs = Date.now();
      console.error(text);
    }
  }

  end() {
    if (this.isOpen) process.stderr.write('\r\x1b[K');
    this.isOpen = false;
  }
}

/**
 * Sends a request until it succeeds. Repeats it after a temporary failure: status 429 or 503, or no complete response.
 *
 * @template T
 * @param {import('./connection.mjs').Connection} connection
 * @param {string} path
 * @param {RequestInit} init
 * @param {(response: Response) => Promise<T>} read reads a successful response
 * @returns {Promise<T>}
 */
export async function untilSuccess(connection, path, init, read) {
  for (let refusals = 1; ; refusals += 1) {
    let failure;
    try {
      const response = await connection.fetch(path, init);
      if (response.ok) return await read(response);
      failure = new Sentence(await said(response));
      if (![429, 503].includes(response.status)) throw failure;
    } catch (error) {
      if (error === failure || refusals === refusalsMax) throw error;
      failure = error;
    }
    if (refusals === refusalsMax) throw failure;
    await sleep(pauseMs * 2 ** (refusals - 1));
  }
}

/** Requests one step, with retries after temporary failures. */
const piece = (connection, method, path) =>
  untilSuccess(connection, path, { method }, async (response) => ({ isLast: response.status !== 202, body: await response.json() }));

/** Adds the counts of tokens and users in a response to `sums`. */
export function addAccess(sums, given) {
  for (const name of ['made', 'widened', 'unchanged']) sums[name] += given?.[name] ?? 0;
  sums.refused.push(...(given?.refused ?? []));
}

/**
 * Repeats a request until no work remains.
 *
 * @param {import('./connection.mjs').Connection} connection
 * @param {{ method?: string, path: (last: any) => string, text: (sums: any, last: any) => string }}
 *   work the path of the next request, from the last response (null at first), and a progress text
 * @returns {Promise<any>} the last response, with the totals of all responses in `objects`,
 *   `values`, `bytes`, `damaged` and `access`
 */
export async function finish(connection, { method = 'POST', path, text }) {
  const progress = new Progress();
  const sums = { objects: 0, values: 0, bytes: 0, damaged: [], access: { made: 0, widened: 0, unchanged: 0, refused: [] } };
  try {
    for (let last = null; ; ) {
      const { isLast, body } = await piece(connection, method, path(last));
      last = body;
      for (const name of ['objects', 'values', 'bytes']) sums[name] += body[name] ?? 0;
      sums.damaged.push(...(body.damaged ?? []));
      addAccess(sums.access, body.access);
      if (isLast) return { ...body, ...sums };
      progress.show(text(sums, body));
    }
  } finally {
    progress.end();
  }
}

/**
 * Returns the query string of `given`, without undefined values.
 * @param {Record<string, string | undefined>} given
 */
export const queryOf = (given) =>
  new URLSearchParams(/** @type {[string, string][]} */ (Object.entries(given).filter(([, value]) => value !== undefined)));
