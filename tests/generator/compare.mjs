// Whether two answers to a random query are the same, and which rule explains that they are not.

import { JsonNumber, parseJson } from '../record/json.mjs';
import { PROOFS } from './proofs.mjs';
import { overStored } from './stored.mjs';

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

function alike(left, right, tolerance = TOLERANCE) {
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
  // Two whole numbers may be integers or times, which have no tolerance. Integers of the random data
  // stay below 1e12, its times are about 1.6e18.
  const [a, b] = [Number(left), Number(right)];
  const least = Math.min(Math.abs(a), Math.abs(b));
  const exact = least < 1e12 || (least > 1.59e18 && least < 1.61e18);
  if (!/[.e]/.test(left + right) && exact) return false;
  return Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b));
}

function* allSeries(document) {
  for (const result of document.get?.('results') ?? []) yield* result.get('series') ?? [];
}

const print = (value) => {
  if (value instanceof JsonNumber) return value.text === '-0' ? '-0' : Number(value.text).toPrecision(9);
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

/** Whether two answers have the same shape, and their numbers differ only as `allowed` says. */
function differences(left, right, allowed) {
  if (left instanceof JsonNumber && right instanceof JsonNumber) {
    return near(left.text, right.text, TOLERANCE) || allowed(Number(left.text), Number(right.text));
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((each, at) => differences(each, right[at], allowed));
  }
  if (left instanceof Map && right instanceof Map) {
    const keys = [...left.keys()];
    return keys.join('\n') === [...right.keys()].join('\n') && keys.every((key) => differences(left.get(key), right.get(key), allowed));
  }
  return left === right;
}

const seriesOf = (document) => [...allSeries(document)];
/** The series of both, and how many rows each has. */
const sizes = (...documents) => documents.map((one) => seriesOf(one).map((s) => [head(s), s.get('values')?.length]));
const head = (series) => `${series.get('name')} ${JSON.stringify([...(series.get('tags') ?? [])])}`;

/** The rows of each series, in the order of their names and tags. */
function ordered(document) {
  const rows = new Map();
  for (const series of seriesOf(document)) {
    rows.set(head(series), [...(rows.get(head(series)) ?? []), ...series.get('values')]);
  }
  const texts = ([name, all]) => [name, all.map(print)];
  return [...rows].map(texts).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([name, all]) => [name, all.sort()]);
}

const withoutLimit = (text) => text.replace(/ (?<!S)(LIMIT|OFFSET) \d+/g, '');
/** What stands in parentheses: the statements inside. */
const inside = (text) => {
  const start = text.indexOf('(SELECT');
  return start < 0 ? '' : text.slice(start, text.lastIndexOf(')') + 1);
};
const changeInside = (text, pattern, by) => {
  const inner = inside(text);
  return inner && text.replace(inner, inner.replace(pattern, by));
};
/**
 * Whether 1.x itself gives our answer once each subquery's rows are stored and read as points: then
 * what parts the answers is how it reads a subquery.
 */
async function stored(known, _, { ours, ask }) {
  const same = (answer) => answer !== undefined && sameAnswer(known, answer, ours);
  if (same(await overStored(known.text, ask.real))) return true;
  const times = seriesOf(known.ours).flatMap((series) => series.get('values').map(([time]) => time.text));
  if (times.length === 0) return false;
  const first = times.reduce((one, other) => (BigInt(one) < BigInt(other) ? one : other));
  return same(await overStored(known.text, ask.real, first)) || same(await overStored(known.text, ask.real, first, true));
}
const CALL = String.raw`\(((?:[^()]|\([^()]*\))*?)`;

const ROUNDING = /\b(?:floor|ceil|round)\((\w+\((?:[^()]|\([^()]*\))*\))\)/;
const MATH_CALL = new RegExp(
  String.raw`\b(?:sin|cos|tan|asin|acos|atan|atan2|exp|ln|log|log2|log10|pow|sqrt)\((\w+|\w+\([^()]*\))(?:, [\d.]+)?\)`,
);

/**
 * Each rule: what is different on purpose, how that is recognised, and a control: the same statement
 * without what the rule is about (or several), which both must answer alike. So no rule hides
 * anything else. A fourth part proves the reason on the answers themselves: theirs, ours, ours to
 * the control, and what the real server says without its flaw. Where there is no such statement the rule is shown on the server of the run, before
 * it begins: `proofs.mjs`.
 */
