// An answer to InfluxQL, as people read it.

import { parse } from 'lossless-json';

import { tableLines } from './table.mjs';

/** An integer that no number can hold stays whole. */
const number = (text) =>
  /^-?\d+$/.test(text) && !Number.isSafeInteger(Number(text)) ? BigInt(text) : Number(text);

/** The results of a reply. */
export const resultsOf = (text) => /** @type {any} */ (parse(text, undefined, number)).results ?? [];

function* seriesLines({ name, tags = {}, columns, values = [] }) {
  const given = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
  const title = [name, ...given].filter(Boolean).join(' ');
  if (title) yield title;
  yield* tableLines(columns, values);
  yield '';
}

/** A table for each series, messages, and the text of each statement that failed. */
export function answerLines(results) {
  const [lines, errors] = [[], []];
  for (const { series = [], messages = [], error } of results) {
    for (const one of series) lines.push(...seriesLines(one));
    for (const { level, text } of messages) lines.push(`${level}: ${text}`);
    if (error) errors.push(error);
  }
  return { lines, errors };
}
