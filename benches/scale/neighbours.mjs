// Measures the queries and writes of one database while the tenant of another database causes load.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { percentile } from '../ingest.mjs';
import { idlePolicy } from '../hostile.mjs';
import { fillQuota } from './burdens.mjs';
import { bodies, month, startS } from './lines.mjs';
import { create, isNative, load, rested } from './sides.mjs';
import { ratioAtMost, row } from './table.mjs';

export const note =
  'The load comes from another process with the scheduling policy "idle", because it would otherwise delay the measuring client.';

const [heavyDb, lightDb] = ['heavy', 'light'];
const heavy = 'SELECT median(v), stddev(v), count(v) FROM m GROUP BY host';
const pauseMs = 20;
const burdenFile = fileURLToPath(new URL('burden_process.mjs', import.meta.url));
/** The target for the p99 latency during the load, relative to the latency without it. */
const ratioMax = isNative ? 1.3 : 1.5;
const days = 30;

export const name = 'neighbours';

export const sizes = {
  small: { points: 200_000, heavy: 20, stalled: 8, logins: 1_000, beyond: 4, seconds: 8, settle: 8 },
  full: { points: 1_000_000, heavy: 20, stalled: 8, logins: 1_000, beyond: 4, seconds: 60, settle: 20 },
};

async function repeat(isOver, work, found) {
  for (let turn = 0; !isOver(); turn++) {
    found.push(await work(turn));
    await delay(pauseMs);
  }
}

const hundred = (turn) =>
  [...Array(100).keys()].map((h) => `m,host=h${h} v=${turn} ${startS * 1000 + turn}`).join('\n');

async function light(side, seconds) {
  const found = { queries: [], writes: [], failures: [] };
  const until = performance.now() + seconds * 1000;
  const isOver = () => performance.now() > until;
  const [asking, writing] = [side.line(), side.line()];
  const ask = async (turn) => {
    const where = `host = 'h${(turn * 37) % 100}' AND time < ${startS + 86_400}s`;
    const { ms, error } = await asking.query(lightDb, `SELECT mean(v) FROM m WHERE ${where}`);
    if (error) found.failures.push(error);
    return ms;
  };
  const write = async (turn) => {
    const path = `/write?db=${lightDb}&precision=ms`;
    const { ms, status, body } = await writing.ask(path, hundred(turn));
    if (status !== 204) found.failures.push(`write: ${status} ${body()}`);
    return status === 204 ? ms : NaN;
  };
  await Promise.all([repeat(isOver, ask, found.queries), repeat(isOver, write, found.writes)]);
  asking.close();
  writing.close();
  return found;
}

/** Measures while another process loads the server. */
async function during(side, names, plan) {
  const loader = fork(burdenFile, { serialization: 'advanced', ...idlePolicy });
  const { name, url, headers } = side.server;
  const load = { ...plan, db: heavyDb, statement: heavy, pauseMs, lines: hundred(0) };
  loader.send({ server: { name, url, headers }, names, plan: load });
  const ended = once(loader, 'message');
  await delay(500);
  const busy = await light(side, plan.seconds);
  loader.send('end');
  const [burdens] = await ended;
  return { busy, burdens };
}

/** Measures one database without load, during expensive queries, and during all kinds of load. */
async function measure(side, plan) {
  await light(side, 1);
  const quiet = await light(side, plan.seconds);
  const { busy, burdens } = await during(side, ['heavy'], plan);
  const found = { quiet, busy, heavy: burdens.heavy };
  if (side.isPeer) return found;
  await fillQuota(side, heavyDb);
  const all = await during(side, ['heavy', 'uploads', 'logins', 'beyond'], plan);
  return { ...found, worst: all.busy, burdens: all.burdens };
}

export async function run(sides, plan, say) {
  for (const side of sides) for (const db of [heavyDb, lightDb]) await create(side, db);
  const heavyPoints = month({ points: plan.points, series: 100, days });
  await load(sides, heavyDb, bodies(heavyPoints));
  await load(sides, lightDb, bodies(month({ points: 100_000, series: 100, days })));
  await rested(sides, plan.settle * 1000);
  const found = [];
  for (const side of sides) {
    found.push(await measure(side, plan));
    const { answered, failures } = found.at(-1).heavy;
    say(`${side.server.name}: ${answered} heavy queries answered, ${failures.length} refused` +
      (failures.length > 0 ? ` (${failures[0]})` : ''));
    if (found.at(-1).burdens) sayBurdens(found.at(-1).burdens, say);
  }
  return rowsOf(found, plan);
}

function sayBurdens({ heavy, uploads, logins, beyond }, say) {
  const counts = (statuses) =>
    Object.entries(statuses)
      .map(([status, count]) => `${count} × ${status}`)
      .join(', ');
  say(`beside all: ${heavy.answered} heavy queries answered, ${uploads.given_up} uploads given up`);
  say(`bad logins: ${counts(logins.statuses)}; writes beyond the quota: ${counts(beyond.statuses)}`);
}

function rowsOf([ours, theirs], plan) {
  const p99 = (of, what) => of && percentile(of[what], 0.99);
  const queries = `${plan.heavy} heavy queries of database A`;
  const all =
    `${queries}, ${plan.stalled} stalled uploads, ${plan.logins} failed logins a second and writes ` +
    "beyond A's quota";
  const rows = [
    [queries, ours.busy, theirs?.busy],
    [all, ours.worst, undefined],
  ].map(([beside, busy, peer]) =>
    ['queries', 'writes'].map((what) => {
      const failures = busy.failures;
      return row({
        what: `${beside}: p99 latency of database B's ${what}, without and with this load`,
        aim: ratioAtMost(ratioMax),
        small: p99(ours.quiet, what),
        large: p99(busy, what),
        peer: p99(peer, what),
        failure:
          what === 'queries' && failures.length > 0 ? `${failures.length} times: ${failures[0]}` : '',
      });
    }),
  );
  return rows.flat();
}
