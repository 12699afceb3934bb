// Whether two answers to a random query are the same, and which rule explains that they are not.

import { JsonNumber, parseJson } from '../record/json.mjs';

const TOLERANCE = 1e-9;

/** Whether both servers said the same; `theirs` and `ours` are `[status, body]`. */
export function sameAnswer(query, [status, body], [ownStatus, ownBody]) {
  if (status !== ownStatus) return false;
  if (body === ownBody) return true;
  const [left, right] = [parsed(body), parsed(ownBody)];
  if (!left || !right) return false;
  if (query.tied) [left, right].forEach(sortTies);
  return alike(left, right);
}

function parsed(body) {
  try {
    return parseJson(body);
  } catch {
    return null;
  }
}

function alike(left, right) {
  if (left instanceof JsonNumber && right instanceof JsonNumber) return near(left.text, right.text);
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((each, at) => alike(each, right[at]));
  }
  if (left instanceof Map && right instanceof Map) {
    const keys = [...left.keys()];
    return (
      keys.join('\n') === [...right.keys()].join('\n') &&
      keys.every((key) => alike(left.get(key), right.get(key)))
    );
  }
  return left === right;
}

function near(left, right) {
  if (left === right) return true;
  // Two whole numbers may be integers, which have no tolerance.
  const [a, b] = [Number(left), Number(right)];
  if (!/[.e]/.test(left + right) && Math.abs(a) < 2 ** 53) return false;
  return Math.abs(a - b) <= TOLERANCE * Math.max(Math.abs(a), Math.abs(b));
}

function* allSeries(document) {
  for (const result of document.get?.('results') ?? []) yield* result.get('series') ?? [];
}

const print = (value) => {
  if (value instanceof JsonNumber) return `${Number(value.text).toPrecision(9)}`;
  if (Array.isArray(value)) return value.map(print).join();
  return JSON.stringify(value);
};

/** Brings rows of equal time of each series into one order. */
function sortTies(document) {
  for (const series of allSeries(document)) {
    const rows = (series.get('values') ?? []).map((row) => [row, row.map(print).join()]);
    rows.forEach(([row, text], at) => rows[at].push(row[0]?.text ?? text));
    let start = 0;
    for (let end = 1; end <= rows.length; end += 1) {
      if (end < rows.length && rows[end][2] === rows[start][2]) continue;
      const tie = rows.slice(start, end).sort((a, b) => (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0));
      rows.splice(start, end - start, ...tie);
      start = end;
    }
    if (series.has('values')) series.set('values', rows.map(([row]) => row));
  }
}

const seriesOf = (document) => [...allSeries(document)];
const head = (series) => `${series.get('name')} ${JSON.stringify([...(series.get('tags') ?? [])])}`;

/** Every number without its sign. */
function unsigned(value) {
  if (value instanceof JsonNumber) return new JsonNumber(value.text.replace('-', ''));
  if (Array.isArray(value)) return value.map(unsigned);
  if (!(value instanceof Map)) return value;
  return new Map([...value].map(([key, inner]) => [key, unsigned(inner)]));
}

/** The rows of each series, in the order of their names and tags. */
function ordered(document) {
  const rows = new Map();
  for (const series of seriesOf(document)) {
    rows.set(head(series), [...(rows.get(head(series)) ?? []), ...series.get('values')]);
  }
  const texts = ([name, all]) => [name, all.map(print)];
  return [...rows].map(texts).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([name, all]) => [name, all.sort()]);
}

