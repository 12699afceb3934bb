// Exports a table as CSV (RFC 4180). No cell can be a formula.

import { cellText } from './tables.js';

/** A spreadsheet would interpret such texts as formulas. */
const formula = /^[=+\-@\t\r]/;

const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function cell(value) {
  let text = cellText(value);
  if (formula.test(text) && !number.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

const line = (values) => `${values.map(cell).join(',')}\r\n`;

/** Returns the table's rows in the given order. */
export function csvOf({ columns, rows }, order) {
  const parts = [line(columns)];
  for (const index of order ?? rows.keys()) parts.push(line(rows[index]));
  return parts.join('');
}
