// Imports a file over HTTP: an export of `influx_inspect`, an input of `influx -import`, or SQL
// rows, plain or gzip. Batches are sent sequentially, so that the last of equal points wins. A file
// next to the input stores the progress, so that a repeated command continues there.

import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { Sentence } from './command.mjs';
import { compare, quoted } from './compare.mjs';
import { dumpItems } from './dump.mjs';
import { rowItems } from './rows.mjs';
import { Tally } from './tally.mjs';

/** The maximum size of a request in bytes, independent of its number of lines. */
const batchBytesMax = 1_000_000;
/** The maximum number of attempts for a request with temporary failures. */
const triesMax = 10;
const progressMs = 1_000;
/** The maximum number of characters of a rejected line to print. */
const shownLineMax = 200;

/** Sends a POST request with retries and returns the status and text of the response. */
async function send(url, token, body, headers) {
  for (let tries = 1; ; tries += 1) {
    let reason;
    let waitS = Math.min(2 ** (tries - 1), 30);
    try {
      const init = { method: 'POST', body, headers: { Authorization: `Token ${token}`, ...headers } };
      const response = await fetch(url, init);
      const text = await response.text();
      if (response.status !== 429 && response.status < 500) return { status: response.status, text };
      reason = `${response.status} ${text.trim()}`;
      waitS = Number(response.headers.get('Retry-After')) || waitS;
    } catch (error) {
      reason = error.cause?.message ?? error.message;
    }
    if (tries === triesMax) throw new Sentence(`gave up after ${triesMax} tries: ${reason}`);
    await sleep(waitS * 1_000);
  }
}

/** The databases and policies that lines belong to. Missing ones are created without expiry. */
class Places {
  #known = new Set();

  constructor(url, token) {
    this.url = url;
    this.token = token;
  }

  /** Runs one statement and returns `{ status, text, error, rows }`. */
  async ask(q) {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const body = String(new URLSearchParams({ q }));
    const { status, text } = await send(`${this.url}/query`, this.token, body, headers);
    const results = status === 200 ? JSON.parse(text).results : [];
    const error = results.find((result) => result.error)?.error;
    const rows = results[0]?.series?.[0]?.values ?? [];
    return { status, text: text.trim(), error, rows };
  }

  /**
   * Creates a database or policy. Throws a message about the missing permission if the server
   * responds with 403.
   */
  async #create(what, statement) {
    const { status, text, error } = await this.ask(statement);
    if (status === 200 && !error) {
      console.error(`created ${what}, which keeps points permanently`);
      return;
    }
    if (status !== 403) throw new Sentence(`${statement}: ${error ?? `${status} ${text}`}`);
    throw new Sentence(
      `${what} does not exist, and this token may not create it: run \`${statement}\` with the ` +
        'admin token, then repeat this command',
    );
  }

  /** Ensures that `database` and `policy` exist. An empty policy means the default policy. */
  async ensure({ database, policy }) {
    const key = JSON.stringify([database, policy]);
    if (this.#known.has(key)) return;
    const listed = await this.ask('SHOW DATABASES');
    if (listed.status !== 200) throw new Sentence(`SHOW DATABASES: ${listed.status} ${listed.text}`);
    if (!listed.rows.some(([name]) => name === database)) {
      await this.#create(`database ${quoted(database)}`, `CREATE DATABASE ${quoted(database)}`);
    }
    // A token without read permission cannot list the policies. In that case the write responses
    // report problems.
    const shown = await this.ask(`SHOW RETENTION POLICIES ON ${quoted(database)}`);
    if (shown.status === 200 && !shown.error) await this.#policy(database, policy, shown.rows);
    this.#known.add(key);
  }

  async #policy(database, policy, rows) {
    const found = rows.find(([name, , , , isDefault]) => (policy ? name === policy : isDefault));
    if (!found) {
      if (!policy) return;
      const on = `${quoted(policy)} ON ${quoted(database)}`;
      const statement = `CREATE RETENTION POLICY ${on} DURATION INF REPLICATION 1`;
      await this.#create(`retention policy ${on}`, statement);
      return;
    }
    const [name, duration] = found;
    if (duration === '0s') return;
    const on = `${quoted(name)} ON ${quoted(database)}`;
    console.error(
      `retention policy ${on} keeps points for ${duration}: the server rejects older lines, unless you first run ` +
        `\`ALTER RETENTION POLICY ${on} DURATION INF\` is run before`,
    );
  }
}

/** The import of a file. `-` means standard input, which cannot be resumed. */
export class Import {
  /**
   * `measurement` and `tags` apply to a file of rows. Without a measurement, the file contains line
   * protocol.
   *
   * @param {{ url: string, path: string, database: string, policy: string, precision: string, batchLines: number,
   *   measurement?: string, tags: string[] }} options
   */
  constructor(options, token) {
    // The times of rows are converted to lines with nanoseconds.
    this.options = options.measurement ? { ...options, precision: 'ns' } : options;
    this.token = token;
    this.places = new Places(options.url, token);
    this.isFile = options.path !== '-';
    this.size = this.isFile ? statSync(options.path).size : 0;
    this.stateFile = `${options.path}.progress`;
    this.context = { database: options.database, policy: options.policy };
    this.tally = new Tally(this.options.precision);
    this.count = { bytes: 0, lines: 0 };
    this.points = this.rejected = 0;
    this.batch = [];
    this.batchBytes = this.batchPoints = 0;
    this.began = this.shown = Date.now();
  }

