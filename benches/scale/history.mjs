// Compares a month of data with its last days. The data consists of full-precision floats of a
// thousand series in one shard.

import { bodies, dayS, month } from './lines.mjs';
import { days, last, questions } from './month.mjs';
import { counters, create, load, rested } from './sides.mjs';
import { all, atMost, ratioAtMost, row } from './table.mjs';
import { failureOf, serverRows, timed } from './timings.mjs';

const db = 'history';
const unchanged = 1.2;
const lastPointMs = 20;

/** The query that is measured first. Later queries can use cached results. */
const firstQuery = { what: 'first last(*) of all series', q: 'SELECT last(*) FROM m GROUP BY *', cold: ratioAtMost(1.5) };

const lastPoint = all(ratioAtMost(unchanged), atMost(lastPointMs));

/** The queries, each with a target for cold servers and a target for warm servers. */
const queries = [
  ['last hour of one host', questions['last hour of one host']],
  ['last day by host', questions['last day by host']],
  ['last point of all series', questions['last point of all series'], lastPoint],
  ['last(v) by host', 'SELECT last(v) FROM m GROUP BY host', lastPoint],
  ['tag values', questions['tag values']],
].map(([what, q, warm]) => ({ what, q, cold: ratioAtMost(unchanged), warm: warm ?? ratioAtMost(unchanged) }));

export const name = 'history';

/** The labels of Tidemark's servers. */
export const servers = () => [['small'], ['large']];

export const sizes = {
  small: { smaller: 100_000, larger: 1_000_000, series: 1000, cold: 3, warm: 9, settle: 8 },
  full: { smaller: 1_000_000, larger: 30_000_000, series: 1000, cold: 5, warm: 15, settle: 20 },
};

async function loadBoth([small, ...large], plan) {
  for (const side of [small, ...large]) await create(side, db);
  let left = plan.larger;
  const seconds = { large: 0 };
  for (const body of bodies(month({ points: plan.larger, series: plan.series, days }))) {
    const isLate = left <= plan.smaller;
    seconds.large += await load(isLate ? [small, ...large] : large, db, [body]);
    left -= body.split('\n').length;
  }
  return seconds.large;
}

const label = ({ what, state }) => `history: ${what}, ${state}`;

/** @param {{ what: string, cold?: any, warm?: any }} query */
function rowsOf({ what, cold, warm }, found) {
  return [['cold', cold], ['warm', warm]].map(([state, aim]) => {
    const [small, large, peer] = found[state];
    const failure = failureOf(found[state], found.difference);
    return row({ what: label({ what, state }), aim, small: small.ms, large: large.ms, peer: peer?.ms, failure });
  });
}

/**
 * Measures queries that must read all points, so that the duration grows linearly with the number
 * of points.
 */
async function linear(sides, plan, say) {
  const times = plan.larger / plan.smaller;
  const aim = ratioAtMost(times * unchanged, `linear: ≤ ${Math.round(times * unchanged)} ×`);
  const turns = { cold: 0, warm: Math.min(plan.warm, 5) };
  const counted = await timed(sides, db, questions['count(*) of the month'], turns);
  const rows = rowsOf({ what: 'count(*) of the month', warm: aim }, counted).slice(1);
  say(rows[0].join(' | '));
  const day = await timed(sides, db, `SELECT * FROM m WHERE ${last(dayS)}`, { cold: 0, warm: 3 });
  rows.push(...rowsOf({ what: 'SELECT * of a day', warm: ratioAtMost(unchanged) }, day).slice(1));
  const [small, large, peer] = day.warm.map(({ bytes, ms }) => bytes / 1e3 / ms);
  const rate = { small, large, peer, failure: failureOf(day.warm) };
  const size = (day.warm[1].bytes / 1e6).toFixed(1);
  rows.push(row({ what: `history: SELECT * of a day, MB/s of ${size} MB`, ...rate }));
  return rows;
}

export async function run(sides, plan, say) {
  const seconds = await loadBoth(sides, plan);
  await rested(sides, plan.settle * 1000);
  const { shards, parts, flushes, compactions } = await counters(sides[1], db);
  say(`${plan.larger} points in ${seconds.toFixed(0)} s: ${shards} shard, ${parts} parts, ` +
    `${flushes} flushes, ${compactions} compactions`);
  const first = await timed(sides, db, firstQuery.q, { cold: 1, warm: 1 });
  const rows = rowsOf(firstQuery, first).slice(0, 1);
  say(rows[0].join(' | '));
  for (const query of queries) {
    rows.push(...rowsOf(query, await timed(sides, db, query.q, plan)));
    say(rows.slice(-2).map((cells) => cells.join(' | ')).join('\n  '));
  }
  rows.push(...(await linear(sides, plan, say)));
  return [...rows, ...serverRows('history', plan.larger, sides)];
}
