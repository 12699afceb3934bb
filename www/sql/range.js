// Inserts a time range into SQL in place of $timeFilter. The page has no SQL parser, so it cannot
// find another position for the condition.

import { wordsOf } from './words.js';

const isFilter = ({ kind, text }) => kind === 'variable' && /^\$(__)?timeFilter$/.test(text);
const isInterval = ({ kind, text }) => kind === 'variable' && /^\$(__)?interval$/.test(text);

const time = (ms) => `'${new Date(ms).toISOString()}'`;

export const takesRange = (text) => wordsOf(text).some(isFilter);

/**
 * Replaces `$timeFilter` with a condition, and `$interval` with an INTERVAL that is a 200th of the
 * range. Without limits, the replacements are `true` and one day.
 */
export function withRange(text, limits) {
  const condition = limits ? `(time >= ${time(limits.from_ms)} AND time < ${time(limits.to_ms)})` : 'true';
  const step_s = limits ? Math.max(1, Math.ceil((limits.to_ms - limits.from_ms) / 200_000)) : 86_400;
  return wordsOf(text)
    .map((word) => {
      if (isFilter(word)) return condition;
      return isInterval(word) ? `INTERVAL '${step_s} seconds'` : word.text;
    })
    .join('');
}
