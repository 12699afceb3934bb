// Inserts a name from the explorer into SQL text. The name is inserted at the cursor. If the text
// is empty, a new statement is inserted.

import { meaningful, quoted, quotedText, wordsOf } from './words.js';

const condition = ({ tag, name }) => `${quoted(tag)} = ${quotedText(name)}`;

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
 * Inserts `item` into the text. An item in a policy other than the default does not change the
 * text, because SQL has no names for retention policies.
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
