// Simulates Telegraf's two outputs as far as a server can observe them: the responses after which
// they drop, keep or split a batch, the texts that they search for in error responses, and their
// retry times. A metric stays first in the buffer until it is delivered or dropped.

import { gzipSync } from 'node:zlib';

/** After these statuses, the v2 output considers a batch delivered. */
const delivered = [200, 201, 202, 204, 206, 207, 208];
const overloaded = [429, 502, 503, 504];

/** The maximum Retry-After that the v2 output accepts. */
const retryAfterSecondsMax = 600;
const backoffSecondsMax = 60;

/** An output with a buffer of metrics, each a line of line protocol. */
class Output {
  constructor(settings) {
    Object.assign(this, { batchSize: 1000, ...settings });
    this.buffer = [];
    this.dropped = [];
    this.log = [];
    this.requests = 0;
  }

  /** Tries once to send the oldest batch. */
  async flush() {
    const batch = this.buffer.slice(0, this.batchSize);
    if (batch.length === 0) return;
    const settled = await this.write(batch);
    this.buffer = [...batch.slice(settled), ...this.buffer.slice(batch.length)];
  }

  async post(path, headers, lines) {
    this.requests += 1;
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: {
        ...headers,
        'User-Agent': 'Telegraf/1.38.0',
        'Content-Type': 'text/plain; charset=utf-8',
        'Content-Encoding': 'gzip',
      },
      body: gzipSync(lines.map((line) => `${line}\n`).join('')),
    });
  }

  drop(lines, why) {
    this.dropped.push(...lines);
    this.log.push(why);
  }
}

export class TelegrafV2 extends Output {
  retryAtMs = 0;
  retries = 0;

  /**
   * Sends a batch. Returns the number of metrics at the start of the batch that are then delivered
   * or dropped.
   */
  async write(batch) {
    if (Date.now() < this.retryAtMs) return 0;
    const search = new URLSearchParams({ bucket: this.bucket, org: '' });
    const headers = { Authorization: `Token ${this.token}` };
    let response;
    try {
      response = await this.post(`/api/v2/write?${search}`, headers, batch);
    } catch (error) {
      this.log.push(error.message);
      return 0;
    }
    const { status } = response;
    const text = await response.text();
    if (delivered.includes(status)) {
      this.retries = 0;
      return batch.length;
    }
    const said = this.#described(text);
    if (status === 413) return this.#split(batch, said);
    if (status === 401 || status === 403) {
      this.log.push(`failed to write (${status})${said}`);
      return 0;
    }
    if (overloaded.includes(status)) {
      this.#wait(response.headers.get('Retry-After'));
      this.log.push(`failed to write, will retry (${status})${said}`);
      return 0;
    }
    if (status >= 400 && status < 500) {
      this.drop(batch, `failed to write (will be dropped: ${status})${said}`);
      return batch.length;
    }
    this.log.push(`failed to write (${status})${said}`);
    return 0;
  }

  /** Reads the same members as Telegraf's decoder. Ignores a body that is not JSON. */
  #described(text) {
    try {
      const { code = '', message = '', line } = JSON.parse(text);
      if (line !== undefined && !Number.isInteger(line)) return '';
      return `: ${code}: ${message}`;
    } catch {
      return '';
    }
  }

  async #split(batch, said) {
    this.log.push(`request was too large (413)${said}`);
    if (batch.length === 1) return 0;
    const half = Math.ceil(batch.length / 2);
    const first = await this.write(batch.slice(0, half));
    if (first < half) return first;
    return half + (await this.write(batch.slice(half)));
  }

  #wait(header) {
    this.retries += 1;
    const backoff = Math.min(this.retries ** 2 / 40, backoffSecondsMax);
    let asked = 0;
    if (header) {
      asked = Number.isNaN(Number(header)) ? 10 : Math.min(Number(header), retryAfterSecondsMax);
    }
    this.retryAtMs = Date.now() + Math.max(backoff, asked) * 1000;
  }
}

/** If a 5xx response contains one of these texts, the v1 output drops the batch. */
const forgotten = [
  'retention policy not found',
  'hinted handoff queue not empty',
  'points beyond retention policy',
  'partial write',
  'unable to parse',
];

export class TelegrafV1 extends Output {
  get #headers() {
    return { Authorization: `Basic ${btoa(`telegraf:${this.token}`)}` };
  }

  /**
   * Creates the database. The output does this at its start and when the database is missing, and
   * only logs a failure.
   */
  async createDatabase() {
    const name = this.database.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
    const body = new URLSearchParams({ q: `CREATE DATABASE "${name}"` });
    this.requests += 1;
    const init = { method: 'POST', headers: this.#headers, body };
    const response = await fetch(`${this.url}/query`, init);
    const text = await response.text();
    const error = JSON.parse(text).results?.[0]?.error;
    if (response.status !== 200 || error) {
      this.log.push(`database ${this.database} creation failed: ${response.status}: ${text}`);
    }
  }

  async write(batch) {
    const search = new URLSearchParams({ db: this.database });
    if (this.policy) search.set('rp', this.policy);
    let response;
    try {
      response = await this.post(`/write?${search}`, this.#headers, batch);
    } catch (error) {
      this.log.push(error.message);
      return 0;
    }
    const { status } = response;
    if (status === 204) return batch.length;
    const text = await response.text();
    let said = '';
    if (text.length > 0) {
      try {
        said = JSON.parse(text).error ?? '';
      } catch {
        // The output repeats the batch without a limit, for any status.
        this.log.push(`no JSON: ${status}: ${text}`);
        return 0;
      }
    }
    if (said.includes('database not found')) {
      this.log.push(`${status}: ${said}`);
      if (!this.skipsCreation) await this.createDatabase();
      return 0;
    }
    if (status >= 400 && status < 500) {
      this.drop(batch, `failed to write (will be dropped: ${status}): ${said}`);
      return batch.length;
    }
    if (forgotten.some((words) => said.includes(words))) {
      this.drop(batch, `${status}: ${said}`);
      return batch.length;
    }
    this.log.push(`${status}: ${said}`);
    return 0;
  }
}
