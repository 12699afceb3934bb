// Queries: small ones whose rows are wanted at once, and those whose reply goes to the result
// worker.

import { parseExact } from './exact.js';
import { request } from './transport.js';

/** A query that failed as a whole: `status` is the reply's, 0 when none came. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The error that a reply's text names, or a sentence with the status. */
export function errorIn(text, status) {
  try {
    const reply = JSON.parse(text);
    const message = reply.error ?? reply.message;
    if (typeof message === 'string') return message;
  } catch {
    // Not JSON: whatever stands between the page and the server wrote it.
  }
  return `The server answered ${status}: ${text.slice(0, 500)}`;
}

/** Bytes of an address that every server between here and there lets pass. */
const addressBytesMax = 12_000;

const parametersOf = (q, { db, epoch }) =>
  String(new URLSearchParams({ q, ...(db ? { db } : {}), ...(epoch ? { epoch } : {}) }));

/**
 * Of which database, in which unit its times are, and what ends it.
 *
 * @typedef {{ db?: string, epoch?: string, signal?: AbortSignal }} Options
 */

/**
 * GET /query, for every query that the page sends by itself: `read_only` makes the server refuse a
 * statement that writes. Resolves with the response. Throws [Refused] when there is none.
 *
 * @param {string} q
 * @param {Options} [options]
 */
export async function get(q, { db, epoch, signal } = {}) {
  const address = `/query?${parametersOf(q, { db, epoch })}&read_only=true`;
  if (address.length > addressBytesMax) {
    throw new Refused('This text is too long to be asked again by itself: press Run.', 0);
  }
  return answered(address, { signal, cache: 'no-store' });
}

/**
 * POST /query, which may write: for the buttons that say so. As [get] otherwise.
 *
 * @param {string} q
 * @param {Options} [options]
 */
export async function post(q, { db, epoch, signal } = {}) {
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const body = parametersOf(q, { db, epoch });
  return answered('/query', { method: 'POST', headers, body, signal });
}

/** The response of `path`. Throws [Refused] when there is none. */
export async function answered(path, init) {
  try {
    return await request(path, init);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    if (error.name === 'EngineError') throw new Refused(error.message, 0);
    throw new Refused(`The server could not be reached: ${error.message}`, 0);
  }
}

/**
 * The series of each statement of `q`, which reads. A statement's error is thrown unless `tolerant`, where it
 * leaves an empty list.
 *
 * @param {string} q
 * @param {Options & { tolerant?: boolean }} [options]
 */
export async function ask(q, { db, epoch, tolerant = false } = {}) {
  const response = await get(q, { db, epoch });
  const text = await response.text();
  if (!response.ok) throw new Refused(errorIn(text, response.status), response.status);
  return parseExact(text).results.map(({ series = [], error }) => {
    if (error && !tolerant) throw new Refused(error, 200);
    return series;
  });
}

/** The rows of the first series of a single statement, as arrays. */
export async function rowsOf(q, options) {
  const [series] = await ask(q, options);
  return series[0]?.values ?? [];
}
