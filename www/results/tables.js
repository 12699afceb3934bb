// Converts a response to /query to tables. Each statement has one table for each set of columns.
// Tags become columns.

import { isNumber } from '../api/exact.js';

/**
 * Converts a response to tables. The kind of a column is `time`, `tag`, `number` or `text`. A cell
 * is the parsed JSON value.
 */
export function tablesOf(reply) {
  const tables = new Map();
  for (const [index, { series = [] }] of (reply.results ?? []).entries()) {
    for (const one of series) addTo(tables, index, one);
  }
  return { tables: [...tables.values()].map(finished), errors: errorsOf(reply) };
}

export const errorsOf = ({ error, results = [] }) =>
  [error, ...results.map((result) => result.error)].filter(Boolean);

function addTo(tables, statement, { name = '', tags = {}, columns, values = [] }) {
  const tagNames = Object.keys(tags);
  const key = JSON.stringify([statement, tagNames, columns]);
  let table = tables.get(key);
  if (!table) {
    table = { statement, tagNames, columns, parts: [] };
    tables.set(key, table);
  }
  table.parts.push({ name, tags: tagNames.map((tag) => tags[tag]), values });
}

function finished({ statement, tagNames, columns, parts }) {
  const names = new Set(parts.map(({ name }) => name));
  const hasNames = names.size > 1;
  const first = columns[0] === 'time' ? 1 : 0;
  const before = [...(hasNames ? ['measurement'] : []), ...tagNames];
  const rows = [];
  for (const { name, tags, values } of parts) {
    const added = [...(hasNames ? [name] : []), ...tags];
    for (const row of values) {
      rows.push(added.length ? [...row.slice(0, first), ...added, ...row.slice(first)] : row);
    }
  }
  const all = [...columns.slice(0, first), ...before, ...columns.slice(first)];
  const tagged = new Set(before);
  const kinds = all.map((column, index) => {
    if (column === 'time' && index === 0) return 'time';
    if (tagged.has(column) && index < first + before.length) return 'tag';
    return kindOf(rows, index);
  });
  return { title: titleOf(statement, names), columns: all, kinds, rows };
}

function titleOf(statement, names) {
  const first = [...names].filter(Boolean).slice(0, 3).join(', ');
  return [statement + 1, first].filter(Boolean).join(' · ');
}

function kindOf(rows, index) {
  const isNull = (row) => row[index] === null;
  const areNumbers = rows.every((row) => isNull(row) || isNumber(row[index]));
  return areNumbers && !rows.every(isNull) ? 'number' : 'text';
}

/** Returns the text of a cell. Null becomes the empty string. */
export const cellText = (value) => (value === null || value === undefined ? '' : String(value));

function compareNumbers(a, b) {
  const difference = Number(a) - Number(b);
  if (difference !== 0 || (typeof a === 'number' && typeof b === 'number')) return difference;
  return BigInt(a) < BigInt(b) ? -1 : Number(BigInt(a) > BigInt(b));
}

/** Without the final Z, times with any number of decimals are ordered as texts. */
const compareTimes = (a, b) => compareTexts(String(a).replace('Z', ''), String(b).replace('Z', ''));

function compareTexts(a, b) {
  const [left, right] = [String(a), String(b)];
  return left < right ? -1 : Number(left > right);
}

const comparisons = {
  number: compareNumbers,
  time: compareTimes,
  tag: compareTexts,
  text: compareTexts,
};

/** Returns the order of the rows, sorted by a column. Rows with null are last. */
export function orderBy({ rows, kinds }, column, isDescending) {
  const compare = comparisons[kinds[column]];
  const sign = isDescending ? -1 : 1;
  return Array.from(rows, (_, index) => index).sort((i, j) => {
    const [a, b] = [rows[i][column], rows[j][column]];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * compare(a, b);
  });
}