/** Each rule: what is different on purpose, and how that is recognised. */
const RULES = [
  ['1.6.7 gave no answer', (_, [status, body]) => status === 0 || body.includes('[panic:')],
  [
    'infinity, in the words of later versions',
    (_, [, theirs], [, ours]) => {
      const value = /unsupported value: [+-]Inf/.exec(theirs)?.[0];
      return value !== undefined && ours === `{"error":"json: ${value}"}\n`;
    },
  ],
  [
    'abs() of integers, which 1.6.7 left negative',
    ({ text, theirs, ours }) => text.includes('abs(') && alike(ordered(unsigned(theirs)), ordered(unsigned(ours))),
  ],
  [
    'integral(), whose series 1.x gives in any order',
    ({ text, theirs, ours }) =>
      text.includes('integral(') && alike(ordered(theirs), ordered(ours)),
  ],
  [
    'integral() beside other calls, which 1.x joins in any order of series',
    ({ text }) =>
      /integral\(.*GROUP BY (\*|[a-su-z]|\/)/.test(text) &&
      text.match(/\w\(/g).length > 1 + /time\(\d/.test(text) + / fill\(/.test(text),
  ],
  [
    'distinct() of several series backwards, which 1.x gives in any order',
    ({ text, theirs, ours }) =>
      /distinct/i.test(text) && / DESC/.test(text) && (/ LIMIT /.test(text) || alike(ordered(theirs), ordered(ours))),
  ],
  [
    'SLIMIT and SOFFSET, which count series of the index in 1.x, in its order',
    ({ text, theirs, ours }) => {
      const common = (some, others) => {
        const heads = new Set(seriesOf(others).map(head));
        return ordered(some).filter(([name]) => heads.has(name));
      };
      return / SLIMIT /.test(text) && alike(common(theirs, ours), common(ours, theirs));
    },
  ],
  [
    'first() or last() of several points of one time',
    ({ text, tied }) => tied && /\b(first|last)\(/.test(text),
  ],
  [
    'mode() and percentile() of equal values, which 1.x sorts in any order',
    ({ text }) => /\b(mode|percentile)\(/.test(text),
  ],
  [
    'top() and bottom() under LIMIT, which 1.x applies to what they read',
    ({ text }) => /\b(top|bottom)\(.* LIMIT /.test(text),
  ],
  [
    'booleans that are missing in a condition over a subquery, which 1.x takes for false',
    ({ text }) => text.includes('(SELECT') && /\b(b|c\d) (=|!=|<|>|<=|>=|<>) (true|false)/.test(text),
  ],
  [
    'type errors inside subqueries, which 1.6.7 does not look for',
    ({ text }, _, [, ours]) => text.includes('(SELECT') && ours.includes('"type error: '),
  ],
  [
    'sample(), which 1.x draws anew each time',
    ({ text, theirs, ours }) => {
      const shape = (document) => seriesOf(document).map((s) => [head(s), s.get('values').length]);
      const nested = text.includes('(SELECT');
      return text.includes('sample(') && (nested || alike(shape(theirs), shape(ours)));
    },
  ],
];

/** The name of the rule by which the answers may differ, if there is one. */
export function explanation(query, theirs, ours) {
  const known = { ...query, theirs: parsed(theirs[1]), ours: parsed(ours[1]) };
  const both = known.theirs && known.ours;
  if (both && query.tied) [known.theirs, known.ours].forEach(sortTies);
  return RULES.find(([, holds], at) => (both || at < 2) && holds(known, theirs, ours))?.[0];
}

/** Where two answers part, and what stands there. */
export function parting(query, theirs, ours) {
  const both = [parsed(theirs), parsed(ours)];
  if (both.some((document) => !document)) return [theirs.trim(), ours.trim()].map((t) => t.slice(0, 300));
  if (query.tied) both.forEach(sortTies);
  return firstDifference(...both, '') ?? ['', ''];
}

function firstDifference(left, right, path) {
  if (alike(left, right)) return null;
  const plain = (value) => (value === undefined ? 'nothing' : show(value).slice(0, 300));
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

function show(value) {
  if (value instanceof JsonNumber) return value.text;
  if (value instanceof Map) return `{${[...value].map(([key, inner]) => `${key}:${show(inner)}`)}}`;
  return Array.isArray(value) ? `[${value.map(show)}]` : JSON.stringify(value);
}
