// A short summary of each column.

import { cellText } from './tables.js';

/** The maximum number of distinct values that are counted. */
const distinctMax = 1000;

export function summaryOf({ columns, kinds, rows }) {
  return columns.map((_, index) => {
    if (kinds[index] === 'number') return numbers(rows, index);
    return kinds[index] === 'time' ? times(rows, index) : texts(rows, index);
  });
}

const nulls = (count) => (count > 0 ? [{ label: 'null', value: String(count) }] : []);

function numbers(rows, index) {
  let [count, sum, least, most] = [0, 0, null, null];
  for (const row of rows) {
    const value = row[index];
    if (value === null) continue;
    count += 1;
    sum += Number(value);
    if (least === null || Number(value) < Number(least)) least = value;
    if (most === null || Number(value) > Number(most)) most = value;
  }
  if (count === 0) return nulls(rows.length);
  return [
    { label: 'min', value: cellText(least) },
    { label: 'mean', value: Number((sum / count).toPrecision(5)).toString() },
    { label: 'max', value: cellText(most) },
    ...nulls(rows.length - count),
  ];
}

function times(rows, index) {
  if (rows.length === 0) return [];
  let [first, last] = [cellText(rows[0][index]), cellText(rows[0][index])];
  for (const row of rows) {
    const text = cellText(row[index]);
    if (text < first) first = text;
    if (text > last) last = text;
  }
  return [
    { label: 'from', value: first.slice(0, 19) },
    { label: 'to', value: last.slice(0, 19) },
  ];
}

function texts(rows, index) {
  const seen = new Set();
  let absent = 0;
  for (const row of rows) {
    if (row[index] === null) absent += 1;
    else if (seen.size < distinctMax) seen.add(row[index]);
  }
  const count = seen.size < distinctMax ? String(seen.size) : `${distinctMax} or more`;
  return [{ label: 'distinct', value: count }, ...nulls(absent)];
}
