// Records the tables of `cargo bench --bench queries` in RESULTS.md.

import { circumstances, record } from './results.mjs';

/** The titles of the tables, by the start of their head. */
const titles = [
  ['one hour after', 'History behind a range, natively'],
  ['one shard', 'One shard at each step of ten, natively'],
  ['type', 'Queries, natively and without HTTP'],
];

export function recordNative(text) {
  const cells = (line) => line.trim().split(/ {2,}/);
  let table = null;
  const tables = [];
  for (const line of text.split('\n').filter((line) => line.trim())) {
    const found = titles.find(([head]) => line.startsWith(`${head} `));
    if (found) tables.push((table = { title: found[1], head: cells(line), rows: [] }));
    else if (table && cells(line).length >= table.head.length) table.rows.push(cells(line));
  }
  const notes = [...circumstances(), '`cargo bench --bench queries`: the CPU time of one thread'];
  for (const one of tables) record({ ...one, notes });
}