  /**
   * Returns the number of lines that an earlier run completed, or 0 for a different file or server.
   */
  resume() {
    if (!this.isFile) return 0;
    try {
      const state = JSON.parse(readFileSync(this.stateFile, 'utf8'));
      if (state.size !== this.size || state.url !== this.options.url) return 0;
      this.points = state.points;
      this.rejected = state.rejected;
      console.error(`continuing after line ${state.lines}, ${state.points} points`);
      return state.lines;
    } catch (error) {
      if (error.code === 'ENOENT' || error instanceof SyntaxError) return 0;
      throw error;
    }
  }

  show(end = '') {
    if (end === '' && Date.now() - this.shown < progressMs) return;
    this.shown = Date.now();
    const seconds = Math.max(this.shown - this.began, 1) / 1_000;
    const rate = Math.round((this.points - this.pointsBefore) / seconds);
    const percent = this.size === 0 ? 100 : Math.floor((100 * this.count.bytes) / this.size);
    const part = this.isFile ? `${percent} % read, ` : '';
    const sums = `${this.points} points written, ${this.rejected} lines rejected`;
    console.error(`${part}${this.count.lines} lines, ${sums}, ${rate} points a second${end}`);
  }

  async statement(q) {
    const { status, text, error } = await this.places.ask(q);
    if (status !== 200) throw new Sentence(`${q}: ${status} ${text}`);
    // As in InfluxDB's client, a conflict with an existing database or policy is only reported.
    if (error) console.error(`${q}: ${error}`);
  }

  /** Sends the batch, and records that the first `lines` lines of the file are complete. */
  async flush(lines) {
    if (this.batch.length > 0) await this.send();
    this.batch = [];
    this.batchBytes = this.batchPoints = 0;
    const { points, rejected, size } = this;
    const state = { url: this.options.url, size, lines, points, rejected };
    if (this.isFile) writeFileSync(this.stateFile, `${JSON.stringify(state)}\n`);
    this.show();
  }

  async send() {
    const { database, policy } = this.context;
    if (!database) throw new Sentence('no CONTEXT-DATABASE before the first point: use --database');
    await this.places.ensure(this.context);
    const search = { db: database, rp: policy, precision: this.options.precision };
    const url = `${this.options.url}/write?${new URLSearchParams(search)}`;
    const body = gzipSync(this.batch.map(({ text }) => text).join('\n'));
    const { status, text } = await send(url, this.token, body, { 'Content-Encoding': 'gzip' });
    // The server stores the valid lines of a request with invalid lines.
    const rejected = status === 400 || status === 422 ? this.sayRejected(text) : 0;
    if (status !== 204 && rejected === 0) {
      throw new Sentence(`the server rejected the write: ${status} ${text.trim()}`);
    }
    this.rejected += rejected;
    this.points += this.batchPoints - rejected;
  }

  /**
   * Prints the rejected lines of a response with their numbers in the file. Returns the number of
   * rejected lines.
   */
  sayRejected(text) {
    const message = JSON.parse(text).message ?? '';
    const [, rejected] = /(\d+) lines rejected/.exec(message) ?? [];
    if (rejected === undefined) return 0;
    for (const said of message.split('\n')) {
      const [, place, why] = /line (\d+) \(1-based\): (.*)$/.exec(said) ?? [];
      const line = this.batch[Number(place) - 1];
      if (!line) continue;
      console.error(`line ${line.number} rejected: ${why}\n  ${line.text.slice(0, shownLineMax)}`);
    }
    return Number(rejected);
  }

  /** Returns the items of the file in order. */
  items() {
    const { path, measurement, tags } = this.options;
    return measurement ? rowItems(path, this.count, { measurement, tags }) : dumpItems(path, this.count);
  }

  /**
   * Imports the file and compares the result with the database. Resolves to the number of rejected
   * lines.
   */
  async run() {
    const skip = this.resume();
    this.pointsBefore = this.points;
    for await (const item of this.items()) {
      const { number, statement, context, begins, text } = item;
      const full = this.batch.length >= this.options.batchLines || this.batchBytes >= batchBytesMax;
      // The current batch has a different destination or is full.
      if (number > skip && (context || (full && begins))) await this.flush(number - 1);
      if (context) Object.assign(this.context, context);
      // The comparison includes the lines of earlier runs.
      else if (text !== undefined) this.tally.take(text, begins === true, this.context);
      if (context || number <= skip) continue;
      if (statement !== undefined) await this.statement(statement);
      else this.gather(item);
    }
    await this.flush(this.count.lines);
    if (this.isFile) rmSync(this.stateFile, { force: true });
    this.show(', done');
    await compare(this.tally, this.places, (said) => console.error(said));
    return this.rejected;
  }

  /** @param {import('./dump.mjs').Item} line */
  gather({ number, text, begins }) {
    this.batch.push({ number, text });
    this.batchBytes += text.length + 1;
    if (begins) this.batchPoints += 1;
  }
}
