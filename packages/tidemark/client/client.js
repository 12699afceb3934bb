// tidemark/client: for Workers that bind the database, and for any program with `fetch`.

import { lineOf } from './lines.js';

/** @typedef {import('./lines.js').Point} Point */

/**
 * @typedef {object} Options
 * @property {{ fetch: typeof fetch }} [binding] the service binding; without one `url` is asked
 * @property {string} [url] the database's address; over a binding only path and parameters matter
 * @property {string} token one that may write to `database`, or read it, or both
 * @property {string} database
 * @property {number} [gatherMs] for how long points are gathered before they are sent
 * @property {number} [batchPoints] so many are sent at once
 * @property {(error: Error) => void} [onError] is told of points that were not written; otherwise the log is
 */

/** What keeps a request's work going after its answer: the third argument of a Worker's `fetch`. @typedef {{ waitUntil(promise: Promise<unknown>): void }} Context */

/** One answer to a statement. @typedef {{ name?: string, tags?: Record<string, string>, columns: string[], values: any[][] }} Series */

/** Characters of a request's lines: well below what a write may have, and some milliseconds of CPU time. */
const batchCharactersMax = 1_000_000;

/** Of points that are not known to be written; more are refused, so that memory has a bound. */
const heldCharactersMax = 8_000_000;

/** How long one try may take, and all of them: the platform ends what `waitUntil` keeps after 30 s. */
const writeMs = 10_000;
const queryMs = 25_000;
const patienceMs = 25_000;
const triesMax = 4;
const pauseMsMin = 250;
const pauseMsMax = 5_000;

const charactersOf = (lines) => lines.reduce((sum, line) => sum + line.length + 1, 0);

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A request that the database did not fulfil. */
export class TidemarkError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, rejected?: { line: string, reason: string }[], cause?: unknown }} [about]
   */
  constructor(message, { status, rejected = [], cause } = {}) {
    super(message, { cause });
    this.name = 'TidemarkError';
    /** The answer's status; undefined when there was no answer. */
    this.status = status;
    /** How lines begin that will never be written, and why; the others of their request were. */
    this.rejected = rejected;
  }
}

/** Whether the same request may do better later: what became of it is unknown, or there was too much to do. */
const isPassing = (status) => status === undefined || status === 408 || status === 429 || (status >= 500 && status !== 501);

/** What an answer that is no success says. */
function failure(status, text) {
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    // It is no JSON: shown as it came.
  }
  const rejected = [said.data ?? []].flat().map((one) => ({ line: one.original_line, reason: one.error_message }));
  const message = `Tidemark answered ${status}: ${said.message ?? said.error ?? text}`;
  return new TidemarkError(message, { status, rejected });
}

/** How long to wait before the next try: as the answer says, or longer each time. */
function pauseMs(tried, retryAfter) {
  const asked = Number(retryAfter) * 1_000;
  const own = Math.min(pauseMsMin * 2 ** tried, pauseMsMax) * (0.5 + Math.random() / 2);
  return asked > 0 ? Math.min(asked, pauseMsMax) : own;
}

/** An integer that no number can hold stays whole, as a bigint. */
function exact(_key, value, /** @type {{ source?: string } | undefined} */ context = undefined) {
  const isRounded = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && /^-?\d+$/.test(context?.source ?? '') ? BigInt(context.source) : value;
}

/** One database of a Tidemark. Make one where your module begins: its requests gather points together. */
export class Tidemark {
  #options;
  /** Lines that were not sent yet. @type {string[]} */
  #waiting = [];
  #characters = 0;
  /** Characters of all lines that are not known to be written or refused: those under way too. */
  #held = 0;
  /** By when what waits is sent, as somebody promised. */
  #dueMs = -Infinity;
  /** The time that the last point without one was given. */
  #lastNs = 0n;

