// A run of a query, and the forms of its result. The page requests each form once, when a view
// needs it.

import { errorIn, get, post, RequestError } from '../api/query.js';
import { parseExact } from '../api/exact.js';
import { forgetSchema } from '../api/schema.js';
import { querySql } from '../api/sql.js';
import { statements } from '../influxql/statements.js';
import { bounds } from '../influxql/range.js';
import { work } from '../results/client.js';
import { languages } from './languages.js';

let run = null;
let inFlight = 0;

/** Returns `{ text, language, sent, db, range, isChartable }`, or null. */
export const currentRun = () => run;

export const isBusy = () => inFlight > 0;

/**
 * Begins a run, without a request yet. `mayWrite` means that the user clicked Run, so the run may
 * send one request that writes.
 */
export function begin({ text, language, db, range, mayWrite = false }) {
  run?.breaking.abort();
  const { effectOf, isDrawn, withRange } = languages[language];
  const sent = withRange(text, bounds(range, Date.now()));
  const does = effectOf(sent);
  run = {
    text,
    language,
    db,
    range,
    sent,
    mayWrite,
    isChartable: isDrawn(sent),
    changes: mayWrite && (does === 'writes' || does === null),
    breaking: new AbortController(),
    forms: {},
  };
  return run;
}

export const cancel = () => run?.breaking.abort();

/** Throws [RequestError] or an AbortError. */
async function bytesOf(q, one, epoch) {
  const ask = q === one.sent && one.mayWrite ? post : get;
  if (ask === post) one.mayWrite = false;
  return taken(() => ask(q, { db: one.db, epoch, signal: one.breaking.signal }));
}

const sqlBytesOf = (q, one, format = 'json') =>
  taken(() => querySql(q, { db: one.db, format, signal: one.breaking.signal }));

async function taken(ask) {
  inFlight += 1;
  try {
    const response = await ask();
    const bytes = await response.arrayBuffer();
    if (response.ok) return bytes;
    throw new RequestError(errorIn(new TextDecoder().decode(bytes), response.status), response.status);
  } finally {
    inFlight -= 1;
  }
}

async function timed(work_) {
  const from_ms = performance.now();
  const answer = await work_();
  return { ...answer, took_ms: performance.now() - from_ms };
}

/**
 * Returns a copy of the response of a SQL run. All forms of the result use the same response, and
 * the result worker takes ownership of its copy.
 */
async function rowsOf(one) {
  one.reply ??= sqlBytesOf(one.sent, one);
  return (await one.reply).slice(0);
}

export const parquetOf = (one) => sqlBytesOf(one.sent, one, 'parquet');

const sqlMakers = {
  text: async (one) => work('load', await rowsOf(one)),
  chart: async (one) => work('chart', await rowsOf(one)),
  explain: async (one) => {
    if (!one.isChartable) return { plans: [] };
    const q = `EXPLAIN ANALYZE ${one.sent.replace(/;\s*$/, '')}`;
    const rows = parseExact(new TextDecoder().decode(await sqlBytesOf(q, one)));
    return { plans: rows.map(({ plan }) => plan) };
  },
};

const influxqlMakers = {
  text: async (one) => work('load', await bytesOf(one.sent, one)),
  chart: async (one) => work('chart', await bytesOf(one.sent, one, 'ms')),
  explain: async (one) => {
    const q = statements(one.sent)
      .filter(({ does }) => does === 'selects')
      .map(({ from, to }) => `EXPLAIN ANALYZE ${one.sent.slice(from, to)}`)
      .join('; ');
    if (!q) return { plans: [] };
    const reply = JSON.parse(new TextDecoder().decode(await bytesOf(q, one)));
    return { plans: reply.results.map(({ series = [], error }) => error ?? linesOf(series)) };
  },
};

const linesOf = (series) => series.flatMap(({ values }) => values.map(([line]) => line)).join('\n');

const makers = { influxql: influxqlMakers, sql: sqlMakers };

/** Returns a form of the run's result: `text` (in the result worker), `chart` or `explain`. */
export function form(one, name) {
  one.forms[name] ??= timed(() => makers[one.language][name](one)).then((made) => {
    if (one.changes) forgetSchema();
    return made;
  });
  return one.forms[name];
}

/**
 * Returns the position of an error in the editor's text. The position in `message` refers to the
 * sent text, into which the page has inserted a time range.
 */
export function errorOffset(message, { text, sent }) {
  const found = /at line:? (\d+), (?:char|column:) (\d+)/i.exec(message);
  if (!found) return null;
  const lines = sent.split('\n');
  const before = lines
    .slice(0, Number(found[1]) - 1)
    .reduce((sum, line) => sum + line.length + 1, 0);
  const letters = [...(lines[Number(found[1]) - 1] ?? '')].slice(0, Number(found[2]) - 1).join('');
  const offset = before + letters.length;
  let same = 0;
  while (same < text.length && text[same] === sent[same]) same += 1;
  return offset <= same ? offset : Math.max(same, text.length - (sent.length - offset));
}
