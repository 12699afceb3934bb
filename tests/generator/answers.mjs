// Compares responses as JSON documents and finds their first difference.

import { JsonNumber, parseJson } from '../record/json.mjs';

const TOLERANCE = 1e-9;

/**
 * Whether two responses, each `[status, body]`, are equal except for the errors that `tolerance`
 * permits (see `alike`).
 */
export function sameAnswer(query, [status, body], [ownStatus, ownBody], tolerance = TOLERANCE) {
  if (status !== ownStatus) return false;
  if (body === ownBody) return true;
  const [left, right] = [parsed(body), parsed(ownBody)];
  if (!left || !right) return false;
  if (query.tied) [left, right].forEach(sortTies);
  return alike(left, right, tolerance);
}

/** Returns null for invalid JSON. */
export function parsed(body) {
  try {
    return parseJson(body);
  } catch {
    return null;
  }
}

export function json(value) {
  if (value instanceof JsonNumber) return value.text;
  if (value instanceof Map) return `{${[...value].map(([key, inner]) => `${JSON.stringify(key)}:${json(inner)}`)}}`;
  return Array.isArray(value) ? `[${value.map(json)}]` : JSON.stringify(value);
}

/** Numbers with a fraction may differ by the relative `tolerance`. */
export function alike(left, right, tolerance = TOLERANCE) {
  if (left instanceof JsonNumber && right instanceof JsonNumber) return near(left.text, right.text, tolerance);
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((each, at) => alike(each, right[at], tolerance));
  }
  if (left instanceof Map && right instanceof Map) {
    const keys = [...left.keys()];
    return (
      keys.join('\n') === [...right.keys()].join('\n') &&
      keys.every((key) => alike(left.get(key), right.get(key), tolerance))
    );
  }
  return left === right;
}

function near(left, right, tolerance) {
  if (left === right) return true;
  // Two whole numbers must be equal. In the random data, integers are below 1e12 and timestamps are
  // about 1.6e18.
  const [a, b] = [Number(left), Number(right)];
  const least = Math.min(Math.abs(a), Math.abs(b));
  const exact = least < 1e12 || (least > 1.59e18 && least < 1.61e18);
  if (!/[.e]/.test(left + right) && exact) return false;
  return Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b));
}

export const resultsOf = (document) => document?.get?.('results') ?? [];
export const seriesOf = (document) => resultsOf(document).flatMap((result) => result.get('series') ?? []);
export const head = (series) => `${series.get('name')} ${JSON.stringify([...(series.get('tags') ?? [])])}`;
export const errorOf = (document) =>
  document?.get?.('error') ?? resultsOf(document).find((result) => result.has('error'))?.get('error');

export function groupBy(list, key) {
  const groups = new Map();
  for (const one of list) {
    if (!groups.has(key(one))) groups.set(key(one), []);
    groups.get(key(one)).push(one);
  }
  return groups;
}

const print = (value) => {
  if (value instanceof JsonNumber) return value.text === '-0' ? '-0' : Number(value.text).toPrecision(9);
  if (Array.isArray(value)) return value.map(print).join();
  return JSON.stringify(value);
};

export function sortTies(document) {
  for (const series of seriesOf(document)) {
    if (series.has('values')) series.set('values', tiesSorted(series.get('values')));
  }
}

function tiesSorted(values) {
  const rows = values.map((row) => [row, row.map(print).join(), row[0]?.text]);
  let start = 0;
  for (let end = 1; end <= rows.length; end += 1) {
    const time = rows[start][2];
    if (end < rows.length && time !== undefined && rows[end][2] === time) continue;
    const tie = rows.slice(start, end).sort((a, b) => (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0));
    rows.splice(start, end - start, ...tie);
    start = end;
  }
  return rows.map(([row]) => row);
}

/** Returns the path of the first difference, and both values. */
export function parting(query, theirs, ours) {
  const both = [parsed(theirs), parsed(ours)];
  if (both.some((document) => !document)) return [theirs.trim(), ours.trim()].map((t) => t.slice(0, 300));
  if (query.tied) both.forEach(sortTies);
  return firstDifference(...both, '') ?? ['', ''];
}

function firstDifference(left, right, path) {
  if (alike(left, right)) return null;
  const plain = (value) => (value === undefined ? 'nothing' : json(value).slice(0, 300));
  if (left instanceof Map && right instanceof Map) {
    for (const key of left.keys()) {
      const found = right.has(key) && firstDifference(left.get(key), right.get(key), `${path}.${key}`);
      if (found) return found;
    }
  } else if (Array.isArray(left) && Array.isArray(right)) {
    for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
      const found = firstDifference(left[at], right[at], `${path}[${at}]`);
      if (found) return found;
    }
    if (left.length !== right.length) {
      const at = Math.min(left.length, right.length);
      return [`${path}[${at}] ${plain(left[at])}`, `${path}[${at}] ${plain(right[at])}`];
    }
  }
  return [`${path} ${plain(left)}`, `${path} ${plain(right)}`];
}
