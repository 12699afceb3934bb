// A table as CSV (RFC 4180) that a spreadsheet takes as values only.

import { cellText } from './tables.js';

/** What a spreadsheet would take as a formula. */
const formula = /^[=+\-@\t\r]/;

/** A number may begin with a sign. */
const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function cell(value) {
  let text = cellText(value);
  if (formula.test(text) && !number.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

const line = (values) => `${values.map(cell).join(',')}\r\n`;

/** The rows of a table in the order given. */
export function csvOf({ columns, rows }, order) {
  const parts = [line(columns)];
  for (const index of order ?? rows.keys()) parts.push(line(rows[index]));
  return parts.join('');
}
