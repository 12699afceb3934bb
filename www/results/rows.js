// Converts a SQL response, a list of row objects, to the table and the lines of an InfluxQL
// response. A row object omits columns whose value is NULL.

import { isNumber } from '../api/exact.js';

/** A timestamp without a zone is in UTC. */
const timeText = /^(-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?$/;

/** Returns all columns of the rows. Two columns of a row keep their order. */
function columnsOf(rows) {
  const columns = [];
  const known = new Set();
  for (const row of rows) {
    let before = null;
    for (const name of Object.keys(row)) {
      if (!known.has(name)) {
        known.add(name);
        columns.splice(before === null ? 0 : columns.indexOf(before) + 1, 0, name);
      }
      before = name;
    }
  }
  return columns;
}

/** Returns the kind of a value. A chart ignores values of the kind `other`. */
function kindOfValue(value) {
  if (isNumber(value)) return 'number';
  if (typeof value !== 'string') return 'other';
  return timeText.test(value) ? 'time' : 'text';
}

/** Ignores null values. */
function kindOf(rows, name) {
  let kind = null;
  for (const row of rows) {
    const value = row[name];
    if (value === undefined || value === null) continue;
    const one = kindOfValue(value);
    if (kind !== null && kind !== one) return 'text';
    kind = one;
  }
  return kind ?? 'other';
}

/** Lists and structs are displayed as JSON. */
const cellOf = (value) => (value !== null && typeof value === 'object' ? JSON.stringify(value) : (value ?? null));

/**
 * Returns the rows as tables, in the format of `tablesOf` in `tables.js`. Without rows, the list of
 * tables is empty.
 */
export function tableOfRows(reply) {
  if (reply.length === 0) return { tables: [], errors: [] };
  const columns = columnsOf(reply);
  const kinds = columns.map((name) => kindOf(reply, name)).map((kind) => (kind === 'other' ? 'text' : kind));
  const rows = reply.map((row) => columns.map((name) => cellOf(row[name])));
  return { tables: [{ title: '1', columns, kinds, rows }], errors: [] };
}

/** Returns milliseconds since 1970, rounded down. */
function msOf(text) {
  const [, seconds, fraction = '', zone = 'Z'] = timeText.exec(text);
  return Date.parse(`${seconds}${fraction.slice(0, 4)}${zone}`);
}

/**
 * Returns the rows as series, in the format of a response to `/query` with `epoch=ms`. The times
 * come from the column `time`, or from the first column that contains timestamps. Each combination
 * of text values becomes a series.
 */
export function seriesOfRows(rows) {
  const kinds = new Map(columnsOf(rows).map((name) => [name, kindOf(rows, name)]));
  const of = (wanted) => [...kinds].filter(([, kind]) => kind === wanted).map(([name]) => name);
  const times = of('time');
  const time = times.includes('time') ? 'time' : times[0];
  // Without timestamps, a chart only displays the number of rows.
  if (time === undefined) return { results: [{ series: [{ columns: [], values: rows }] }] };
  const [texts, numbers] = [of('text'), of('number')];
  const series = new Map();
  for (const row of rows) {
    if (row[time] === undefined) continue;
    const key = JSON.stringify(texts.map((name) => row[name]));
    if (!series.has(key)) {
      const tags = Object.fromEntries(texts.map((name) => [name, row[name] ?? '']));
      series.set(key, { tags, columns: ['time', ...numbers], values: [] });
    }
    series.get(key).values.push([msOf(row[time]), ...numbers.map((name) => row[name] ?? null)]);
  }
  const all = [...series.values()];
  for (const { values } of all) values.sort(([a], [b]) => a - b);
  return { results: [{ series: all }] };
}
