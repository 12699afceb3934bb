// The tables of `cargo bench --bench queries`, for RESULTS.md.

import { circumstances, record } from './results.mjs';

/** Names of the tables by how their head begins. */
const titles = [
  ['one hour after', 'History behind a range, natively'],
  ['one shard', 'One shard at each step of ten, natively'],
  ['type', 'Queries, natively and without HTTP'],
];

/** Records what the benchmark printed. */
export function recordNative(text) {
  const cells = (line) => line.trim().split(/ {2,}/);
  let table = null;
  const tables = [];
  for (const line of text.split('\n').filter((line) => line.trim())) {
    const found = titles.find(([head]) => line.startsWith(`${head} `));
    if (found) tables.push((table = { title: found[1], head: cells(line), rows: [] }));
    else if (table && cells(line).length >= table.head.length) table.rows.push(cells(line));
  }
  const notes = [...circumstances(), '`cargo bench --bench queries`: CPU time of one thread'];
  for (const one of tables) record({ ...one, notes });
}
