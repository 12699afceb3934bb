// Asks a real InfluxDB 1.x and Tidemark, natively and in process, the same random queries.
//   node tests/generator/run.mjs [--seed N]… [--queries N] [--shards N] [--show N]
//     [--explained WORDS] [--answer PROGRAM]
// Prints what the queries are made of, and every difference that no rule explains.

import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startInfluxd } from '../record/influxd.mjs';
import { explanation, parting, sameAnswer } from './compare.mjs';
import { randomData } from './data.mjs';
import { prove } from './proofs.mjs';
import { Queries } from './queries.mjs';
import { Random } from './random.mjs';
import { Shares } from './shares.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const AHEAD = 32;
/** How long the real server may take; some small statements keep it busy for ever. */
const ANSWER_MS_MAX = 10_000;

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', multiple: true, default: ['1', '2', '3'] },
    queries: { type: 'string', default: '20000' },
    shards: { type: 'string', default: '3' },
    show: { type: 'string', default: '20' },
    answer: { type: 'string' },
    explained: { type: 'string' },
  },
});

/** Tidemark in a process of its own, one line in and one line out. */
class Native {
  constructor(shards) {
    if (!options.answer) {
      execFileSync('cargo', ['build', '--quiet', '--example', 'answer'], { cwd: ROOT, stdio: 'inherit' });
    }
    const target = process.env.CARGO_TARGET_DIR ?? `${ROOT}/target`;
    this.child = spawn(options.answer ?? `${target}/debug/examples/answer`, [shards], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.waiting = [];
    const lines = createInterface({ input: this.child.stdout });
    lines.on('line', (line) => this.waiting.shift()?.resolve(JSON.parse(line)));
    lines.on('close', () => this.waiting.forEach(({ reject }) => reject(new Error('it crashed'))));
  }

  stop() {
    this.waiting.length = 0;
    this.child.kill();
  }

  ask(path, params, body = '') {
    const query = new URLSearchParams(params).toString();
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.child.stdin.write(`${JSON.stringify([path, query, body])}\n`);
    });
  }
}

async function askInfluxd(url, path, params, body = '') {
  try {
    const reply = await fetch(`${url}${path}?${new URLSearchParams(params)}`, {
      method: 'POST',
      body,
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    return [reply.status, await reply.text()];
  } catch (error) {
    // Some statements take it all the memory that there is.
    if (error.cause?.code === 'ECONNREFUSED') throw new Error('the real server has ended', { cause: error });
    return [0, `${error.message}: ${error.cause?.message}`];
  }
}

const shares = new Shares();
const tally = { same: 0, explained: new Map(), differences: 0 };
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    report();
    process.exit(1);
  });
}
const seeds = options.seed.map(Number);
for (const [index, seed] of seeds.entries()) {
  const count = Math.floor(Number(options.queries) / seeds.length) + (index === 0 ? Number(options.queries) % seeds.length : 0);
  await play(seed, count);
}
report();

async function play(seed, count) {
  const random = new Random(seed);
  const data = randomData(random);
  const queries = new Queries(random, data);
  const [influxd, native] = [await startInfluxd(), new Native(options.shards)];
  try {
    await prove(influxd.url);
    const both = (...request) => Promise.all([askInfluxd(influxd.url, ...request), native.ask(...request)]);
    await both('/query', { q: 'CREATE DATABASE db WITH DURATION INF' });
    await both('/query', { q: 'CREATE DATABASE side WITH DURATION INF' });
    for (const lines of [...data.measurements.map((m) => m.lines), data.days]) {
      const [[theirs, why], [ours, whyNot]] = await both('/write', { db: 'db' }, lines.join('\n'));
      if (theirs !== 204 || ours !== 204) throw new Error(`write: ${theirs} ${why}, ${ours} ${whyNot}`);
    }
    for (let at = 0; at < count; at += AHEAD) {
      const batch = Array.from({ length: Math.min(AHEAD, count - at) }, () => queries.next());
      const answers = batch.map(({ text }) => both('/query', { db: 'db', q: text, epoch: 'ns' }));
      const again = (text) => both('/query', { db: 'db', q: text, epoch: 'ns' });
      again.real = (text) => askInfluxd(influxd.url, '/query', { db: 'db', q: text, epoch: 'ns' });
      for (const [place, query] of batch.entries()) await judge(seed, query, ...(await answers[place]), again);
    }
  } finally {
    native.stop();
    await influxd.stop();
  }
}

async function judge(seed, query, theirs, ours, ask) {
  shares.add(query.text, theirs);
  if (sameAnswer(query, theirs, ours)) {
    tally.same += 1;
    return;
  }
  const rule = await explanation(query, theirs, ours, ask);
  if (rule) {
    tally.explained.set(rule, (tally.explained.get(rule) ?? 0) + 1);
    if (options.explained && rule.includes(options.explained)) show({ seed, query, theirs, ours });
  } else {
    tally.differences += 1;
    if (tally.differences <= Number(options.show)) show({ seed, query, theirs, ours });
  }
}

function show({ seed, query, theirs, ours }) {
  const [left, right] = parting(query, theirs[1], ours[1]);
  console.log(`seed ${seed}: ${query.text}`);
  console.log(`  1.x: ${theirs[0]} ${left}\n  own: ${ours[0]} ${right}`);
}

function report() {
  console.log(shares.text());
  for (const [rule, count] of tally.explained) console.log(`explained, ${rule}: ${count}`);
  console.log(`${tally.same} alike, ${tally.differences} unexplained differences`);
  process.exitCode = tally.differences > 0 || shares.short().length > 0 ? 1 : 0;
}
