// Sends queries: small queries whose rows the page uses directly, and queries for the result
// worker.

import { parseExact } from './exact.js';
import { request } from './transport.js';

/** `status` is 0 without a response. */
export class RequestError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** If the text contains no message, returns a sentence with the status. */
export function errorIn(text, status) {
  try {
    const reply = JSON.parse(text);
    const message = reply.error ?? reply.message;
    if (typeof message === 'string') return message;
  } catch {
    // A proxy between the page and the server may return text that is not JSON.
  }
  return `The server returned ${status}: ${text.slice(0, 500)}`;
}

/** The maximum length of an address that common proxies accept. */
const addressBytesMax = 12_000;

const parametersOf = (q, { db, epoch }) =>
  String(new URLSearchParams({ q, ...(db ? { db } : {}), ...(epoch ? { epoch } : {}) }));

/**
 * `epoch` is the unit of the timestamps, and `signal` cancels the query.
 * @typedef {{ db?: string, epoch?: string, signal?: AbortSignal }} Options
 */

/**
 * Every query that the user has not started uses GET. The parameter `read_only` makes the server
 * reject statements that write. Throws [RequestError] without a response.
 * @param {string} q
 * @param {Options} [options]
 */
export async function get(q, { db, epoch, signal } = {}) {
  const address = `/query?${parametersOf(q, { db, epoch })}&read_only=true`;
  if (address.length > addressBytesMax) {
    throw new RequestError('This query is too long to be repeated automatically: press Run.', 0);
  }
  return fetchOrFail(address, { signal, cache: 'no-store' });
}

/**
 * The text may write, so the user must have started it. Throws [RequestError] without a response.
 * @param {string} q
 * @param {Options} [options]
 */
export async function post(q, { db, epoch, signal } = {}) {
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const body = parametersOf(q, { db, epoch });
  return fetchOrFail('/query', { method: 'POST', headers, body, signal });
}

/** Throws [RequestError] without a response. */
export async function fetchOrFail(path, init) {
  try {
    return await request(path, init);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    if (error.name === 'EngineError') throw new RequestError(error.message, 0);
    throw new RequestError(`The server could not be reached: ${error.message}`, 0);
  }
}

/**
 * The statements must only read. Throws the error of the first failed statement. With `tolerant`, a
 * failed statement returns an empty list instead.
 * @param {string} q
 * @param {Options & { tolerant?: boolean }} [options]
 */
export async function querySeries(q, { db, epoch, tolerant = false } = {}) {
  const response = await get(q, { db, epoch });
  const text = await response.text();
  if (!response.ok) throw new RequestError(errorIn(text, response.status), response.status);
  return parseExact(text).results.map(({ series = [], error }) => {
    if (error && !tolerant) throw new RequestError(error, 200);
    return series;
  });
}

/** Returns the rows in the first series of a single statement, as arrays. */
export async function rowsOf(q, options) {
  const [series] = await querySeries(q, options);
  return series[0]?.values ?? [];
}
