// Work that a server does a piece at a time: a request is repeated while it is answered 202, and after what
// passes by itself. What is done is done: whoever repeats the command goes on where it stopped.

import { setTimeout as sleep } from 'node:timers/promises';

import { Sentence } from './command.mjs';
import { said } from './connection.mjs';

/** Answers in a row that are no piece, after which nobody waits any longer. */
const refusalsMax = 8;
/** Before the first of them is repeated; doubled each time, ms. */
const pauseMs = 250;
/** Between two lines of progress where nobody sees a line change, ms. */
const lineEveryMs = 10_000;

/** Bytes as somebody reads them. */
export function bytesText(bytes) {
  const units = ['bytes', 'KB', 'MB', 'GB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** One line on standard error that changes; where that is no terminal a line now and then. */
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

/** The answer to one piece; what passes by itself is asked again. */
async function piece(connection, method, path) {
  for (let refusals = 1; ; refusals += 1) {
    let failure;
    try {
      const response = await connection.fetch(path, { method });
      if (response.ok) return { isLast: response.status !== 202, body: await response.json() };
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

/** Adds what one answer says of tokens and users to what others said. */
export function addAccess(sums, given) {
  for (const name of ['made', 'widened', 'unchanged']) sums[name] += given?.[name] ?? 0;
  sums.refused.push(...(given?.refused ?? []));
}

/**
 * Repeats a request until nothing remains.
 *
 * @param {import('./connection.mjs').Connection} connection
 * @param {{ method?: string, path: (last: any) => string, text: (sums: any, last: any) => string }} work
 *   the path of the next request after an answer (null at first), and a line about how far it is
 * @returns {Promise<any>} the last answer; `objects`, `values`, `bytes`, `damaged` and `access` are those of all
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

/** The query of a path. @param {Record<string, string | undefined>} given what is undefined is left out */
export const queryOf = (given) =>
  new URLSearchParams(/** @type {[string, string][]} */ (Object.entries(given).filter(([, value]) => value !== undefined)));
