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

/**
 * Returns the error message in a response's text. If the text contains no message, returns a
 * sentence with the status.
 */
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

/** Returns the body. Throws [RequestError] with the server's message if the request failed. */
export async function textOf(response) {
  const text = await response.text();
  if (!response.ok) throw new RequestError(errorIn(text, response.status), response.status);
  return text;
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
 * Sends a query with GET, as for every query that the user has not started. The parameter
 * `read_only` makes the server reject statements that write. Throws [RequestError] if there is no
 * response.
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
 * Sends a query with POST. The text may write, so the user must have started it. Throws
 * [RequestError] if there is no response.
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
 * Returns the series of a single statement, which must only read. Throws [RequestError].
 * @param {string} q
 * @param {Options} [options]
 */
export async function querySeries(q, options) {
  const reply = parseExact(await textOf(await get(q, options)));
  const [{ series = [], error }] = reply.results;
  if (error) throw new RequestError(error, 200);
  return series;
}
