// Computes the expected result of a statement from the results of simpler statements: the same
// statement without limits, with a single call, or for a single series.

import { JsonNumber } from '../record/json.mjs';
import { groupBy, head, seriesOf } from './answers.mjs';
import { FUNCTIONS } from './functions.mjs';
import { and, callOf, dimensionsOf, fieldsOf, isWindow, split, statement, windowOf } from './statement.mjs';

const LIMITS = { LIMIT: '', OFFSET: '', SLIMIT: '', SOFFSET: '' };
const withValues = (series, values) => new Map([...series, ['values', values]]);

export const hasLimits = (parts) => Object.keys(LIMITS).some((name) => parts[name] !== undefined);
export const hasSeriesLimits = (parts) => ['SLIMIT', 'SOFFSET'].some((name) => parts[name] !== undefined);
export const unlimited = (parts) => ({ ...parts, ...LIMITS });

export const withoutSeriesLimits = (parts) => ({ ...parts, SLIMIT: undefined, SOFFSET: undefined });
export const seriesLimits = ({ SLIMIT, SOFFSET }) => ({ SLIMIT, SOFFSET });

/**
 * Applies the limits of a statement to series. SLIMIT and SOFFSET apply to the series of each
 * measurement.
 */
export function limited(series, parts) {
  const range = (from, many) => [Number(from ?? 0), Number(from ?? 0) + (Number(many ?? 0) || Infinity)];
  const rows = series.map((one) => withValues(one, one.get('values').slice(...range(parts.OFFSET, parts.LIMIT))));
  const measurements = [...groupBy(rows, (one) => one.get('name')).values()];
  const left = measurements.flatMap((all) => all.slice(...range(parts.SOFFSET, parts.SLIMIT)));
  return left.filter((one) => one.get('values').length > 0);
}

/**
 * Splits each column into calls that can run as separate statements. Returns `{ texts, operators }`
 * for each column: `max(v) - min(v)` has two texts and one operator. Returns undefined if a column
 * cannot be split.
 */
