// Converts the rows of responses to line protocol.

import { seriesOf } from './answers.mjs';
import { escape } from './data.mjs';

const headOf = (series) => {
  const tags = [...(series.get('tags') ?? [])].filter(([, tag]) => tag !== '').map(([key, tag]) => `,${escape(key)}=${escape(tag)}`);
  return `${escape(series.get('name'))}${tags.join('')}`;
};

/**
 * Returns a cell as a field value. A number becomes a float, unless its field has the type
 * `integer`.
 */
function valueOf(cell, type) {
  if (typeof cell === 'string') return `"${cell.replace(/["\\]/g, '\\$&')}"`;
  if (typeof cell === 'boolean') return String(cell);
  return type === 'integer' ? `${cell.text}i` : cell.text;
}

/** Converts the rows of a response to lines. `keys` contains the types of the fields. */
export function linesOf(keys, rows) {
  const types = new Map(
    seriesOf(keys).flatMap((series) => series.get('values').map(([field, type]) => [`${series.get('name')}\n${field}`, type])),
  );
  return seriesOf(rows).flatMap((series) => {
    const columns = series.get('columns');
    return series.get('values').flatMap((row) => {
      const cells = columns.map((column, at) => [column, row[at]]).slice(1).filter(([, cell]) => cell !== null);
      if (cells.length === 0) return [];
      const fields = cells.map(([column, cell]) => `${escape(column)}=${valueOf(cell, types.get(`${series.get('name')}\n${column}`))}`);
      return [`${headOf(series)} ${fields.join(',')} ${row[0].text}`];
    });
  });
}

/** Converts series to lines with one field. Every number becomes a float. */
export function linesOfSeries(all, field) {
  return all.flatMap((series) => {
    const rows = series.get('values').filter(([, cell]) => cell !== null);
    return rows.map(([time, cell]) => `${headOf(series)} ${field}=${valueOf(cell)} ${time.text}`);
  });
}