  /** @param {Options} options */
  constructor({ binding, url = 'https://tidemark', gatherMs = 1_000, batchPoints = 5_000, ...rest }) {
    const fetcher = binding ?? globalThis;
    const onError = rest.onError ?? ((error) => console.error(error.message));
    this.#options = { ...rest, fetcher, url: url.replace(/\/+$/, ''), gatherMs, batchPoints, onError };
  }

  /**
   * Takes points, which are sent together with others: when there are `batchPoints` of them, or after `gatherMs`.
   * `context` is that of the request, whose `waitUntil` keeps it going until then. Throws for a point that line
   * protocol cannot say, and when the database has not taken any for long; then none of `points` is taken.
   *
   * Without `context` they wait for [flush].
   *
   * @param {Point | Point[]} points
   * @param {Context} [context]
   */
  write(points, context) {
    const lines = [points].flat().map((point) => lineOf(point, () => this.#now()));
    const characters = charactersOf(lines);
    if (this.#held + characters > heldCharactersMax) {
      throw new TidemarkError(`${this.#waiting.length} points wait to be written: there is no room for more`);
    }
    this.#held += characters;
    this.#put(lines);
    if (!context) return;
    if (this.#isFull()) return context.waitUntil(this.#flushed());
    // Whoever promised to send them may have been ended by the platform: then it is this request's turn.
    if (this.#dueMs + this.#options.gatherMs > Date.now()) return;
    this.#dueMs = Date.now() + this.#options.gatherMs;
    context.waitUntil(sleep(this.#options.gatherMs).then(() => this.#flushed()));
  }

  /**
   * Sends what waits. Rejects with a [TidemarkError] if something of it was refused, or is not known to be written:
   * the latter waits for the next time. A point that is sent again is not there twice: it has its time.
   */
  async flush() {
    this.#dueMs = -Infinity;
    const errors = [];
    // What fails is put back: it is not tried again here.
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
   * Asks InfluxQL: the series of each statement. Times are texts (RFC 3339), or numbers of `epoch`; integers that no
   * number holds are `bigint`s. Rejects with the text of the first statement that failed.
   *
   * @param {string} q
   * @param {{ epoch?: 'ns' | 'u' | 'ms' | 's' | 'm' | 'h', params?: Record<string, unknown> }} [more] `params` are
   *   the values of `$name` in the text
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

  /** A time that no other point of this isolate has: the clock stands still while a Worker computes. */
  #now() {
    const within = BigInt(Math.floor(Math.random() * 1_000_000));
    const now = BigInt(Date.now()) * 1_000_000n + within;
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n;
    return this.#lastNs;
  }

  #put(lines) {
    // One by one: spread over the arguments of a call they would be bounded by the stack.
    for (const line of lines) this.#waiting.push(line);
    this.#characters += charactersOf(lines);
  }

  #isFull() {
    return this.#waiting.length >= this.#options.batchPoints || this.#characters >= batchCharactersMax;
  }

  /** Takes the lines of one request, at most `max`. */
  #batch(max) {
    let [count, characters] = [0, 0];
    const linesMax = Math.min(max, this.#options.batchPoints, this.#waiting.length);
    for (; count < linesMax && (count === 0 || characters < batchCharactersMax); count += 1) {
      characters += this.#waiting[count].length + 1;
    }
    this.#characters -= characters;
    return this.#waiting.splice(0, count);
  }

  /** As [flush], for whoever does not wait for it. */
  async #flushed() {
    try {
      await this.flush();
    } catch (error) {
      this.#options.onError(error);
    }
  }

  /** Writes lines: null, or why it failed. */
  async #send(lines) {
    const search = new URLSearchParams({ db: this.#options.database, precision: 'nanosecond' });
    const { error } = await this.#asked(`/api/v3/write_lp?${search}`, lines.join('\n'), writeMs);
    return error;
  }

  /** A request, again as long as that may help: `{ text, error }`, of which the error is null or the last one. */
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
      return { text: '', retryAfter: null, error: new TidemarkError(`Tidemark did not answer: ${cause.message}`, { cause }) };
    }
  }
}
