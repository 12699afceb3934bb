// Compares many series after a few rounds of writes with the same series after many rounds. All
// points of a round are within one hour.

import { bodies, round } from './lines.mjs';
import { counters, create, load, rested } from './sides.mjs';
import { all, atMost, ratioAtMost, row } from './table.mjs';
import { failureOf, serverRows, timed } from './timings.mjs';

const db = 'series';

/** The number of rows of a round: more than a shard buffers, so that each round causes a flush. */
const rowsPerRound = 500_000;

const aims = {
  cold: all(atMost(100), ratioAtMost(1.5)),
  warm: all(atMost(10), ratioAtMost(1.5)),
};

const queries = [
  ['tag equality', "SELECT v FROM m WHERE id = 's1234'"],
  ['GROUP BY a tag of ten values', 'SELECT count(v) FROM m GROUP BY site'],
  ['SHOW SERIES LIMIT 10', 'SHOW SERIES FROM m LIMIT 10'],
  ['SHOW SERIES CARDINALITY', 'SHOW SERIES CARDINALITY'],
  ['SHOW SERIES EXACT CARDINALITY', 'SHOW SERIES EXACT CARDINALITY'],
];

/** Whether the query returns an estimate, for which InfluxDB has a different format. */
const isEstimate = (q) => q.endsWith('CARDINALITY');

export const name = 'series';

/** The labels of Tidemark's servers. */
export const servers = () => [['small'], ['large']];

export const sizes = {
  small: { series: 20_000, fewer: 2, rounds: 6, cold: 3, warm: 9, settle: 8 },
  full: { series: 200_000, fewer: 3, rounds: 30, cold: 5, warm: 15, settle: 20 },
};

/** Writes the rounds. Only the servers of the large size get every round. */
async function fill([few, ...many], { series, fewer, rounds }) {
  for (const side of [few, ...many]) await create(side, db);
  const points = Math.ceil(rowsPerRound / series);
  let seconds = 0;
  for (let number = 0; number < rounds; number++) {
    const sides = number < fewer ? [few, ...many] : many;
    seconds += await load(sides, db, bodies(round({ series, points, number })));
  }
  return { seconds, points: points * series * rounds };
}

export async function run(sides, plan, say) {
  const { seconds, points } = await fill(sides, plan);
  await rested(sides, plan.settle * 1000);
  const { parts, flushes, compactions } = await counters(sides[1], db);
  say(`${points} points of ${plan.series} series in ${plan.rounds} rounds in ${seconds.toFixed(0)} s: ` +
    `${parts} parts, ${flushes} flushes, ${compactions} compactions`);
  const rows = [];
  for (const [what, q] of queries) {
    const found = await timed(sides, db, q, plan);
    for (const state of ['cold', 'warm']) {
      const [small, large, peer] = found[state];
      const failure = failureOf(found[state], isEstimate(q) ? '' : found.difference);
      const title = `${plan.series} series, ${plan.fewer} and ${plan.rounds} rounds: ${what}, ${state}`;
      const ms = { small: small.ms, large: large.ms, peer: peer?.ms };
      rows.push(row({ what: title, aim: aims[state], ...ms, failure }));
    }
    say(rows.slice(-2).map((cells) => cells.join(' | ')).join('\n  '));
  }
  return [...rows, ...serverRows(`${plan.series} series`, points, sides)];
}
