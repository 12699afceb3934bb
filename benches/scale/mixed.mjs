// Measures the server's memory while writes and all kinds of queries run at a constant rate. This
// scenario has no peer, because InfluxDB cannot sustain the rate: half of the queries already use a
// whole core.

import { setTimeout as delay } from 'node:timers/promises';

import { median } from '../ingest.mjs';
import { bodies, month, startS } from './lines.mjs';
import { create, load, residentMb, rested } from './sides.mjs';
import { row } from './table.mjs';

const db = 'mixed';
const days = 30;
const tickMs = 1_000;
const pointsPerBody = 5_000;
const moreMbMax = 10;
/** The number of generated bodies, three times as many as the longest run writes. */
const liveBodies = 10_000;

/**
 * The run consists of this number of parts. Memory may grow during the first part. The benchmark
 * then compares the median memory of the second part and of the last part. It uses medians, because
 * running requests change single measurements by tens of megabytes.
 */
const parts = 6;

export const name = 'mixed';

export const hasNoPeer = true;

export const sizes = {
  small: { minutes: 2, points: 200_000, series: 1000, settle: 5 },
  full: { minutes: 60, points: 1_000_000, series: 1000, settle: 20 },
};

/**
 * Returns the queries to send in second `tick`. Every ten seconds, each kind of query runs at least
 * once. The queries read the last day of the data.
 */
function questions(tick) {
  const endS = Math.floor(startS + days * 86_400 + (tick * days * 86_400) / liveBodies);
  const range = `time >= ${endS - 86_400}s AND time < ${endS}s`;
  const all = [
    `SELECT v FROM m WHERE host = 'h${(tick * 37) % 1000}' AND ${range}`,
    `SELECT mean(v) FROM m WHERE ${range} GROUP BY time(10m)`,
    `SELECT max(v) FROM m WHERE ${range} GROUP BY site, time(1h)`,
    'SELECT * FROM m GROUP BY * ORDER BY time DESC LIMIT 1',
    'SELECT last(v) FROM m GROUP BY host',
    'SHOW TAG VALUES FROM m WITH KEY = host',
    'SHOW SERIES LIMIT 10',
    'SELECT count(*) FROM m',
    `SELECT median(v) FROM m WHERE ${range} GROUP BY host`,
    `SELECT * FROM m WHERE ${range} LIMIT 20000`,
  ];
  return [0, 1, 2].map((i) => all[(tick * 3 + i) % all.length]);
}

/** Sends the requests of one second. Resolves to the number of failed queries. */
async function second({ writing, asking }, tick, body) {
  const answers = await Promise.all([
    writing.write(db, body),
    ...questions(tick).map((q, i) => asking[i].query(db, q)),
  ]);
  return answers.slice(1).filter(({ error }) => error).length;
}

function* live({ series }) {
  const points = pointsPerBody * liveBodies;
  const shiftMs = days * 86_400 * 1000;
  for (const body of bodies(month({ points, series, days, seed: 3 }), pointsPerBody)) {
    yield body.replace(/\d+$/gm, (time) => String(Number(time) + shiftMs));
  }
}

export async function run([side], plan, say) {
  await create(side, db);
  await load([side], db, bodies(month({ points: plan.points, series: plan.series, days })));
  await rested([side], plan.settle * 1000);
  const { start, warm, end, most, failures } = await steady(side, plan, say);
  const what = `${plan.minutes} minutes of mixed load: memory in MB`;
  const cells = row({ what: `${what} in the second sixth and in the last sixth of the run`, small: warm, large: end });
  cells[1] = `+${moreMbMax} MB`;
  cells[6] = failures > 0 ? `failed: ${failures} queries` : end - warm <= moreMbMax ? 'yes' : 'no';
  return [row({ what: `${what} at the start, and the maximum`, small: start, large: most }), cells];
}

/**
 * Runs the load. Resolves to the memory in MB: at the start, the medians of the second and the last
 * part, and the maximum.
 */
async function steady(side, { minutes, series }, say) {
  const working = { writing: side.line(), asking: [side.line(), side.line(), side.line()] };
  const seen = [];
  const ticks = Math.round(minutes * 60);
  const source = live({ series });
  let failures = 0;
  for (let tick = 0; tick < ticks; tick++) {
    const from = performance.now();
    failures += await second(working, tick, source.next().value);
    seen.push(residentMb(side.server.pid));
    if (tick % 60 === 0) say(`minute ${tick / 60}: ${seen.at(-1).toFixed(0)} MB`);
    await delay(Math.max(0, tickMs - (performance.now() - from)));
  }
  [working.writing, ...working.asking].forEach((line) => line.close());
  const part = (number) => median(seen.slice(Math.floor((number * ticks) / parts), Math.ceil(((number + 1) * ticks) / parts)));
  return { start: seen[0], warm: part(1), end: part(parts - 1), most: Math.max(...seen), failures };
}
