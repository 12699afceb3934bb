// Holds a reply and answers for it, so that the page is never busy with many rows.

import { parseExact } from '../api/exact.js';
import { csvOf } from './csv.js';
import { chartOf } from './lines.js';
import { seriesOfRows, tableOfRows } from './rows.js';
import { summaryOf } from './summary.js';
import { cellText, orderBy, tablesOf } from './tables.js';

/** How much of a reply the raw view is given. */
const rawLettersMax = 200_000;

const held = { text: '', reply: null, tables: null, orders: new Map() };

const work = {
  /** Takes the bytes of a reply. Throws if they are no JSON. */
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

  /** What a chart needs of a reply, whose times are milliseconds unless SQL's; the reply is not kept. */
  chart(bytes) {
    const parsed = parseExact(new TextDecoder().decode(bytes));
    const reply = Array.isArray(parsed) ? seriesOfRows(parsed) : parsed;
    const { errors } = tablesOf({ error: reply.error, results: reply.results?.map(errorAlone) });
    return { errors, bytes: bytes.byteLength, ...chartOf(reply) };
  },

  /** `count` rows as texts from `from` on, sorted if `sort` is `{ column, isDescending }`. */
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

const errorAlone = ({ error }) => ({ error });

function orderOf(table, sort) {
  if (!sort) return null;
  const key = `${table} ${sort.column} ${sort.isDescending}`;
  if (!held.orders.has(key)) {
    held.orders.set(key, orderBy(held.tables[table], sort.column, sort.isDescending));
  }
  return held.orders.get(key);
}

/** The reply with a line for each row, digit by digit as it came. */
function pretty() {
  let depth = 0;
  // Strings stand for themselves; brackets deeper than a row stay on its line.
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
