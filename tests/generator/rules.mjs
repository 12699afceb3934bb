// The rules that permit a difference between two responses. A rule proves that it applies: it
// derives Tidemark's response from the points, or from InfluxDB's responses to statements that
// avoid the permitted difference.

import { JsonNumber } from '../record/json.mjs';
import { alike, errorOf, resultsOf, seriesOf } from './answers.mjs';
import {
  aloneOf, columnsOf, foundAlone, hasLimits, hasSeries, hasSeriesLimits, joined, limited, mergedSeries, namesOf, seriesLimits, unlimited, withoutSeriesLimits,
} from './assemble.mjs';
import { chosen, joinsSamples } from './chance.mjs';
import { hasCasts, isOverCopies } from './copied.mjs';
import { TAGS } from './data.mjs';
import { isOfWindowsAlone } from './overlapping.mjs';
import { and, clauses, callOf, calls, dimensionsOf, fieldsOf, isTime, isWindow, split, statement, termsOf, union, windowOf, withoutAbs } from './statement.mjs';
import { boundsOf, isSameOverStoredRows, keepOurs } from './stored.mjs';
import { untied } from './untied.mjs';

const isNested = ({ parts }) => parts?.FROM?.includes('(SELECT');
const isFlat = ({ parts }) => parts?.FROM !== undefined && !parts.FROM.includes('(SELECT');
const withSelect = (parts, SELECT) => statement({ ...parts, SELECT });

/** Returns the parts of the text from each match of `start` to the matching parenthesis. */
function closed(text, start) {
  const found = [];
  for (const { index } of text.matchAll(start)) {
    let depth = 0;
    for (let end = text.indexOf('(', index); end < text.length; end += 1) {
      depth += text[end] === '(' ? 1 : text[end] === ')' ? -1 : 0;
      if (depth === 0) {
        found.push(text.slice(index, end + 1));
        break;
      }
    }
  }
  return found;
}

