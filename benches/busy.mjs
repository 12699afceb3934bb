// Measures small writes and cheap queries while many expensive queries run, on one `wrangler dev`.

import { Agent, request } from 'node:http';

const points = 1_000_000;
const hosts = 100;
const pointsPerBody = 10_000;
const db = 'busy';
const from = 1_700_000_000;
const heavy = 'SELECT median(a), mean(b), stddev(c) FROM cpu GROUP BY host';
const minute = `time >= ${from}s AND time < ${from + 60}s`;
const cheap = `SELECT mean(b) FROM cpu WHERE host = 'h7' AND ${minute}`;

/** The pause before a retry if the server's query memory is exhausted. */
const patienceMs = 100;

function ask(agent, target, path, body) {
  return new Promise((resolve, reject) => {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const headers = { ...target.headers, ...form };
    const sent = request(target.url + path, { method: 'POST', agent, headers }, (reply) => {
      let text = '';
      reply.on('data', (piece) => (text += piece));
      reply.on('end', () => {
        if (reply.statusCode < 300) resolve(text);
        else if (reply.statusCode === 503) {
          setTimeout(() => resolve(ask(agent, target, path, body)), patienceMs);
        }
        else reject(new Error(`${path} answered ${reply.statusCode}: ${text}`));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function body(first) {
  const lines = [];
  for (let n = first; n < first + pointsPerBody; n++) {
    const [a, b, c] = [(n * 7919) % 1000, Math.round(1e4 * Math.sin(n)) / 100, (n * 31) % 97];
    lines.push(`cpu,host=h${n % hosts} a=${a},b=${b},c=${c} ${from + Math.floor(n / hosts)}`);
  }
  return lines.join('\n');
}

/** Returns the durations in milliseconds. */
async function repeat(isOver, pauseMs, work) {
  const times = [];
  while (!isOver()) {
    const began = performance.now();
    await work();
    times.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return times;
}

function figures(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share) => (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(0);
  return `${times.length} of them, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(0.999999)} ms`;
}

export async function busy(target, queries = 50) {
  const agent = new Agent({ keepAlive: true, maxSockets: 200 });
  const query = (q) => ask(agent, target, `/query?db=${db}`, new URLSearchParams({ q }).toString());
  const path = `/write?db=${db}&precision=s`;
  const line = (number) => `cpu,host=new a=${number},b=1,c=1 ${from + number}`;
  const write = (number) => ask(agent, target, path, line(number));
  await query(`CREATE DATABASE ${db}`);
  for (let first = 0; first < points; first += pointsPerBody) {
    await ask(agent, target, path, body(first));
  }
  const expected = await query(heavy);
  let began = performance.now();
  await query(heavy);
  console.log(`heavy query alone: ${(performance.now() - began).toFixed(0)} ms`);
  let over = false;
  let written = 0;
  const isOver = () => over;
  const writes = [0, 1, 2, 3].map(() => repeat(isOver, 20, () => write(written++)));
  const cheaps = repeat(isOver, 50, () => query(cheap));
  began = performance.now();
  const times = [];
  const answers = await Promise.all(
    Array.from({ length: queries }, async () => {
      const answer = await query(heavy);
      times.push(performance.now() - began);
      return answer;
    }),
  );
  over = true;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${queries} heavy queries: ${seconds} s; ${figures(times)}`);
  console.log(`writes: ${figures((await Promise.all(writes)).flat())}`);
  console.log(`cheap queries: ${figures(await cheaps)}`);
  // Merges run during the queries. A merge changes the order of additions, so the last digits of a
  // sum may differ.
  const rounded = (_, value) => (typeof value === 'number' ? Number(value.toPrecision(9)) : value);
  const whole = (text) =>
    JSON.stringify(JSON.parse(text).results[0].series.filter((s) => s.tags.host !== 'new'), rounded);
  const others = answers.filter((answer) => whole(answer) !== whole(expected)).length;
  if (others > 0) throw new Error(`${others} heavy queries answered otherwise`);
  agent.destroy();
}
