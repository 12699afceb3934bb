// Writes and queries of every kind at a steady rate, and the memory of the server meanwhile.

import { setTimeout as delay } from 'node:timers/promises';

import { median } from '../ingest.mjs';
import { bodies, month, startS } from './lines.mjs';
import { create, influxdbSide, load, residentMb, rested, stopSides, tidemarkSide } from './sides.mjs';
import { row } from './table.mjs';

const db = 'mixed';
const days = 30;
const tickMs = 1_000;
const pointsPerBody = 5_000;
const moreMbMax = 10;
/** Bodies of a month that goes on: the longest run writes a third of them. */
const liveBodies = 10_000;

/**
 * The first sixth of the time is the server's to grow: ten minutes of an hour. The second and the last one are
 * compared by their medians, since what requests hold for a moment goes up and down by tens of megabytes.
 */
const parts = 6;

export const name = 'mixed';

export const sizes = {
  small: { minutes: 2, points: 200_000, series: 1000, settle: 5 },
  full: { minutes: 60, points: 1_000_000, series: 1000, settle: 20 },
};

/** One of each kind in its turn; all of them within ten seconds. They ask about the last day by the times of the rows. */
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

/** One second's load of one side; answers with how many of its questions failed. */
async function second(side, tick, body) {
  const answers = await Promise.all([
    side.writing.write(db, body),
    ...questions(tick).map((q, i) => side.asking[i].query(db, q)),
  ]);
  return answers.slice(1).filter(({ error }) => error).length;
}

/** Bodies that go on where the loaded month ended. */
function* live({ series }) {
  const points = pointsPerBody * liveBodies;
  const shiftMs = days * 86_400 * 1000;
  for (const body of bodies(month({ points, series, days, seed: 3 }), pointsPerBody)) {
    yield body.replace(/\d+$/gm, (time) => String(Number(time) + shiftMs));
  }
}

export async function run(plan, { hasPeer, say }) {
  const sides = [await tidemarkSide()];
  try {
    if (hasPeer) sides.push(await influxdbSide());
    for (const side of sides) await create(side, db);
    await load(sides, db, bodies(month({ points: plan.points, series: plan.series, days })));
    await rested(sides, plan.settle * 1000);
    const found = await steady(sides, plan, say);
    const [ours, theirs] = found.memory;
    const grown = (memory) => memory && memory.end - memory.warm;
    const what = `${plan.minutes} minutes of mixed load: RSS in MB`;
    const held = grown(ours) <= moreMbMax;
    const cells = row({ what: `${what} in the second and in the last sixth`, small: ours.warm, large: ours.end, peer: theirs?.end });
    cells[1] = `+${moreMbMax} MB`;
    cells[6] = found.failures > 0 ? `failed: ${found.failures} queries` : held ? 'yes' : 'no';
    return [
      row({ what: `${what} at the start and the most`, small: ours.start, large: ours.most, peer: theirs?.most }),
      cells,
    ];
  } finally {
    await stopSides(sides);
  }
}

/** The load of all its minutes, second by second, both sides at once. */
async function steady(sides, { minutes, series }, say) {
  const working = sides.map((side) => ({
    ...side, server: side.server, writing: side.line(), asking: [side.line(), side.line(), side.line()],
  }));
  const now = () => working.map(({ server }) => residentMb(server.pid));
  const seen = working.map(() => []);
  const ticks = Math.round(minutes * 60);
  const source = live({ series });
  let failures = 0;
  for (let tick = 0; tick < ticks; tick++) {
    const from = performance.now();
    const body = source.next().value;
    const failed = await Promise.all(working.map((side) => second(side, tick, body)));
    failures += failed[0];
    for (const [i, mb] of now().entries()) seen[i].push(mb);
    if (tick % 60 === 0) say(`minute ${tick / 60}: ${seen.map((mbs) => mbs.at(-1).toFixed(0)).join(' / ')} MB`);
    await delay(Math.max(0, tickMs - (performance.now() - from)));
  }
  for (const { writing, asking } of working) [writing, ...asking].forEach((line) => line.close());
  const part = (mbs, number) => median(mbs.slice(Math.floor((number * ticks) / parts), Math.ceil(((number + 1) * ticks) / parts)));
  const memory = seen.map((mbs) => ({ start: mbs[0], warm: part(mbs, 1), end: part(mbs, parts - 1), most: Math.max(...mbs) }));
  return { memory, failures };
}