/** Returns the statements in parentheses, starting with the outermost one. */
const inner = (text) => closed(text, /\(SELECT/g).map((one) => one.slice(1, -1));

/**
 * Calls of functions that add values. The order of the values changes the last bits of the sum. All
 * other results are exact.
 */
const SUMS = String.raw`(?:sum|mean|stddev|integral|cumulative_sum|\w+_average|holt_winters\w*)\(`;
const ROUNDING = new RegExp(String.raw`\b(floor|ceil|round)\((?=(?:\w+\()?${SUMS})(\w+\((?:[^()]|\([^()]*\))*\))\)`, 'g');
/**
 * The argument of a rounding function, unchanged and with small changes. Each change is larger than
 * the rounding error of a sum.
 */
const MOVES = ['($2)', '($2 * 1.0000000001)', '($2 * 0.9999999999)', '($2 + 0.000000001)', '($2 - 0.000000001)'];
const MATH_CALL = new RegExp(
  String.raw`\b(?:sin|cos|tan|asin|acos|atan|atan2|exp|ln|log|log2|log10|pow|sqrt|floor|ceil|round|abs)\((\w+|\w+\([^()]*\))(?:, [\d.]+)?\)`,
  'g',
);

/**
 * Normalizes the text of an error: removes the types of mathematical functions, and rounds decimal
 * numbers to three digits. Also removes the parentheses around a negation, because 1.x omits these
 * parentheses although this changes the meaning.
 */
function calm(error) {
  const plain = error?.replace(/\((-1 \* [\w:]+)\)/g, '$1');
  const digits = plain?.replace(/\b\d+\.\d+\b/g, (number) => Number(number).toFixed(3));
  const typed = digits?.replace(new RegExp(`(${MATH_CALL.source})::(?:integer|float)`, 'g'), '$1');
  const found = /^type error: (.*): incompatible types: (\w+) and (\w+)$/.exec(typed);
  if (!found) return typed;
  const operator = ['+', '-', '*', '/', '%', '&', '|', '^'].find((sign) => split(found[1], ` ${sign} `).length === 2);
  const sides = operator ? split(found[1], ` ${operator} `) : [];
  const isMath = (side) => new RegExp(`^${MATH_CALL.source}$`).test(side);
  const types = sides.map((side, at) => (isMath(side) ? 'number' : found[at + 2]));
  return `${found[1]}: ${types}`;
}

const OF_TAGS =
  /"?\w+"?(?:::\w+)? [=!]~ \/(?:[^/\\]|\\.)*\/|"?\w+"?(?:::\w+)? !?= '[^']*'|'[^']*' = "?\w+"?(?:::\w+)?/g;

/** The tag may be on either side of the comparison. */
const ORDER_OF_TAGS = /\b(?!time\b)(\w+) (<=?|>=?) '([^']*)'|'([^']*)' (<=?|>=?) (?!time\b)(\w+)\b/g;
const COMPARED = { '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b };

/** Replaces a comparison by order with a list of the tag values that satisfy it. */
function spelledOut(text) {
  return text.replace(ORDER_OF_TAGS, (all, left, sign, right, first, turned, last) => {
    const values = ['', ...(TAGS[left ?? last] ?? [])];
    const holds = (value) => (left ? COMPARED[sign](value, right) : COMPARED[turned](first, value));
    const terms = values.filter(holds).map((value) => `${left ?? last} = '${value}'`);
    return terms.length > 0 ? `(${terms.join(' OR ')})` : 'false';
  });
}

/** The results of these functions differ between executions. */
const BY_CHANCE = 'sample|integral|holt_winters|holt_winters_with_fit';

/** Returns whether each cell of `ours` equals the same cell in at least one of `others`. */
function among(ours, others) {
  if (Array.isArray(ours)) {
    return others.every((one) => Array.isArray(one) && one.length === ours.length) && ours.every((each, at) => among(each, others.map((one) => one[at])));
  }
  if (ours instanceof Map) {
    const keys = [...ours.keys()].join('\n');
    return others.every((one) => one instanceof Map && [...one.keys()].join('\n') === keys) && [...ours.keys()].every((key) => among(ours.get(key), others.map((one) => one.get(key))));
  }
  return others.some((one) => alike(one, ours));
}

const renamed = (series, columns) => new Map([...series, ['columns', columns]]);

/**
 * Handles SLIMIT and SOFFSET over series of which some contain an infinite value. 1.x returns an
 * error if any series contains an infinite value. Tidemark returns this error only if a selected
 * series contains one, and otherwise the results of the selected series. Returns whether Tidemark's
 * response is correct in this sense.
 */
async function isOfSelectedSeries(parts, { trusted, env, ours, isSeries }) {
  const INFINITE = /json: unsupported value: [+-]Inf/;
  const value = INFINITE.exec(ours.body)?.[0];
  const isError = value !== undefined && ours.body === `{"error":"${value}"}\n`;
  if (!isError && errorOf(ours.document)) return false;
  if (!INFINITE.test((await env.real(statement(unlimited(parts))))[1])) return false;
  const fields = union(parts.SELECT.match(/\b[fgijsb]\b/g) ?? []);
  const found = await trusted(statement({ ...unlimited(parts), SELECT: fields.join(', '), 'GROUP BY': dimensionsOf(parts).filter((one) => !isWindow(one)).join(', '), fill: '' }));
  if (!found) return false;
  const shown = [];
  for (const series of limited(seriesOf(found), seriesLimits(parts))) {
    const text = aloneOf(parts, series);
    if (isError && (await env.real(text))[1].includes(value)) return true;
    const alone = isError ? undefined : await trusted(text);
    if (!isError && (!alone || errorOf(alone))) return false;
    shown.push(...foundAlone(alone, series));
  }
  return !isError && isSeries(limited(shown, withoutSeriesLimits(parts)));
}

const INFINITE_ERROR = /^json: unsupported value: [+-]Inf$/;

/** Each rule has a description, a quick check whether it can apply, and a proof. */
export const RULES = [
  {
    name: 'several statements: 1.6.7 loses the errors of the later ones, and each statement alone returns the same result',
    holds: ({ text }) => text.includes('; '),
    async proof({ text, ours, trusted }) {
      const results = [];
      for (const [at, one] of text.split('; ').entries()) {
        const number = ['statement_id', new JsonNumber(String(at))];
        if (results.at(-1)?.has('error')) {
          results.push(new Map([number, ['error', 'not executed']]));
          continue;
        }
        const alone = await trusted(one);
        // If one of the results has an infinite value, the whole response is an error.
        if (INFINITE_ERROR.test(alone?.get('error'))) return alike(ours.document, alone);
        const [result] = resultsOf(alone);
        if (!result) return false;
        results.push(new Map([...result, number]));
      }
      return alike(resultsOf(ours.document), results);
    },
  },
  {
    name: 'a complete series of more than 10,000 rows: 1.x marks it as partial',
    holds: ({ theirs }) => seriesOf(theirs.document).some((series) => series.has('partial')),
    proof({ theirs, ours, isSeries }) {
      const whole = (document) => seriesOf(document).some((series) => series.get('values')?.length > 10_000);
      const series = seriesOf(theirs.document).map((one) => new Map([...one].filter(([key]) => key !== 'partial')));
      return whole(ours.document) && isSeries(series);
    },
  },
  {
    name: 'infinity: the error has the text of later versions',
    holds: () => true,
    proof({ theirs, ours }) {
      const value = /^json: error calling .*: (json: unsupported value: [+-]Inf)\n$/.exec(theirs.body)?.[1];
      return value !== undefined && ours.body === `{"error":"${value}"}\n`;
    },
  },
  {
    name: 'an error in one of several calls: in 1.x, the order of a map determines which call the error names',
    holds: ({ theirs, ours }) => [theirs, ours].every(({ body }) => /iterator type/.test(body)),
    async proof({ text, parts, theirs, ours, env }) {
      const named = [theirs, ours].map(({ document }) => /unsupported (\w+) iterator type/.exec(errorOf(document))?.[1]);
      for (const [at, name] of named.entries()) {
        let seen = false;
        for (const one of [text, ...inner(text)]) {
          const own = clauses(one);
          for (const call of closed(own.SELECT, new RegExp(`\\b${name}\\(`, 'g'))) {
            const [, body] = await env.real(withSelect(own, call));
            seen ||= body === [theirs, ours][at].body;
          }
        }
        if (!seen) return false;
      }
      return parts !== undefined;
    },
  },
  {
    name: 'types of calls: 1.x checks them only if a series is found',
    holds: (query) => (/iterator type/.test(query.ours.body) || (isFlat(query) && /"type error: /.test(query.ours.body))) && !query.theirs.body.includes('"error"'),
    async proof({ text, parts, theirs, ours, isOurs, env }) {
      if (seriesOf(theirs.document).length > 0) return false;
      const all = /iterator type/.test(ours.body) ? text.replace(OF_TAGS, 'time > 0') : statement({ ...parts, WHERE: '' });
      return isOurs(await env.real(all));
    },
  },
  {
    name: 'types of calls inside subqueries: 1.x checks them only if a column is read',
    holds: (query) => isNested(query) && /iterator type: /.test(query.ours.body),
    async proof({ text, isOurs, env }) {
      for (const one of inner(text)) {
        if (isOurs(await env.real(one))) return true;
        const own = clauses(one);
        // 1.x may report another type error of the statement first. The proof therefore also runs
        // each call in its own statement.
        for (const SELECT of closed(own.SELECT, /\b\w+\(/g)) if (isOurs(await env.real(withSelect(own, SELECT)))) return true;
      }
      return false;
    },
  },
  {
    name: 'errors with the text of later versions: mathematical functions return floats, numbers have all their digits, and negations have parentheses',
    holds: ({ theirs }) => theirs.body.includes('"error":'),
    proof({ theirs, ours }) {
      const [one, other] = [errorOf(theirs.document), errorOf(ours.document)];
      return theirs.status === ours.status && one !== other && calm(one) === calm(other);
    },
  },
  {
    name: 'tags compared by order: 1.6.7 treats the operator as !=, and with a list of the values it returns the result of Tidemark',
    holds: ({ text }) => text.search(ORDER_OF_TAGS) >= 0,
    async proof({ text, env, isOurs }) {
      return isOurs(await env.real(spelledOut(text)));
    },
  },
  {
    name: 'DISTINCT without parentheses in a subquery: 1.6.7 returns no rows',
    holds: (query) => isNested(query) && /DISTINCT \w/.test(query.parts.FROM) && seriesOf(query.theirs.document).length === 0,
    async proof({ parts, isSame, trusted }) {
      return isSame(await trusted(statement({ ...parts, FROM: parts.FROM.replace(/DISTINCT (\w+)/g, 'distinct($1)') })));
    },
  },
  {
    name: 'limits: 1.x applies them to the points that top() and bottom() read, and counts series in the order of its index',
    holds: ({ parts }) => parts && hasLimits(parts),
    async proof({ text, parts, ours, env, isSeries, trusted, agreed }) {
      if (hasSeriesLimits(parts) && (await isOfSelectedSeries(parts, { trusted, env, ours, isSeries }))) return true;
      const whole = statement(unlimited(parts));
      const all = await trusted(whole);
      // LIMIT can remove the row with the infinite value, so this proof applies only to SLIMIT and
      // SOFFSET.
      if (hasSeriesLimits(parts) && hasLimits(withoutSeriesLimits(parts))) {
        const series = await trusted(statement(withoutSeriesLimits(parts)));
        if (series && !errorOf(series) && isSeries(limited(seriesOf(series), seriesLimits(parts)))) return true;
      }
      if (!all || errorOf(all) || !isSeries(limited(seriesOf(all), parts))) return false;
      // If the results without limits are equal, no other limit can cause a difference.
      return hasSeriesLimits(parts) || calls(text, `top|bottom|${BY_CHANCE}`) || !agreed(whole);
    },
  },
  {
    name: 'abs() of integers: 1.6.7 returns negative results',
    holds: ({ text }) => text.includes('abs('),
    async proof({ text, theirs, ours, isSeries, trusted }) {
      const all = await trusted(withoutAbs(text));
      const columns = seriesOf(ours.document)[0]?.get('columns');
      const [known] = seriesOf(seriesOf(theirs.document).length > 0 ? theirs.document : all);
      if (!all || !columns || !alike(known?.get('columns'), columns)) return false;
      return isSeries(seriesOf(all).map((series) => renamed(series, columns)));
    },
  },
  {
    name: 'rounded sums and averages: their last bits depend on the order of the values',
    holds: ({ text }) => new RegExp(ROUNDING.source).test(text),
    async proof({ text, ours, env }) {
      const moved = [];
      for (const by of MOVES) moved.push(env.parsed(await env.real(text.replace(ROUNDING, `$1${by}`))));
      return moved.every(Boolean) && among(resultsOf(ours.document), moved.map(resultsOf));
    },
  },
  {
    name: 'a series that 1.x returns several times, because it mixes rows of several subqueries: merged, they equal the result of Tidemark',
    holds: (query) => isNested(query) && !hasLimits(query.parts),
    proof({ parts, theirs, isSeries }) {
      const whole = mergedSeries(seriesOf(theirs.document), parts);
      return whole !== undefined && isSeries(whole);
    },
  },
  {
    name: 'a subquery that 1.x reads incorrectly: over its stored rows, 1.x returns the result of Tidemark',
    holds: isNested,
    proof: (query) => isSameOverStoredRows(query, true),
  },
  {
    name: 'a subquery with a difference that is itself excused: over the stored rows of Tidemark, 1.x returns the result of Tidemark',
    holds: isNested,
    proof: (query) => isSameOverStoredRows(query, false),
  },
  {
    name: 'several calls that 1.x joins in a wrong order: each call alone returns the same result',
    holds: (query) => isFlat(query) && calls(query.text, 'integral|holt_winters|holt_winters_with_fit|first|last|mode|percentile|sample|top|bottom'),
    async proof({ parts, theirs, isSeries, trusted }) {
      // Without windows, this proof does not apply to `sample`, because the samples of two
      // executions differ.
      if (calls(parts.SELECT, 'sample') && !windowOf(parts)) return false;
      const columns = await columnsOf(parts, trusted);
      const texts = columns?.flatMap((column) => column.texts);
      // LIMIT applies to each call separately.
      if (!texts || hasSeriesLimits(parts) || (texts.length === 1 && texts[0] === parts.SELECT)) return false;
      const answers = [];
      for (const text of texts) {
        answers.push(await trusted(withSelect(parts, text)));
        if (!answers.at(-1)) return false;
      }
      const [known] = seriesOf(theirs.document);
      const names = known?.get('columns') ?? namesOf(columns);
      if (!names) return false;
      // With several calls, the row has no point's time. Only integral() is an exception, so the
      // proof tries both times.
      const time = texts.length > 1 ? known?.get('values')[0][0].text : undefined;
      return [undefined, time].some((one) => {
        const all = joined(answers, columns, parts, names, one);
        return all !== undefined && isSeries(all);
      });
    },
  },
  {
    name: 'several series of which 1.x loses or mixes some: each series alone returns the same result',
    holds: (query) => isFlat(query) && hasSeries(query.parts) && calls(query.text, 'integral|holt_winters|holt_winters_with_fit|percentile'),
    async proof({ parts, isSeries, trusted }) {
      const counted = await trusted(statement({ ...parts, SELECT: 'count(*)', fill: windowOf(parts) && '(none)' }));
      if (!counted || hasLimits(parts)) return false;
      // A field that exists only in other measurements has no type unless the statement also reads
      // these measurements, so the second attempt reads them.
      for (const from of [undefined, parts.FROM]) {
        const found = [];
        for (const series of seriesOf(counted)) {
          const alone = await trusted(aloneOf(parts, series, from));
          found.push(...(alone ? foundAlone(alone, series) : [undefined]));
        }
        if (!found.includes(undefined) && isSeries(found)) return true;
      }
      return false;
    },
  },
  {
    name: 'holt_winters() of sums, whose last bits have a large effect: over the stored sums of Tidemark, 1.x returns the result of Tidemark',
    holds: (query) => isFlat(query) && /holt_winters/.test(query.text),
    async proof({ parts, env, trusted, isOurs }) {
      const [field, more] = fieldsOf(parts);
      const forecast = callOf(field.expression);
      if (more || !forecast || !/^holt_winters/.test(forecast.name)) return false;
      const inside = { ...unlimited(parts), SELECT: `${forecast.first} AS x`, fill: '(none)', 'ORDER BY': '' };
      const database = await keepOurs(inside, env, trusted);
      if (!database) return false;
      const times = termsOf(parts).filter(isTime);
      const WHERE = (await boundsOf(times, [database], env)) ?? and(...times);
      const SELECT = `${forecast.name}(${['first(x)', ...forecast.rest].join(', ')}) AS ${field.alias ?? forecast.name}`;
      const answer = await env.real(statement({ ...parts, SELECT, FROM: `${database}.autogen./.*/`, WHERE }));
      await env.real(`DROP DATABASE ${database}`);
      return isOurs(answer);
    },
  },
  {
    name: 'one of several equal values or points, or a random sample: the result of Tidemark is a permitted choice',
    holds: (query) => isFlat(query) && calls(query.text, 'first|last|min|max|mode|percentile|sample'),
    proof: chosen,
  },
  {
    name: 'several calls of which some draw random samples: over the stored samples of Tidemark, 1.x returns the result of Tidemark',
    holds: (query) => isFlat(query) && calls(query.text, 'sample'),
    proof: joinsSamples,
  },
  {
    name: 'windows that overlap at a clock change: the points of each window alone return the same row',
    holds: (query) => isFlat(query) && query.parts.tz !== undefined,
    proof: isOfWindowsAlone,
  },
  {
    name: 'several casts of one field in a condition, of which 1.x applies only one: with a copy of the field for each cast, 1.x returns the result of Tidemark',
    holds: (query) => query.parts !== undefined && hasCasts(query.text),
    proof: isOverCopies,
  },
  {
    name: 'points with the same time, which 1.x reads in any order: in one order, 1.x returns the result of Tidemark',
    holds: ({ tied, parts }) => tied && parts !== undefined,
    proof: untied,
  },
];
