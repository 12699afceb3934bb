// Loads a file of `influx_inspect export` or `influx -import`, plain or gzip, over HTTP:
//
//   TIDEMARK_TOKEN=… node scripts/import.mjs --url http://127.0.0.1:8787 --path export.txt.gz
//
// Uses nothing but Node itself. Batches go one after the other, so that of equal points the last
// one stays; what was acknowledged is kept in a file beside the input, from which a repeat of the
// command goes on.

import { createReadStream, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createGunzip, gzipSync } from 'node:zlib';

const usage = `usage: TIDEMARK_TOKEN=… node scripts/import.mjs --url URL --path FILE
  --precision   of the file's timestamps: ns (default), u, ms, s, m, h
  --database    where lines go that stand before any CONTEXT-DATABASE
  --batch-lines lines of a request, 5000 by default
The file may be gzip. Repeat the command to go on after an interruption.`;

/** A request is sent when it has this many bytes, however few lines they are. */
const batchBytesMax = 1_000_000;
/** A request that fails for reasons of the moment is repeated this often. */
const triesMax = 10;
const progressMs = 1_000;

/** What stops the import; the message says it all. */
class Stop extends Error {}

/** The lines of a file, plain or gzip, and how many of its bytes were read for them. */
async function* lines(path, count) {
  const head = createReadStream(path, { start: 0, end: 1 });
  const magic = Buffer.concat(await head.toArray());
  const file = createReadStream(path);
  file.on('data', (piece) => (count.bytes += piece.length));
  const packed = magic[0] === 0x1f && magic[1] === 0x8b;
  const text = packed ? file.pipe(createGunzip()) : file;
  file.on('error', (error) => text.destroy(error));
  text.setEncoding('utf8');
  let rest = '';
  for await (const piece of text) {
    const parts = (rest + piece).split('\n');
    rest = parts.pop();
    yield* parts;
  }
  if (rest !== '') yield rest;
}

/** Whether a string is open at the end of `line`, which began inside of one or not. */
function endsInString(line, inString) {
  let at = 0;
  if (!inString) {
    // The series key ends at the first space that no backslash escapes.
    while (at < line.length && (line[at] !== ' ' || line[at - 1] === '\\')) at += 1;
  }
  let open = inString;
  for (; at < line.length; at += 1) {
    if (open && line[at] === '\\') at += 1;
    else if (line[at] === '"' && (open || line[at - 1] === '=')) open = !open;
  }
  return open;
}

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
    if (tries === triesMax) throw new Stop(`gave up after ${triesMax} tries: ${reason}`);
    await sleep(waitS * 1_000);
  }
}

/** One import of one file. */
class Import {
  constructor(options, token) {
    this.options = options;
    this.token = token;
    this.size = statSync(options.path).size;
    this.stateFile = `${options.path}.progress`;
    this.context = { database: options.database, policy: '' };
    this.count = { bytes: 0 };
    this.lines = 0;
    this.points = 0;
    this.rejected = 0;
    this.batch = [];
    this.batchBytes = 0;
    this.began = this.shown = Date.now();
  }

  /** How many lines an earlier run had acknowledged, 0 for another file or server. */
  resume() {
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

  save() {
    const { lines, points, rejected, size } = this;
    const state = { url: this.options.url, size, lines, points, rejected };
    writeFileSync(this.stateFile, `${JSON.stringify(state)}\n`);
  }

  show(end = '') {
    if (end === '' && Date.now() - this.shown < progressMs) return;
    this.shown = Date.now();
    const seconds = Math.max(this.shown - this.began, 1) / 1_000;
    const rate = Math.round((this.points - this.pointsBefore) / seconds);
    const percent = this.size === 0 ? 100 : Math.floor((100 * this.count.bytes) / this.size);
    console.error(`${percent} % read, ${this.points} points sent, ${rate} a second${end}`);
  }

  async statement(q) {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const body = String(new URLSearchParams({ q }));
    const { status, text } = await send(`${this.options.url}/query`, this.token, body, headers);
    if (status !== 200) throw new Stop(`${q}: ${status} ${text.trim()}`);
    const error = JSON.parse(text).results.find((result) => result.error)?.error;
    // As the vendor's client: what exists already with other settings is only said.
    if (error) console.error(`${q}: ${error}`);
  }

  async flush() {
    if (this.batch.length > 0) {
      const { database, policy } = this.context;
      if (!database) throw new Stop('no CONTEXT-DATABASE before the first point: use --database');
      const search = { db: database, rp: policy, precision: this.options.precision };
      const url = `${this.options.url}/write?${new URLSearchParams(search)}`;
      const body = gzipSync(this.batch.join('\n'));
      const { status, text } = await send(url, this.token, body, { 'Content-Encoding': 'gzip' });
      // Good lines of a request are kept when others are bad.
      if (status === 400 || status === 422) {
        this.rejected += 1;
        console.error(`before line ${this.lines + 1} of the file: ${text.trim()}`);
      } else if (status !== 204) {
        throw new Stop(`the write was refused: ${status} ${text.trim()}`);
      }
      this.points += this.batchPoints;
    }
    this.batch = [];
    this.batchBytes = this.batchPoints = 0;
    this.save();
    this.show();
  }

  async run() {
    const skip = this.resume();
    this.pointsBefore = this.points;
    this.batchPoints = 0;
    let ddl = false;
    let inString = false;
    for await (const line of lines(this.options.path, this.count)) {
      const full = this.batch.length >= this.options.batchLines || this.batchBytes >= batchBytesMax;
      if (full && !inString) await this.flush();
      const skipped = this.lines < skip;
      // Inside a string a carriage return is data.
      const bare = line.replace(/\r$/, '');
      if (!inString && (bare === '' || bare.startsWith('#'))) {
        if (line.startsWith('# DDL')) ddl = true;
        else if (line.startsWith('# DML')) ddl = false;
        const context = /^# CONTEXT-(DATABASE|RETENTION-POLICY): *(.*?) *$/.exec(bare);
        if (context) {
          // What was gathered so far belongs elsewhere.
          if (!skipped) await this.flush();
          this.context[context[1] === 'DATABASE' ? 'database' : 'policy'] = context[2];
        }
      } else if (ddl) {
        if (!skipped) await this.statement(bare);
      } else {
        const begins = !inString;
        inString = endsInString(line, inString);
        if (!skipped) {
          this.batch.push(line);
          this.batchBytes += line.length + 1;
          if (begins) this.batchPoints += 1;
        }
      }
      this.lines += 1;
    }
    await this.flush();
    rmSync(this.stateFile, { force: true });
    this.show(', done');
    return this.rejected;
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      path: { type: 'string' },
      precision: { type: 'string', default: 'ns' },
      database: { type: 'string', default: '' },
      'batch-lines': { type: 'string', default: '5000' },
    },
  });
  const token = process.env.TIDEMARK_TOKEN;
  const batchLines = Number(values['batch-lines']);
  if (!values.url || !values.path || !token || !(batchLines >= 1)) throw new Stop(usage);
  const options = { ...values, batchLines, url: values.url.replace(/\/+$/, '') };
  const rejected = await new Import(options, token).run();
  if (rejected > 0) throw new Stop(`${rejected} requests had lines that were rejected, see above`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Stop || error.code ? error.message : error);
  process.exitCode = 1;
}
