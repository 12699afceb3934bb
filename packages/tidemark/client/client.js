// The client `tidemark/client`, for Workers that are bound to the database and for any program with
// `fetch`.

import { lineOf } from './lines.js';

/** @typedef {import('./lines.js').Point} Point */

/**
 * @typedef {object} Options
 * @property {{ fetch: typeof fetch }} [binding] the service binding; without a binding, the client
 *   sends requests to `url`
 * @property {string} [url] the database's address; with a binding, only the path and the parameters
 *   matter
 * @property {string} token a token with permission to write to `database`, to read it, or both
 * @property {string} database
 * @property {number} [gatherMs] the maximum time for which the client collects points before it
 *   sends them
 * @property {number} [batchPoints] the number of points at which the client sends a batch
 * @property {(error: Error) => void} [onError] receives the errors of points that were not written;
 *   by default, the client logs them
 */

/**
 * The third argument of a Worker's `fetch`. It keeps work running after the response.
 * @typedef {{ waitUntil(promise: Promise<unknown>): void }} Context
 */

/**
 * A series of a statement's result.
 * @typedef {{ name?: string, tags?: Record<string, string>, columns: string[], values: any[][] }} Series
 */

/**
 * The maximum size of a batch in characters. It is far below the server's limit, and the server
 * needs only a few milliseconds of CPU time for it.
 */
const batchCharactersMax = 1_000_000;

/** The client rejects points above this limit, which bounds its memory. */
const heldCharactersMax = 8_000_000;

/**
 * The timeouts of one attempt and of all attempts together. The platform ends work in `waitUntil`
 * after 30 s.
 */
const writeMs = 10_000;
const queryMs = 25_000;
const patienceMs = 25_000;
const triesMax = 4;
const pauseMsMin = 250;
const pauseMsMax = 5_000;

const charactersOf = (lines) => lines.reduce((sum, line) => sum + line.length + 1, 0);

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class TidemarkError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, rejected?: { line: string, reason: string }[], cause?: unknown }} [about]
   */
  constructor(message, { status, rejected = [], cause } = {}) {
    super(message, { cause });
    this.name = 'TidemarkError';
    /** The response's status, or undefined if there was no response. */
    this.status = status;
    /**
     * The first characters of each line that the server rejected permanently, with the reason. The
     * server stored the other lines of the request.
     */
    this.rejected = rejected;
  }
}

/**
 * Whether a retry may succeed. Without a status, the server may not have received the request. The
 * other statuses mean that the server was overloaded.
 */
const isPassing = (status) => status === undefined || status === 408 || status === 429 || (status >= 500 && status !== 501);

function failure(status, text) {
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    // A body that is not JSON becomes the message.
  }
  const rejected = [said.data ?? []].flat().map((one) => ({ line: one.original_line, reason: one.error_message }));
  const message = `Tidemark returned ${status}: ${said.message ?? said.error ?? text}`;
  return new TidemarkError(message, { status, rejected });
}

/**
 * Returns the pause before the next attempt. Without `Retry-After`, the pause grows exponentially.
 */
function pauseMs(tried, retryAfter) {
  const asked = Number(retryAfter) * 1_000;
  const own = Math.min(pauseMsMin * 2 ** tried, pauseMsMax) * (0.5 + Math.random() / 2);
  return asked > 0 ? Math.min(asked, pauseMsMax) : own;
}

/** Parses integers beyond the safe range of a number as bigint. */
function exact(_key, value, /** @type {{ source?: string } | undefined} */ context = undefined) {
  const isRounded = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && /^-?\d+$/.test(context?.source ?? '') ? BigInt(context.source) : value;
}

/**
 * A connection to one database. Create it at module level, so that requests share batches of
 * points.
 */
export class Tidemark {
  #options;
  /** @type {string[]} */
  #waiting = [];
  #characters = 0;
  /** Includes the lines in a running request. */
  #held = 0;
  /** The time at which a request will send the waiting lines. */
  #dueMs = -Infinity;
  /** The last time that was assigned to a point without a time. */
  #lastNs = 0n;

  /** @param {Options} options */
  constructor({ binding, url = 'https://tidemark', gatherMs = 1_000, batchPoints = 5_000, ...rest }) {
    const fetcher = binding ?? globalThis;
    const onError = rest.onError ?? ((error) => console.error(error.message));
    this.#options = { ...rest, fetcher, url: url.replace(/\/+$/, ''), gatherMs, batchPoints, onError };
  }

