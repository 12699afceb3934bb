// Which rule explains that two answers to a random query differ.

import { alike, parsed, resultsOf, sameAnswer, seriesOf, sortTies } from './answers.mjs';
import { RULES } from './rules.mjs';
import { clauses } from './statement.mjs';

/** So many excuses may rest upon each other. */
const DEPTH_MAX = 4;

/**
 * The name of the rule by which the answers may differ, if there is one. `env` asks: `both(text)`,
 * `real(text, database)`, `own(text, database)`, each answering `[status, body]`, and writes to the real server:
 * `write(database, lines)`; `data` are the points, `known` is what was found out about other statements.
 */
export async function explanation(query, theirs, ours, env, depth = DEPTH_MAX) {
  const pair = pairOf(query, theirs, ours, env, depth);
  for (const { name, holds, proof } of RULES) {
    if (holds(pair) && (await proof(pair))) return name;
  }
  return undefined;
}

function pairOf({ text, tied }, theirs, ours, env, depth) {
  const side = ([status, body]) => ({ status, body, document: parsed(body) });
  const own = side(ours);
  const sorted = (document) => {
    if (tied) sortTies(document);
    return document;
  };
  const isDocument = (document) => document !== undefined && own.document !== null && alike(sorted(document), sorted(parsed(own.body)));
  const series = (list) => new Map([['results', [new Map([['series', list]])]]]);
  const [result, more] = resultsOf(own.document);
  const isPlain = result && !more && !result.has('error') && !result.has('messages');
  const ourSeries = isPlain ? () => seriesOf(parsed(own.body)) : undefined;
  return {
    text,
    tied,
    parts: text.includes('; ') ? undefined : clauses(text),
    theirs: side(theirs),
    ours: own,
    env: { ...env, parsed: ([, body]) => parsed(body) ?? undefined },
    /** Our answer to another statement, if the real server gives it too or a rule says why not. */
    trusted: (other) => trusted({ text: other, tied }, env, depth - 1),
    /** Whether both servers answer a statement alike that was asked of `trusted`. */
    agreed: (other) => env.known.get(other).agreed,
    /** Whether an answer is ours. */
    isOurs: (answer, tolerance) => sameAnswer({ tied }, answer, ours, tolerance),
    /** Whether a document is our answer. */
    isSame: isDocument,
    /** Whether our answer is of these series, and nothing else. */
    isSeries: (list) => ourSeries !== undefined && alike(sorted(series(list)), sorted(series(ourSeries()))),
  };
}

/** What both servers say to another query: our document, undefined if no rule says why theirs differs. */
async function trusted(query, env, depth) {
  const known = env.known.get(query.text);
  if (known && (known.body !== undefined || known.depth >= depth)) return known.body && parsed(known.body);
  const [theirs, ours] = await env.both(query.text);
  const agreed = sameAnswer(query, theirs, ours);
  const isRight = agreed || (depth > 0 && (await explanation(query, theirs, ours, env, depth)) !== undefined);
  const body = isRight && parsed(ours[1]) ? ours[1] : undefined;
  env.known.set(query.text, { depth, agreed, body });
  return body && parsed(body);
}