export async function columnsOf(parts, trusted) {
  const found = [];
  for (const field of fieldsOf(parts)) {
    const { expression, text } = field;
    if (!/\w\(/.test(expression)) return undefined;
    const call = callOf(expression);
    const arithmetic = arithmeticOf(expression);
    if (call && /^[*/]/.test(call.first)) {
      const wild = await wildOf(parts, field, call, trusted);
      if (!wild) return undefined;
      found.push(...wild);
    } else if (arithmetic) {
      found.push(arithmetic);
    } else {
      found.push({ texts: [text] });
    }
  }
  return found;
}

/** Returns undefined unless the expression is like `call + call * call`. */
function arithmeticOf(expression) {
  const marked = [...OPERATORS.keys()].reduce((text, sign) => split(text, ` ${sign} `).join(` ${sign}\n`), expression);
  const terms = marked.split('\n');
  const texts = terms.map((term, at) => (at < terms.length - 1 ? term.slice(0, -2) : term));
  if (texts.length < 2 || !texts.every((text) => callOf(text))) return undefined;
  return { texts, operators: terms.slice(0, -1).map((term) => term.at(-1)) };
}

export function namesOf(columns) {
  const names = columns.map(({ texts }) => (texts.length === 1 ? / AS (\w+)$/.exec(texts[0])?.[1] : undefined));
  return names.includes(undefined) ? undefined : ['time', ...names];
}

const OPERATORS = new Map([
  ['+', (a, b) => a + b],
  ['-', (a, b) => a - b],
  ['*', (a, b) => a * b],
  ['/', (a, b) => (b === 0 ? 0 : a / b)],
]);

/** Expands the wildcard of `call`: returns the fields whose types the call accepts. */
async function wildOf(parts, { alias }, call, trusted) {
  const types = FUNCTIONS[call.name]?.types ?? [];
  const plain = types.includes('string') ? 'count' : types.includes('boolean') ? call.name : 'sum';
  const all = await trusted(statement({ ...unlimited(parts), SELECT: `${plain}(${call.first})` }));
  if (!all) return undefined;
  const names = [...new Set(seriesOf(all).flatMap((series) => series.get('columns').slice(1)))];
  const fields = names.map((name) => name.slice(plain.length + 1));
  const ask = (field) => `${call.name}(${[field, ...call.rest].join(', ')}) AS ${alias ?? call.name}_${field}`;
  return fields.map((field) => ({ texts: [ask(field)] }));
}

/**
 * Joins the results of single calls by time to the result of the whole statement. Returns undefined
 * if a single result has two rows with the same time, because the join is then ambiguous. Without
 * windows, the result of a single call has its point's time, but the result of several calls has
 * the time `time`.
 */
export function joined(answers, columns, parts, names, time) {
  const all = answers.map(seriesOf);
  const single = time && !isWindowed(parts) && all.flat().every((series) => series.get('values').length === 1);
  const heads = new Map();
  for (const [at, document] of all.entries()) {
    for (const series of document) {
      if (!heads.has(head(series))) heads.set(head(series), { series, rows: new Map() });
      const { rows } = heads.get(head(series));
      for (const [own, value, ...more] of series.get('values')) {
        const key = single ? time : own.text;
        if (!rows.has(key)) rows.set(key, Array(answers.length).fill(undefined));
        if (more.length > 0 || rows.get(key)[at] !== undefined) return undefined;
        rows.get(key)[at] = value;
      }
    }
  }
  return inOrder(heads, parts).map(([, { series, rows }]) => {
    const values = inOrder(rows, parts, BigInt).map(([own, cells]) => [new JsonNumber(own), ...cells]);
    fillMissing(values, parts.fill, columns.flatMap(({ texts }) => texts));
    return new Map([...series, ['columns', names], ['values', values.map((row) => calculated(row, columns))]]);
  });
}

/**
 * Merges all series with the same name and tags. Returns undefined if there are no series to merge,
 * or if two series have a value for the same cell.
 */
export function mergedSeries(series, parts) {
  const heads = groupBy(series, head);
  if (heads.size === series.length) return undefined;
  const whole = [];
  for (const [, pieces] of inOrder(heads, parts)) {
    const rows = new Map();
    for (const [time, ...cells] of pieces.flatMap((piece) => piece.get('values'))) {
      const known = rows.get(time.text)?.slice(1) ?? cells.map(() => null);
      if (cells.some((cell, at) => cell !== null && known[at] !== null)) return undefined;
      rows.set(time.text, [time, ...cells.map((cell, at) => cell ?? known[at])]);
    }
    whole.push(withValues(pieces[0], inOrder(rows, parts, BigInt).map(([, row]) => row)));
  }
  return whole;
}

/**
 * Returns the entries of a map, sorted by key in the direction of ORDER BY. `of` converts a key to
 * the value that is compared.
 */
function inOrder(map, parts, of = (key) => key) {
  const sign = /DESC/.test(parts['ORDER BY'] ?? '') ? -1 : 1;
  return [...map].sort(([a], [b]) => (of(a) < of(b) ? -sign : sign));
}

const OF_INTEGERS = /^(?:count\(|(?:sum|min|max|first|last|spread|mode|difference|percentile|cumulative_sum)\([ij]\b)/;

function fillMissing(values, fill, texts) {
  const number = /^\((-?[\d.]+)\)$/.exec(fill ?? '')?.[1];
  values.forEach((row, place) => {
    row.forEach((cell, at) => {
      if (cell !== undefined) return;
      if (number !== undefined) row[at] = new JsonNumber(OF_INTEGERS.test(texts[at - 1]) ? String(Math.trunc(number)) : number);
      else row[at] = fill === '(previous)' && place > 0 ? values[place - 1][at] : null;
    });
  });
}

function calculated([time, ...cells], columns) {
  const row = columns.map(({ texts, operators }) => {
    const operands = cells.splice(0, texts.length);
    if (!operators) return operands[0];
    if (operands.includes(null)) return null;
    const values = operands.map(({ text }) => Number(text));
    const signs = [...operators];
    for (const precedence of ['*/', '+-']) {
      for (let at = 0; at < signs.length; ) {
        if (!precedence.includes(signs[at])) at += 1;
        else values.splice(at, 2, OPERATORS.get(...signs.splice(at, 1))(values[at], values[at + 1]));
      }
    }
    return new JsonNumber(String(values[0]));
  });
  return [time, ...row];
}

const quoted = (name) => (/^\w+$/.test(name) ? name : `"${name}"`);

/** Adds the tags of `series` to a result. The statement of this result comes from `aloneOf`. */
export function foundAlone(document, series) {
  const tags = series.get('tags') ?? new Map();
  const isIt = (one) => one.get('name') === series.get('name') && [...(one.get('tags') ?? [])].every(([key, tag]) => tags.get(key) === tag);
  return seriesOf(document).filter(isIt).map((one) => (one.has('tags') ? new Map([...one, ['tags', tags]]) : one));
}

/**
 * Returns the statement without limits and only for one series. By default the statement reads this
 * series' measurement; `from` can contain further measurements.
 */
export function aloneOf(parts, series, from = sourceOf(parts, series)) {
  const tags = [...(series.get('tags') ?? [])].map(([key, value]) => `${quoted(key)} = '${value}'`);
  return statement({ ...unlimited(parts), FROM: from, WHERE: and(parts.WHERE, ...tags) });
}

const sourceOf = ({ FROM }, series) => (/, |^\//.test(FROM) ? quoted(series.get('name')) : FROM);

/** A statement can return several series if it groups by tags or reads several measurements. */
export const hasSeries = (parts) => dimensionsOf(parts).some((one) => !isWindow(one)) || /, |^\//.test(parts.FROM);
const isWindowed = (parts) => windowOf(parts) !== undefined;
