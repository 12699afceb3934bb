// A name of the explorer put into a text of SQL: where the cursor is, or as a statement where there is no text.

import { meaningful, quoted, quotedText, wordsOf } from './words.js';

const condition = ({ tag, name }) => `${quoted(tag)} = ${quotedText(name)}`;

/** What asks for an item by itself. */
function query(item) {
  const from = `FROM ${quoted(item.measurement ?? item.name)}`;
  if (item.kind === 'field') return `SELECT time, ${quoted(item.name)} ${from} WHERE $timeFilter ORDER BY time`;
  if (item.kind === 'value') return `SELECT * ${from} WHERE ${condition(item)} AND $timeFilter ORDER BY time`;
  if (item.kind === 'tag') {
    const name = quoted(item.name);
    return `SELECT ${name}, count(*) AS rows ${from} WHERE $timeFilter GROUP BY ${name} ORDER BY rows DESC`;
  }
  return `SELECT * ${from} WHERE $timeFilter ORDER BY time DESC LIMIT 1000`;
}

/**
 * As `put` of `influxql/put.js`. A policy has no name in SQL, which asks one at a time: it, and what
 * is in another policy than the default one, leaves the text as it is.
 */
export function put(text, { from, to }, item) {
  if (item.kind === 'policy' || item.policy) return { text, cursor: to };
  if (!text.trim()) {
    const made = query(item);
    return { text: made, cursor: made.length };
  }
  const [head, rest] = [text.slice(0, from), text.slice(to)];
  const isCompared = ['=', '!=', '<>', '(', ','].includes(meaningful(wordsOf(head)).at(-1)?.text);
  const value = item.kind === 'value' && (isCompared ? quotedText(item.name) : condition(item));
  const words = `${/[\w"')*]$/.test(head) ? ' ' : ''}${value || quoted(item.name)}`;
  const gap = /^[\w"'(*]/.test(rest) ? ' ' : '';
  return { text: head + words + gap + rest, cursor: from + words.length };
}
