// Inserts a time range into InfluxQL statements.

import { statements } from './statements.js';

/** The lengths of time in the range picker. */
export const lengths = {
  '5m': { ms: 3e5, label: 'Last 5 minutes' },
  '15m': { ms: 9e5, label: 'Last 15 minutes' },
  '1h': { ms: 36e5, label: 'Last hour' },
  '6h': { ms: 216e5, label: 'Last 6 hours' },
  '24h': { ms: 864e5, label: 'Last 24 hours' },
  '7d': { ms: 6048e5, label: 'Last 7 days' },
  '30d': { ms: 2592e6, label: 'Last 30 days' },
  '90d': { ms: 7776e6, label: 'Last 90 days' },
  '1y': { ms: 31536e6, label: 'Last year' },
};

/**
 * Returns the bounds of a range in milliseconds, with an exclusive end. The range `all` has no
 * bounds, so the result is null. A length of time ends at `now_ms`. Other ranges have the form
 * `FROM..TO`.
 */
export function bounds(range, now_ms) {
  if (lengths[range]) return { from_ms: now_ms - lengths[range].ms, to_ms: now_ms };
  const [from_ms, to_ms] = range.split('..').map((text) => Date.parse(text));
  return from_ms < to_ms ? { from_ms, to_ms } : null;
}

export const between = (from_ms, to_ms) =>
  [Math.floor(from_ms), Math.ceil(to_ms)].map((ms) => new Date(ms).toISOString()).join('..');

const tails = new Set(['GROUP', 'FILL', 'ORDER', 'LIMIT', 'OFFSET', 'SLIMIT', 'SOFFSET', 'TZ']);

/**
 * Restricts every SELECT to the time range. The condition replaces `$timeFilter`; without
 * `$timeFilter`, it is added to the outermost WHERE. `$interval` becomes a 200th of the range. If
 * `limits` is missing, removes `$timeFilter` and the AND or WHERE in front of it.
 */
export function withRange(text, limits) {
  if (!limits) return withoutFilters(text).replace(/\$(__)?interval\b/g, '1d');
  const { from_ms, to_ms } = limits;
  const condition = `time >= ${from_ms}ms AND time < ${to_ms}ms`;
  let made = text;
  for (const statement of statements(text).reverse()) {
    if (statement.tokens[0].upper !== 'SELECT') continue;
    if (statement.tokens.some((token) => token.text === '$timeFilter')) continue;
    made = narrowed(made, statement, condition);
  }
  return made
    .replace(/\$timeFilter\b/g, condition)
    .replace(/\$(__)?interval\b/g, `${Math.max(1, Math.ceil((to_ms - from_ms) / 200_000))}s`);
}

/** Removes `$timeFilter` from all statements, because a range of all times needs no condition. */
function withoutFilters(text) {
  let made = text;
  for (const { tokens } of statements(text).reverse()) {
    for (;;) {
      const at = tokens.findLastIndex(({ text: mark }) => mark === '$timeFilter');
      if (at < 0) break;
      made = withoutFilter(made, tokens, at);
    }
  }
  return made;
}

function withoutFilter(text, tokens, at) {
  let [first, last] = [at, at];
  while (tokens[first - 1]?.text === '(' && tokens[last + 1]?.text === ')') {
    first -= 1;
    last += 1;
  }
  const joins = (token) => ['AND', 'OR'].includes(token?.upper);
  if (joins(tokens[last + 1])) last += 1;
  else if (joins(tokens[first - 1]) || tokens[first - 1]?.upper === 'WHERE') first -= 1;
  const [head, rest] = [text.slice(0, tokens[first].from), text.slice(tokens[last].to)];
  tokens.splice(first, last + 1 - first);
  return /\s$/.test(head) ? head + rest.replace(/^[ \t]+/, '') : head + rest;
}

function narrowed(text, { tokens, to }, condition) {
  let depth = 0;
  let where = null;
  let end = to;
  let isAfterFrom = false;
  for (const token of tokens) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth > 0 || token.kind !== 'word') continue;
    if (token.upper === 'FROM') isAfterFrom = true;
    if (token.upper === 'WHERE') where = token;
    if (isAfterFrom && tails.has(token.upper)) {
      end = token.from;
      break;
    }
  }
  const rest = text.slice(end);
  const gap = rest && !/^\s/.test(rest) && end !== to ? ' ' : '';
  const head = text.slice(0, end).trimEnd();
  // A comment ends at the end of its line, so the condition must begin on a new line.
  const joint = head.includes('--') ? '\n' : ' ';
  if (!where) return `${head}${joint}WHERE ${condition}${gap}${rest}`;
  const written = text.slice(where.to, end).trim();
  const closing = written.includes('--') ? '\n)' : ')';
  return `${text.slice(0, where.to)} (${written}${closing} AND ${condition}${gap}${rest}`;
}
