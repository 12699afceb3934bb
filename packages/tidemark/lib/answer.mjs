// Formats an InfluxQL response as text.

import { parse } from 'lossless-json';

import { tableLines } from './table.mjs';

/** Parses an integer beyond the safe range as bigint. */
const number = (text) =>
  /^-?\d+$/.test(text) && !Number.isSafeInteger(Number(text)) ? BigInt(text) : Number(text);

/** Returns the results of a response. */
export const resultsOf = (text) => /** @type {any} */ (parse(text, undefined, number)).results ?? [];

function* seriesLines({ name, tags = {}, columns, values = [] }) {
  const given = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
  const title = [name, ...given].filter(Boolean).join(' ');
  if (title) yield title;
  yield* tableLines(columns, values);
  yield '';
}

/** Returns the lines of tables and messages, and the errors of failed statements. */
export function answerLines(results) {
  const [lines, errors] = [[], []];
  for (const { series = [], messages = [], error } of results) {
    for (const one of series) lines.push(...seriesLines(one));
    for (const { level, text } of messages) lines.push(`${level}: ${text}`);
    if (error) errors.push(error);
  }
  return { lines, errors };
}
