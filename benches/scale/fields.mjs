// Measures an aggregate that needs many pages, while the measurement gets a new field every second.

import { setTimeout as delay } from 'node:timers/promises';

import { median } from '../ingest.mjs';
import { bodies, month, startS } from './lines.mjs';
import { create, load, rested } from './sides.mjs';
import { ratioAtMost, row } from './table.mjs';

const db = 'fields';
const everyMs = 1_000;
const days = 30;

export const name = 'fields';

/**
 * The sizes. A page contains at most a megabyte, so that the aggregation states of these sizes need
 * many pages.
 */
export const sizes = {
  small: { points: 300_000, series: 300, windows: 1000, seconds: 10, settle: 8 },
  full: { points: 2_000_000, series: 1000, windows: 700, seconds: 30, settle: 20 },
};

function aggregate({ windows }) {
  const every = Math.ceil((days * 86_400) / windows);
  const range = `time >= ${startS}s AND time < ${startS + days * 86_400}s`;
  return `SELECT mean(v), max(v) FROM m WHERE ${range} GROUP BY host, time(${every}s)`;
}

async function ask(side, q, seconds) {
  const found = { times: [], failures: [] };
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    const { ms, error } = await side.query(db, q);
    if (error) found.failures.push(error);
    else found.times.push(ms);
  }
  return found;
}

async function grow(side, isOver) {
  const connection = side.line();
  let added = 0;
  while (!isOver()) {
    await connection.write(db, `m,host=h0,site=t0 f${added}=1 ${startS * 1000}`);
    added += 1;
    await delay(everyMs);
  }
  connection.close();
  return added;
}

async function measure(side, plan) {
  const q = aggregate(plan);
  await side.query(db, q);
  const quiet = await ask(side, q, plan.seconds);
  let over = false;
  const growing = grow(side, () => over);
  const beside = await ask(side, q, plan.seconds);
  over = true;
  return { quiet, beside, added: await growing };
}

export async function run(sides, plan, say) {
  for (const side of sides) await create(side, db);
  await load(sides, db, bodies(month({ points: plan.points, series: plan.series, days })));
  await rested(sides, plan.settle * 1000);
  const found = [];
  for (const side of sides) {
    found.push(await measure(side, plan));
    const { quiet, beside, added } = found.at(-1);
    say(`${side.server.name}: ${quiet.times.length} quiet, ${beside.times.length} beside ${added} ` +
      `new fields, ${beside.failures.length} failed`);
  }
  const of = (one) => (one?.times.length > 0 ? median(one.times) : NaN);
  const [ours, theirs] = found;
  const failures = [...ours.quiet.failures, ...ours.beside.failures];
  return [
    row({
      what: 'an aggregate of many pages, quiet and with a new field each second',
      aim: ratioAtMost(1.5),
      small: of(ours.quiet),
      large: of(ours.beside),
      peer: of(theirs?.beside),
      failure: failures.length > 0 ? `${failures.length} times: ${failures[0]}` : '',
    }),
  ];
}