  /**
   * Queues points. The client sends them in batches, at the latest after `gatherMs` or at
   * `batchPoints` points. `context` comes from the current request. Its `waitUntil` keeps the
   * request running until the points are sent.
   * Throws if line protocol cannot represent a point, or if too many points are unconfirmed. In
   * both cases the client queues none of `points`.
   *
   * Without `context`, the points wait until [flush] is called.
   *
   * @param {Point | Point[]} points
   * @param {Context} [context]
   */
  write(points, context) {
    const lines = [points].flat().map((point) => lineOf(point, () => this.#now()));
    const characters = charactersOf(lines);
    if (this.#held + characters > heldCharactersMax) {
      throw new TidemarkError(`${this.#waiting.length} points are waiting to be written, and no more are allowed: wait for a flush, or drop points`);
    }
    this.#held += characters;
    this.#put(lines);
    if (!context) return;
    if (this.#isFull()) return context.waitUntil(this.#flushed());
    // The platform may have ended the request that was going to send the points.
    if (this.#dueMs + this.#options.gatherMs > Date.now()) return;
    this.#dueMs = Date.now() + this.#options.gatherMs;
    context.waitUntil(sleep(this.#options.gatherMs).then(() => this.#flushed()));
  }

  /**
   * Sends the waiting points. Rejects with a [TidemarkError] if the server rejected points or did
   * not confirm them. The client sends unconfirmed points again later. This stores no point twice,
   * because a point that is sent again has the same time.
   */
  async flush() {
    this.#dueMs = -Infinity;
    const errors = [];
    // Failed lines return to the queue, but this loop sends each line only once.
    for (let left = this.#waiting.length; left > 0 && this.#waiting.length > 0; ) {
      const lines = this.#batch(left);
      left -= lines.length;
      const error = await this.#send(lines);
      if (error) errors.push(error);
      if (error && isPassing(error.status)) this.#put(lines);
      else this.#held -= charactersOf(lines);
    }
    if (errors.length > 0) throw errors[0];
  }

  /**
   * Runs InfluxQL and returns the series of each statement. Times are texts (RFC 3339), or numbers
   * in units of `epoch`. Integers beyond the safe range are `bigint`s. Rejects with the error of
   * the first failed statement.
   *
   * @param {string} q
   * @param {{ epoch?: 'ns' | 'u' | 'ms' | 's' | 'm' | 'h', params?: Record<string, unknown> }}
   *   [more] `params` are the values of `$name` in the text
   * @returns {Promise<Series[][]>}
   */
  async query(q, { epoch, params } = {}) {
    const given = { db: this.#options.database, q, epoch, params: params && JSON.stringify(params) };
    const body = new URLSearchParams(Object.entries(given).filter(([, one]) => one !== undefined));
    const { text, error } = await this.#asked('/query', body, queryMs);
    if (error) throw error;
    const { results = [] } = JSON.parse(text, exact);
    const failed = results.find((result) => result.error);
    if (failed) throw new TidemarkError(failed.error, { status: 200 });
    return results.map(({ series = [] }) => series);
  }

  /**
   * Returns the current time in nanoseconds, later than all earlier results. A Worker's clock may
   * stand still.
   */
  #now() {
    const within = BigInt(Math.floor(Math.random() * 1_000_000));
    const now = BigInt(Date.now()) * 1_000_000n + within;
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n;
    return this.#lastNs;
  }

  #put(lines) {
    // Uses a loop, because a call with one argument per line could overflow the stack.
    for (const line of lines) this.#waiting.push(line);
    this.#characters += charactersOf(lines);
  }

  #isFull() {
    return this.#waiting.length >= this.#options.batchPoints || this.#characters >= batchCharactersMax;
  }

  #batch(max) {
    let [count, characters] = [0, 0];
    const linesMax = Math.min(max, this.#options.batchPoints, this.#waiting.length);
    for (; count < linesMax && (count === 0 || characters < batchCharactersMax); count += 1) {
      characters += this.#waiting[count].length + 1;
    }
    this.#characters -= characters;
    return this.#waiting.splice(0, count);
  }

  async #flushed() {
    try {
      await this.flush();
    } catch (error) {
      this.#options.onError(error);
    }
  }

  /** Resolves to null or the error. */
  async #send(lines) {
    const search = new URLSearchParams({ db: this.#options.database, precision: 'nanosecond' });
    const { error } = await this.#asked(`/api/v3/write_lp?${search}`, lines.join('\n'), writeMs);
    return error;
  }

  /** Resolves to `{ text, error }`. `error` is the last error of all attempts, or null. */
  async #asked(path, body, answerMs) {
    const until = Date.now() + patienceMs;
    for (let tried = 1; ; tried += 1) {
      const { text, retryAfter, error } = await this.#once(path, body, Math.min(answerMs, until - Date.now()));
      if (!error || !isPassing(error.status) || tried === triesMax) return { text, error };
      const waitMs = pauseMs(tried - 1, retryAfter);
      if (Date.now() + waitMs >= until) return { text, error };
      await sleep(waitMs);
    }
  }

  async #once(path, body, answerMs) {
    const { fetcher, url, token } = this.#options;
    const headers = { Authorization: `Token ${token}` };
    try {
      const signal = AbortSignal.timeout(answerMs);
      const response = await fetcher.fetch(`${url}${path}`, { method: 'POST', headers, body, signal });
      const text = await response.text();
      const retryAfter = response.headers.get('Retry-After');
      return { text, retryAfter, error: response.ok ? null : failure(response.status, text) };
    } catch (cause) {
      return { text: '', retryAfter: null, error: new TidemarkError(`Tidemark did not respond: ${cause.message}`, { cause }) };
    }
  }
}
