// One import: a file of `influx_inspect export` or `influx -import`, or rows of SQL, plain or gzip, over HTTP. Batches
// go one after the other, so that of equal points the last one stays; what was acknowledged is kept in
// a file beside the input, from which a repeat of the command goes on.

import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { Sentence } from './command.mjs';
import { compare, quoted } from './compare.mjs';
import { dumpItems } from './dump.mjs';
import { rowItems } from './rows.mjs';
import { Tally } from './tally.mjs';

/** A request is sent when it has this many bytes, however few lines they are. */
const batchBytesMax = 1_000_000;
/** A request that fails for reasons of the moment is repeated this often. */
const triesMax = 10;
const progressMs = 1_000;
/** So much of a rejected line is printed. */
const shownLineMax = 200;

/** POST with repeats; the response's status and text. */
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

/** The databases and policies that lines go to: what is not there is created, without expiry. */
class Places {
  #known = new Set();

  constructor(url, token) {
    this.url = url;
    this.token = token;
  }

  /** One statement: `{ status, text, error, rows }`. */
  async ask(q) {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const body = String(new URLSearchParams({ q }));
    const { status, text } = await send(`${this.url}/query`, this.token, body, headers);
    const results = status === 200 ? JSON.parse(text).results : [];
    const error = results.find((result) => result.error)?.error;
    const rows = results[0]?.series?.[0]?.values ?? [];
    return { status, text: text.trim(), error, rows };
  }

  /** Creates a place, or stops and says who may. */
  async #create(what, statement) {
    const { status, text, error } = await this.ask(statement);
    if (status === 200 && !error) {
      console.error(`${what} was not there: created, it keeps its points without expiry`);
      return;
    }
    if (status !== 403) throw new Sentence(`${statement}: ${error ?? `${status} ${text}`}`);
    throw new Sentence(
      `${what} is not there, and this token may not create it: run \`${statement}\` with the ` +
        'admin token, then repeat this command',
    );
  }

  /** Sees to it that `database` and `policy` (empty: the default one) are there. */
  async ensure({ database, policy }) {
    const key = JSON.stringify([database, policy]);
    if (this.#known.has(key)) return;
    const listed = await this.ask('SHOW DATABASES');
    if (listed.status !== 200) throw new Sentence(`SHOW DATABASES: ${listed.status} ${listed.text}`);
    if (!listed.rows.some(([name]) => name === database)) {
      await this.#create(`database ${quoted(database)}`, `CREATE DATABASE ${quoted(database)}`);
    }
    // A token that may only write does not see the policies; its writes say what is wrong.
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
      `retention policy ${on} keeps points for ${duration}: older lines will be rejected, unless ` +
        `\`ALTER RETENTION POLICY ${on} DURATION INF\` is run before`,
    );
  }
}

/** One import of one file, `-` for standard input, which cannot be gone on with. */
export class Import {
  /**
   * `measurement` and `tags` are of a file of rows; without a measurement it is one of lines.
   *
   * @param {{ url: string, path: string, database: string, policy: string, precision: string, batchLines: number,
   *   measurement?: string, tags: string[] }} options
   */
  constructor(options, token) {
    // Rows have times of their own form, of which the lines have nanoseconds.
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

  /** How many lines an earlier run had acknowledged, 0 for another file or server. */
  resume() {
    if (!this.isFile) return 0;
    try {
      const state = JSON.parse(readFileSync(this.stateFile, 'utf8'));
      if (state.size !== this.size || state.url !== this.options.url) return 0;
      this.points = state.points;
      this.rejected = state.rejected;
      console.error(`going on after line ${state.lines}, ${state.points} points`);
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
    // As the vendor's client: what exists already with other settings is only said.
    if (error) console.error(`${q}: ${error}`);
  }

  /** Sends what was gathered, and remembers that the file's first `lines` lines are done. */
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
    // Good lines of a request are kept when others are bad.
    const rejected = status === 400 || status === 422 ? this.sayRejected(text) : 0;
    if (status !== 204 && rejected === 0) {
      throw new Sentence(`the write was refused: ${status} ${text.trim()}`);
    }
    this.rejected += rejected;
    this.points += this.batchPoints - rejected;
  }

  /** Prints what a reply says of single lines, by their numbers in the file; how many they were. */
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

  /** What the file says, in its order. */
  items() {
    const { path, measurement, tags } = this.options;
    return measurement ? rowItems(path, this.count, { measurement, tags }) : dumpItems(path, this.count);
  }

  /** Loads all of it, and compares; resolves to how many lines were rejected. */
  async run() {
    const skip = this.resume();
    this.pointsBefore = this.points;
    for await (const item of this.items()) {
      const { number, statement, context, begins, text } = item;
      const full = this.batch.length >= this.options.batchLines || this.batchBytes >= batchBytesMax;
      // What was gathered so far belongs elsewhere, or is enough.
      if (number > skip && (context || (full && begins))) await this.flush(number - 1);
      if (context) Object.assign(this.context, context);
      // What an earlier run wrote is compared too.
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
