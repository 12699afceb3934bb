// Finds the rule that explains the difference between two responses to a random query.

import { alike, parsed, resultsOf, sameAnswer, seriesOf, sortTies } from './answers.mjs';
import { RULES } from './rules.mjs';
import { clauses } from './statement.mjs';

/** The maximum nesting depth of proofs, because the proof of a rule may use other rules. */
const DEPTH_MAX = 4;

/**
 * Returns the name of the rule that explains the difference, or undefined. `both(text)`,
 * `real(text, database)` and `own(text, database)` of `env` send a statement to both servers, to
 * InfluxDB or to Tidemark, and return `[status, body]`. `write(database, lines)` writes to
 * InfluxDB. `known` caches the results of other statements.
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
  const isDocument = (document, tolerance) =>
    document !== undefined && own.document !== null && alike(sorted(document), sorted(parsed(own.body)), tolerance);
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
    /**
     * Returns the document of Tidemark's response, or undefined unless the real server returns the
     * same response or a rule explains the difference.
     */
    trusted: (other) => trusted({ text: other, tied }, env, depth - 1),
    /**
     * Whether the two servers returned the same response. The caller must have called `trusted`
     * with this statement.
     */
    agreed: (other) => env.known.get(other).agreed,
    isOurs: (answer, tolerance) => sameAnswer({ tied }, answer, ours, tolerance),
    isSame: isDocument,
    /** Tidemark's response must consist of exactly these series. */
    isSeries: (list) => ourSeries !== undefined && alike(sorted(series(list)), sorted(series(ourSeries()))),
  };
}

/** Returns undefined if no rule explains the difference. */
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
