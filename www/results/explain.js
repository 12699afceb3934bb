// Displays the result of EXPLAIN ANALYZE next to the query's result: the data that was read, the
// data that was skipped, and the shards.

import { el, entry } from '../dom.js';

const measures = [
  ['blocks_read', 'blocks read'],
  ['blocks_pruned', 'blocks pruned'],
  ['bytes_decoded', 'bytes decoded'],
  ['rows_read', 'rows read'],
  ['cached_values', 'values from memory'],
  ['storage_rows_read', 'storage rows billed'],
  ['series', 'series'],
];

/** Returns the sum of each measure over all shards, and the number of shards. */
function totals(plan) {
  const sum = (name) =>
    [...plan.matchAll(new RegExp(`[─ ]${name}: (\\d+)`, 'g'))].reduce(
      (all, [, number]) => all + Number(number),
      0,
    );
  const shards = new Set([...plan.matchAll(/shard_id: (\S+)/g)].map(([, id]) => id));
  const time = /total_time: (\S+)/.exec(plan)?.[1];
  return {
    shards: shards.size,
    time,
    ...Object.fromEntries(measures.map(([name]) => [name, sum(name)])),
  };
}

export function showPlans(host, plans) {
  if (plans.length === 0) {
    host.replaceChildren(el('p', { class: 'empty' }, 'Only a SELECT without INTO has a plan.'));
    return;
  }
  host.replaceChildren(...plans.flatMap(planOf));
}

function planOf(plan) {
  const found = totals(plan);
  // A SQL plan contains numbers for each scan, so it is displayed as text.
  if (found.shards === 0) return [el('pre', { tabIndex: 0 }, plan.trim())];
  const figure = (value, label) => entry(label, value.toLocaleString('en'));
  return [
    el(
      'dl',
      { class: 'figures' },
      figure(found.shards, 'shards queried'),
      ...measures.map(([name, label]) => figure(found[name], label)),
      found.time ? figure(found.time, 'total time') : null,
    ),
    el('pre', { tabIndex: 0 }, plan.trim()),
  ];
}
