// Converts the rows of responses to line protocol.

import { resultsOf, seriesOf } from './answers.mjs';

/** `keys` contains the types of the fields. */
export function linesOf(keys, rows) {
  const types = new Map(
    seriesOf(keys).flatMap((series) => series.get('values').map(([field, type]) => [`${series.get('name')}\n${field}`, type])),
  );
  const escape = (text) => text.replace(/[ ,=]/g, '\\$&');
  const value = (cell, type) => {
    if (type === 'string') return `"${cell.replace(/["\\]/g, '\\$&')}"`;
    if (type === 'boolean') return String(cell);
    return type === 'integer' ? `${cell.text}i` : cell.text;
  };
  return resultsOf(rows).flatMap((result) => result.get('series') ?? []).flatMap((series) => {
    const name = series.get('name');
    const tags = [...(series.get('tags') ?? [])].filter(([, tag]) => tag !== '').map(([key, tag]) => `,${escape(key)}=${escape(tag)}`);
    const columns = series.get('columns');
    return series.get('values').flatMap((row) => {
      const cells = columns.map((column, at) => [column, row[at]]).slice(1).filter(([, cell]) => cell !== null);
      if (cells.length === 0) return [];
      const fields = cells.map(([column, cell]) => `${escape(column)}=${value(cell, types.get(`${name}\n${column}`))}`);
      return [`${escape(name)}${tags.join('')} ${fields.join(',')} ${row[0].text}`];
    });
  });
}

/** Every number becomes a float. */
export function linesOfSeries(all, field) {
  const escape = (text) => text.replace(/[ ,=]/g, '\\$&');
  const value = (cell) => (typeof cell === 'string' ? `"${cell.replace(/["\\]/g, '\\$&')}"` : (cell.text ?? String(cell)));
  return all.flatMap((series) => {
    const tags = [...(series.get('tags') ?? [])].filter(([, tag]) => tag !== '').map(([key, tag]) => `,${escape(key)}=${escape(tag)}`);
    const rows = series.get('values').filter(([, cell]) => cell !== null);
    return rows.map(([time, cell]) => `${escape(series.get('name'))}${tags.join('')} ${field}=${value(cell)} ${time.text}`);
  });
}
