// One run of a query and its forms: each is asked for when a view needs it, and once.

import { errorIn, get, post, Refused } from '../api/ask.js';
import { forgetSchema } from '../api/schema.js';
import { effectOf, statements } from '../influxql/statements.js';
import { bounds, withRange } from '../influxql/range.js';
import { work } from '../results/client.js';

let run = null;
let inFlight = 0;

/** The run that is shown: `{ text, sent, db, range, isChartable }`, or null. */
export const currentRun = () => run;

/** Whether a request of a run is under way. */
export const isBusy = () => inFlight > 0;

/**
 * Begins a run; what came before is broken off. Nothing is asked yet. Only one that `mayWrite`, as
 * somebody pressed Run, is asked in a way in which the server lets it write, and that once.
 */
export function begin({ text, db, range, mayWrite = false }) {
  run?.breaking.abort();
  const sent = withRange(text, bounds(range, Date.now()));
  const does = effectOf(sent);
  run = {
    text,
    db,
    range,
    sent,
    mayWrite,
    isChartable: does === 'selects',
    changes: mayWrite && (does === 'writes' || does === null),
    breaking: new AbortController(),
    forms: {},
  };
  return run;
}

/** Breaks the run off. */
export const cancel = () => run?.breaking.abort();

/** The reply's bytes. Throws [Refused], or an AbortError. */
async function bytesOf(q, one, epoch) {
  const ask = q === one.sent && one.mayWrite ? post : get;
  if (ask === post) one.mayWrite = false;
  inFlight += 1;
  try {
    const response = await ask(q, { db: one.db, epoch, signal: one.breaking.signal });
    const bytes = await response.arrayBuffer();
    if (response.ok) return bytes;
    throw new Refused(errorIn(new TextDecoder().decode(bytes), response.status), response.status);
  } finally {
    inFlight -= 1;
  }
}

async function timed(work_) {
  const from_ms = performance.now();
  const answer = await work_();
  return { ...answer, took_ms: performance.now() - from_ms };
}

const makers = {
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

/** The run in one form: `text` (in the result worker), `chart` or `explain`. */
export function form(one, name) {
  one.forms[name] ??= timed(() => makers[name](one)).then((made) => {
    if (one.changes) forgetSchema();
    return made;
  });
  return one.forms[name];
}

/**
 * Where in the text that was typed the server found an error: the offset, or null. The position in
 * `message` is one of the text that was sent, which has a time range in it.
 */
export function errorOffset(message, { text, sent }) {
  const found = /at line (\d+), char (\d+)/.exec(message);
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
