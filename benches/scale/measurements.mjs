// Measures queries for names in a database with thousands of measurements. Every flush contains all
// measurements.

import { bodies, manyMeasurements } from './lines.mjs';
import { counters, create, load, rested } from './sides.mjs';
import { atMost, row } from './table.mjs';
import { failureOf, serverRows, timed } from './timings.mjs';

const db = 'measurements';

/** The number of rows that causes a flush: more than a shard buffers. */
const rowsPerFlush = 250_000;

const aims = { cold: atMost(300), warm: atMost(100) };

const queries = [
  'SHOW MEASUREMENTS', 'SHOW TAG KEYS', 'SHOW FIELD KEYS', 'SELECT * FROM /m1.*/ LIMIT 1',
];

export const name = 'measurements';

/** The labels of Tidemark's servers. */
export const servers = () => [['small'], ['large']];

export const sizes = {
  small: { fewer: 100, measurements: 1000, flushes: 4, cold: 3, warm: 9, settle: 8 },
  full: { fewer: 1000, measurements: 10_000, flushes: 20, cold: 5, warm: 15, settle: 20 },
};

/** Writes the data, so that each flush contains all measurements. */
async function fill(sides, measurements, { flushes }) {
  for (const side of sides) await create(side, db);
  const rows = Math.ceil(rowsPerFlush / measurements);
  let seconds = 0;
  for (let flush = 0; flush < flushes; flush++) {
    const from = flush * rows;
    const points = manyMeasurements({ measurements, rows, from, seed: flush + 1 });
    seconds += await load(sides, db, bodies(points));
  }
  return { seconds, points: rows * flushes * measurements };
}

export async function run(sides, plan, say) {
  const [small, ...large] = sides;
  await fill([small], plan.fewer, plan);
  const { seconds, points } = await fill(large, plan.measurements, plan);
  await rested(sides, plan.settle * 1000);
  const { parts, flushes, compactions } = await counters(sides[1], db);
  say(`${points} points of ${plan.measurements} measurements in ${seconds.toFixed(0)} s: ` +
    `${parts} parts, ${flushes} flushes, ${compactions} compactions`);
  const rows = [];
  for (const q of queries) {
    const found = await timed(sides, db, q, plan);
    for (const state of ['cold', 'warm']) {
      const [{ ms: ours }, { ms: theirs }, peer] = found[state];
      const failure = failureOf(found[state], found.difference);
      const what = `${plan.measurements} measurements: ${q.replaceAll('|', '/')}, ${state}`;
      rows.push(row({ what, aim: aims[state], small: ours, large: theirs, peer: peer?.ms, failure }));
    }
    say(rows.slice(-2).map((cells) => cells.join(' | ')).join('\n  '));
  }
  return [...rows, ...serverRows(`${plan.measurements} measurements`, points, sides)];
}
