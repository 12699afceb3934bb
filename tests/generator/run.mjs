// Sends the same random queries to a real InfluxDB 1.x and to Tidemark, which runs as a native
// program.
//
//   node tests/generator/run.mjs [--seed N]… [--queries N] [--shards N] [--show N]
//     [--explained WORDS] [--mutants N] [--answer PROGRAM]
//
// Prints statistics about the queries, and every difference that no rule explains.

import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { targetFolder } from '../../scripts/project.mjs';
import { startInfluxd } from '../record/influxd.mjs';
import { parting, sameAnswer } from './answers.mjs';
import { explanation } from './compare.mjs';
import { randomData } from './data.mjs';
import { mutants } from './mutants.mjs';
import { ODD, oddLines, POLICY } from './odd.mjs';
import { Queries } from './queries.mjs';
import { Random } from './random.mjs';
import { Shares } from './shares.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const AHEAD = 32;
/**
 * The first attempt has a short timeout, because some small statements never finish. The second
 * attempt and the proofs, which run without other load, have the longer timeout.
 */
const ANSWER_MS_MAX = 10_000;
const PATIENCE_MS_MAX = 60_000;
const TIMED_OUT = [0, 'no answer in time'];

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', multiple: true, default: ['1', '2', '3'] },
    queries: { type: 'string', default: '20000' },
    shards: { type: 'string', default: '3' },
    show: { type: 'string', default: '20' },
    answer: { type: 'string' },
    explained: { type: 'string' },
    mutants: { type: 'string', default: '0' },
  },
});

/** Tidemark's process reads one request per line and writes one response per line. */
class Native {
  constructor(shards) {
    if (!options.answer) {
      execFileSync('cargo', ['build', '--quiet', '--example', 'answer'], { cwd: ROOT, stdio: 'inherit' });
    }
    this.child = spawn(options.answer ?? `${targetFolder}/debug/examples/answer`, [shards], { stdio: ['pipe', 'pipe', 'inherit'] });
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

async function askInfluxd(url, path, params, body = '', wait = ANSWER_MS_MAX) {
  try {
    const reply = await fetch(`${url}${path}?${new URLSearchParams(params)}`, {
      method: 'POST',
      body,
      signal: AbortSignal.timeout(wait),
    });
    return [reply.status, await reply.text()];
  } catch (error) {
    if (error.name === 'TimeoutError') return TIMED_OUT;
    // Some statements exhaust the memory of the real server.
    if (error.cause?.code === 'ECONNREFUSED') throw new Error('the real server has ended', { cause: error });
    return [0, `${error.message}: ${error.cause?.message}`];
  }
}

const shares = new Shares();
const tally = { same: 0, explained: new Map(), differences: 0, mutants: 0, excused: 0 };

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

function environment(influxd, native, data) {
  const query = (text, db = 'db') => ['/query', { db, q: text, epoch: 'ns' }];
  const first = (text) => Promise.all([askInfluxd(influxd.url, ...query(text)), own(text)]);
  const real = (...asked) => askInfluxd(influxd.url, ...query(...asked), '', PATIENCE_MS_MAX);
  const own = (...asked) => native.ask(...query(...asked));
  const both = (text) => Promise.all([real(text), own(text)]);
  const write = async (db, lines) => {
    const [status, body] = await askInfluxd(influxd.url, '/write', { db }, lines.join('\n'));
    if (status !== 204) throw new Error(`write: ${status} ${body}`);
  };
  return { first, real, own, both, write, data, known: new Map() };
}

async function play(seed, count) {
  const random = new Random(seed);
  const data = randomData(random);
  const oddOf = oddLines(random);
  const queries = new Queries(random, data);
  const [influxd, native] = [await startInfluxd(), new Native(options.shards)];
  try {
    const env = environment(influxd, native, data);
    for (const name of ['db', 'side']) await env.both(`CREATE DATABASE ${name} WITH DURATION INF`);
    for (const lines of [...data.measurements.map((m) => m.lines), data.days]) {
      await env.write('db', lines);
      const [status, why] = await native.ask('/write', { db: 'db' }, lines.join('\n'));
      if (status !== 204) throw new Error(`own write: ${status} ${why}`);
    }
    for (const text of [`CREATE DATABASE ${ODD} WITH DURATION INF`, `CREATE RETENTION POLICY ${POLICY} ON ${ODD} DURATION INF REPLICATION 1`]) await env.both(text);
    for (const [rp, lines] of Object.entries(oddOf)) {
      const asked = ['/write', { db: ODD, rp }, lines.join('\n')];
      const replies = await Promise.all([askInfluxd(influxd.url, ...asked), native.ask(...asked)]);
      for (const [status, why] of replies) if (status !== 204) throw new Error(`write: ${status} ${why}`);
    }
    for (let at = 0; at < count; at += AHEAD) {
      const batch = Array.from({ length: Math.min(AHEAD, count - at) }, () => queries.next());
      const answers = batch.map(({ text }) => env.first(text));
      for (const [place, query] of batch.entries()) await judge(seed, query, ...(await answers[place]), env);
    }
  } finally {
    native.stop();
    await influxd.stop();
  }
}

async function judge(seed, query, theirs, ours, env) {
  if (theirs === TIMED_OUT) theirs = await env.real(query.text);
  shares.add(query.text, theirs);
  if (sameAnswer(query, theirs, ours)) {
    tally.same += 1;
    return;
  }
  const rule = await explanation(query, theirs, ours, env);
  if (rule) {
    tally.explained.set(rule, (tally.explained.get(rule) ?? 0) + 1);
    if (options.explained !== undefined && rule.includes(options.explained)) show({ seed, query, theirs, ours });
    await mutate(seed, query, theirs, ours, env);
  } else {
    tally.differences += 1;
    if (tally.differences <= Number(options.show)) show({ seed, query, theirs, ours });
  }
}

async function mutate(seed, query, theirs, ours, env) {
  // For long responses, the mutants take minutes.
  if (options.mutants === '0') return;
  const wrong = mutants(query, theirs, ours);
  for (let left = Math.min(Number(options.mutants), wrong.length); left > 0; left -= 1) {
    const { what, answer } = wrong[(tally.mutants + left) % wrong.length];
    tally.mutants += 1;
    const rule = await explanation(query, theirs, answer, env);
    if (!rule) continue;
    tally.excused += 1;
    console.log(`EXCUSED, though there is ${what}: ${rule}`);
    show({ seed, query, theirs, ours: answer });
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
  if (tally.mutants > 0) console.log(`${tally.mutants} wrong answers, ${tally.excused} of them excused`);
  console.log(`${tally.same} alike and ${tally.differences} unexplained differences`);
  const isWrong = tally.differences > 0 || tally.excused > 0 || shares.short().length > 0;
  process.exitCode = isWrong ? 1 : 0;
}
