// Answers put together from answers: of a statement without its limits, of each call and each
// series by itself.

import { JsonNumber } from '../record/json.mjs';
import { groupBy, head, seriesOf } from './answers.mjs';
import { FUNCTIONS } from './functions.mjs';
import { and, callOf, dimensionsOf, fieldsOf, isWindow, split, statement, windowOf } from './statement.mjs';

const LIMITS = { LIMIT: '', OFFSET: '', SLIMIT: '', SOFFSET: '' };
const withValues = (series, values) => new Map([...series, ['values', values]]);

export const hasLimits = (parts) => Object.keys(LIMITS).some((name) => parts[name] !== undefined);
export const hasSeriesLimits = (parts) => ['SLIMIT', 'SOFFSET'].some((name) => parts[name] !== undefined);
/** The clauses of a statement that shows all rows of all series. */
export const unlimited = (parts) => ({ ...parts, ...LIMITS });

/** The rows of each series, and the series of each measurement, that the limits of a statement leave. */
export function limited(series, parts) {
  const range = (from, many) => [Number(from ?? 0), Number(from ?? 0) + (Number(many ?? 0) || Infinity)];
  const rows = series.map((one) => withValues(one, one.get('values').slice(...range(parts.OFFSET, parts.LIMIT))));
  const measurements = [...groupBy(rows, (one) => one.get('name')).values()];
  const left = measurements.flatMap((all) => all.slice(...range(parts.SOFFSET, parts.SLIMIT)));
  return left.filter((one) => one.get('values').length > 0);
}

/**
 * The columns of a statement of calls, each as the calls to ask by themselves, two of them where `operator` stands
 * between; nothing where they cannot be asked so.
 */
export async function columnsOf(parts, trusted) {
  const found = [];
  for (const field of fieldsOf(parts)) {
    const { expression, text } = field;
    if (!/\w\(/.test(expression)) return undefined;
    const call = callOf(expression);
    const operator = [...OPERATORS.keys()].find((sign) => split(expression, ` ${sign} `).length === 2);
    if (call && /^[*/]/.test(call.first)) {
      const wild = await wildOf(parts, field, call, trusted);
      if (!wild) return undefined;
      found.push(...wild);
    } else if (operator && split(expression, ` ${operator} `).every((one) => callOf(one))) {
      found.push({ texts: split(expression, ` ${operator} `), operator });
    } else {
      found.push({ texts: [text] });
    }
  }
  return found;
}

/** How the columns are called, where each says so itself. */
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

/** A wildcard is as many calls as it has columns: those of a call that takes the same fields. */
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
 * What the answers of calls, each by itself, are side by side; nothing where rows of one time could be
 * joined in several ways. `columns` as `columnsOf` gives them. `time`: that of a row of several calls without
 * windows, where each by itself has the time of its point.
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
    fillMissing(values, parts.fill);
    return new Map([...series, ['columns', names], ['values', values.map((row) => calculated(row, columns))]]);
  });
}

/**
 * The series of an answer, those of one name and tags as one: a cell has the value that one of them has there.
 * Nothing where two of them have one, or no series is there twice.
 */
export function together(series, parts) {
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

/** The entries of a map in the order that a statement asks for, by what `of` makes of their keys. */
function inOrder(map, parts, of = (key) => key) {
  const sign = /DESC/.test(parts['ORDER BY'] ?? '') ? -1 : 1;
  return [...map].sort(([a], [b]) => (of(a) < of(b) ? -sign : sign));
}

/** The cells of which a column has no row. */
function fillMissing(values, fill) {
  const number = /^\((-?[\d.]+)\)$/.exec(fill ?? '')?.[1];
  values.forEach((row, place) => {
    row.forEach((cell, at) => {
      if (cell !== undefined) return;
      if (number !== undefined) row[at] = new JsonNumber(number);
      else row[at] = fill === '(previous)' && place > 0 ? values[place - 1][at] : null;
    });
  });
}

/** A row of calls with what stands between them. */
function calculated([time, ...cells], columns) {
  const row = columns.map(({ texts, operator }) => {
    const [one, other] = cells.splice(0, texts.length);
    if (!operator) return one;
    if (one === null || other === null) return null;
    return new JsonNumber(String(OPERATORS.get(operator)(Number(one.text), Number(other.text))));
  });
  return [time, ...row];
}

const quoted = (name) => (/^\w+$/.test(name) ? name : `"${name}"`);

/** The series of an answer to `aloneOf`, with all tags that the other sources have. */
export function foundAlone(document, series) {
  const tags = series.get('tags') ?? new Map();
  const isIt = (one) => one.get('name') === series.get('name') && [...(one.get('tags') ?? [])].every(([key, tag]) => tags.get(key) === tag);
  return seriesOf(document).filter(isIt).map((one) => (one.has('tags') ? new Map([...one, ['tags', tags]]) : one));
}

/** The statement that asks one series by itself, without limits. */
export function aloneOf(parts, series) {
  const tags = [...(series.get('tags') ?? [])].map(([key, value]) => `${quoted(key)} = '${value}'`);
  const name = series.get('name');
  const single = !/, |^\//.test(parts.FROM);
  return statement({
    ...unlimited(parts),
    FROM: single ? parts.FROM : quoted(name),
    WHERE: and(parts.WHERE, ...tags),
  });
}

/** Whether the series of a statement are told apart by tags, or by measurements. */
export const hasSeries = (parts) => dimensionsOf(parts).some((one) => !isWindow(one)) || /, |^\//.test(parts.FROM);
const isWindowed = (parts) => windowOf(parts) !== undefined;