const RULES = [
  [
    'several statements, each by itself: 1.6.7 loses the error of the later ones',
    ({ text }) => text.includes('; '),
    (text) => text.split('; '),
  ],
  [
    'chande_momentum_oscillator() of one point, over which 1.6.7 panics',
    ({ text }, [, theirs]) => theirs.includes('[panic:') && /chande\w+\([^;]*?, 1[,)]/.test(text),
    (text) => text.replace(/(chande_momentum_oscillator\((?:[^()]|\([^()]*\))*?), 1([,)])/g, '$1, 2$2'),
  ],
  [
    'windows with an offset and no lower bound of time, which 1.6.7 begins in 1677, and thinks for long',
    ({ text }, [status]) => status === 0 || /time\(\w+, /.test(text),
    (text) => text.replace(/ WHERE (?=(?:(?!time [>])[^()])*time <)/g, ' WHERE time >= 1599999000s AND '),
  ],
  [
    'holt_winters() over which 1.6.7 thinks for longer than the run waits',
    ({ text }, [status]) => status === 0 && text.includes('holt_winters'),
    (text) => text.replace(new RegExp(`holt_winters(?:_with_fit)?${CALL}, \\d+, \\d+\\)`, 'g'), '$1'),
  ],
  [
    'a series of more than 10,000 rows, which 1.x calls partial though it is whole',
    ({ theirs, ours }) => {
      const whole = (document) => seriesOf(document).some((s) => s.get('values')?.length > 10_000);
      if (!theirs || !ours || !whole(theirs) || !whole(ours)) return false;
      const partial = seriesOf(theirs).filter((series) => series.delete('partial'));
      const same = alike(theirs, ours);
      partial.forEach((series) => series.set('partial', true));
      return same;
    },
    (text) => text.replace(/ LIMIT \d+( OFFSET \d+)?/, '').replace(/( tz\([^)]*\))?$/, ' LIMIT 9000$1'),
  ],
  [
    'chande_momentum_oscillator() of changes that cancel each other out, which 1.x divides by nothing',
    ({ text }, [, theirs], [, ours]) =>
      text.includes('chande_') && /unsupported value: [+-]Inf/.test(theirs) && ours.startsWith('{"results"'),
    (text) => text.replaceAll('chande_momentum_oscillator(', 'exponential_moving_average('),
  ],
  [
    'infinity, in the words of later versions',
    (_, [, theirs], [, ours]) => {
      const value = /unsupported value: [+-]Inf/.exec(theirs)?.[0];
      return value !== undefined && ours === `{"error":"json: ${value}"}\n`;
    },
  ],
  [
    'SLIMIT and SOFFSET, which count series of the index in 1.x, in its order',
    ({ text }) => / SLIMIT /.test(text),
    (text) => text.replace(/ S(LIMIT|OFFSET) \d+/g, ''),
    // What each shows is some of the series that there are without.
    ({ theirs, ours }, [all]) => {
      const known = seriesOf(all);
      const among = (document) => seriesOf(document).every((one) => known.some((other) => alike(one, other)));
      return among(theirs) && among(ours);
    },
  ],
  [
    'abs() of integers, which 1.6.7 left negative',
    ({ text, theirs, ours }) =>
      text.includes('abs(') &&
      (text.includes('(SELECT') || / LIMIT |[-+*/%] /.test(text) || differences(theirs, ours, (a, b) => a < 0 && a === -b)),
    (text) => text.replaceAll('abs(', 'floor('),
  ],
  [
    'integral(), whose series 1.x gives in any order, and joins in any order with other calls',
    ({ text, theirs, ours }) =>
      text.includes('integral(') &&
      (/integral\([*/]/.test(text) ||
        text.match(/\w\(/g).length > 1 + /time\(\d/.test(text) + / fill\(/.test(text) ||
        / LIMIT |\(SELECT /.test(text) ||
        alike(ordered(theirs), ordered(ours))),
    (text) => text.replace(/integral\((\w+|\*(?:::field)?|\/[^/]*\/)(, \w+)?\)/g, 'sum($1)'),
    (known, ...rest) => !known.text.includes('(SELECT') || stored(known, ...rest),
  ],
  [
    'distinct() of several series backwards, which 1.x gives in any order',
    ({ text, theirs, ours }) =>
      /distinct/i.test(text) && / DESC/.test(text) && (/ LIMIT /.test(text) || alike(ordered(theirs), ordered(ours))),
    (text) => text.replace(' ORDER BY time DESC', ''),
  ],
  [
    'fill() of a subquery whose series the statement around it mixes: 1.x fills anew whenever the series changes',
    ({ text }) => /fill\((?!null|none)/.test(inside(text)),
    (text) => changeInside(text, / fill\([^)]*\)/g, ' fill(none)'),
    stored,
  ],
  [
    'DISTINCT without parentheses in a subquery, which 1.6.7 leaves empty',
    ({ text, theirs }) => /DISTINCT \w/.test(inside(text)) && seriesOf(theirs).length === 0,
    (text) => changeInside(text, /DISTINCT (\w+)/g, 'distinct($1)'),
  ],
  [
    'windows of a subquery that begin before the range of a statement without windows: 1.x ends there',
    ({ text }) => /time\(\d/.test(inside(text)) && / WHERE .*time >/.test(text),
    // Windows of a second all begin inside of it.
    (text) => changeInside(text, /time\(\d\w+(, -?\w+)?\)/g, 'time(1s)').replaceAll('time > ', 'time >= '),
    stored,
  ],
  [
    'several calls in windows of several series of a subquery, which 1.x joins in a wrong order',
    ({ text }) =>
      /GROUP BY [^()]*time\(\d/.test(inside(text)) && (inside(text).match(/\b(?!time\b|fill\b)\w+\(\w/g) ?? []).length > 1,
    // Every series by itself.
    (text) => {
      const outer = text.slice(text.indexOf(inside(text)) + inside(text).length);
      const time = /time\([^)]*\)/.exec(outer.split(' GROUP BY ')[1] ?? '')?.[0];
      const fill = / fill\([^)]*\)/.exec(outer)?.[0] ?? '';
      const where = outer.split(/ GROUP BY | fill\(| ORDER BY | S?LIMIT | tz\(/)[0];
      const inner = inside(text).replace(/ GROUP BY (?!time)[^()]*?(?=, time|\)| fill)/g, ' GROUP BY *');
      return `${text.slice(0, text.indexOf('(SELECT'))}${inner}${where} GROUP BY *${time ? `, ${time}` : ''}${fill}`;
    },
    stored,
  ],
  [
    'first() or last() of several points of one time',
    ({ text, tied, theirs, ours }) =>
      tied && /\b(first|last)\(/.test(text) && (text.includes('(SELECT') || alike(...sizes(theirs, ours))),
    (text) => text.replace(/\b(first|last)\(/g, 'count('),
  ],
  [
    'mode() and percentile() of equal values, which 1.x sorts in any order',
    ({ text, theirs, ours }) =>
      /\b(mode|percentile)\(/.test(text) && (text.includes('(SELECT') || alike(...sizes(theirs, ours))),
    (text) => text.replace(/\bmode\(/g, 'count(').replace(/\bpercentile\(([^,()]+), [\d.]+\)/g, 'median($1)'),
  ],
  [
    'top() and bottom() under LIMIT, which 1.x applies to what they read',
    ({ text }) => /\b(top|bottom)\(.* LIMIT /.test(text),
    withoutLimit,
  ],
  [
    'top() and bottom() of windows in a subquery, whose times 1.x does not give in order',
    ({ text }) => /\b(top|bottom)\(.*time\(\d/.test(inside(text)),
    (text) => changeInside(text, /\b(?:top|bottom)\(([^,()]+)[^()]*\)/g, 'median($1)'),
  ],
  [
    'booleans that are missing in a condition over a subquery, which 1.x takes for false',
    ({ text }) => text.includes('(SELECT') && /\b(b|c\d) (=|!=|<|>|<=|>=|<>) (true|false)/.test(text),
    (text) => text.replace(/\b(b|c\d) (=|!=|<|>|<=|>=|<>) (true|false)/g, 'time > 0'),
    stored,
  ],
  [
    'mathematics of booleans inside subqueries, which leaves them empty in 1.6.7',
    ({ text }) => /\b(abs|sqrt|floor|ceil|round)\(\w+\(b\)\)/.test(inside(text)),
    (text) => changeInside(text, /\b(?:abs|sqrt|floor|ceil|round)\((\w+\(b\))\)/g, '$1'),
  ],
  [
    'square roots of booleans, which 1.6.7 fills',
    ({ text }) => /\b(abs|sqrt|floor|ceil|round)\(\w+\(b\)\).* fill\(/.test(text),
    (text) => text.replace(/\b(?:abs|sqrt|floor|ceil|round)\((\w+\(b\))\)/g, '$1'),
  ],
  [
    'which of several calls an error names, which 1.x leaves to the order of a map',
    ({ text }, [, theirs], [, ours]) => {
      const parts = [theirs, ours].map((body) => /"unsupported (\w+) iterator type: ([^"]*)"/.exec(body) ?? []);
      const [[, one, type], [, other, ownType]] = parts;
      return type !== undefined && type === ownType && text.includes(`${one}(`) && text.includes(`${other}(`);
    },
  ],
  [
    'bitwise operators on a boolean and something else, which are false in 1.6.7 and an error in later versions',
    ({ text }, _, [, ours]) => / [&|^] /.test(text) && /type error: \w+::boolean/.test(ours),
    (text) => text.replace(/(\w+) [&|^] \w+/g, '$1'),
  ],
  [
    'whole numbers of sums and averages, the last bits of which depend on the order of the values',
    ({ text, theirs, ours }) => ROUNDING.test(text) && differences(theirs, ours, (a, b) => Math.abs(a - b) === 1),
    (text) => text.replace(new RegExp(ROUNDING, 'g'), '$1'),
  ],
  [
    'mathematics in type errors: its type is that of its argument in 1.6.7, a float in later versions',
    ({ text }, [, theirs]) => theirs.includes('"type error: ') && MATH_CALL.test(text),
    (text) => text.replace(new RegExp(MATH_CALL, 'g'), '$1'),
  ],
  [
    'types of calls, which 1.x looks at where a series is found and not before',
    ({ text }, [, theirs], [, ours]) =>
      / WHERE /.test(text) && ours.includes('iterator type: ') && !theirs.includes('"error"'),
    (text) =>
      text
        .replace(/"?\w+"?(::\w+)? [=!]~ \/(?:[^/\\]|\\.)*\//g, 'time > 0')
        .replace(/"?\w+"?(::\w+)? !?= '[^']*'|'[^']*' = "?\w+"?(::\w+)?/g, 'time > 0'),
  ],
  [
    'types of calls inside subqueries of which no column is read: 1.x does not look at them',
    ({ text }, [, theirs], [, ours]) =>
      text.includes('(SELECT') && ours.includes('iterator type: ') && !theirs.includes('"error"'),
  ],
  [
    'type errors inside subqueries, which 1.6.7 does not look for',
    ({ text }, _, [, ours]) => text.includes('(SELECT') && ours.includes('"type error: '),
  ],
  [
    'sample(), which 1.x draws anew each time',
    ({ text, theirs, ours }) => {
      // How many values each column has: several calls draw at times of their own.
      const count = (rows) => rows[0].slice(1).map((_, at) => rows.filter((row) => row[at + 1] !== null).length);
      const drawn = (s) => count(s.get('values')).slice(0, /sample\([^()]*\)(?: AS \w+)?, (?!\w+\()/.test(text) ? 1 : undefined);
      const shape = (document) => seriesOf(document).map((s) => [head(s), drawn(s)]);
      const nested = text.includes('(SELECT');
      return text.includes('sample(') && (nested || alike(shape(theirs), shape(ours)));
    },
    (text) => text.replace(new RegExp(`sample${CALL}, \\d+\\)`, 'g'), 'count($1)'),
  ],
  [
    'holt_winters() of sums, which makes much of their last bits',
    ({ text, theirs, ours }) => text.includes('holt_winters') && alike(theirs, ours, 1e-5),
    (text) => text.replace(new RegExp(`holt_winters(?:_with_fit)?${CALL}, \\d+, \\d+\\)`, 'g'), '$1'),
  ],
  [
    'holt_winters() of a series that is too short, behind which 1.x gives none',
    ({ text, theirs, ours }) => {
      if (!text.includes('holt_winters')) return false;
      const alone = text.match(/\b[a-z_]+\(/g).filter((call) => !/time|fill|tz/.test(call)).length === 2;
      const some = seriesOf(theirs);
      return text.includes('(SELECT') || !alone || alike(some, seriesOf(ours).slice(0, some.length));
    },
    (text) => text.replace(new RegExp(`holt_winters(?:_with_fit)?${CALL}, \\d+, \\d+\\)`, 'g'), '$1'),
  ],
];
for (const [name, , control] of RULES) {
  if (!control && !PROOFS[name]) throw new Error(`neither control nor proof: ${name}`);
}
for (const name of Object.keys(PROOFS)) {
  if (!RULES.some(([rule]) => rule === name)) throw new Error(`no such rule: ${name}`);
}

/** How many rules one statement may need. */
const RULES_MAX = 4;
/** So many rules, the first ones, are about answers that are not JSON too. */
const NOT_JSON = 8;

/**
 * The name of the rule by which the answers may differ, if there is one; `ask` asks both servers
 * another statement.
 */
export async function explanation(query, theirs, ours, ask, left = RULES_MAX) {
  const known = { ...query, theirs: parsed(theirs[1]), ours: parsed(ours[1]) };
  const both = known.theirs && known.ours;
  if (both && query.tied) [known.theirs, known.ours].forEach(sortTies);
  for (const [at, [name, holds, control, proof]] of RULES.entries()) {
    if (!both && at >= NOT_JSON) break;
    if (!holds(known, theirs, ours)) continue;
    if (!control) return name;
    const texts = [control(query.text)].flat();
    if (left === 0 || texts.some((text) => !text || text === query.text)) continue;
    const controls = [];
    if (!(await agree(query, texts, ask, left - 1, controls))) continue;
    if (!proof || (await proof(known, controls, { ours, ask }))) return name;
  }
  return undefined;
}

/** Whether both answer each of `texts` alike, or a rule says why not. */
async function agree(query, texts, ask, left, controls) {
  for (const text of texts) {
    const without = { ...query, text };
    const answers = await ask(text);
    controls.push(parsed(answers[1][1]));
    if (!sameAnswer(without, ...answers) && !(await explanation(without, ...answers, ask, left))) return false;
  }
  return true;
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
