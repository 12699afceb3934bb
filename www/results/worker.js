// The result worker. It stores a response and processes it outside of the page's thread.

import { parseExact } from '../api/exact.js';
import { csvOf } from './csv.js';
import { chartOf } from './lines.js';
import { seriesOfRows, tableOfRows } from './rows.js';
import { summaryOf } from './summary.js';
import { cellText, errorsOf, orderBy, tablesOf } from './tables.js';

/** The maximum number of characters that the raw view displays. */
const rawLettersMax = 200_000;

const held = { text: '', reply: null, tables: null, orders: new Map() };

const work = {
  /** Throws if the bytes are not JSON. */
  load(bytes) {
    const text = new TextDecoder().decode(bytes);
    Object.assign(held, { text, reply: parseExact(text), tables: null, orders: new Map() });
    const { tables, errors } = Array.isArray(held.reply) ? tableOfRows(held.reply) : tablesOf(held.reply);
    held.tables = tables;
    return {
      errors,
      bytes: bytes.byteLength,
      tables: tables.map(({ title, columns, kinds, rows }) => ({
        title,
        columns,
        kinds,
        rows: rows.length,
      })),
    };
  },

  /** Does not store the response. Timestamps are in milliseconds, except in SQL responses. */
  chart(bytes) {
    const parsed = parseExact(new TextDecoder().decode(bytes));
    const reply = Array.isArray(parsed) ? seriesOfRows(parsed) : parsed;
    return { errors: errorsOf(reply), bytes: bytes.byteLength, ...chartOf(reply) };
  },

  /** With `sort`, which is `{ column, isDescending }`, the rows are sorted. */
  page({ table, from, count, sort }) {
    const { rows } = held.tables[table];
    const order = orderOf(table, sort);
    const indexes = order ? order.slice(from, from + count) : null;
    const chosen = indexes ? indexes.map((index) => rows[index]) : rows.slice(from, from + count);
    return chosen.map((row) => row.map((value) => (value === null ? null : cellText(value))));
  },

  summary: ({ table }) => summaryOf(held.tables[table]),

  csv: ({ table, sort }) => new Blob([csvOf(held.tables[table], orderOf(table, sort))]),

  raw() {
    const isWhole = held.text.length <= rawLettersMax;
    const shown = isWhole ? pretty() : held.text.slice(0, rawLettersMax);
    return { text: shown, letters: held.text.length, isWhole };
  },

  rawFile: () => new Blob([held.text]),
};

function orderOf(table, sort) {
  if (!sort) return null;
  const key = `${table} ${sort.column} ${sort.isDescending}`;
  if (!held.orders.has(key)) {
    held.orders.set(key, orderBy(held.tables[table], sort.column, sort.isDescending));
  }
  return held.orders.get(key);
}

/** Formats the response as indented JSON, with each row on one line and all digits unchanged. */
function pretty() {
  let depth = 0;
  // Does not change strings. A bracket inside a row does not begin a new line.
  return held.text.trim().replace(/"(?:[^"\\]|\\.)*"|[[\]{},:]/g, (part) => {
    if (part === ':') return ': ';
    if (part === ',') return depth > 6 ? ', ' : `,\n${'  '.repeat(depth)}`;
    if (part === '[' || part === '{') {
      depth += 1;
      return depth > 6 ? part : `${part}\n${'  '.repeat(depth)}`;
    }
    if (part === ']' || part === '}') {
      depth -= 1;
      return depth > 5 ? part : `\n${'  '.repeat(depth)}${part}`;
    }
    return part;
  });
}

addEventListener('message', ({ data: { id, name, input } }) => {
  try {
    postMessage({ id, output: work[name](input) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
});
