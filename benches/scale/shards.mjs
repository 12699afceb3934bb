// Compares the same month of points in groups with one shard and in groups with many shards. The
// results of many shards must be merged.

import { bodies, month } from './lines.mjs';
import { days, questions } from './month.mjs';
import { create, load, rested } from './sides.mjs';
import { row } from './table.mjs';
import { failureOf, timed } from './timings.mjs';

const db = 'shards';

export const name = 'shards';

const numbersOf = (plan) => [plan.some, plan.more, plan.most];

/** The labels and settings of Tidemark's servers. */
export const servers = (plan) => [['1 shard'], ...numbersOf(plan).map((shards) => [`${shards} shards`, { DEFAULT_SHARDS: `${shards}` }])];

export const sizes = {
  small: { points: 200_000, series: 1000, some: 2, more: 4, most: 8, cold: 2, warm: 7, settle: 8 },
  full: { points: 3_000_000, series: 1000, some: 4, more: 16, most: 64, cold: 3, warm: 11, settle: 20 },
};

async function beside([one, many, ...peer], shards, plan, say) {
  const rows = [];
  for (const [what, q] of Object.entries(questions)) {
    const found = await timed([one, many, ...peer], db, q, plan);
    for (const state of ['cold', 'warm']) {
      const [small, large, theirs] = found[state];
      const failure = failureOf(found[state], found.difference);
      const label = `${shards} shards: ${what}, ${state}`;
      rows.push(row({ what: label, small: small.ms, large: large.ms, peer: theirs?.ms, failure }));
    }
    say(rows.slice(-2).map((cells) => cells.join(' | ')).join('\n  '));
  }
  return rows;
}

/**
 * Runs the scenario. In the table, the small size is the server with one shard, and the large size
 * the server with `shards` shards.
 */
export async function run(sides, plan, say) {
  const numbers = numbersOf(plan);
  for (const side of sides) await create(side, db);
  await load(sides, db, bodies(month({ points: plan.points, series: plan.series, days })));
  await rested(sides, plan.settle * 1000);
  const peer = sides.slice(1 + numbers.length);
  const rows = [];
  for (const [i, shards] of numbers.entries()) {
    rows.push(...(await beside([sides[0], sides[1 + i], ...peer], shards, plan, say)));
  }
  const rate = (side) => side && plan.points / side.writeSeconds() / 1000;
  for (const [i, shards] of numbers.entries()) {
    const [small, large, theirs] = [sides[0], sides[1 + i], peer[0]].map(rate);
    rows.push(row({ what: `${shards} shards: load, thousand points/s`, small, large, peer: theirs }));
    const [mb, mbs] = [sides[0].mostMb(), sides[1 + i].mostMb()];
    rows.push(row({ what: `${shards} shards: most memory of the server, MB`, small: mb, large: mbs }));
  }
  return rows;
}
