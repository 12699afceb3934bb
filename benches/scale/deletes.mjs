// Measures deletes of a part of the series, one after another, and queries before, during and after
// the deletes.

import { median } from '../ingest.mjs';
import { bodies, month } from './lines.mjs';
import { counters, create, load, rested, sent } from './sides.mjs';
import { ratioAtMost, row } from './table.mjs';

const db = 'deletes';
const unchanged = 1.2;

/** The first query reads a series that no delete affects. The second query reads all series. */
const queries = [
  ['one series', "SELECT mean(v) FROM m WHERE host = 'h7'"],
  ['mean by ten values', 'SELECT mean(v) FROM m GROUP BY site'],
];

export const name = 'deletes';

export const sizes = {
  small: { points: 100_000, series: 1000, deletes: 50, times: 9, settle: 8 },
  full: { points: 1_000_000, series: 10_000, deletes: 200, times: 15, settle: 20 },
};

/** Runs the queries repeatedly. Returns the median duration of each query. */
async function ask(side, { times, isOver = () => false, found = queries.map(() => []) }) {
  const connection = side.line();
  const failures = [];
  for (let turn = 0; turn < times && !isOver(); turn++) {
    for (const [i, [, q]] of queries.entries()) {
      const { ms, error } = await connection.query(db, q);
      if (error) failures.push(error);
      else found[i].push(ms);
    }
  }
  connection.close();
  return { medians: found.map((all) => (all.length > 0 ? median(all) : NaN)), failures };
}

async function measure(side, plan) {
  const isOurs = !side.isPeer;
  await ask(side, { times: 2 });
  const before = await ask(side, { times: plan.times });
  const rowsBefore = isOurs ? (await counters(side, db)).rowsWritten : 0;
  let over = false;
  const beside = ask(side, { times: Infinity, isOver: () => over });
  const from = performance.now();
  try {
    for (let n = 0; n < plan.deletes; n++) {
      await sent(side, `DELETE FROM m WHERE host = 'h${plan.series - 1 - n}'`, db);
    }
  } finally {
    over = true;
  }
  const perDelete = (performance.now() - from) / plan.deletes;
  const during = await beside;
  await rested([side], plan.settle * 1000);
  const rowsWritten = isOurs ? (await counters(side, db)).rowsWritten - rowsBefore : NaN;
  const after = await ask(side, { times: plan.times });
  const failure = [before, during, after].flatMap(({ failures }) => failures)[0];
  return { before, during, after, perDelete, rowsWritten, failure };
}

export async function run(sides, plan, say) {
  for (const side of sides) await create(side, db);
  await load(sides, db, bodies(month({ points: plan.points, series: plan.series, days: 30 })));
  await rested(sides, plan.settle * 1000);
  const found = [];
  for (const side of sides) {
    found.push(await measure(side, plan));
    const { before, during, after, perDelete } = found.at(-1);
    say(`${side.server.name}: ${perDelete.toFixed(1)} ms a delete; before, beside, after: ` +
      [before, during, after].map(({ medians }) => medians.map((ms) => ms.toFixed(1))).join(' / '));
  }
  return rowsOf(found, plan);
}

function rowsOf([ours, theirs], { deletes }) {
  const aim = ratioAtMost(unchanged, `unchanged: ≤ ${unchanged} ×`);
  const rows = queries.flatMap(([what], i) =>
    ['during', 'after'].map((state) =>
      row({
        what: `${deletes} DELETEs: ${what}, before and ${state}`,
        aim,
        small: ours.before.medians[i],
        large: ours[state].medians[i],
        peer: theirs?.[state].medians[i],
        failure: ours.failure,
      }),
    ),
  );
  rows.push(row({ what: `${deletes} DELETEs: ms each`, large: ours.perDelete, peer: theirs?.perDelete }));
  rows.push(row({ what: `${deletes} DELETEs: rows written`, large: ours.rowsWritten }));
  return rows;
}
